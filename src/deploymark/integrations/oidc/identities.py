"""From an identity token to what its bearer gets: the checks, in order.

Nothing that a token says is believed before its signature is checked, but for the two words that
choose the key: its issuer and the name of the key. Where keys are fetched from is said by the
configuration alone; `jku`, `x5u`, `jwk` and `x5c` of a token are not looked at.
"""

import base64
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import jwt

from deploymark.emit.host import Host, SystemHost
from deploymark.errors import IdentityRefusedError
from deploymark.integrations.oidc.fetching import fetch_of
from deploymark.integrations.oidc.keys import IssuerKeys
from deploymark.integrations.oidc.rules import MOST_SUBJECT, grant_of, is_met
from deploymark.integrations.oidc.settings import OidcSettings, check_rules
from deploymark.model.reading import read_json, value_faults
from deploymark.ports import Clock, Grant, Meter

MAX_TOKEN_CHARACTERS: Final = 16_384
LEEWAY_SECONDS: Final = 60
ONCE_SECONDS: Final = 86_400
"""The longest that an identity token may still live which is exchanged once."""

_SHAPE: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SHOWN: Final = 200
_MS: Final = 1_000
_SYSTEM: Final = SystemHost()

Claims = dict[str, Any]
Rules = Mapping[str, OidcSettings]


class _Read(NamedTuple):
    """A token that was taken apart, and of which nothing is proven."""

    algorithm: str
    key: str
    claims: Claims


class Identities:
    """Says what the bearers of identity tokens get; safe on any thread.

    Args:
        rules: By name, in the order in which they are tried.
        clock: Tells which tokens are valid.
        meter: Counts keys that could not be had.
        host: Tells how time passes while an issuer is asked.

    Raises:
        UsageError: A rule trusts too much, or makes no sense.
    """

    def __init__(self, rules: Rules, clock: Clock, meter: Meter, host: Host = _SYSTEM) -> None:
        check_rules(rules)
        self._rules = rules
        self._clock = clock
        self._keys = {
            rule.issuer: IssuerKeys(rule.issuer, fetch_of(rule, host), clock, meter)
            for rule in rules.values()
        }

    def grant(self, text: str) -> Grant:
        """Return what the bearer of an identity token gets by the first rule that it meets.

        May wait for the issuer. What is said of a refusal is what the token says, never what a
        rule wants.

        Args:
            text: A JSON Web Token, signed, in compact form.

        Raises:
            IdentityRefusedError: It is not valid, or meets no rule.
            IssuerUnavailableError: The keys of its issuer cannot be had now.
        """
        # 1. It is a token, and says everything once.
        read = _taken_apart(text)
        # 2. A rule names its issuer, and takes its algorithm.
        issuer = read.claims.get("iss")
        rules = {name: rule for name, rule in self._rules.items() if rule.issuer == issuer}
        if not rules:
            raise IdentityRefusedError(f"Its issuer {_show(issuer)} is not one that is trusted.")
        rules = {name: rule for name, rule in rules.items() if read.algorithm in rule.algorithms}
        if not rules:
            raise IdentityRefusedError(f"It is signed with {_show(read.algorithm)}.")
        # 3. That issuer signed it. From here on its words are the issuer's.
        key = self._keys[str(issuer)].find(read.key, read.algorithm)
        _check_signature(text, key, read.algorithm)
        # 4. It is valid now.
        now_s = self._clock.now_ms() / _MS
        _check_times(read.claims, now_s)
        # 5. It was made for us alone: whom else it is for could bring it here.
        rules = {name: r for name, r in rules.items() if r.audience == _audience(read.claims)}
        if not rules:
            raise IdentityRefusedError(
                f"Its audience is {_show(read.claims.get('aud'))}, which is not what it must be.",
                hint="Ask for a token whose only audience is the one that the server expects.",
            )
        # 6. Whom it is about meets a rule.
        subject = _subject(read.claims)
        for name, rule in rules.items():
            if is_met(rule, read.claims):
                if rule.once:
                    _check_once(read.claims, now_s)
                return grant_of(name, rule, read.claims)
        raise IdentityRefusedError(f"No rule trusts {_show(subject)} with these claims.")


def _taken_apart(text: str) -> _Read:
    shape = _SHAPE.fullmatch(text) if len(text) <= MAX_TOKEN_CHARACTERS else None
    if shape is None:
        raise IdentityRefusedError(
            f"It is not a JSON Web Token of at most {MAX_TOKEN_CHARACTERS} characters."
        )
    header, claims = _object(shape[1]), _object(shape[2])
    algorithm, key = header.get("alg"), header.get("kid")
    if "crit" in header or "b64" in header:
        raise IdentityRefusedError("It demands what is not understood here (crit).")
    if not (isinstance(key, str) and key):
        raise IdentityRefusedError("It does not name the key that signed it (kid).")
    return _Read(str(algorithm), key, claims)


def _object(part: str) -> dict[str, Any]:
    try:
        content = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise IdentityRefusedError("It is not base64url.") from None
    value = read_json(content, IdentityRefusedError)
    for fault in value_faults(value, IdentityRefusedError):  # repeated keys among them
        raise fault
    if not isinstance(value, dict):
        raise IdentityRefusedError("It does not hold JSON objects.")
    return value


def _check_signature(text: str, key: jwt.PyJWK, algorithm: str) -> None:
    try:
        jwt.PyJWS([algorithm]).decode_complete(text, key, [algorithm])
    except jwt.PyJWTError:
        raise IdentityRefusedError("Its signature does not verify.") from None


def _check_times(claims: Claims, now_s: float) -> None:
    expires, issued = _second(claims, "exp"), _second(claims, "iat")
    since = _second(claims, "nbf") if "nbf" in claims else issued
    if expires <= now_s - LEEWAY_SECONDS:
        raise IdentityRefusedError("It has expired.", hint="Ask the issuer for a new one.")
    if max(issued, since) > now_s + LEEWAY_SECONDS:
        raise IdentityRefusedError("It is not valid yet.", hint="Compare the clocks.")


def _second(claims: Claims, name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise IdentityRefusedError(f"Its claim {name} is missing, or is no time.")
    return value


def _audience(claims: Claims) -> object:
    audience = claims.get("aud")
    if isinstance(audience, list) and len(audience) == 1:
        return audience[0]
    return audience


def _subject(claims: Claims) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MOST_SUBJECT:
        raise IdentityRefusedError(f"Its subject is no text of 1 to {MOST_SUBJECT} characters.")
    if _CONTROL.search(subject):
        raise IdentityRefusedError("Its subject holds control characters.")
    return subject


def _check_once(claims: Claims, now_s: float) -> None:
    name = claims.get("jti")
    if not isinstance(name, str) or not name:
        raise IdentityRefusedError("It has no id (jti), so it could be exchanged again and again.")
    if _second(claims, "exp") > now_s + ONCE_SECONDS:
        raise IdentityRefusedError(f"It lives for more than {ONCE_SECONDS} seconds.")


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"

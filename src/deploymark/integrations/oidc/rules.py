"""What a trust rule makes of claims whose signature was checked. Pure.

Globs meet whole values (`crypto.scope`), so `repo:acme/shop` is not `repo:acme/shop-evil`. What
goes from a claim into a scope is one plain name: no star, slash or colon can widen it.
"""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote

from deploymark.crypto.scope import matches_any
from deploymark.errors import IdentityRefusedError
from deploymark.integrations.oidc.settings import OidcSettings, places_of
from deploymark.model.entries import Scope
from deploymark.model.inspection import unescape
from deploymark.model.vocabulary import Role
from deploymark.ports import OIDC, Grant

MOST_SUBJECT: Final = 1_024

_PRINCIPAL: Final = 200  # of which findings show no more
_DIGEST: Final = 16
_SAFE: Final = "/:@.,=+!*()"  # beside letters, digits and -._~; the percent sign never stays
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SHOWN: Final = 120

Claims = Mapping[str, Any]


def is_met(rule: OidcSettings, claims: Claims) -> bool:
    """Tell whether subject and claims meet a rule; issuer, audience and times are not looked at."""
    return matches_any(rule.subjects, claims["sub"]) and all(
        any(matches_any(globs, value) for value in _values(_claim(claims, name)))
        for name, globs in rule.claims.items()
    )


def grant_of(name: str, rule: OidcSettings, claims: Claims) -> Grant:
    """Return what the bearer of these claims gets by a rule that they meet.

    Raises:
        IdentityRefusedError: A claim that the scope is made of is missing, or is no plain name.
    """
    roles = frozenset(map(Role, rule.roles))
    scope = None
    if Role.EMITTER in roles:
        scope = Scope(
            services=_filled(rule.services, claims),
            environments=_filled(rule.environments, claims),
            kinds=rule.kinds,
            phases=rule.phases,
        )
    once = f"{rule.issuer}\n{claims['jti']}" if rule.once else ""
    return Grant(name, principal_of(name, claims["sub"]), roles, scope, rule.lifetime_seconds, once)


def principal_of(rule: str, subject: str) -> str:
    """Return `oidc:<rule>:<subject>`, printable ASCII of at most 200 characters.

    Two subjects never share one: what is unusual is percent-encoded, and a long one is cut with the
    beginning of its SHA-256 behind it.
    """
    principal = f"{OIDC}{rule}:{quote(subject, safe=_SAFE)}"
    if len(principal) <= _PRINCIPAL:
        return principal
    digest = sha256(subject.encode()).hexdigest()[:_DIGEST]
    return f"{principal[: _PRINCIPAL - _DIGEST - 1]}~{digest}"


def _filled(templates: Sequence[str], claims: Claims) -> tuple[str, ...]:
    return tuple(_fill(template, claims) for template in templates)


def _fill(template: str, claims: Claims) -> str:
    filled = template
    for name, change in places_of(template):
        value = _claim(claims, name)
        text = value if isinstance(value, str) else ""
        if change:
            text = text.rpartition("/")[2]
        if not _PLAIN.fullmatch(text):
            raise IdentityRefusedError(
                f"The claim {name} is {str(value)[:_SHOWN]!r}, of which no scope can be made.",
                hint="Only letters, digits, '.', '_' and '-' go into a scope.",
            )
        # What was filled in holds no brace, so it is never taken for a place.
        filled = filled.replace(f"{{{name}{change}}}", text)
    return filled


def _claim(claims: Claims, name: str) -> object:
    if not name.startswith("/"):
        return claims.get(name)
    found: object = claims
    for part in name[1:].split("/"):
        key = unescape(part)
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _values(claim: object) -> list[str]:
    """Return the texts of a claim; none of what is neither text, truth nor a list of texts."""
    if isinstance(claim, bool):
        return ["true" if claim else "false"]
    if isinstance(claim, list):
        return [each for each in claim if isinstance(each, str)]
    return [claim] if isinstance(claim, str) else []

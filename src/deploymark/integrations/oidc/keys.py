"""The keys of one issuer, remembered: fresh for a while, stale for longer, asked for seldom.

States of the set that is held: *none yet*, *fresh* (used as it is), *old* (asked for anew before it
is used), *stale* (old, and the issuer is away: used for up to `STALE_SECONDS` after it came), *too
old* (not used). A key that the set does not have is asked for as well. Nothing is asked more often
than every `PAUSE_SECONDS`, so strangers with invented keys cannot make us knock at an issuer's.
"""

import logging
import re
import threading
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from deploymark.errors import DeploymarkError, IdentityRefusedError, IssuerUnavailableError
from deploymark.integrations.oidc.fetching import Fetch
from deploymark.ports import Clock, Meter

LEAST_FRESH_SECONDS: Final = 60
USUAL_FRESH_SECONDS: Final = 600
MOST_FRESH_SECONDS: Final = 3_600
STALE_SECONDS: Final = 86_400
PAUSE_SECONDS: Final = 30
MOST_KEYS: Final = 128

_WAITING: Final = 4
_MS: Final = 1_000
_MAX_AGE: Final = re.compile(r"(?:^|[,\s])max-age=([0-9]{1,9})(?:$|[,\s])")
_KINDS: Final = {
    "RS256": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "EdDSA": ("OKP", "Ed25519"),
}
_RSA_BITS: Final = range(2_048, 8_193)
_EXPONENT_BITS: Final = 32

_log = logging.getLogger(__name__)

Key = tuple[str, str]
"""What a key is called, and the algorithm it is for."""


class _Held(NamedTuple):
    keys: Mapping[Key, jwt.PyJWK]
    came_at_ms: int
    fresh_ms: int

    def is_younger(self, now_ms: int, age_ms: int) -> bool:
        """Tell whether it came less than so long ago; not when the clock was set back."""
        return 0 <= now_ms - self.came_at_ms < age_ms


class IssuerKeys:
    """Finds the keys of one issuer; safe on any thread.

    Args:
        issuer: Whose, for the log.
        fetch: Gets the key set.
        clock: Tells how old it is.
        meter: Counts sets that could not be had.
    """

    def __init__(self, issuer: str, fetch: Fetch, clock: Clock, meter: Meter) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._meter = meter
        self._asking = threading.Lock()
        self._waiting = threading.BoundedSemaphore(_WAITING)
        self._held: _Held | None = None
        self._asked_at_ms: int | None = None

    def find(self, name: str, algorithm: str) -> jwt.PyJWK:
        """Return a key; may wait for the issuer.

        Args:
            name: Its `kid`.
            algorithm: What it shall verify.

        Raises:
            IdentityRefusedError: The issuer has no such key.
            IssuerUnavailableError: Nobody can tell now.
        """
        now_ms = self._clock.now_ms()
        held = self._held
        if held is not None and held.is_younger(now_ms, held.fresh_ms):
            key = held.keys.get((name, algorithm))
            if key is not None:
                return key
        held = self._renewed(now_ms)
        if held is None or not held.is_younger(now_ms, STALE_SECONDS * _MS):
            raise IssuerUnavailableError(f"The keys of {self._issuer} cannot be had now.")
        key = held.keys.get((name, algorithm))
        if key is None:
            raise IdentityRefusedError(
                "The identity token is signed with a key that its issuer does not show."
            )
        return key

    def _renewed(self, now_ms: int) -> _Held | None:
        """Return the set, after asking for it where nobody did so lately.

        One thread asks. Others go on with what there is, or wait, a few of them, for the first set:
        an issuer that does not answer must not hold up all threads of the server.
        """
        if not self._waiting.acquire(blocking=False):
            return self._held
        try:
            if not self._asking.acquire(blocking=self._held is None):
                return self._held
            try:
                if self._may_ask(now_ms):
                    self._asked_at_ms = now_ms
                    self._ask(now_ms)
            finally:
                self._asking.release()
        finally:
            self._waiting.release()
        return self._held

    def _may_ask(self, now_ms: int) -> bool:
        asked = self._asked_at_ms
        return asked is None or not 0 <= now_ms - asked < PAUSE_SECONDS * _MS

    def _ask(self, now_ms: int) -> None:
        try:
            fetched = self._fetch()
            keys = keys_of(fetched.content)
            if not keys:
                raise IssuerUnavailableError("There is no key in it that could be used.")
        except DeploymarkError as error:
            # What is held goes on being used for a while.
            self._meter.count("deploymark_issuer_failures_total", code=error.code)
            _log.warning(
                "the keys of an issuer cannot be had",
                extra={"issuer": self._issuer, "code": error.code, "why": error.message},
            )
            return
        self._held = _Held(keys, now_ms, _fresh_seconds(fetched.cache_control) * _MS)


def keys_of(content: Mapping[str, Any]) -> dict[Key, jwt.PyJWK]:
    """Return the keys of a set (RFC 7517) that can verify what we take; others are left out.

    Private and symmetric keys, short ones and those meant for something else are not used. Of two
    that are called the same for the same algorithm, the first counts.
    """
    listed = content.get("keys")
    found: dict[Key, jwt.PyJWK] = {}
    for each in listed[:MOST_KEYS] if isinstance(listed, list) else ():
        if not isinstance(each, dict):
            continue
        name, algorithm = each.get("kid"), _algorithm(each)
        if isinstance(name, str) and name and algorithm:
            key = _loaded(each, algorithm)
            if key is not None:
                found.setdefault((name, algorithm), key)
    return found


def _algorithm(key: Mapping[str, Any]) -> str:
    """Return what a key is for, by its kind; never by what a token says."""
    if key.get("use", "sig") != "sig":
        return ""
    operations = key.get("key_ops", ["verify"])
    if not (isinstance(operations, list) and "verify" in operations):
        return ""
    for algorithm, (kind, curve) in _KINDS.items():
        if (key.get("kty"), key.get("crv")) == (kind, curve):
            return algorithm if key.get("alg", algorithm) == algorithm else ""
    return ""


def _loaded(content: dict[str, Any], algorithm: str) -> jwt.PyJWK | None:
    try:
        loaded = jwt.PyJWK(content, algorithm)
    except Exception:  # noqa: BLE001 - whatever it chokes on, this one key is not used
        return None
    key = loaded.key
    match key:
        case RSAPublicKey():
            exponent = key.public_numbers().e.bit_length()
            usable = key.key_size in _RSA_BITS and exponent <= _EXPONENT_BITS
        case EllipticCurvePublicKey():
            usable = isinstance(key.curve, SECP256R1)
        case _:  # of another kind, or the private half
            usable = isinstance(key, Ed25519PublicKey)
    return loaded if usable else None


def _fresh_seconds(cache_control: str) -> int:
    said = _MAX_AGE.search(cache_control)
    seconds = int(said[1]) if said else USUAL_FRESH_SECONDS
    return max(LEAST_FRESH_SECONDS, min(seconds, MOST_FRESH_SECONDS))

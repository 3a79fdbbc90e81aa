"""Sessions: what a browser holds instead of a token, so that no script of a page ever sees one.

A token opens a session; the session may what the token may, and ends with it. The cookie's value
is 32 random bytes, kept only as SHA-256. The CSRF token is derived from the cookie's value, so
nothing of it is kept. Names and attributes of the cookie are the server's.
"""

import base64
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from deploymark.errors import ForbiddenError, StoreUnavailableError
from deploymark.ingest.callers import Caller
from deploymark.ingest.links import SignInLinks
from deploymark.ingest.tokens import Tokens
from deploymark.ports import Clock, Meter, SessionRecord, TokenRecord, TokenStore

LIFETIME_MS: Final = 12 * 3_600_000
"""How long a session lasts at most: a working day."""

IDLE_MS: Final = 3_600_000
"""How long it lasts without being used."""

EXTEND_MS: Final = 60_000
"""How exact the end of an idle session is kept: at most one write a minute."""

PER_TOKEN: Final = 16
"""How many sessions of one token live at once; a further one ends the oldest."""

_COOKIE_BYTES = 32
_COOKIE = re.compile(r"[A-Za-z0-9_-]{43}")
_CSRF = b"deploymark csrf"
_ENDED = "The session is unknown or has ended."
_LOG_IN = "Open a new session with a token."
_USED = "This link was used, or is too old."
_ANOTHER = "Sign in with a token, or ask for another link."


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A session that was just opened; its secrets are left out of its `repr`.

    Attributes:
        cookie: The value of the cookie.
        csrf: What a page sends in a header with everything that changes something.
        expires_at_ms: When it ends at the latest.
    """

    cookie: str = field(repr=False)
    csrf: str = field(repr=False)
    expires_at_ms: int


class Sessions:
    """Opens, recognises and closes sessions. Safe on any thread.

    Args:
        store: Where they are kept, with the tokens.
        tokens: Knows the tokens, and counts failed attempts.
        clock: Tells when they end.
        random_bytes: Returns as many unpredictable bytes as asked, as `secrets.token_bytes`.
        meter: Counts uses that could not be noted down.
        links: Open sessions without a token; none of its own when left out.
    """

    def __init__(
        self,
        store: TokenStore,
        tokens: Tokens,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        meter: Meter,
        links: SignInLinks | None = None,
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._clock = clock
        self._random_bytes = random_bytes
        self._meter = meter
        self._links = links or SignInLinks(clock, random_bytes)

    def open(self, token_text: str, network: str = "") -> OpenedSession:
        """Open a session for the bearer of a token.

        Raises:
            UnauthenticatedError, RateLimitedError: As `Tokens.authenticate`.
            StoreUnavailableError, StateBrokenError: The store refuses.
        """
        return self._open(self._tokens.verify(token_text, network))

    def open_once(self, link: str, network: str = "") -> OpenedSession:
        """Open a session for the bearer of the token that a link was made for, and end the link.

        Raises:
            UnauthenticatedError, RateLimitedError: As `open`; the link was used, or has ended.
            StoreUnavailableError, StateBrokenError: The store refuses.
        """
        token_id = self._links.take(link)
        if token_id is None:
            self._tokens.refuse(_USED, network, hint=_ANOTHER)
        return self._open(self._tokens.known(token_id))

    def _open(self, token: TokenRecord) -> OpenedSession:
        now_ms = self._clock.now_ms()
        self._store.expire_sessions(now_ms)
        cookie = _base64url(self._random_bytes(_COOKIE_BYTES))
        self._store.open_session(
            SessionRecord(_hash(cookie), token.id, now_ms, ends_at_ms=now_ms + IDLE_MS), PER_TOKEN
        )
        last_ms = now_ms + LIFETIME_MS
        return OpenedSession(
            cookie, csrf_token(cookie), min(last_ms, token.expires_at_ms or last_ms)
        )

    def authenticate(self, cookie: str, network: str = "") -> Caller:
        """Return the caller whose session this is, and note that it was used.

        Reads the store every time, so that closing a session or revoking its token counts at
        once, in every process.

        Raises:
            UnauthenticatedError: The session is unknown or has ended, or its token has.
            RateLimitedError: The same, after too many failures from this network.
            StoreUnavailableError, StateBrokenError: The store cannot tell.
        """
        now_ms = self._clock.now_ms()
        session = self._find(cookie)
        if session is None or session.ends_at_ms <= now_ms:
            self._tokens.refuse(_ENDED, network, hint=_LOG_IN)
        caller = self._tokens.recall(session.token_id, network)
        self._extend(session, now_ms)
        return caller

    def check_csrf(self, cookie: str, header: str | None) -> None:
        """Refuse a change that a page of somebody else may have sent with our cookie.

        Args:
            cookie: The value of the cookie, of a session that `authenticate` knows.
            header: What the request says in its CSRF header, None when it has none.

        Raises:
            ForbiddenError: It is not what this session's own page would send.
        """
        given = (header or "").encode("utf-8", "surrogatepass")
        if not hmac.compare_digest(given, csrf_token(cookie).encode("ascii")):
            raise ForbiddenError(
                "The CSRF token is missing or belongs to another session.",
                hint="Reload the page; a program sends its token, not a cookie.",
            )

    def close(self, cookie: str) -> None:
        """End a session; one that is unknown or has ended is no error.

        Raises:
            StoreUnavailableError, StateBrokenError: The store refuses.
        """
        if _COOKIE.fullmatch(cookie):
            self._store.drop_session(_hash(cookie))

    def _find(self, cookie: str) -> SessionRecord | None:
        return self._store.find_session(_hash(cookie)) if _COOKIE.fullmatch(cookie) else None

    def _extend(self, session: SessionRecord, now_ms: int) -> None:
        ends_at_ms = min(now_ms + IDLE_MS, session.opened_at_ms + LIFETIME_MS)
        if ends_at_ms - session.ends_at_ms < EXTEND_MS:
            return
        try:
            self._store.extend_session(session.cookie_hash, ends_at_ms)
        except StoreUnavailableError as error:
            # A full disk is when people most need to look; the session only idles out earlier.
            self._meter.count("deploymark_session_extensions_failed_total", code=error.code)


def csrf_token(cookie: str) -> str:
    """Return the CSRF token of the session with this cookie, which tells nothing of the cookie."""
    key = cookie.encode("utf-8", "surrogatepass")
    return _base64url(hmac.digest(key, _CSRF, "sha256"))


def _hash(cookie: str) -> bytes:
    return sha256(cookie.encode("ascii")).digest()


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode("ascii")

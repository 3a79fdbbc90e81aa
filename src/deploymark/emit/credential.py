"""Which token goes with a request: the one that was told, or one for the identity of this CI job.

The second kind is made by an exchange (`exchange`, loaded only then), lives for minutes and is kept
in memory only: never in the spool, never on a disk.
"""

from typing import Final

from deploymark.emit.host import Host
from deploymark.emit.settings import Settings

_MARGIN_SECONDS: Final = 30.0


class Credential:
    """The token of one client of the server.

    Not safe for threads.

    Args:
        settings: The token, or what proves who this job is.
        host: Tells when an exchanged token ends.
    """

    def __init__(self, settings: Settings, host: Host) -> None:
        self._settings = settings
        self._host = host
        self._exchanged = ""
        self._until = 0.0

    def token(self) -> str:
        """Return the token to send, "" for none; may ask issuer and server for one.

        Raises:
            IdentityRefusedError: This job has no identity, or not one that the server trusts.
            IssuerUnavailableError, RateLimitedError: Nobody can tell now.
            UsageError: The URL is not one of a server.
        """
        if self._settings.identity is None:
            return self._settings.token
        now = self._host.elapsed_seconds()
        if not self._exchanged or now >= self._until:
            from deploymark.emit.exchange import exchange  # noqa: PLC0415 - only with an identity

            self._exchanged = ""
            self._exchanged, seconds = exchange(self._settings, self._host)
            # One that ends on its way would be refused.
            self._until = now + max(seconds - _MARGIN_SECONDS, seconds / 2)
        return self._exchanged

    def forget(self) -> None:
        """Get another one for the next request: the server does not know this one any more."""
        self._exchanged = ""

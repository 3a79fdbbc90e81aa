"""Posts alerts to a webhook, signed by Standard Webhooks 1.0.0 (scheme `v1`).

A webhook forgets nothing, so each beginning and each end is told once: what came through is
remembered for as long as this process lives. After a restart it is told again, under the same keys.
The secret is read at every call, so that it can be replaced.
"""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploymark.crypto.standard_webhooks import (
    ID_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    parse_secret,
    sign,
)
from deploymark.emit.http1 import Response
from deploymark.emit.posting import destination, post
from deploymark.errors import (
    NotifierRefusedError,
    NotifierUnavailableError,
    ServerUnavailableError,
    UsageError,
)
from deploymark.integrations.webhook_notifier.message import Message, messages_of, state_of
from deploymark.ports import Alert, Clock

RUNBOOKS: Final = "docs/reference/alerts.md"
"""Where the codes are explained, as seen from the root of this project."""

_REMEMBERED: Final = 10_000
_MAX_SECRET_BYTES: Final = 8_192
_SHOWN: Final = 200
_OK: Final = range(200, 300)
_FAILING: Final = range(500, 600)
_LATER: Final = frozenset({408, 425, 429})


class WebhookNotifier:
    """A `Notifier` that tells one webhook.

    Args:
        url: Its address, which is never shown whole.
        clock: Dates the attempts.
        secret_file: Holds the secret that signs, `whsec_` and base64.
        runbooks: The address of the page that explains the codes.
        timeout_seconds: For one request in all, name resolution aside.
        allow_plain_http: Other hosts may be told by http: signed, but readable on the way.

    Raises:
        UsageError: The address or the secret is none.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        secret_file: Path,
        runbooks: str = RUNBOOKS,
        timeout_seconds: float = 10.0,
        allow_plain_http: bool = False,
    ) -> None:
        self._endpoint = destination(url, allow_plain_http=allow_plain_http)
        self._clock = clock
        self._secret_file = secret_file
        self._runbooks = runbooks
        self._timeout_seconds = timeout_seconds
        self._told: OrderedDict[tuple[str, int, int | None], None] = OrderedDict()
        self._secret()

    @property
    def name(self) -> str:
        """See `Notifier.name`."""
        return f"webhook {self._endpoint.shown}"

    def notify(self, alerts: Sequence[Alert]) -> None:
        """See `Notifier.notify`."""
        new = []
        for alert in alerts:
            if state_of(alert) in self._told:
                self._told.move_to_end(state_of(alert))
            else:
                new.append(alert)
        if not new:
            return
        try:
            secret = self._secret()
        except UsageError as error:
            raise NotifierRefusedError(error.message, hint=error.hint) from error
        refused: list[str] = []
        for message in messages_of(new, self._runbooks):
            answer = self._post(message, secret)
            if answer.status in _OK:
                self._remember(message)
            else:
                refused.append(f"{answer.status}: {_quoted(answer)}")
        if refused:
            raise NotifierRefusedError(f"{self.name} refuses alerts ({refused[0]}).")

    def _post(self, message: Message, secret: bytes) -> Response:
        timestamp_s = self._clock.now_ms() // 1_000
        headers = {
            "Content-Type": "application/json",
            ID_HEADER: message.id,
            TIMESTAMP_HEADER: str(timestamp_s),
            SIGNATURE_HEADER: sign(secret, message.id, timestamp_s, message.body),
        }
        try:
            answer = post(self._endpoint, headers, message.body, self._timeout_seconds)
        except ServerUnavailableError as error:
            raise NotifierUnavailableError(f"The webhook {error.message}") from error
        if answer.status in _FAILING or answer.status in _LATER:
            raise NotifierUnavailableError(
                f"{self.name} cannot take alerts now ({answer.status}: {_quoted(answer)})."
            )
        return answer

    def _remember(self, message: Message) -> None:
        for alert in message.alerts:
            self._told[state_of(alert)] = None
        while len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)

    def _secret(self) -> bytes:
        try:
            with self._secret_file.open("rb") as opened:
                content = opened.read(_MAX_SECRET_BYTES)
        except OSError as error:
            raise UsageError(
                f"The secret in {self._secret_file} cannot be read: {error.strerror}.",
                hint="Check its name and permissions; `secret_file` of the notifier names it.",
            ) from error
        return parse_secret(content.decode("utf-8", "replace"))


def _quoted(answer: Response) -> str:
    """Return the beginning of an answer as something that may be logged."""
    return repr(answer.body[:_SHOWN].decode("utf-8", "replace").strip())

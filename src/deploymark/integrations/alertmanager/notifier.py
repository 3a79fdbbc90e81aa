"""Posts alerts to an Alertmanager, which groups, routes, silences and repeats them.

What lasts is posted at every call, because an Alertmanager forgets; posting the same again changes
nothing there. Nothing is kept here. The secret is read at every call, so that it can be replaced.
"""

import json
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from deploymark.emit.http1 import Response
from deploymark.emit.posting import destination, post
from deploymark.errors import (
    NotifierRefusedError,
    NotifierUnavailableError,
    RefusedError,
    ServerUnavailableError,
    UsageError,
)
from deploymark.integrations.alertmanager.message import alert_message
from deploymark.ports import Alert, Clock

RUNBOOKS: Final = "docs/reference/alerts.md"
"""Where the codes are explained, as seen from the root of this project."""

_PATH: Final = "/api/v2/alerts"
_AT_ONCE: Final = 200
_MAX_SECRET_BYTES: Final = 8_192
_SHOWN: Final = 200
_OK: Final = range(200, 300)
_FAILING: Final = range(500, 600)
_LATER: Final = frozenset({408, 425, 429})


class AlertmanagerSettings(NamedTuple):
    """Which Alertmanager, and how it is told.

    Attributes:
        url: Its address, with the prefix of its paths if it has one.
        user: For basic authentication, with the secret as password; "" sends the secret as a
            bearer token.
        secret_file: Holds the secret; None for an Alertmanager that wants none.
        runbooks: The address of the page that explains the codes.
        hold_seconds: How long what lasts is held when nobody tells it again; several times as
            long as from one call to the next.
        timeout_seconds: For one request in all, name resolution aside.
        allow_plain_http: Other hosts may be told by http.
    """

    url: str
    user: str = ""
    secret_file: Path | None = None
    runbooks: str = RUNBOOKS
    hold_seconds: int = 900
    timeout_seconds: float = 10.0
    allow_plain_http: bool = False


class AlertmanagerNotifier:
    """A `Notifier` that tells one Alertmanager; every one of a cluster has its own.

    Args:
        settings: Which one, and how.
        clock: Tells until when what lasts is held.

    Raises:
        UsageError: The address is none, or the secret cannot be read.
    """

    def __init__(self, settings: AlertmanagerSettings, clock: Clock) -> None:
        if "?" in settings.url:
            raise UsageError(
                "The URL of an Alertmanager has no query.",
                hint="Name its address alone, such as http://127.0.0.1:9093.",
            )
        self._endpoint = destination(
            settings.url.rstrip("/") + _PATH, allow_plain_http=settings.allow_plain_http
        )
        self._settings = settings
        self._clock = clock
        self._authorization()

    @property
    def name(self) -> str:
        """See `Notifier.name`."""
        return f"alertmanager {self._endpoint.shown}"

    def notify(self, alerts: Sequence[Alert]) -> None:
        """See `Notifier.notify`."""
        try:
            headers = {"Content-Type": "application/json", **self._authorization()}
        except UsageError as error:
            raise NotifierRefusedError(error.message, hint=error.hint) from error
        settings = self._settings
        refused: list[str] = []
        now_ms = self._clock.now_ms()
        for first in range(0, len(alerts), _AT_ONCE):
            messages = [
                alert_message(alert, now_ms, settings.hold_seconds * 1_000, settings.runbooks)
                for alert in alerts[first : first + _AT_ONCE]
            ]
            answer = self._post(headers, json.dumps(messages).encode())
            if answer.status not in _OK:
                refused.append(f"{answer.status}: {_quoted(answer)}")
        if refused:
            # It has taken what is right among what it was told.
            raise NotifierRefusedError(f"{self.name} refuses alerts ({refused[0]}).")

    def _post(self, headers: dict[str, str], body: bytes) -> Response:
        try:
            answer = post(self._endpoint, headers, body, self._settings.timeout_seconds)
        except ServerUnavailableError as error:
            raise NotifierUnavailableError(f"The Alertmanager {error.message}") from error
        if answer.status in _FAILING or answer.status in _LATER:
            raise NotifierUnavailableError(
                f"{self.name} cannot take alerts now ({answer.status}: {_quoted(answer)})."
            )
        return answer

    def _authorization(self) -> dict[str, str]:
        if self._settings.secret_file is None:
            return {}
        secret = _read_secret(self._settings.secret_file)
        if self._settings.user:
            pair = b64encode(f"{self._settings.user}:{secret}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        return {"Authorization": f"Bearer {secret}"}


def _read_secret(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(_MAX_SECRET_BYTES + 1)
        secret = content.decode("utf-8").strip()
    except OSError as error:
        raise UsageError(
            f"The secret in {file} cannot be read: {error.strerror}.",
            hint="Check its name and permissions; `secret_file` of the notifier names it.",
        ) from error
    except UnicodeDecodeError:
        raise _no_secret(file) from None
    if not secret or not secret.isprintable() or len(content) > _MAX_SECRET_BYTES:
        raise _no_secret(file)
    return secret


def _no_secret(file: Path) -> RefusedError:
    return UsageError(
        f"{file} holds no secret.", hint="It holds one line: the password or the token."
    )


def _quoted(answer: Response) -> str:
    """Return the beginning of an answer as something that may be logged."""
    return repr(answer.body[:_SHOWN].decode("utf-8", "replace").strip())

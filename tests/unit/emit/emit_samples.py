"""What the tests of the emitter share: fields, settings and a host that they own."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploymark.emit.emitter import Emitter
from deploymark.emit.host import SystemHost
from deploymark.emit.settings import Settings

NOBODY = "http://127.0.0.1:1"
"""A server that is never there."""

DIGEST = "sha256:" + "a" * 64


def away() -> tuple[str, int]:
    """Return the URL and the port of a server that is not there yet."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}", port


def fields(**more: object) -> dict[str, Any]:
    return {"service": "checkout", "environment": "prod", "artifact": {"digest": DIGEST}, **more}


def settings(folder: Path, url: str = NOBODY, **more: Any) -> Settings:  # noqa: ANN401 - any field
    given = {"url": url, "spool": str(folder / "spool"), "budget_seconds": 5.0, **more}
    return Settings(**given)


class SampleHost(SystemHost):
    """The real host under another name, of another boot, with another user."""

    def __init__(self, *, name: str = "host-a", boot: str = "boot-1", user: int = -1) -> None:
        self._name = name
        self._boot = boot
        self._user = user

    def name(self) -> str:
        return self._name

    def boot(self) -> str:
        return self._boot

    def user(self) -> int:
        return super().user() if self._user < 0 else self._user

    def environment(self) -> dict[str, str]:
        return {}


@contextlib.contextmanager
def open_emitter(folder: Path, url: str = NOBODY, **more: Any) -> Iterator[Emitter]:  # noqa: ANN401
    """Give an emitter of the sample host, closed at the end without waiting for a server."""
    given = {name: more.pop(name) for name in ("strict", "kind", "facts") if name in more}
    emitter = Emitter(settings(folder, url, **more), host=SampleHost(), **given)
    yield emitter
    emitter.close(0)

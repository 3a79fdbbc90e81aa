"""Runs a server: `deploymark up`. Numbered steps from an empty folder to an open door."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploymark.errors import DeploymarkError, UsageError
from deploymark.runtime.checking import check_configuration
from deploymark.runtime.compose import init_log, open_log
from deploymark.runtime.config import Configuration
from deploymark.runtime.data_directory import default_origin
from deploymark.runtime.front import admission_rules, open_front
from deploymark.runtime.system import share_the_interpreter, spare_the_collector
from deploymark.server.listening import build_server, listen, serve

_MAX_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Started:
    """What a server says once it answers.

    Attributes:
        url: Where.
        data: Its data directory.
        created: Its log was created just now.
        admin_token: A first admin token that was made just now; shown once and kept nowhere.
        sign_in: A link that signs a browser in as administrator, once and within ten minutes; None
            when no administrator's token lives.
    """

    url: str
    data: Path
    created: bool
    admin_token: str | None
    sign_in: str | None


def parse_listen(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT` or `[HOST]:PORT`; UsageError when it is neither."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) <= _MAX_PORT):
        raise UsageError(
            f"{text[:80]!r} is no address to listen on.",
            hint="Write HOST:PORT, such as 127.0.0.1:8420.",
        )
    return host, int(port)


def run_server(
    path: Path,
    configuration: Configuration,
    *,
    passphrase: str | None = None,
    admin_token: str | None = None,
    started: Callable[[Started], None],
    broken: Callable[[DeploymarkError], None],
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what was begun.

    Args:
        path: The data directory; a log is created when it is absent or empty, and only then.
        configuration: How to serve.
        passphrase: Unlocks, or locks, the private keys.
        admin_token: What the first admin token shall be.
        started: Told once the server answers.
        broken: Told when the log stops adding up; reading goes on, writing is over.

    Raises:
        DataDirectoryError: The directory is not empty and no complete data directory.
        LogBusyError: Another process writes the log.
        UsageError: The address cannot be listened on.
        BrokenError: The log does not add up.
    """
    host, port = parse_listen(configuration.server.listen)
    # 0. The address can be had: found out later, the first token would be made and never shown.
    listen(host, port).close()
    # What is configured can be had, as far as that can be told: a refusal leaves nothing behind.
    check_configuration(configuration)
    # 1. A log, if there was nothing at all.
    created = not path.exists() or (path.is_dir() and not any(path.iterdir()))
    if created:
        init_log(path, default_origin(), passphrase)
    # 2. The log, open for writing; 3. the door before it; 4. people come in.
    with (
        open_log(path, passphrase, on_broken=broken, rules=admission_rules(configuration)) as log,
        open_front(
            log,
            configuration,
            listen_host=host,
            passphrase=passphrase,
            admin_token=admin_token,
        ) as front,
    ):
        share_the_interpreter()
        spare_the_collector()
        server = build_server(front.app, closing=front.app.feed.close)

        def listening(heard_host: str, heard_port: int) -> None:
            shown = f"[{heard_host}]" if ":" in heard_host else heard_host
            url = configuration.server.url or f"http://{shown}:{heard_port}"
            link = None if front.sign_in is None else f"{url.rstrip('/')}{front.sign_in}"
            started(Started(url, path, created, front.admin_token, link))

        serve(server, host, port, listening=listening)

"""A server as people run it, for clients of other systems that nobody has changed."""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
SECONDS = 60

Json = dict[str, Any]


class DialectServer:
    """A running server.

    Args:
        url: Its address, without a path.
        admin: The token of its administrator.
        place: A folder of one's own.

    Attributes:
        url, admin, place: As given.
        token: Of an emitter that may speak about everything, called `ci`.
    """

    def __init__(self, url: str, admin: str, place: Path) -> None:
        self.url = url
        self.place = place
        self.admin = admin
        self.token = self.new_token("ci")

    def new_token(self, name: str, role: str = "emitter", **scope: list[str]) -> str:
        """Make a token, by default of an emitter for everything."""
        asked: Json = {"name": name, "roles": [role]}
        if role == "emitter":
            asked["scope"] = {"services": ["*"], "environments": ["*"], **scope}
        token: str = self.ask("POST", "/v1/tokens", asked)["token"]
        return token

    def ask(self, method: str, path: str, fields: Json | None = None, token: str = "") -> Json:
        """Ask the server's own interface, as an administrator; the answer must be a success."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=SECONDS)
        headers = {
            "Authorization": f"Bearer {token or self.admin}",
            "Content-Type": "application/json",
        }
        connection.request(method, path, json.dumps(fields) if fields else None, headers)
        answer = connection.getresponse()
        content: Json = json.loads(answer.read())
        connection.close()
        assert answer.status < 300, content
        return content

    def mark(self, marker: Json) -> Json:
        """Hand in a marker as whoever needs no dialect does."""
        return self.ask("POST", "/v1/markers", marker, self.token)

    def markers(self) -> list[Json]:
        """Return the flat markers of the log, the oldest first, as they stand there."""
        after = self._now()
        items = self.ask("GET", f"/v1/markers?order=oldest&limit=500&after={after}")["items"]
        return [item["marker"] for item in items]

    def entries(self, kind: str) -> list[Json]:
        """Return what entries of a kind say, the oldest first."""
        path = f"/v1/entries?type={kind}&order=oldest&after={self._now()}"
        return [item["entry"] for item in self.ask("GET", path)["items"]]

    def deployments(self, **filters: str) -> list[Json]:
        """Return deployments once the views have seen the whole log."""
        more = "".join(f"&{name}={value}" for name, value in filters.items())
        items: list[Json] = self.ask("GET", f"/v1/deployments?after={self._now()}{more}")["items"]
        return items

    def _now(self) -> int:
        """Return the newest index; whoever writes an entry of its own is told it."""
        index: int = self.ask("POST", "/v1/details", {"text": "now"})["index"]
        return index


@contextmanager
def dialect_server(place: Path, configuration: str = "") -> Iterator[DialectServer]:
    """Start a server, and stop it at the end of the block.

    Args:
        place: A folder of its own.
        configuration: What its file says.
    """
    (place / "deploymark.toml").write_text(configuration, encoding="utf-8")
    with (place / "server.log").open("w") as log:
        server = subprocess.Popen(
            [
                *(BIN / "deploymark", "up", "--json", "--data", "data"),
                *("--listen", "127.0.0.1:0", "--config", "deploymark.toml"),
            ],
            cwd=place,
            env=plain_environment(place),
            stdout=subprocess.PIPE,
            stderr=log,
            encoding="utf-8",
        )
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line, (place / "server.log").read_text()
        started = json.loads(line)
        yield DialectServer(started["url"], started["admin_token"], place)
    finally:
        server.terminate()
        server.wait(SECONDS)
        assert server.stdout is not None
        server.stdout.close()


def plain_environment(place: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment that says nothing of this machine but where programs are."""
    return {"PATH": f"{BIN}:{os.defpath}", "HOME": str(place), **(more or {})}

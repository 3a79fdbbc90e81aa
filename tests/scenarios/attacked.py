"""A real server that is attacked: started, killed, asked and audited; for attack scenarios."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote
from urllib.request import urlopen

BIN = Path(sys.executable).parent
SECONDS = 60
ADMIN = "an-administrator-brings-this-text-of-43-chars"
JSON = {"Content-Type": "application/json"}


Json = dict[str, Any]


class Server:
    """One server and its data, which survive each other."""

    def __init__(self, place: Path) -> None:
        self.data = place / "data"
        self.errors = place / "stderr"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, always on the same port."""
        words = ["up", "--json", "--data", str(self.data), "--listen", f"127.0.0.1:{self.port}"]
        with self.errors.open("ab") as errors:
            self._process = subprocess.Popen(
                [BIN / "deploymark", *words],
                env={"PATH": os.defpath, "DEPLOYMARK_ADMIN_TOKEN": ADMIN},
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.errors.read_text()
        self.port = int(json.loads(line)["url"].rsplit(":", 1)[1])

    def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        """End it, by its process id."""
        if self._process is None:
            return
        self._process.send_signal(by)
        code = self._process.wait(SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None
        assert code == (0 if by is signal.SIGTERM else -by)

    def ask(self, method: str, path: str, body: bytes = b"", token: str = ADMIN) -> tuple[int, Any]:
        """Ask over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        with contextlib.closing(connection):
            connection.request(
                method,
                path,
                body,
                {**JSON, **({"Authorization": f"Bearer {token}"} if token else {})},
            )
            answer = connection.getresponse()
            content = answer.read()
            return answer.status, json.loads(content) if content else None

    def token(self, *roles: str) -> str:
        """Make a token."""
        scope = {"services": ["*"], "environments": ["*"]} if "emitter" in roles else None
        said = {"name": "-".join(roles), "roles": roles, "scope": scope}
        status, made = self.ask("POST", "/v1/tokens", json.dumps(said).encode())
        assert status == 201, made
        return str(made["token"])

    def size(self) -> int:
        """Return how many entries the log has, by its metrics."""
        with urlopen(f"http://127.0.0.1:{self.port}/metrics") as answer:
            found = re.search(rb"^deploymark_log_size (\d+)", answer.read(), re.MULTILINE)
        assert found is not None
        return int(found[1])

    def entries(self) -> list[Json]:
        """Read the whole log, as the views show it once they have seen all of it."""
        items: list[Json] = []
        cursor = f"&after={self.size() - 1}"
        while cursor:
            _, page = self.ask("GET", f"/v1/entries?order=oldest&limit=1000{cursor}")
            items += page["items"]
            cursor = page["next_cursor"] and f"&cursor={quote(page['next_cursor'])}"
        return items

    def check(self) -> None:
        """Stop; the log must add up, and nothing unforeseen have happened."""
        self.stop()
        done = subprocess.run(
            [BIN / "deploymark", "log", "fsck", "--data", self.data],
            capture_output=True,
            encoding="utf-8",
            env={},
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        said = self.errors.read_text()
        assert "Traceback" not in said
        assert '"level": "error"' not in said, said

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.stop(signal.SIGKILL)

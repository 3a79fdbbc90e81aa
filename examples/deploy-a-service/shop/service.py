"""The service that this example deploys: a shop of one page. Standard library only.

A release is this folder and a file VERSION. It knows nothing of deploymark.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from page import render

_HERE = Path(__file__).parent
_VERSION = (_HERE / "VERSION").read_text(encoding="utf-8").strip()
_CATALOGUE = json.loads((_HERE / "catalogue.json").read_text(encoding="utf-8"))


class Shop(BaseHTTPRequestHandler):
    """Answers `/version` for whoever deploys and `/` for whoever buys."""

    def do_GET(self) -> None:
        """Answer one request."""
        text = _VERSION if self.path == "/version" else render(_VERSION, _CATALOGUE)
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Shop).serve_forever()

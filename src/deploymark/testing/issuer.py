"""An issuer of identity tokens on this machine, for tests of whoever trusts one.

A real HTTP server with real keys: discovery, key set, and the address at which a job of GitHub
Actions asks for its token. What it signs is the test's business; the shapes of the claims of GitHub
Actions, GitLab and Kubernetes are here.
"""

import contextlib
import json
import threading
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from deploymark.ports import Clock

AUDIENCE: Final = "https://deploymark.example.com"
REQUEST_TOKEN: Final = "the-token-of-the-job"  # noqa: S105 - opens nothing but this issuer
LIFE_SECONDS: Final = 300

Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
Claims = dict[str, Any]


def new_key(algorithm: str) -> Private:
    """Return a new key for an algorithm of RS256, ES256 and EdDSA."""
    match algorithm:
        case "RS256":
            return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case _:
            return ed25519.Ed25519PrivateKey.generate()


def public_jwk(key: Private, name: str, **more: object) -> dict[str, Any]:
    """Return the public half as a JSON Web Key."""
    match key:
        case rsa.RSAPrivateKey():
            public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        case ec.EllipticCurvePrivateKey():
            public = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        case _:
            public = jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**public, "kid": name, **more}


def part(value: object) -> str:
    """Return a value as a part of a token: base64url of JSON, of bytes as they are."""
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(content).rstrip(b"=").decode()


class LocalIssuer:
    """One issuer.

    Attributes:
        url: What its tokens say as `iss`.
        keys: Its private keys by name; those that it shows.
        shown: The key set that it answers with instead, as JSON or bytes; None for its keys.
        document: What it answers discovery with instead; None for the truth.
        headers: Of its answers, beside those that must be.
        is_away: It answers 503.
        asked: The paths that were asked for.
        job: The claims that a job of GitHub Actions gets when it asks.
    """

    def __init__(self, url: str, clock: Clock) -> None:
        self.url = url
        self.keys: dict[str, Private] = {"key-1": new_key("ES256")}
        self.shown: object | None = None
        self.document: object | None = None
        self.headers: dict[str, str] = {}
        self.is_away = False
        self.asked: list[str] = []
        self.job: Callable[[str], Claims] = lambda audience: self.github(aud=audience)
        self._clock = clock

    # What it signs -------------------------------------------------------------------------------

    def sign(self, claims: Mapping[str, Any], name: str = "key-1", **header: object) -> str:
        """Return a token with these claims, signed as the kind of the key wants."""
        key = self.keys[name]
        match key:
            case rsa.RSAPrivateKey():
                algorithm = "RS256"
            case ec.EllipticCurvePrivateKey():
                algorithm = "ES256"
            case _:
                algorithm = "EdDSA"
        return jwt.encode(dict(claims), key, algorithm, headers={"kid": name, **header})

    def claims(self, **claims: object) -> Claims:
        """Return what every token says, and these claims; None leaves one out."""
        now_s = self._clock.now_ms() // 1_000
        usual = {
            "iss": self.url,
            "aud": AUDIENCE,
            "iat": now_s,
            "nbf": now_s,
            "exp": now_s + LIFE_SECONDS,
            "jti": f"jti-{now_s}",
        }
        return {name: each for name, each in (usual | claims).items() if each is not None}

    def github(self, repository: str = "acme/shop", /, **claims: object) -> Claims:
        """Return the claims of a job of GitHub Actions that deploys to production."""
        own = {
            "sub": f"repo:{repository}:environment:prod",
            "repository": repository,
            "repository_owner": repository.partition("/")[0],
            "ref": "refs/heads/main",
            "ref_protected": "true",
            "environment": "prod",
            "event_name": "push",
            "workflow": "deploy",
            "run_id": "42",
        }
        return self.claims(**(own | claims))

    def gitlab(self, project: str = "acme/team/shop", /, **claims: object) -> Claims:
        """Return the claims of a job of GitLab CI."""
        own = {
            "sub": f"project_path:{project}:ref_type:branch:ref:main",
            "project_path": project,
            "namespace_path": project.rpartition("/")[0],
            "ref": "main",
            "ref_type": "branch",
            "ref_protected": "true",
            "environment": "prod",
            "pipeline_source": "push",
        }
        return self.claims(**(own | claims))

    def kubernetes(self, namespace: str = "shop", account: str = "deployer") -> Claims:
        """Return the claims of a projected token of a service account."""
        return self.claims(
            sub=f"system:serviceaccount:{namespace}:{account}",
            aud=[AUDIENCE],
            **{
                "kubernetes.io": {
                    "namespace": namespace,
                    "serviceaccount": {"name": account, "uid": "0b2c"},
                }
            },
        )

    # What it answers -----------------------------------------------------------------------------

    def answer(self, path: str, authorization: str) -> tuple[int, bytes]:
        """Return status and body of the answer to a GET."""
        self.asked.append(path)
        parts = urlsplit(path)
        if self.is_away:
            return 503, b"{}"
        match parts.path:
            case "/.well-known/openid-configuration":
                told = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
                return 200, _bytes(told if self.document is None else self.document)
            case "/keys":
                keys = [public_jwk(key, name, use="sig") for name, key in self.keys.items()]
                return 200, _bytes({"keys": keys} if self.shown is None else self.shown)
            case "/idtoken" if authorization == f"bearer {REQUEST_TOKEN}":
                audience = parse_qs(parts.query)["audience"][0]
                return 200, _bytes({"count": 1, "value": self.sign(self.job(audience))})
            case _:
                return 401, b"{}"


def _bytes(content: object) -> bytes:
    return content if isinstance(content, bytes) else json.dumps(content).encode()


@contextlib.contextmanager
def local_issuer(clock: Clock) -> Iterator[LocalIssuer]:
    """Run an issuer on a free port of this machine.

    Args:
        clock: Tells from when to when its tokens are valid.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = issuer.answer(self.path, self.headers.get("Authorization", ""))
            self.send_response(status)
            for name, value in issuer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):  # whoever asks may have had enough
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        issuer = LocalIssuer(f"http://127.0.0.1:{server.server_address[1]}", clock)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield issuer
        finally:
            server.shutdown()
            thread.join()

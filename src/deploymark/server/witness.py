"""A witness over HTTP (c2sp.org/tlog-witness).

`POST <prefix>/add-checkpoint` and two pages for people and probes. Bodies are small and must
arrive soon; signing and the disk stay off the event loop. Connections and heads are bounded by
`server.protocol`.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from deploymark.crypto.note import VerifierKey
from deploymark.errors import BrokenError, DeploymarkError, UnavailableError, UsageError
from deploymark.ports import Clock, NoteSigner, WitnessState
from deploymark.server.cosigner import TEXT, Answer, Cosigner
from deploymark.server.listening import LOOPBACK, Server
from deploymark.server.listening import build_server as bounded_server
from deploymark.server.listening import serve as serve_until_told
from deploymark.server.protocol import Bounds

MAX_BODY_BYTES = 65_536
BODY_SECONDS = 10.0
MAX_CONNECTIONS = 512

_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_CLOSE = {"Connection": "close"}  # the rest of an unread body is not worth reading

_log = logging.getLogger(__name__)


def witness_app(
    logs: Mapping[str, Sequence[VerifierKey]],
    signers: Sequence[NoteSigner],
    state: WitnessState,
    clock: Clock,
    *,
    prefix: str = "",
    body_seconds: float = BODY_SECONDS,
) -> Starlette:
    """Build a witness as an ASGI application.

    Args:
        logs: The keys that are trusted, by origin (`deploymark.log.witness.trusted_logs`).
        signers: The witness's keys: Ed25519 cosignatures, ML-DSA-44, or both.
        state: What the witness remembers.
        clock: The time that cosignatures state.
        prefix: Path of the submission prefix, such as "/witness", without a final slash.
        body_seconds: How long a request body may take to arrive.

    Raises:
        UsageError: The keys cannot be a witness's, or the prefix is not a path.
    """
    if prefix and (not prefix.startswith("/") or prefix.endswith("/") or "{" in prefix):
        raise UsageError(f"The prefix {prefix!r} is not a path like /witness.")
    pages = _Pages(Cosigner(logs, signers, state, clock), body_seconds)
    app = Starlette(
        routes=[
            Route("/", pages.about, methods=["GET"]),
            Route(f"{prefix}/healthz", pages.healthz, methods=["GET"]),
            Route(f"{prefix}/add-checkpoint", pages.add_checkpoint, methods=["POST"]),
        ],
        exception_handlers={
            HTTPException: _refuse,
            UnavailableError: _fail,
            BrokenError: _fail,
        },
    )
    app.router.redirect_slashes = False  # one address, and no answer that clients must not follow
    return app


class _Pages:
    """The endpoints of one witness."""

    def __init__(self, cosigner: Cosigner, body_seconds: float) -> None:
        self._cosigner = cosigner
        self._body_seconds = body_seconds

    async def add_checkpoint(self, request: Request) -> Response:
        """Answer `POST <prefix>/add-checkpoint`."""
        body = await self._body(request)
        return _respond(await run_in_threadpool(self._cosigner.answer, body))

    async def healthz(self, _: Request) -> Response:
        """Say whether this witness could answer now."""
        await run_in_threadpool(self._cosigner.ready)
        return _respond(Answer(200, "ok\n"))

    async def about(self, _: Request) -> Response:
        """Say what this is, to someone who opened it in a browser."""
        lines = [
            "This is a witness of transparency logs (c2sp.org/tlog-witness), run by deploymark.",
            "It cosigns a checkpoint when the log has only grown since the last one it saw.",
            "",
            "Its keys:",
            *self._cosigner.vkeys,
            "",
            "The logs it knows:",
            *self._cosigner.origins,
        ]
        return _respond(Answer(200, "\n".join(lines) + "\n"))

    async def _body(self, request: Request) -> bytes:
        if _declared_bytes(request) > MAX_BODY_BYTES:
            raise _too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_seconds):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > MAX_BODY_BYTES:
                        raise _too_large()
        except TimeoutError:
            raise HTTPException(408, "The body did not arrive in time.", _CLOSE) from None
        except ClientDisconnect:
            raise HTTPException(400, "The body did not arrive whole.", _CLOSE) from None
        return bytes(body)


def _declared_bytes(request: Request) -> int:
    try:
        return int(request.headers.get("content-length", "0"))
    except ValueError:
        return 0  # what really comes is counted anyway


def _too_large() -> HTTPException:
    return HTTPException(413, f"A request has at most {MAX_BODY_BYTES} bytes.", _CLOSE)


def _respond(answer: Answer, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        answer.body,
        answer.status,
        # Content-Type is set here, because Starlette would add a charset to text/x.tlog.size.
        {**_HEADERS, **(headers or {}), "Content-Type": answer.media_type},
    )


_SENTENCES = {
    404: "There is nothing here; a witness answers POST …/add-checkpoint.",
    405: "This address does not take this method.",
}


async def _refuse(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    sentence = _SENTENCES.get(error.status_code, error.detail)
    return _respond(Answer(error.status_code, f"{sentence}\n", TEXT), error.headers)


async def _fail(_: Request, error: Exception) -> Response:
    if not isinstance(error, DeploymarkError):
        raise error
    _log.error("the witness cannot answer", extra={"code": error.code, "why": error.message})
    # The message may name files of this host; the code says enough to a stranger.
    if error.retryable:
        answer = Answer(503, f"The witness cannot answer now ({error.code}).\n")
        return _respond(answer, {"Retry-After": "1"})
    return _respond(Answer(500, f"The witness is broken ({error.code}).\n"))


def build_server(app: Starlette) -> Server:
    """Return the HTTP server of a witness, not started yet."""
    return bounded_server(app, Bounds(connections=MAX_CONNECTIONS))


def serve(
    app: Starlette,
    host: str = LOOPBACK,
    port: int = 0,
    *,
    listening: Callable[[str, int], None] | None = None,
) -> None:
    """Serve a witness until SIGTERM or SIGINT, then finish what was begun and return.

    Args:
        app: What `witness_app` built.
        host: Address to listen on.
        port: Port to listen on; 0 lets the system choose one.
        listening: Told host and port once connections are accepted.

    Raises:
        UsageError: The address cannot be listened on.
    """
    serve_until_told(build_server(app), host, port, listening=listening)

"""How commands talk to a server: one request, one answer, every refusal as an error of the tree.

Only reading commands and administration use it; markers go through the emitter, which can wait.
What a server says is not trusted to be what ours would say: a page of something else that stands
at this address is an error in one sentence.
"""

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote, urlencode

from deploymark import errors
from deploymark.emit.connection import said_of
from deploymark.emit.credential import Credential
from deploymark.emit.endpoint import parse_endpoint
from deploymark.emit.host import SystemHost
from deploymark.emit.settings import Settings, read_settings
from deploymark.errors import (
    DeploymarkError,
    ForbiddenError,
    RefusedError,
    ServerUnavailableError,
    UnauthenticatedError,
    UnavailableError,
    UsageError,
)

SECONDS: Final = 15.0
MAX_ANSWER_BYTES: Final = 64 << 20

_MARKERS: Final = "/v1/markers"
_SET_ONE: Final = (
    "Set DEPLOYMARK_TOKEN to a token; `deploymark tokens new NAME --role reader` makes one."
)
_SESSION: Final = "/v1/session"
_OF_A_ROLE: Final = "This needs the role "
_REDIRECTED: Final = 300  # redirects are not followed: the token would travel along
_AWAY: Final = 500


Answer = dict[str, Any]


def client_settings(url: str | None) -> Settings:
    """Return where the server is: the flag, else the environment, else the usual address."""
    host = SystemHost()
    settings = read_settings(host.environment(), host.user())
    return settings if url is None else settings._replace(url=url)


def path_of(*parts: object) -> str:
    """Return a path of the interface; what a user wrote stays one part of it."""
    return "/".join(["/v1", *(quote(str(part), safe="~") for part in parts)])


class Client:
    """Asks one server.

    Args:
        settings: Its URL, and the token to show.
        seconds: How long to wait for each part of an answer.

    Raises:
        UsageError: The URL is not one of a server, or the token not one that can be sent.
    """

    def __init__(self, settings: Settings, seconds: float = SECONDS) -> None:
        self._endpoint = parse_endpoint(settings)
        self._has_token = bool(settings.token or settings.identity)
        self._credential = Credential(settings, SystemHost())
        self._seconds = seconds
        if not (settings.token.isascii() and settings.token.isprintable()):
            raise UsageError(
                "DEPLOYMARK_TOKEN holds characters that no token has.",
                hint="Set it to the text that `deploymark tokens new` showed, and nothing more.",
            )

    @property
    def shown(self) -> str:
        """The server's URL, for messages."""
        return self._endpoint.shown

    @property
    def secured(self) -> tuple[str, int] | None:
        """Host and port that a certificate can be asked for: of https, and no proxy between."""
        direct = self._endpoint.secure and self._endpoint.proxy is None
        return self._endpoint.server if direct else None

    def get(self, path: str, parameters: Mapping[str, object] | None = None) -> Answer:
        """Return the JSON object that a GET is answered with.

        Args:
            path: Such as `/v1/deployments`.
            parameters: Of the query; None values are left out, lists repeat a name.

        Raises:
            UnavailableError: No answer, or one that is not ours.
            DeploymarkError: The server refused; by the code of its problem.
        """
        return self._object(self._ask("GET", path, parameters))

    def listed(
        self, path: str, filters: Mapping[str, object], most: int, page_items: int
    ) -> list[Answer]:
        """Return the items of a listing, page by page; raises as `get`.

        Args:
            path: Such as `/v1/deployments`.
            filters: As `parameters` of `get`.
            most: How many at most.
            page_items: How many at once.
        """
        found: list[Answer] = []
        cursor: str | None = None
        while len(found) < most:
            limit = min(page_items, most - len(found))
            page = self.get(path, {**filters, "limit": limit, "cursor": cursor})
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        return found

    def text(self, path: str) -> str:
        """Return the text that a GET is answered with; raises as `get`."""
        try:
            return self._ask("GET", path).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._away(f"answered with something that is not text ({error})") from error

    def post(self, path: str, body: bytes) -> Answer:
        """Return the JSON object that a POST of JSON is answered with; raises as `get`."""
        return self._object(self._ask("POST", path, body=body))

    def delete(self, path: str) -> None:
        """Delete what stands at a path; raises as `get`."""
        self._ask("DELETE", path)

    @contextmanager
    def opened(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, object] | None = None,
        body: bytes | None = None,
        accept: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        """Open an answer to read it piece by piece; raises as `get`.

        Whom the token makes us is asked for to explain a refusal, but not to explain its own.
        """
        given = {name: value for name, value in (parameters or {}).items() if value is not None}
        target = self._endpoint.path.removesuffix(_MARKERS) + path
        if given:
            target += "?" + urlencode(given, doseq=True)
        sent = {"Accept": f"{accept}, application/problem+json", **(headers or {})}
        token = self._credential.token()
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if body is not None:
            sent["Content-Type"] = "application/json"
        connection = self._connection()
        try:
            connection.request(method, target, body, sent)
            answer = connection.getresponse()
            if answer.status >= _REDIRECTED:
                raise self._refusal(
                    answer.status, answer.read(MAX_ANSWER_BYTES), explained=path != _SESSION
                )
            yield answer
        except (OSError, http.client.HTTPException) as error:
            raise self._away(f"gives no answer ({said_of(error)})") from error
        finally:
            connection.close()

    def _ask(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, object] | None = None,
        body: bytes | None = None,
    ) -> bytes:
        with self.opened(method, path, parameters, body, "*/*") as answer:
            return answer.read(MAX_ANSWER_BYTES)

    def _object(self, content: bytes) -> Answer:
        try:
            value = json.loads(content)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise self._away("answered with something that is not of deploymark")
        return value

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._endpoint.proxy or self._endpoint.server
        if not self._endpoint.secure:
            return http.client.HTTPConnection(host, port, timeout=self._seconds)
        connection = http.client.HTTPSConnection(
            host, port, timeout=self._seconds, context=ssl.create_default_context()
        )
        if self._endpoint.proxy is not None:
            login = self._endpoint.proxy_login
            through = {"Proxy-Authorization": login} if login else {}
            connection.set_tunnel(*self._endpoint.server, headers=through)
        return connection

    def _token_hint(self, code: str) -> str:
        """Return what to do about a token that is absent or may not; "" for other refusals."""
        is_strange = code == ForbiddenError.code and not self._has_token
        if code == UnauthenticatedError.code or is_strange:
            return _SET_ONE
        if code != ForbiddenError.code:
            return ""
        try:
            with self.opened("GET", _SESSION) as answer:
                session = self._object(answer.read(MAX_ANSWER_BYTES))
        except DeploymarkError:
            return ""
        roles = ", ".join(map(str, session.get("roles") or ())) or "none"
        principal = session.get("principal")
        whose = "DEPLOYMARK_TOKEN is of" if str(principal).startswith("token:") else "This job is"
        return f"{whose} {principal}, roles: {roles}. {ForbiddenError.default_hint}"

    def _away(self, what: str) -> ServerUnavailableError:
        return ServerUnavailableError(f"The server {self.shown} {what}.")

    def _refusal(self, status: int, content: bytes, *, explained: bool) -> DeploymarkError:
        try:
            problem = json.loads(content)
            code, detail = str(problem["code"]), str(problem["detail"])
            hint, field = str(problem.get("hint") or ""), str(problem.get("field") or "")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return self._away(f"answered {status} and said nothing that deploymark understands")
        kind = _errors_by_code().get(code) or (
            UnavailableError if status >= _AWAY else RefusedError
        )
        error = kind.__new__(kind)  # some take more arguments, which the problem does not carry
        # What a server hints at is for HTTP clients, who have a header and no environment.
        # Who calls, and as what, is in the problem already where it is about a role.
        tells = explained and not (self._has_token and detail.startswith(_OF_A_ROLE))
        hint = (self._token_hint(code) if tells else "") or hint or kind.default_hint
        hint = hint or f"{self.shown}/problems/{quote(code)} explains it."
        DeploymarkError.__init__(error, detail, hint=hint, field=field)
        return error


def _errors_by_code() -> dict[str, type[DeploymarkError]]:
    classes = [each for each in vars(errors).values() if isinstance(each, type)]
    return {each.code: each for each in classes if issubclass(each, DeploymarkError)}

"""A CI job without a stored secret: it gets a token for its identity, and keeps it to itself."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from emit_samples import SampleHost

from deploymark.emit.credential import Credential
from deploymark.emit.delivery import Poster
from deploymark.emit.exchange import exchange
from deploymark.emit.settings import Settings, read_settings
from deploymark.errors import (
    DeploymarkError,
    IdentityRefusedError,
    IssuerUnavailableError,
    RateLimitedError,
)
from deploymark.testing.clock import ManualClock
from deploymark.testing.issuer import REQUEST_TOKEN, LocalIssuer, local_issuer

JOB = {"DEPLOYMARK_ID_TOKEN": "a.b.c"}
GOOD = {"access_token": "dmk_id_secret", "token_type": "Bearer", "expires_in": 900}


class AgingHost(SampleHost):
    """The sample host, on which time passes when a test says so."""

    seconds = 1_000.0

    def elapsed_seconds(self) -> float:
        return self.seconds


class Server:
    """Exchanges whatever comes as a test wants, and takes every marker.

    Attributes:
        answers: Status and content of the next exchanges; good ones when there are none left.
        forms: What was sent to be exchanged.
        tokens: What markers came with.
        marked: Status of the answer to a marker.
    """

    def __init__(self) -> None:
        self.answers: list[tuple[int, object]] = []
        self.forms: list[dict[str, list[str]]] = []
        self.tokens: list[str] = []
        self.marked = 201
        self.url = ""

    def settings(self, **variables: str) -> Settings:
        """Return what an environment says that names this server and wants an exchange."""
        said = {"DEPLOYMARK_URL": self.url, "DEPLOYMARK_OIDC": "1", "HOME": "/nowhere"}
        return read_settings(said | variables, 0)

    def answer(self, path: str, token: str, body: bytes) -> tuple[int, object]:
        """Return the answer to a POST."""
        if path == "/v1/tokens/exchange":
            assert token == ""
            self.forms.append(parse_qs(body.decode(), strict_parsing=True))
            return self.answers.pop(0) if self.answers else (200, GOOD)
        self.tokens.append(token)
        return self.marked, {"index": 1, "code": "x", "detail": "y"}


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, content = state.answer(self.path, self.headers.get("Authorization", ""), body)
            told = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Retry-After", "7")
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        state.url = f"http://127.0.0.1:{http.server_address[1]}"
        yield state
        http.shutdown()
        thread.join()


@pytest.fixture
def issuer() -> Iterator[LocalIssuer]:
    with local_issuer(ManualClock()) as issuer:
        yield issuer


def _in_github(issuer: LocalIssuer, path: str = "/idtoken?api-version=2.0") -> dict[str, str]:
    return {
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{issuer.url}{path}",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": REQUEST_TOKEN,
    }


# Where the identity comes from -------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/idtoken?api-version=2.0", "/idtoken"])
def test_a_job_of_github_asks_for_one_whose_audience_is_the_server(
    server: Server, issuer: LocalIssuer, path: str
) -> None:
    audiences: list[str] = []

    def job(audience: str) -> dict[str, object]:
        audiences.append(audience)
        return issuer.github(aud=audience)

    issuer.job = job
    settings = server.settings(**_in_github(issuer, path))
    settings = settings._replace(url=settings.url + "/")
    assert exchange(settings, SampleHost()) == ("dmk_id_secret", 900.0)
    (form,) = server.forms
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:token-exchange"]
    assert form["subject_token_type"] == ["urn:ietf:params:oauth:token-type:jwt"]
    assert form["subject_token"][0].count(".") == 2
    assert audiences == [server.url]


def test_another_audience_can_be_asked_for(server: Server, issuer: LocalIssuer) -> None:
    said = _in_github(issuer) | {"DEPLOYMARK_OIDC_AUDIENCE": "deploy mark&x=1"}
    exchange(server.settings(**said), SampleHost())
    assert issuer.asked == ["/idtoken?api-version=2.0&audience=deploy%20mark%26x%3D1"]


def test_a_job_of_gitlab_has_it_in_a_variable(server: Server) -> None:
    job = {"DEPLOYMARK_ID_TOKEN": " a.b.c\n"}
    exchange(server.settings(**job), SampleHost())
    assert server.forms[0]["subject_token"] == ["a.b.c"]


def test_a_pod_has_it_in_a_file_that_is_read_anew(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "token"
    settings = server.settings(DEPLOYMARK_ID_TOKEN_FILE=str(file))
    for content in ("a.b.c", "d.e.f\n"):
        file.write_text(content)
        exchange(settings, SampleHost())
    assert [form["subject_token"] for form in server.forms] == [["a.b.c"], ["d.e.f"]]


@pytest.mark.parametrize(
    "variables", [{}, {"DEPLOYMARK_OIDC": "0"}, {"DEPLOYMARK_OIDC": "1", "DEPLOYMARK_TOKEN": "t"}]
)
def test_nothing_is_exchanged_unless_it_is_wanted_and_there_is_no_token(
    variables: dict[str, str],
) -> None:
    settings = read_settings({"DEPLOYMARK_ID_TOKEN": "a.b.c", **variables}, 0)
    assert settings.identity is None
    assert Credential(settings, SampleHost()).token() == variables.get("DEPLOYMARK_TOKEN", "")


def test_settings_do_not_show_what_proves_who_the_job_is() -> None:
    said = {
        "DEPLOYMARK_OIDC": "yes",
        "DEPLOYMARK_ID_TOKEN": "secret-1",
        "ACTIONS_ID_TOKEN_REQUEST_URL": "https://secret-2.example",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "secret-3",
    }
    settings = read_settings(said, 0)
    assert "secret" not in f"{settings!r} {settings.identity!r}"
    assert "exchanged" in repr(settings)


# What goes wrong ---------------------------------------------------------------------------------

REFUSED = (400, {"error": "invalid_request", "error_description": "It has expired."})
WRONG: dict[str, tuple[tuple[int, object], type[DeploymarkError]]] = {
    "the server does not trust it": (REFUSED, IdentityRefusedError),
    "the server is of an older release": ((404, {"code": "not_found"}), IssuerUnavailableError),
    "a proxy answers": ((403, b"<html>"), IssuerUnavailableError),
    "a redirect": ((302, b""), IssuerUnavailableError),
    "the server is away": ((503, {"error": "temporarily_unavailable"}), IssuerUnavailableError),
    "too many ask": ((429, {"error": "temporarily_unavailable"}), RateLimitedError),
    "no token": ((200, {}), IssuerUnavailableError),
    "a token that is none": ((200, GOOD | {"access_token": "a\r\nb"}), IssuerUnavailableError),
    "a token without an end": ((200, GOOD | {"expires_in": None}), IssuerUnavailableError),
    "more than a page": ((200, b" " * 100_000), IssuerUnavailableError),
}


@pytest.mark.parametrize("sentence", WRONG)
def test_no_token_is_made_when(server: Server, sentence: str) -> None:
    answer, error = WRONG[sentence]
    server.answers = [answer]
    with pytest.raises(error) as caught:
        exchange(server.settings(**JOB), SampleHost())
    assert type(caught.value) is error


def test_why_the_server_refuses_is_said(server: Server) -> None:
    server.answers = [REFUSED]
    with pytest.raises(IdentityRefusedError, match=r"status 400.: It has expired\."):
        exchange(server.settings(**JOB), SampleHost())


def test_a_job_that_has_no_identity_is_told_where_it_gets_one(server: Server) -> None:
    with pytest.raises(IdentityRefusedError) as caught:
        exchange(server.settings(), SampleHost())
    assert "id-token: write" in caught.value.hint
    assert server.forms == []


def test_a_file_that_is_not_there_may_come(server: Server) -> None:
    pod = {"DEPLOYMARK_ID_TOKEN_FILE": "/nowhere/token"}
    with pytest.raises(IssuerUnavailableError, match="/nowhere/token"):
        exchange(server.settings(**pod), SampleHost())


@pytest.mark.parametrize("url", ["http://issuer.example/x", "file:///etc/passwd", "https://a b"])
def test_the_token_of_the_job_is_shown_to_no_strange_address(server: Server, url: str) -> None:
    said = {"ACTIONS_ID_TOKEN_REQUEST_URL": url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t"}
    with pytest.raises(IdentityRefusedError, match="ACTIONS_ID_TOKEN_REQUEST_URL"):
        exchange(server.settings(**said), SampleHost())


def test_github_may_refuse_or_be_away(server: Server, issuer: LocalIssuer) -> None:
    wrong = _in_github(issuer) | {"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "wrong"}
    with pytest.raises(IdentityRefusedError, match="status 401"):
        exchange(server.settings(**wrong), SampleHost())
    issuer.is_away = True
    with pytest.raises(IssuerUnavailableError, match="status 503"):
        exchange(server.settings(**_in_github(issuer)), SampleHost())


# How it is used ----------------------------------------------------------------------------------


def test_one_exchange_serves_until_shortly_before_its_end(server: Server) -> None:
    host = AgingHost()
    credential = Credential(server.settings(**JOB), host)
    assert [credential.token() for _ in range(3)] == ["dmk_id_secret"] * 3
    host.seconds += 869
    credential.token()
    assert len(server.forms) == 1
    host.seconds += 1
    credential.token()
    assert len(server.forms) == 2


def _poster(server: Server, **variables: str) -> Poster:
    return Poster(server.settings(**variables), SampleHost())


def test_markers_carry_the_token(server: Server) -> None:
    poster = _poster(server, **JOB)
    for _ in range(2):
        assert poster.post([b"{}"]).outcomes[0].accepted
    poster.close()
    assert server.tokens == ["Bearer dmk_id_secret"] * 2
    assert len(server.forms) == 1


def test_a_token_that_the_server_does_not_know_any_more_is_exchanged_anew(server: Server) -> None:
    poster = _poster(server, **JOB)
    server.marked = 401
    assert poster.post([b"{}"]).problem
    server.marked = 201
    assert poster.post([b"{}"]).outcomes[0].accepted
    poster.close()
    assert len(server.forms) == 2


def test_without_a_token_markers_wait_and_the_reason_is_said(server: Server) -> None:
    server.answers = [REFUSED, (429, {"error": "temporarily_unavailable"})]
    poster = _poster(server, **JOB)
    refused, slowed = poster.post([b"{}"]), poster.post([b"{}"])
    assert (refused.outcomes, refused.refusal["code"]) == ((), "identity_refused")
    assert "It has expired." in refused.problem
    assert (slowed.outcomes, slowed.retry_seconds) == ((), 7)
    assert server.tokens == []
    assert poster.post([b"{}"]).outcomes[0].accepted  # the next attempt asks again
    poster.close()


def test_a_server_that_is_away_is_no_fault_of_the_job() -> None:
    settings = read_settings(
        {
            "DEPLOYMARK_URL": "http://127.0.0.1:1",
            "DEPLOYMARK_OIDC": "1",
            "DEPLOYMARK_ID_TOKEN": "a.b.c",
        },
        0,
    )
    posted = Poster(settings, SampleHost()).post([b"{}"])
    assert (posted.outcomes, posted.refusal) == ((), {})
    assert "did not answer" in posted.problem

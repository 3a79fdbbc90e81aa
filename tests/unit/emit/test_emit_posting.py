"""Posting to strangers: where a URL leads, and how long an answer may take."""

import pytest
from emit_stubs import DRIP, Stub

from deploymark.emit.posting import MAX_ANSWER_BYTES, destination, post
from deploymark.errors import ServerUnavailableError, UsageError

_SECONDS = 20.0
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

_LEADS = {
    "https://a.example/x?y=1": (("a.example", 443), "/x?y=1", True, "https://a.example"),
    "https://A.example": (("a.example", 443), "/", True, "https://A.example"),
    "https://a.example:8443/": (("a.example", 8443), "/", True, "https://a.example:8443"),
    "http://localhost:9093/am": (("localhost", 9093), "/am", False, "http://localhost:9093"),
    "http://[::1]/": (("::1", 80), "/", False, "http://[::1]"),
    "http://127.9.0.1/": (("127.9.0.1", 80), "/", False, "http://127.9.0.1"),
}


@pytest.mark.parametrize("url", _LEADS)
def test_a_url_leads_to_a_server_and_shows_no_path(url: str) -> None:
    found = destination(url)
    assert (found.server, found.path, found.secure, found.shown) == _LEADS[url]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.example",
        "ftp://a.example",
        "https://",
        "https://u:secret@a.example",
        "https://a.example/#secret",
        "https://a.example/se cret",
        "https://a.example/se\ncret",
        "https://a.example:99999/secret",
        "https://a.example:0/secret",
        "https://[::1/secret",
        "https://\u00e4.example/secret",
        "http://a.example/secret",
        "http://127.0.0.1.example/secret",
    ],
)
def test_a_url_that_leads_nowhere_or_is_not_safe_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        destination(url)
    assert "cret" not in caught.value.message


def test_plain_http_to_others_is_a_choice() -> None:
    assert not destination("http://a.example/", allow_plain_http=True).secure


def test_what_is_posted_comes_whole() -> None:
    with Stub(_OK) as stub:
        response = post(destination(f"{stub.url}/x?y"), {"X-A": "b"}, b'{"n":1}', _SECONDS)
    assert (response.status, response.body) == (200, b"{}")
    assert stub.received.startswith(b"POST /x?y HTTP/1.1\r\n")
    assert f"Host: localhost:{stub.port}\r\n".encode() in stub.received
    assert b"X-A: b\r\n" in stub.received
    assert stub.received.endswith(b'\r\n\r\n{"n":1}')


def test_who_answers_too_slowly_or_too_much_did_not_answer() -> None:
    # Byte after byte, each within the time: only the whole of it is too long.
    with (
        Stub(b"", drip=DRIP) as stub,
        pytest.raises(ServerUnavailableError, match=r"within 0\.3|timed out"),
    ):
        post(destination(stub.url), {}, b"{}", 0.3)
    much = b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (MAX_ANSWER_BYTES + 1)
    with Stub(much) as stub, pytest.raises(ServerUnavailableError, match="bytes"):
        post(destination(stub.url), {}, b"{}", _SECONDS)


def test_who_is_not_there_did_not_answer() -> None:
    with Stub(b"") as stub:
        port = stub.port
    with pytest.raises(ServerUnavailableError, match="did not answer") as caught:
        post(destination(f"http://127.0.0.1:{port}/secret"), {}, b"{}", _SECONDS)
    assert "secret" not in caught.value.message


def test_a_header_that_would_not_stay_in_its_line_is_not_sent_or_shown() -> None:
    with Stub(_OK) as stub:
        with pytest.raises(ServerUnavailableError) as caught:
            post(destination(stub.url), {"X-A": "secret\r\nX-B: c"}, b"{}", _SECONDS)
        assert "secret" not in caught.value.message
        assert stub.received == b""

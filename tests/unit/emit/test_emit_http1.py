"""Reading responses that are right, cut, changed, endless or no HTTP at all."""

import itertools
from collections.abc import Iterator
from email.utils import formatdate, parsedate_to_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deploymark.emit.http1 import (
    MAX_HEAD_BYTES,
    Receive,
    Response,
    http_date,
    read_response,
    read_tunnel,
    request_bytes,
)
from deploymark.errors import ServerUnavailableError

_LIMIT = 1_000
_OK = b"HTTP/1.1 200 OK\r\n"


def _peer(pieces: Iterator[bytes]) -> Receive:
    """A peer that sends these pieces and ends."""
    return lambda: next(pieces, b"")


def _read(*pieces: bytes) -> Response:
    return read_response(_peer(filter(None, pieces)), _LIMIT)


def _chunked(body: bytes, *lines: str) -> bytes:
    head = [*lines, "Transfer-Encoding: chunked", "", ""]
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return _OK + "\r\n".join(head).encode() + chunk + b"0\r\n\r\n"


_BODIES = {
    "by its length": _OK + b"Content-Length: 2\r\n\r\n{}",
    "in one chunk": _chunked(b"{}"),
    "in chunks with extensions and trailers": _OK
    + b"Transfer-Encoding: Chunked\r\n\r\n1;a=b\r\n{\r\n01 ;c\r\n}\r\n000\r\nX-Sum: 1\r\n\r\n",
    "after others that only say that it goes on": b"HTTP/1.1 100 Continue\r\n\r\n"
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + _OK + b"Content-Length: 2\r\n\r\n{}",
    "without a reason": b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}",
    "with odd blanks and letters": _OK + b"content-LENGTH:\t 2 \r\nX:\r\nY: caf\xe9\r\n\r\n{}",
}


@pytest.mark.parametrize("name", _BODIES)
def test_a_body_is_read(name: str) -> None:
    response = _read(_BODIES[name])
    assert (response.status, response.body, response.reusable) == (200, b"{}", True)


_ENDS = {
    "it says so": _OK + b"Connection: keep-alive, Close\r\nContent-Length: 0\r\n\r\n",
    "it says so in a second header": _OK
    + b"Connection: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    "it is HTTP/1.0": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    "something follows": _OK + b"Content-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n",
    "204 has no body": b"HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n",
    "304 has no body": b"HTTP/1.1 304 Not Modified\r\n\r\n",
}


@pytest.mark.parametrize("name", _ENDS)
def test_a_connection_is_not_used_again_when(name: str) -> None:
    response = _read(_ENDS[name])
    assert (response.body, response.reusable) == (b"", False)


def test_what_comes_several_times_is_joined() -> None:
    response = _read(_OK + b"A: 1\r\nContent-Length: 0\r\na: 2\r\n\r\n")
    assert response.headers["a"] == "1, 2"


_REFUSED = {
    "nothing": b"",
    "another protocol": b"SSH-2.0-OpenSSH_9\r\n\r\n",
    "another version": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a status that is none": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "a status below all": b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n",
    "a switch of protocols": b"HTTP/1.1 101 Switching\r\n\r\n" + _chunked(b"{}"),
    "no end of the body": _OK + b"\r\n{}",
    "lines of LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "a CR within a line": _OK + b"A: b\rContent-Length: 0\r\n\r\n",
    "a NUL within a line": _OK + b"A: \0\r\nContent-Length: 0\r\n\r\n",
    "a folded header": _OK + b"A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "a blank before the colon": _OK + b"Content-Length : 0\r\n\r\n",
    "a header without a name": _OK + b": b\r\nContent-Length: 0\r\n\r\n",
    "a header without a colon": _OK + b"A\r\nContent-Length: 0\r\n\r\n",
    "two lengths": _OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a negative length": _OK + b"Content-Length: -1\r\n\r\n",
    "a length with a sign": _OK + b"Content-Length: +2\r\n\r\n{}",
    "a length with an underscore": _OK + b"Content-Length: 0_2\r\n\r\n{}",
    "an endless length": _OK + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n",
    "an empty length": _OK + b"Content-Length:\r\n\r\n",
    "a length beyond the limit": _OK + b"Content-Length: 1001\r\n\r\n" + b" " * 1_001,
    "length and chunks": _OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "another coding": _OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "two codings": _chunked(b"{}", "Transfer-Encoding: chunked"),
    "chunks of HTTP/1.0": _chunked(b"{}").replace(b"/1.1", b"/1.0"),
    "a chunk without size": _OK + b"Transfer-Encoding: chunked\r\n\r\n\r\n{}\r\n0\r\n\r\n",
    "a chunk of a negative size": _OK + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    "a chunk that is longer": _OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
    "chunks beyond the limit": _chunked(b" " * 1_001),
    "a trailer that is none": _chunked(b"{}").removesuffix(b"\r\n") + b"A b\r\n\r\n",
}


@pytest.mark.parametrize("name", _REFUSED)
def test_a_response_is_refused_for(name: str) -> None:
    with pytest.raises(ServerUnavailableError) as raised:
        _read(_REFUSED[name])
    assert len(raised.value.message) < 400


def test_a_body_ends_with_the_connection_for_who_says_so() -> None:
    for pieces in ((b"HTTP/1.0 200 OK\r\n\r\n{}",), (_OK, b"\r\n{", b"}"), (_OK, b"\r\n")):
        response = read_response(_peer(iter(pieces)), _LIMIT, until_closed=True)
        assert (response.status, response.reusable) == (200, False)
        assert response.body in {b"{}", b""}
    told = read_response(_peer(iter((_chunked(b"{}"),))), _LIMIT, until_closed=True)
    assert (told.body, told.reusable) == (b"{}", True)
    with pytest.raises(ServerUnavailableError, match="1000"):
        read_response(
            _peer(itertools.chain([_OK, b"\r\n"], itertools.repeat(b" "))),
            _LIMIT,
            until_closed=True,
        )


_ENDLESS = {
    "one line": (_OK, b"X-A: " + b" " * 60_000),
    "one byte after the other": (b"", b"H"),
    "headers": (_OK, b"X-A: b\r\n"),
    "words that it goes on": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "chunks": (_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "a chunk extension": (_OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a"),
    "trailers": (_OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: b\r\n"),
}


@pytest.mark.parametrize("name", _ENDLESS)
def test_what_never_ends_is_left(name: str) -> None:
    first, again = _ENDLESS[name]
    taken = 0

    def receive() -> bytes:
        nonlocal taken
        piece = again if taken else first + again
        taken += len(piece)
        return piece

    with pytest.raises(ServerUnavailableError):
        read_response(receive, _LIMIT)
    assert taken <= MAX_HEAD_BYTES + _LIMIT + len(first + again)


# Properties ---------------------------------------------------------------------------------------

_VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=8)


@st.composite
def _responses(draw: st.DrawFn) -> tuple[bytes, int, bytes]:
    """A sound response in bytes, with its status and body."""
    status = draw(st.sampled_from([200, 201, 207, 400, 409, 429, 503, 799]))
    parts = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=4))
    body = b"".join(parts)
    lines = [f"HTTP/1.1 {status} {draw(_VALUES)}"]
    lines += [f"X-{number}: {value}" for number, value in enumerate(draw(st.lists(_VALUES)))]
    if draw(st.booleans()):
        framed = b"".join([b"%x\r\n%b\r\n" % (len(part), part) for part in parts]) + b"0\r\n\r\n"
        lines.append("Transfer-Encoding: chunked")
    else:
        framed = body
        lines.append(f"Content-Length: {len(body)}")
    interim = b"HTTP/1.1 100 Continue\r\n\r\n" * draw(st.integers(0, 2))
    return interim + "\r\n".join([*lines, "", ""]).encode() + framed, status, body


def _split(content: bytes, places: set[int]) -> list[bytes]:
    ends = [0, *sorted(place % (len(content) + 1) for place in places), len(content)]
    return [content[start:end] for start, end in itertools.pairwise(ends)]


@given(_responses(), st.sets(st.integers(0, 1_000), max_size=20))
def test_it_does_not_matter_in_which_pieces_a_response_comes(
    sample: tuple[bytes, int, bytes], places: set[int]
) -> None:
    content, status, body = sample
    assert _read(*_split(content, places))[::2] == (status, body)
    assert _read(*[bytes((byte,)) for byte in content])[::2] == (status, body)


@given(_responses(), st.data())
def test_a_response_that_is_cut_gives_no_body(
    sample: tuple[bytes, int, bytes], data: st.DataObject
) -> None:
    content = sample[0]
    kept = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(ServerUnavailableError):
        _read(content[:kept])


@given(_responses(), st.lists(st.tuples(st.integers(0, 1_000), st.binary(max_size=3)), min_size=1))
def test_a_response_that_was_changed_is_read_or_refused(
    sample: tuple[bytes, int, bytes], changes: list[tuple[int, bytes]]
) -> None:
    content = sample[0]
    for place, piece in changes:
        at = place % len(content)
        content = content[:at] + piece + content[at + 1 :] or b"\n"
    _read_or_refuse(content)


@given(st.binary(max_size=300))
@example(_OK)
def test_noise_is_refused(noise: bytes) -> None:
    _read_or_refuse(noise)
    _read_or_refuse(_OK + noise)
    _read_or_refuse(_OK + b"Transfer-Encoding: chunked\r\n\r\n" + noise)


def _read_or_refuse(content: bytes) -> None:
    try:
        response = _read(content)
    except ServerUnavailableError:
        return
    assert 200 <= response.status <= 999
    assert len(response.body) <= _LIMIT
    assert response.body in content or "transfer-encoding" in response.headers


# Proxies and requests -----------------------------------------------------------------------------


def test_the_way_through_a_proxy_has_no_body_whatever_its_headers_say() -> None:
    granted = b"HTTP/1.1 200 Established\r\nContent-Length: 5\r\nTransfer-Encoding: odd\r\n\r\n"
    assert read_tunnel(_peer(iter([granted]))) == 200
    refused = b"HTTP/1.0 407 Proxy Authentication Required\r\n\r\n<html>"
    assert read_tunnel(_peer(iter([refused]))) == 407


def test_nobody_speaks_for_the_server_before_the_way_stands() -> None:
    with pytest.raises(ServerUnavailableError, match="more than its response"):
        read_tunnel(_peer(iter([b"HTTP/1.1 200 Established\r\n\r\n\x16\x03\x01"])))


def test_a_request_is_written() -> None:
    assert request_bytes("POST", "/a", {"Host": "b"}, b"{}") == (
        b"POST /a HTTP/1.1\r\nHost: b\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert request_bytes("CONNECT", "b:1", {}) == b"CONNECT b:1 HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize("value", ["hunter2\r\nX: y", "hunter2\n", "hunter2\0", "hunter2é"])
def test_a_value_that_would_leave_its_line_is_not_sent_and_not_shown(value: str) -> None:
    with pytest.raises(ServerUnavailableError) as raised:
        request_bytes("POST", "/a", {"Authorization": value}, b"{}")
    assert "Authorization" in raised.value.message
    assert "hunter2" not in raised.value.message


@given(st.integers(0, 253_402_300_799_999))
def test_a_date_is_read_back_by_others(ms: int) -> None:
    read = parsedate_to_datetime(http_date(ms))
    assert int(read.timestamp()) == ms // 1_000
    assert formatdate(ms // 1_000, usegmt=True) == http_date(ms)

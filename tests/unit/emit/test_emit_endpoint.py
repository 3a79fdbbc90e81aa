"""Which server, which way and which URL."""

import pytest

from deploymark.emit.endpoint import parse_endpoint, server_of
from deploymark.emit.settings import Settings
from deploymark.errors import UsageError

_DIRECT = {
    "no proxy": Settings(url="https://a.example"),
    "plain http": Settings(url="http://a.example", allow_plain_http=True, proxy="p:1"),
    "this host": Settings(url="https://127.0.0.1", proxy="p:1"),
    "its name": Settings(url="https://a.example", proxy="p:1", no_proxy="b.example, a.example"),
    "its domain": Settings(url="https://b.a.example", proxy="p:1", no_proxy=".a.example"),
    "everything": Settings(url="https://a.example", proxy="p:1", no_proxy="*"),
}


@pytest.mark.parametrize("name", _DIRECT)
def test_a_server_is_reached_without_proxy(name: str) -> None:
    assert parse_endpoint(_DIRECT[name]).proxy is None


def test_a_proxy_may_be_named_without_scheme() -> None:
    endpoint = parse_endpoint(Settings(url="https://a.example", proxy="p:1", no_proxy="xa.example"))
    assert (endpoint.proxy, endpoint.server) == (("p", 1), ("a.example", 443))


@pytest.mark.parametrize("proxy", ["socks5://p:1", "http://[::1", "http://p:port"])
def test_another_kind_of_proxy_is_refused_without_showing_it(proxy: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_endpoint(Settings(url="https://a.example", proxy=proxy))
    assert proxy not in raised.value.message


@pytest.mark.parametrize(
    "url",
    [
        "",
        "server.example",
        "ftp://server.example",
        "https://",
        "https://server.example/?a=b",
        "https://user:hunter2@server.example",
        "https://server.example:port",
        "https://server.example:65536",
        "https://server.example/a b",
        "https://server.example/\r\nX: y",
        "https://server.example\n",
        "https://sérver.example",
        "https://server.example/#a",
        "https://[::1",
        "http://server.example",
        "http://127.0.0.1.server.example",
    ],
)
def test_a_url_that_markers_cannot_go_to_is_refused(url: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_endpoint(Settings(url=url))
    assert "hunter2" not in raised.value.message


def test_plain_http_is_for_this_host_or_for_who_asks_for_it() -> None:
    assert parse_endpoint(Settings(url="http://[::1]:8420")).server == ("::1", 8420)
    assert parse_endpoint(Settings(url="http://localhost")).server == ("localhost", 80)
    assert parse_endpoint(Settings(url="http://a.example", allow_plain_http=True)).secure is False


_NAMES = {
    "https://a.example": ("a.example:443", "a.example", "/v1/markers"),
    "HTTPS://A.Example:8443/": ("a.example:8443", "a.example:8443", "/v1/markers"),
    "https://a.example/b@c/d//": ("a.example:443", "a.example", "/b@c/d/v1/markers"),
    "http://[::1]:80": ("[::1]:80", "[::1]", "/v1/markers"),
    "http://[::1]:443": ("[::1]:443", "[::1]:443", "/v1/markers"),
}


@pytest.mark.parametrize("url", _NAMES)
def test_a_server_is_named_with_its_port_unless_that_is_the_usual_one(url: str) -> None:
    endpoint = parse_endpoint(Settings(url=url))
    assert (endpoint.authority, endpoint.name, endpoint.path) == _NAMES[url]


_SPELLINGS = {
    "https://a.example": [
        "https://a.example/",
        "HTTPS://A.Example:443",
        "https://a.example:0443//",
    ],
    "http://a.example:8420/b": ["http://A.example:8420/b/", "http://a.example:08420/b"],
    "http://[::1]": ["http://[::1]:80"],
}


@pytest.mark.parametrize("server", _SPELLINGS)
def test_a_server_is_the_same_however_its_url_is_spelt(server: str) -> None:
    assert {server_of(url) for url in [server, *_SPELLINGS[server]]} == {server}


def test_what_is_no_url_is_no_server_and_shows_no_password() -> None:
    for url in ("nowhere", "", "https://me:hunter2@a.example", "x@https://a.example", "y" * 900):
        server = server_of(url)
        assert server.endswith(" (not a URL)")
        assert "hunter2" not in server
        assert len(server) < 300

"""The HTML of pages: who sees what, that nothing in it can become script, and its files."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from page_world import BROWSER, PageDoor, boot_of

from deploymark.ingest.links import LIFETIME_S
from deploymark.ingest.throttle import Throttle
from deploymark.model.vocabulary import Role
from deploymark.server.application import Application
from deploymark.server.built import Assets
from deploymark.server.pages.shapes_boot import Boot, BootSettings, Page
from deploymark.server.pages.shell import boot_json, shell
from deploymark.server.settings import Settings

ATTACKS = (
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "\u2028\u2029 \u202e",
    "' onmouseover='x' \"",
    "{{7*7}} ${7*7} <img src=x onerror=alert(1)>",
)


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageDoor]:
    with PageDoor(tmp_path_factory.mktemp("pages")) as door:
        door.runner.catch_up()
        door.say(0, version="1.0", phase="applied", owner="ana")
        yield door


@pytest.fixture
def own(tmp_path: Path) -> Iterator[PageDoor]:
    with PageDoor(tmp_path) as door:
        door.runner.catch_up()
        yield door


# Who sees what -----------------------------------------------------------------------------------


def test_a_browser_gets_the_page_with_its_document(looked_at: PageDoor) -> None:
    reply = looked_at.browse("/oncall")
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    boot = boot_of(reply)
    assert boot["page"] == "oncall"
    assert boot["session"] == {"principal": "token:reader", "roles": ["reader"], "csrf_token": None}
    assert boot["problem"] is None
    assert boot["document"] == looked_at.look("/oncall").json
    assert boot["settings"]["can_act"] is False
    assert boot["settings"]["series"] is True


def test_the_page_names_its_files_and_no_other_origin(looked_at: PageDoor) -> None:
    html = looked_at.browse("/oncall").body.decode()
    assert '<script type="module" src="/assets/main-1a.js"></script>' in html
    assert '<link rel="stylesheet" href="/assets/main-3c.css">' in html
    assert '<link rel="modulepreload" href="/assets/oncall-2b.js">' in html
    assert "oncall-2b" not in looked_at.browse("/fleet").body.decode()
    assert "http://" not in html.partition('id="boot"')[0]
    assert " style=" not in html


def test_the_page_may_load_its_own_and_nothing_else(looked_at: PageDoor) -> None:
    headers = looked_at.browse("/oncall").headers
    assert headers["content-security-policy"] == (
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; "
        "object-src 'none'"
    )
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"


def test_who_is_not_signed_in_gets_the_form_and_nothing_more(looked_at: PageDoor) -> None:
    reply = looked_at.browse("/oncall", None)
    assert reply.status == 200
    boot = boot_of(reply)
    assert (boot["session"], boot["document"], boot["problem"]) == (None, None, None)
    assert looked_at.look("/oncall", None).status == 401


def test_who_may_not_read_is_told_on_the_page(looked_at: PageDoor) -> None:
    reply = looked_at.browse("/oncall", Role.EMITTER)
    boot = boot_of(reply)
    assert (reply.status, boot["problem"]["status"], boot["document"]) == (403, 403, None)
    assert boot["session"]["principal"] == "token:emitter"


def test_a_wrong_cookie_leads_to_the_form(looked_at: PageDoor) -> None:
    reply = looked_at.browse("/oncall", None, cookie=f"deploymark_session={'x' * 43}")
    assert (reply.status, boot_of(reply)["session"]) == (200, None)


_LOST = ("/d/d-nix", "/compare/d-a..d-b", "/services/nix", "/audit/99999", f"/s/{'0' * 64}", "/nix")


@pytest.mark.parametrize("path", _LOST)
def test_what_is_not_there_is_told_on_a_page(looked_at: PageDoor, path: str) -> None:
    reply = looked_at.browse(path)
    assert reply.status == 404
    assert boot_of(reply)["problem"]["code"] == "not_found"
    assert looked_at.look(path).json["code"] == "not_found"


def test_views_that_are_being_built_are_told_on_the_page(tmp_path: Path) -> None:
    with PageDoor(tmp_path) as door:  # nobody has fed its views
        reply = door.browse("/oncall")
        assert (reply.status, reply.headers["retry-after"]) == (503, "1")
        boot = boot_of(reply)
        assert boot["problem"]["retryable"] is True
        assert boot["session"]["principal"] == "token:reader"
        assert door.look("/oncall").headers["content-type"] == "application/problem+json"


def test_who_asks_too_often_is_told_on_the_page(own: PageDoor) -> None:
    own.use(throttle=Throttle(own.log.clock, 0.1, 1))
    assert own.browse("/oncall").status == 200
    reply = own.browse("/oncall")
    told = boot_of(reply)["problem"]
    assert (reply.status, told["code"]) == (429, "rate_limited")
    assert reply.headers["retry-after"] == str(told["again_seconds"]) != "0"


def test_a_query_that_cannot_be_read_is_told_on_the_page(looked_at: PageDoor) -> None:
    reply = looked_at.browse("/oncall?range=9h")
    assert (reply.status, boot_of(reply)["problem"]["status"]) == (400, 400)


_REFUSED = ("/oncall?range=3d", "/oncall?since=yesterday", "/oncall?nix=1", "/deployments?limit=0")


@pytest.mark.parametrize("path", _REFUSED)
def test_a_refused_query_is_told_within_the_page_of_who_is_signed_in(
    looked_at: PageDoor, path: str
) -> None:
    reply = looked_at.browse(path)
    boot = boot_of(reply)
    told = looked_at.look(path).json
    assert reply.status == 400
    assert boot["session"]["principal"] == "token:reader"
    assert f"/{boot['page']}" == path.partition("?")[0]
    assert [boot["problem"][name] for name in ("status", "title", "detail", "hint")] == [
        400,
        told["title"],
        told["detail"],
        told["hint"],
    ]
    assert boot["problem"]["instead"] == path.partition("?")[0]


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ("q=owner:web&range=3d", "q=owner%3Aweb"),
        ("q=owner:web&since=yesterday&until=2026-11-23T00:00:00Z", "q=owner%3Aweb"),
        ("q=owner:web&range=6h&since=2026-11-23T00:00:00Z", "q=owner%3Aweb"),
        ("range=24h&nix=1", "range=24h"),
        ("range=24h&range=6h&q=x", "q=x"),
        (f"range=24h&q={'x' * 5_000}", "range=24h"),
        ("range=24h&a%2Fb~=1", "range=24h"),
        ("range=24h&%ff=1", ""),
    ],
)
def test_only_what_is_refused_is_left_out_of_the_address_that_is_offered(
    looked_at: PageDoor, asked: str, kept: str
) -> None:
    reply = looked_at.browse(f"/oncall?{asked}")
    assert reply.status == 400
    instead = boot_of(reply)["problem"]["instead"]
    assert instead == (f"/oncall?{kept}" if kept else "/oncall")
    assert looked_at.browse(instead).status == 200


@pytest.mark.parametrize("path", ["/nowhere", "/s/short", f"/s/{'0' * 64}", "/d/d-nix?since=x"])
def test_who_is_lost_stays_signed_in(looked_at: PageDoor, path: str) -> None:
    boot = boot_of(looked_at.browse(path))
    assert boot["session"]["principal"] == "token:reader"
    assert boot["problem"]["hint"]


def test_a_lost_stranger_is_told_and_sees_no_session(looked_at: PageDoor) -> None:
    reply = looked_at.browse("/nowhere", None)
    boot = boot_of(reply)
    assert (reply.status, boot["session"], boot["problem"]["status"]) == (404, None, 404)


def test_a_strange_host_is_told_nothing_of_a_session(tmp_path: Path) -> None:
    with PageDoor(tmp_path) as door:
        door.app = Application(door.parts, Settings(hosts=frozenset({"marks.example"})))
        assert boot_of(door.browse("/nowhere", host="evil.example"))["session"] is None


def test_a_strange_host_sees_no_page(tmp_path: Path) -> None:
    with PageDoor(tmp_path) as door:
        door.app = Application(door.parts, Settings(hosts=frozenset({"marks.example"})))
        reply = door.browse("/oncall", host="evil.example")
        assert reply.status == 421
        assert b"boot" not in reply.body


def test_the_root_sends_a_browser_to_the_page(looked_at: PageDoor) -> None:
    reply = looked_at.browse("/", None)
    assert (reply.status, reply.headers["location"]) == (303, "/oncall")


# Signing in by a link ----------------------------------------------------------------------------


def _link(door: PageDoor, lifetime_s: int = LIFETIME_S) -> str:
    token = next(t for t in door.kept.all() if t.name == Role.OPERATOR)
    return door.links.issue(token.id, lifetime_s)


def test_a_link_signs_in_and_takes_itself_out_of_the_address(own: PageDoor) -> None:
    own.say(0, version="1.0", phase="applied")
    reply = own.browse(f"/oncall?range=1h&token={_link(own)}&q=svc%3Acheckout", None)
    assert reply.status == 303
    assert reply.headers["location"] == "/oncall?range=1h&q=svc%3Acheckout"
    cookie = reply.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    boot = boot_of(own.browse("/oncall", None, cookie=cookie.partition(";")[0]))
    assert boot["session"]["principal"] == "token:operator"
    assert boot["session"]["csrf_token"]


def test_a_link_is_good_once(own: PageDoor) -> None:
    link = _link(own)
    assert own.browse(f"/oncall?token={link}", None).status == 303
    again = own.browse(f"/oncall?range=1h&token={link}", None)
    assert "set-cookie" not in again.headers
    assert (again.status, again.headers["location"]) == (303, "/oncall?range=1h&link=expired")
    boot = boot_of(own.browse(again.headers["location"], None))
    assert (boot["session"], boot["problem"]["code"]) == (None, "link_expired")
    assert "deploymark up" in boot["problem"]["hint"]


def test_a_link_ends_by_itself(own: PageDoor) -> None:
    link = _link(own, 60)
    own.log.clock.advance(61)
    reply = own.browse(f"/oncall?token={link}", None)
    assert (reply.headers["location"], "set-cookie" in reply.headers) == (
        "/oncall?link=expired",
        False,
    )


def test_who_is_signed_in_already_needs_no_word_about_a_link(own: PageDoor) -> None:
    boot = boot_of(own.browse("/oncall?link=expired"))
    assert boot["problem"] is None
    assert boot["document"] == own.look("/oncall").json


def test_a_token_in_an_address_signs_nobody_in(own: PageDoor) -> None:
    reply = own.browse(f"/oncall?token={own.tokens[Role.ADMIN]}", None)
    assert "set-cookie" not in reply.headers
    assert reply.headers["location"] == "/oncall?link=expired"


def test_a_link_is_no_word_for_programs(own: PageDoor) -> None:
    assert own.look(f"/oncall?token={_link(own)}", None).status == 401


def test_nobody_is_sent_to_another_host(own: PageDoor) -> None:
    reply = own.ask(
        "GET", f"//evil.example/oncall?token={_link(own)}", None, b"", {"accept": BROWSER}
    )
    assert reply.status == 404


# What others wrote -------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", ATTACKS)
def test_words_of_a_marker_stay_words(own: PageDoor, attack: str) -> None:
    index = own.say(
        0,
        version=attack,
        phase="failed",
        owner=attack,
        author=attack,
        reason=attack,
        repository=attack,
        ref=attack,
        change_tickets=[attack],
        changes=[{"commit": "abc", "title": attack}],
        target={"cluster": attack},
    )
    name = own.look("/oncall").json["suspects"][0]["id"]
    paths = ("/oncall", f"/oncall?dep={name}", f"/d/{name}", f"/debug?dep={name}", "/deployments")
    for path in (*paths, "/services", "/fleet", "/exec", "/audit", f"/audit/{index}"):
        reply = own.browse(path)
        assert reply.status == 200, (path, reply.body)
        _, _, block = reply.body.partition(b'id="boot">')
        inside, _, rest = block.partition(b"</script>")
        assert rest == b"</body></html>\n", path
        for raw in (b"<", b">", b"&", "\u2028".encode(), "\u2029".encode()):
            assert raw not in inside, (path, raw)
        # Measures are counted beside: two answers may have them or not.
        if path not in {"/exec", "/services"}:
            assert json.loads(inside)["document"] == own.look(path).json


def test_words_of_a_query_stay_words(looked_at: PageDoor) -> None:
    reply = looked_at.browse("/oncall?q=%3C/script%3E%3Cscript%3Ealert(1)")
    assert reply.body.count(b"</script>") == 2  # the page's own, and the end of the data
    assert boot_of(reply)["document"]["filter"]["q"] == "</script><script>alert(1)"


# The shell itself --------------------------------------------------------------------------------


def _boot(document: object = None) -> Boot:
    settings = BootSettings(simulated=False, heartbeat_seconds=10, can_act=False, series=False)
    return Boot(None, Page.ONCALL, document, None, "1", settings)


def test_without_its_files_the_page_says_how_to_build_it(tmp_path: Path) -> None:
    html = shell(_boot({"secret": 1}), Assets(tmp_path).manifest)
    assert b"make web" in html
    assert b"secret" not in html


def test_boot_data_is_json_that_ends_nothing() -> None:
    text = boot_json(_boot({"a": "".join(ATTACKS)}))
    assert b"<" not in text
    assert json.loads(text)["document"]["a"] == "".join(ATTACKS)


def test_a_page_is_compressed_for_who_takes_it(looked_at: PageDoor) -> None:
    plain = looked_at.browse("/oncall")
    packed = looked_at.browse("/oncall", accept_encoding="gzip")
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body


def test_a_document_is_compressed_for_who_takes_it(looked_at: PageDoor) -> None:
    asked = {"accept": "application/json"}
    plain = looked_at.ask("GET", "/oncall", Role.READER, headers=asked)
    packed = looked_at.ask(
        "GET", "/oncall", Role.READER, headers={**asked, "accept-encoding": "gzip"}
    )
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"] == "accept, accept-encoding"
    assert json.loads(gzip.decompress(packed.body)).keys() == json.loads(plain.body).keys()


# Files -------------------------------------------------------------------------------------------

_TAKEN: dict[str, tuple[str | None, bytes]] = {
    "br, gzip": ("br", b"brotli of main-1a.js"),
    "gzip": ("gzip", b""),
    "br;q=0, gzip;q=0": (None, b""),
    "": (None, b""),
}


@pytest.mark.parametrize(("accept", "expected"), _TAKEN.items())
def test_a_file_comes_in_the_form_that_is_taken(
    looked_at: PageDoor, accept: str, expected: tuple[str | None, bytes]
) -> None:
    reply = looked_at.ask("GET", "/assets/main-1a.js", headers={"accept-encoding": accept})
    encoding, body = expected
    assert reply.status == 200
    assert reply.headers.get("content-encoding") == encoding
    assert reply.headers["content-type"] == "text/javascript; charset=utf-8"
    assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert reply.headers["vary"] == "accept-encoding"
    if body:
        assert reply.body == body
    else:
        text = gzip.decompress(reply.body) if encoding else reply.body
        assert text.startswith(b"import './oncall-2b.js';")


@pytest.mark.parametrize(
    "name", ["manifest.json", "main-1a.js.br", "..%2fbuilt.py", "nix.js", "main-1a.js%00"]
)
def test_nothing_beside_the_manifest_is_served(looked_at: PageDoor, name: str) -> None:
    assert looked_at.ask("GET", f"/assets/{name}").status == 404


def test_a_file_and_the_icon_may_be_asked_for_by_head(looked_at: PageDoor) -> None:
    assert looked_at.ask("HEAD", "/assets/main-3c.css").status == 200
    assert looked_at.ask("GET", "/favicon.svg").body.startswith(b"<svg")


def _small(document: dict[str, Any]) -> int:
    return sum(mark["count"] for mark in document["marks"]["items"])


def test_a_page_with_many_marks_carries_the_worst_and_says_what_it_left_out(
    own: PageDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploymark.server.pages.serving.BOOT_MARKS", 2)
    for number in range(6):
        phase = "failed" if number == 3 else "applied"
        own.say(number * 600, service=f"s-{number}", version="1", phase=phase)
    marks = boot_of(own.browse("/oncall"))["document"]["marks"]
    whole = own.look("/oncall").json
    assert _small(whole) == whole["marks"]["total"] == 6
    assert len(marks["items"]) == 2
    assert marks["left_out"] == 4
    assert "failed" in [mark["state"] for mark in marks["items"]]

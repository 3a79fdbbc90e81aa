"""What readers ask: filters, freshness, the log's own site, names of hosts, types of answers."""

import gzip
import threading

import pytest
from door_samples import Door

from deploymark.crypto.note import parse_note, verify_note
from deploymark.log.checkpoint import parse_checkpoint
from deploymark.log.receipt import parse_receipt
from deploymark.log.tiles import decode_bundle
from deploymark.log.tree import leaf_hash
from deploymark.model.schema import schema
from deploymark.model.vocabulary import Role
from deploymark.server.accept import takes_gzip
from deploymark.server.hosts import answered_hosts
from deploymark.server.settings import LogAccess, Settings

READ = Role.READER


# Listings ----------------------------------------------------------------------------------------


def test_a_listing_shows_what_the_filters_find(door: Door) -> None:
    door.log.append_markers(12)
    page = door.ask("GET", "/v1/markers?service=service-1&service=service-2&limit=3", READ).json
    assert [item["index"] for item in page["items"]] == [9, 8, 2]
    assert (page["next_cursor"], page["as_of"]) == (None, 13)
    assert page["items"][0] == door.ask("GET", "/v1/markers/9", READ).json
    keys = door.ask("GET", "/v1/entries?type=key", READ).json["items"]
    assert [(item["type"], item["entry"]["action"]) for item in keys] == [("key", "registered")]


_BAD_QUERIES = {
    "servize=x": "bad_request",
    "limit=1&limit=2": "bad_request",
    "limit=0": "bad_request",
    "limit=x": "bad_request",
    "after=-1": "bad_request",
    "phase=eaten": "bad_query",
    "since=yesterday": "bad_query",
    "service=%ff": "bad_request",
    "&".join(f"service={n}" for n in range(70)): "bad_request",
}


@pytest.mark.parametrize(("query", "code"), _BAD_QUERIES.items())
def test_a_query_that_cannot_be_meant_is_refused(door: Door, query: str, code: str) -> None:
    refused = door.ask("GET", f"/v1/markers?{query}", READ)
    assert (refused.status, refused.json["code"]) == (400, code)


def test_a_listing_waits_until_it_is_as_fresh_as_asked(door: Door) -> None:
    assert door.ask("GET", "/v1/markers?after=0", READ).status == 200
    ahead = door.ask("GET", "/v1/markers?after=1", READ)
    assert (ahead.status, ahead.json["code"]) == (400, "bad_request")
    door.views.seen = 0
    catching_up = threading.Timer(0.05, setattr, (door.views, "seen", 1))
    catching_up.start()
    assert door.ask("GET", "/v1/markers?after=0", READ).json["as_of"] == 1
    catching_up.join()


def test_views_that_stay_behind_are_not_waited_for_long() -> None:
    with Door(Settings(fresh_seconds=0.02)) as door:
        door.views.seen = 0
        late = door.ask("GET", "/v1/markers?after=0", READ)
        assert (late.status, late.json["code"]) == (503, "views_behind")
        assert door.ask("GET", "/v1/markers", READ).status == 200


@pytest.mark.parametrize("index", ["99", "x", "-1", "1.0", "99999999999999999999", "%31x"])
def test_what_is_not_there_is_a_404(door: Door, index: str) -> None:
    for path in ("/v1/markers/{}", "/v1/markers/{}/receipt", "/v1/entries/{}"):
        assert door.ask("GET", path.format(index), READ).status == 404


def test_an_entry_that_is_no_marker_is_not_shown_as_one(door: Door) -> None:
    assert door.ask("GET", "/v1/markers/0", READ).status == 404
    assert door.ask("GET", "/v1/entries/0", READ).json["type"] == "key"


def test_schemas_are_those_of_the_model(door: Door) -> None:
    listed = door.ask("GET", "/v1/schema").json["items"]
    assert {"name": "marker", "version": 1} in listed
    shown = door.ask("GET", "/v1/schema/marker/1")
    assert shown.json == schema("marker", 1)
    assert shown.headers["content-type"] == "application/schema+json"
    assert door.ask("GET", "/v1/schema/nix/1").status == 404
    assert door.ask("GET", "/v1/schema/marker/2").status == 422


def test_what_the_broker_found_out_is_shown_as_it_says_it(door: Door) -> None:
    page = door.ask("GET", "/v1/deployments?service=a&service=b&limit=1", READ).json
    assert page["items"] == [{"id": "d-one", "service": ["a", "b"], "limit": 1}]
    assert door.ask("GET", "/v1/deployments/d-one", READ).json == {"id": "d-one"}
    assert door.ask("GET", "/v1/deployments/d-nix", READ).status == 404
    assert door.ask("GET", "/v1/instances?status=confirmed", READ).json["items"] == [
        {"status": ["confirmed"]}
    ]
    assert door.ask("GET", "/v1/findings?state=all", READ).json["items"] == [{"state": "all"}]
    assert door.ask("GET", "/v1/coverage?by=zone", READ).json["items"] == [{"by": "zone"}]
    assert door.ask("GET", "/v1/timeline?phase=failed", READ).json["items"] == [
        {"index": 0, "phase": ["failed"]}
    ]


def test_emitters_are_listed_while_the_views_are_being_built(door: Door) -> None:
    assert door.ask("GET", "/v1/emitters", READ).json == {"items": [], "punctuality": None}


# The log's own site ------------------------------------------------------------------------------


def test_the_site_leads_from_a_checkpoint_to_every_entry(door: Door) -> None:
    door.log.append_markers(299)
    door.log.publish()
    note = parse_note(door.ask("GET", "/log/checkpoint").body.decode())
    assert verify_note(note, door.log.keys)
    assert parse_checkpoint(note.text).size == 300
    hashes = b"".join(door.ask("GET", f"/log/tile/0/{name}").body for name in ("000", "001.p/44"))
    leaves = [
        leaf
        for name in ("000", "001.p/44")
        for leaf in decode_bundle(door.ask("GET", f"/log/tile/entries/{name}", READ).body)
    ]
    assert b"".join(map(leaf_hash, leaves)) == hashes
    assert len(leaves) == 300
    receipt = door.ask("GET", "/v1/markers/7/receipt", READ).body.decode()
    assert parse_receipt(receipt).extra == leaves[7]


def test_a_bundle_is_packed_for_who_takes_gzip(door: Door) -> None:
    plain = door.ask("GET", "/log/tile/entries/000.p/1", READ)
    packed = door.ask(
        "GET", "/log/tile/entries/000.p/1", READ, headers={"accept-encoding": "br, gzip"}
    )
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert plain.headers["vary"] == packed.headers["vary"] == "accept-encoding"


_ENCODINGS = {
    "gzip": True,
    "GZIP;q=0.5, br": True,
    "*": True,
    "": False,
    "br": False,
    "gzip;q=0": False,
    "gzip; q=0.000, *": False,
    "*;q=0": False,
    "xgzip": False,
}


@pytest.mark.parametrize("accepted", _ENCODINGS)
def test_only_who_takes_gzip_is_given_it(accepted: str) -> None:
    assert takes_gzip(accepted) is _ENCODINGS[accepted]


@pytest.mark.parametrize(
    "path", ["0/000", "0/000.p/2", "0/000.p/256", "0/x000/000.p/1", "64/000", "00/000", "a/000"]
)
def test_no_tile_has_a_second_name(door: Door, path: str) -> None:
    assert door.ask("GET", f"/log/tile/{path}").status == 404


_SITE = {
    LogAccess.HASHES: (200, 401),
    LogAccess.PUBLIC: (200, 200),
    LogAccess.PRIVATE: (401, 401),
}


@pytest.mark.parametrize(("access", "statuses"), _SITE.items())
def test_who_reads_the_site_is_a_setting(access: LogAccess, statuses: tuple[int, int]) -> None:
    with Door(Settings(log_access=access)) as door:
        door.log.publish()
        hashes, bundles = statuses
        for path, status in (
            ("/log/checkpoint", hashes),
            ("/log/tile/0/000.p/1", hashes),
            ("/log/tile/entries/000.p/1", bundles),
        ):
            stranger = door.ask("GET", path)
            assert stranger.status == status, path
            assert door.ask("GET", path, READ).status == 200
            assert door.ask("GET", path, Role.EMITTER).status == (200 if status == 200 else 403)
            if "tile" in path and status == 200:
                assert "immutable" in stranger.headers["cache-control"]
            else:
                assert door.ask("GET", path, READ).headers["cache-control"] == "no-store"


def test_the_policy_is_shown_where_there_is_one(door: Door) -> None:
    assert door.ask("GET", "/log/policy").body == b"log log.example\n"
    with Door(policy_text="") as bare:
        assert bare.ask("GET", "/log/policy").status == 404
        assert bare.ask("GET", "/log/checkpoint").status == 404


# Hosts and types ---------------------------------------------------------------------------------

_HOSTS = {
    "localhost": 200,
    "LOCALHOST:8420": 200,
    "127.0.0.1:8420": 200,
    "[::1]:8420": 200,
    "[::1]": 200,
    "marks.example": 200,
    "marks.example.": 200,
    "evil.example": 421,
    "localhost.evil.example": 421,
    "localhost:evil": 421,
    "": 421,
    "127.0.0.2": 421,
}


@pytest.mark.parametrize(("host", "status"), _HOSTS.items())
def test_a_page_of_a_stranger_does_not_reach_this_host(host: str, status: int) -> None:
    with Door(Settings(hosts=answered_hosts("127.0.0.1", ["Marks.Example"]))) as door:
        reply = door.ask("GET", "/openapi.json", headers={"host": host})
        assert reply.status == status
        if status == 421:
            assert reply.json["code"] == "unknown_host"
            assert door.ask("GET", "/v1/nix", headers={"host": host}).status == 421
        # A probe names an address, and learns nothing.
        assert door.ask("GET", "/healthz", headers={"host": host}).status == 200


def test_a_server_for_others_answers_to_any_name_unless_told() -> None:
    assert answered_hosts("0.0.0.0", []) is None  # noqa: S104 - what an operator may choose
    assert answered_hosts("marks.example", []) is None
    local = frozenset({"localhost", "127.0.0.1", "[::1]"})
    assert answered_hosts("::1", []) == local
    assert answered_hosts("localhost", []) == local
    assert answered_hosts("::", ["a.example"]) == local | {"[::]", "a.example"}


_ACCEPTS = {
    "*/*": 200,
    "application/json": 200,
    "application/*;q=0.5": 200,
    "text/html, application/xhtml+xml, */*;q=0.8": 200,
    "": 200,
    "text/html": 406,
    "application/json;q=0": 406,
    "application/problem+json": 406,
}


@pytest.mark.parametrize(("accept", "status"), _ACCEPTS.items())
def test_who_takes_no_json_is_told_so(door: Door, accept: str, status: int) -> None:
    reply = door.ask("GET", "/v1/session", READ, headers={"accept": accept})
    assert reply.status == status
    assert door.ask("GET", "/", headers={"accept": "text/plain, */*"}).status == 200


def test_the_page_about_it_is_json_for_programs(door: Door) -> None:
    said = door.ask("GET", "/", headers={"accept": "application/json"}).json
    assert said == {"name": "deploymark", "openapi": "/openapi.json"}


def test_probes_tell_life_from_readiness(door: Door) -> None:
    assert door.ask("GET", "/healthz").body == b"ok\n"
    assert door.ask("GET", "/readyz").body == b"ready\n"

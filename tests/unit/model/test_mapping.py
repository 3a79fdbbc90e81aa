"""From text and tags to fields, as a team configures it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploymark.errors import UsageError
from deploymark.model.canonical import encode
from deploymark.model.mapping import (
    NO_MAPPING,
    SEARCHED_CHARACTERS,
    Pattern,
    TextMapping,
    check_mapping,
    mapped,
    marker_of,
    names_deployment,
    revision_of,
    subject_of,
    unmapped,
)
from deploymark.model.marker import decode_marker
from deploymark.model.vocabulary import MARKER

_DIGEST = "sha256:" + "ab" * 32

SAID: dict[str, tuple[str, list[str], TextMapping, dict[str, Any]]] = {
    "tags name fields": (
        "",
        ["service:web", "env=prod", "version: 1.2", "other", "team:a"],
        TextMapping(),
        {"service": "web", "environment": "prod", "version": "1.2"},
    ),
    "a tag may hold colons": (
        "",
        [f"digest:{_DIGEST}", "image:registry:5000/web"],
        TextMapping(),
        {"artifact": {"digest": _DIGEST, "name": "registry:5000/web"}},
    ),
    "a pattern searches the text": (
        "now web 1.2 is out",
        [],
        TextMapping(patterns=(Pattern(text="(?P<service>[a-z]+) (?P<version>[0-9.]+)"),)),
        {"service": "web", "version": "1.2"},
    ),
    "a pattern must match a whole tag": (
        "",
        ["cluster-eu-1", "my-cluster-eu-2"],
        TextMapping(patterns=(Pattern(tag="cluster-(?P<cluster>.+)"),)),
        {"target": {"cluster": "eu-1"}},
    ),
    "tags win over patterns, and those over defaults": (
        "web to prod",
        ["service:api"],
        TextMapping(
            defaults={"service": "x", "environment": "test", "owner": "team:a"},
            patterns=(Pattern(text="(?P<service>web) to (?P<environment>prod)"),),
        ),
        {"service": "api", "environment": "prod", "owner": "team:a"},
    ),
    "the first pattern that says something wins": (
        "web",
        [],
        TextMapping(
            patterns=(Pattern(text="(?P<service>w)(?P<run>z)?"), Pattern(text="(?P<service>web)"))
        ),
        {"service": "w"},
    ),
    "what no marker holds says nothing": (
        "",
        ["commit:HEAD", "digest:latest", "phase:done", "version:"],
        TextMapping(defaults={"commit": "0CDF90B"}),
        {"commit_hash": "0cdf90b"},
    ),
}


@pytest.mark.parametrize("case", SAID)
def test_what_is_said_becomes_fields(case: str) -> None:
    text, tags, mapping, wanted = SAID[case]
    check_mapping(mapping)
    assert mapped(text, tags, mapping) == wanted


def test_a_pattern_sees_no_further_than_its_bound() -> None:
    mapping = TextMapping(patterns=(Pattern(text="(?P<version>9)"),))
    assert mapped("x" * (SEARCHED_CHARACTERS - 1) + "9", [], mapping) == {"version": "9"}
    assert mapped("x" * SEARCHED_CHARACTERS + "9", [], mapping) == {}


def test_what_names_no_deployment_is_kept_as_a_change_of_the_infrastructure() -> None:
    made = marker_of("Rebooted", ["env:prod"], 61_000, TextMapping(), key="grafana")
    assert made == {
        "service": "unmapped",
        "environment": "prod",
        "kind": "infrastructure",
        "phase": "applied",
        "key": "grafana",
        "revision": revision_of("Rebooted", ["env:prod"], 119_000),
    }


def test_two_changes_without_a_text_are_told_apart_by_what_they_state() -> None:
    def revision(**stated: str | None) -> str:
        made = marker_of("", [], 0, NO_MAPPING, key="x", stated=stated)
        return str(made["revision"])

    assert revision(version="1") != revision(version="2")
    assert revision(deployer="ann") != revision(deployer="bob")
    assert revision(deployer="ann", phase="applying") == revision(deployer="ann", phase="applied")
    assert revision(deployer=None) == revision_of("", [], 0)


def test_text_tags_and_minute_make_the_revision() -> None:
    revisions = {
        revision_of(*each)
        for each in (("a", [], 0), ("b", [], 0), ("a", ["t"], 0), ("a", [], 60_000))
    }
    assert len(revisions) == 4
    assert revision_of("a", [], 0) == revision_of("a", [], 59_999)


@pytest.mark.parametrize(
    "expression",
    ["(a+)+", "(?:x(?P<version>a*)b)*", "((a|b+)c){2,}", r"(?P<version>(\w+\s?)*)$", "([^,]+,?)+"],
)
def test_an_expression_that_repeats_what_repeats_is_refused(expression: str) -> None:
    wanted = f"(?P<service>x){expression}"
    with pytest.raises(UsageError, match="for ever"):
        check_mapping(TextMapping(patterns=(Pattern(text=wanted),)))


@pytest.mark.parametrize(
    "expression",
    ["[0-9.]+", "(a|b)+c", "(?:ab){1,3}x+", r"(\+a)+", "([+*])+", "(?:a++)+", "(?=a+)b+"],
)
def test_an_ordinary_expression_is_taken(expression: str) -> None:
    check_mapping(TextMapping(patterns=(Pattern(text=f"(?P<version>{expression})"),)))


@given(st.text(), st.lists(st.text(), max_size=5), st.integers(0, 2**41))
def test_whatever_is_sent_makes_a_marker(text: str, tags: list[str], at_ms: int) -> None:
    sound = [each.encode("utf-8", "replace").decode() for each in tags]
    made = marker_of(text.encode("utf-8", "replace").decode(), sound, at_ms, TextMapping(), key="k")
    decode_marker(encode(made), MARKER)


def test_what_a_request_states_wins_over_its_text_and_that_over_a_guess() -> None:
    mapping = TextMapping(
        defaults={"environment": "prod", "cluster": "eu-1", "service": "unused"},
        patterns=(Pattern(text="(?P<service>web) is out"),),
    )
    stated = {"version": "1.2", "commit": None, "namespace": "shop", "cluster": None}
    guessed = {"service": "repository"}
    said = mapped("web is out", ["env:stage"], mapping, stated=stated, guessed=guessed)
    assert said == {
        "service": "web",
        "environment": "stage",
        "version": "1.2",
        "target": {"cluster": "eu-1", "namespace": "shop"},
    }
    assert mapped("web is out", [], mapping, stated={"service": "own"})["service"] == "own"
    said = mapped("", [], NO_MAPPING, guessed={"service": "repository", "ref": None})
    assert said == {"service": "repository"}


def test_an_address_of_a_repository_may_be_longer_than_a_name() -> None:
    address = f"https://git.example/{'group/' * 60}web"
    said = mapped("", [], NO_MAPPING, stated={"repository": address, "ref": address})
    assert said["repository"] == address
    assert len(said["ref"].encode()) == 256


def test_a_deployment_has_a_service_an_environment_and_a_subject() -> None:
    place = {"service": "web", "environment": "prod"}
    assert names_deployment({**place, "artifact": {"digest": _DIGEST}})
    assert names_deployment({**place, "commit_hash": "abcdef1"})
    assert not names_deployment(place)
    assert not names_deployment({"service": "web", "version": "1"})


def test_what_is_unmapped_keeps_what_is_known() -> None:
    assert unmapped({"service": "web", "phase": "failed"}, "flux", "r1") == {
        "service": "web",
        "environment": "unmapped",
        "phase": "failed",
        "kind": "infrastructure",
        "key": "flux",
        "revision": "r1",
    }


@pytest.mark.parametrize(
    ("revision", "subject"),
    [
        ("4B0F1A2C3D4E5F60718293A4B5C6D7E8F9012345", "commit"),
        ("1234567890123456789012345678901234567890", "commit"),
        ("f1e2d3c", "commit"),
        ("20261123", "version"),
        ("deadbeef", "version"),
        ("2.31.0", "version"),
        ("f1e2d3", "version"),
    ],
)
def test_a_revision_is_a_commit_only_where_it_looks_like_one(revision: str, subject: str) -> None:
    value = revision.lower() if subject == "commit" else revision
    assert subject_of(f" {revision} ") == {subject: value}


def test_what_is_stated_goes_before_tags_and_defaults() -> None:
    mapping = TextMapping(defaults={"environment": "prod", "owner": "team"})
    stated = {"service": "checkout", "version": None, "commit": "no commit"}
    said = marker_of("", ("service:cart", "version:7"), 0, mapping, key="x", stated=stated)
    assert said == {
        "service": "checkout",
        "environment": "prod",
        "version": "7",
        "owner": "team",
        "phase": "applied",
    }

"""What is drafted is what the server takes, and what it would refuse is refused at once."""

import contextlib
from typing import Any

import pytest
from emit_samples import DIGEST, SampleHost, fields
from hypothesis import given
from hypothesis import strategies as st

from deploymark.emit.draft import (
    EXPENDABLE,
    KNOWN,
    ORDINARY,
    PAYLOAD_BYTES,
    URGENT,
    artifact_of,
    body_of,
    draft_marker,
    priority_of,
)
from deploymark.emit.settings import DEFAULT_URL, Settings, read_settings
from deploymark.errors import DeploymarkError, IdError, MarkerError, TooLargeError
from deploymark.model import limits
from deploymark.model.ids import ids_of_marker
from deploymark.model.marker import (
    Artifact,
    Emitter,
    Evidence,
    Marker,
    Rollout,
    SchemaState,
    Target,
    decode_marker,
)
from deploymark.model.vocabulary import MARKER, Phase

_EMITTER = {"kind": "ci", "id": "https://git.example.com/deploy"}
_NOW = 1_795_000_000_000


def _draft(given: dict[str, Any], facts: dict[str, Any] | None = None) -> dict[str, Any]:
    draft = draft_marker(given, facts or {}, _EMITTER, _NOW)
    marker = decode_marker(body_of(draft.numbered("epoch", 3)), MARKER).fields()
    assert ids_of_marker(marker) == (draft.deployment_id, draft.marker_id)
    return marker


def test_the_least_marker_is_completed_with_time_and_emitter() -> None:
    assert _draft(fields(phase="applied")) == {
        **fields(phase="applied"),
        "kind": "deployment",
        "timestamp": "2026-11-18T11:06:40.000Z",
        "emitter": {**_EMITTER, "epoch": "epoch", "sequence": 3},
    }


def test_what_the_caller_says_wins_over_what_ci_says_and_null_says_nothing() -> None:
    facts = {
        "action": "github:https://github.com/acme/shop:7",
        "commit_hash": "a" * 40,
        "repository": "https://github.com/acme/shop",
        "target": {"cluster": "ci", "region": "eu"},
    }
    given = fields(
        phase=Phase.APPLIED, commit_hash="b" * 40, repository=None, target={"cluster": "eu-1"}
    )
    marker = _draft(given, facts)
    assert marker["commit_hash"] == "b" * 40
    assert marker["repository"] == "https://github.com/acme/shop"
    assert marker["target"] == {"cluster": "eu-1", "region": "eu"}
    assert marker["action"] == facts["action"]


def test_a_given_deployment_id_stays_and_a_derived_one_is_not_written() -> None:
    assert "deployment_id" not in _draft(fields(phase="applied"))
    assert _draft(fields(phase="applied", deployment_id="d-mine"))["deployment_id"] == "d-mine"


def test_aliases_are_put_where_they_belong() -> None:
    given = {
        "service": "a",
        "environment": "b",
        "phase": "applied",
        "artifact_digest": DIGEST,
        "change_ticket": "CHG1",
        "rollout_strategy": "canary",
    }
    marker = _draft(given)
    assert marker["artifact"] == {"digest": DIGEST}
    assert marker["change_tickets"] == ["CHG1"]
    assert marker["rollout"] == {"strategy": "canary"}


_ARTIFACTS = {
    DIGEST: {"digest": DIGEST},
    f"shop/checkout@{DIGEST}": {"name": "shop/checkout", "digest": DIGEST},
    f"r.example:5000/shop:2.31@{DIGEST}": {
        "name": "r.example:5000/shop",
        "tag": "2.31",
        "digest": DIGEST,
    },
    "r.example:5000/shop": {"name": "r.example:5000/shop"},
    "shop:2.31": {"name": "shop", "tag": "2.31"},
}


@pytest.mark.parametrize("text", _ARTIFACTS)
def test_an_artifact_is_read_as_people_write_it(text: str) -> None:
    assert artifact_of(text) == _ARTIFACTS[text]


@pytest.mark.parametrize("text", ["shop@sha256:abc", "sha256:ABC", "shop@", f"a@{DIGEST}0"])
def test_a_digest_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(MarkerError):
        artifact_of(text)


_FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "no service": ({"service": None}, "/service", "required"),
    "an empty service": ({"service": ""}, "/service", ""),
    "a service that is no text": ({"service": 7}, "/service", ""),
    "no environment": ({"environment": None}, "/environment", "required"),
    "a phase misspelt": ({"phase": "aplied"}, "/phase", "`applied`"),
    "a phase that is no text": ({"phase": 7}, "/phase", ""),
    "a kind misspelt": ({"kind": "flag"}, "/kind", "`feature_flag`"),
    "a strategy": ({"rollout": {"strategy": "blue-green"}}, "/rollout/strategy", "`blue_green`"),
    "an unknown field": ({"servise": "a"}, "/servise", "`service`"),
    "a field of an inner object": ({"cluster": "a"}, "/cluster", "`/target/cluster`"),
    "an unknown inner field": ({"target": {"clutser": "a"}}, "/target/clutser", "`cluster`"),
    "an object that is none": ({"target": "eu"}, "/target", ""),
    "a digest in capitals": (
        {"artifact": {"digest": DIGEST.upper()}},
        "/artifact/digest",
        "",
    ),
    "a commit that is a branch": ({"commit_hash": "main"}, "/commit_hash", ""),
    "the emitter's own numbers": ({"emitter": {"sequence": 7}}, "/emitter/sequence", "Leave"),
    "a time that is a number": ({"timestamp": 7}, "/timestamp", ""),
    "two tickets that differ": (
        {"change_ticket": "A", "change_tickets": ["B"]},
        "/change_ticket",
        "",
    ),
    "two digests that differ": (
        {"artifact_digest": "sha256:" + "b" * 64},
        "/artifact_digest",
        "/artifact/digest",
    ),
}


@pytest.mark.parametrize("name", _FAULTS)
def test_a_fault_is_named_with_its_place_and_the_nearest_right_word(name: str) -> None:
    given, field, hint = _FAULTS[name]
    with pytest.raises(MarkerError) as raised:
        _draft({**fields(phase="applied"), **given})
    assert raised.value.field == field
    assert hint in raised.value.hint
    assert field in raised.value.message


def test_a_marker_that_identifies_nothing_is_refused() -> None:
    with pytest.raises(IdError):
        _draft({"service": "a", "environment": "b", "phase": "applied"})


def test_a_marker_that_is_too_large_is_refused() -> None:
    with pytest.raises(TooLargeError):
        _draft(fields(phase="applied", reason="x" * PAYLOAD_BYTES))
    with pytest.raises(TooLargeError):
        _draft(fields(phase="applied", service="é" * 200))


_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted(KNOWN)) | st.text(max_size=9), _values, max_size=6))
def test_whatever_is_given_is_drafted_or_refused_in_our_words(given: dict[str, Any]) -> None:
    with contextlib.suppress(DeploymarkError):
        draft = draft_marker({**fields(phase="applied"), **given}, {}, _EMITTER, _NOW)
        body_of(draft.numbered("epoch", 0))


def test_the_known_fields_are_those_of_the_typed_marker() -> None:
    assert set(KNOWN) == set(Marker.__struct_fields__)
    inner = {
        "artifact": Artifact,
        "target": Target,
        "rollout": Rollout,
        "schema": SchemaState,
        "evidence": Evidence,
        "emitter": Emitter,
    }
    assert {name: set(known) for name, known in KNOWN.items() if known} == {
        name: set(struct.__struct_fields__) for name, struct in inner.items()
    }
    assert PAYLOAD_BYTES == limits.PAYLOAD_BYTES


_PRIORITIES = {
    ("prod", "running"): URGENT,
    ("eu-Production", "planned"): URGENT,
    ("staging", "failed"): URGENT,
    ("staging", "rolled_back"): URGENT,
    ("staging", "applied"): ORDINARY,
    ("reproduction", "applied"): ORDINARY,
    ("staging", "running"): EXPENDABLE,
}


@pytest.mark.parametrize("case", _PRIORITIES)
def test_production_and_failures_matter_most(case: tuple[str, str]) -> None:
    environment, phase = case
    assert priority_of({"environment": environment, "phase": phase}) == _PRIORITIES[case]


# Settings -----------------------------------------------------------------------------------------

_TEMPORARY = "/tmp"  # noqa: S108 - where temporary files are unless TMPDIR says otherwise
_SPOOLS = {
    "the one that is named": ({"DEPLOYMARK_SPOOL": "here", "HOME": "/h"}, "here"),
    "the state directory": ({"XDG_STATE_HOME": "/s/", "HOME": "/h"}, "/s/deploymark/spool"),
    "not a relative one": (
        {"XDG_STATE_HOME": "s", "HOME": "/h"},
        "/h/.local/state/deploymark/spool",
    ),
    "without home": ({"TMPDIR": "/t"}, "/t/deploymark-spool-7"),
    "a home that is the root": ({"HOME": "/"}, f"{_TEMPORARY}/deploymark-spool-7"),
}


@pytest.mark.parametrize("name", _SPOOLS)
def test_the_spool_is(name: str) -> None:
    variables, path = _SPOOLS[name]
    assert read_settings(variables, 7).spool == path


def test_settings_are_read_and_secrets_are_not_shown() -> None:
    read = read_settings(
        {
            "DEPLOYMARK_URL": "https://d.example",
            "DEPLOYMARK_TOKEN": "dmk_id_secret\n",
            "DEPLOYMARK_KEY": "ci.pem",
            "DEPLOYMARK_KEY_PASSPHRASE": "hunter2",
            "DEPLOYMARK_ALLOW_PLAIN_HTTP": "Yes",
            "https_proxy": "http://u:proxypass@p:1",
            "HOME": "/h",
        },
        7,
    )
    assert read.token == "dmk_id_secret"  # noqa: S105 - an example
    assert read.allow_plain_http
    assert read.proxy
    assert not any(secret in repr(read) for secret in ("secret", "hunter2", "proxypass"))


def test_without_any_variable_the_defaults_hold() -> None:
    assert read_settings({"DEPLOYMARK_URL": ""}, 7) == Settings(
        url=DEFAULT_URL, spool=f"{_TEMPORARY}/deploymark-spool-7"
    )
    assert SampleHost().fraction() < 1

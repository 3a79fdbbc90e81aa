"""Each fault changes what is sent as its name says, and what must be seen because of it."""

from collections.abc import Callable
from functools import cache

import pytest

from deploymark.model.ids import ids_of_marker
from deploymark.model.vocabulary import FindingCode
from deploymark.testing.gameday.fault import Injection
from deploymark.testing.gameday.faults import ALL
from deploymark.testing.gameday.message import Message, Seal
from deploymark.testing.gameday.plan import Day, Size, plan_day
from deploymark.testing.gameday.witnesses import identify

Check = Callable[[list[Message], Injection], object]


@cache
def the_day() -> Day:
    """Return the day, which is planned by who needs it first: not by every worker."""
    return plan_day(Size(deployments=300, faults=84, services=15), seed=11, name="day")


@cache
def by_number() -> dict[int, list[Message]]:
    """Return what is said about each deployment."""
    found: dict[int, list[Message]] = {}
    for message in the_day().messages:
        found.setdefault(message.deploy, []).append(message)
    return found


def _kinds(said: list[Message]) -> set[str]:
    return {each.emitter.kind.value for each in said}


def _bases(said: list[Message]) -> set[str]:
    return {each.fields["evidence"]["basis"] for each in said if each.phase == "running"}


def _lateness(said: list[Message]) -> float:
    return max(each.leaves_at - each.at for each in said) / the_day().timing.compression


def _observed(said: list[Message]) -> set[str]:
    return {each.fields["evidence"]["digest"] for each in said if "evidence" in each.fields}


CHECKS: dict[str, tuple[set[str], Check]] = {
    "CI lost": ({"unplanned_change"}, lambda said, _: "ci" not in _kinds(said)),
    "orchestrator lost": (
        set(),
        lambda said, _: (
            not any(e.emitter.kind == "orchestrator" and e.phase != "removed" for e in said)
        ),
    ),
    "runtime lost": (set(), lambda said, _: "runtime" not in _kinds(said)),
    "sequence gap": (
        {"marker_missing"},
        lambda said, _: [each.phase for each in said if each.lost] == ["applying"],
    ),
    "lost intent": (
        {"intent_unconfirmed"},
        lambda said, _: {each.phase for each in said} <= {"planned", "applying"},
    ),
    "delayed": ({"marker_stale"}, lambda said, _: _lateness(said) > the_day().timing.stale_seconds),
    "CI cut off": (
        {"marker_stale"},
        lambda said, _: (
            min(e.leaves_at - e.at for e in said if e.emitter.kind == "ci") > 0
            and _lateness(said) > the_day().timing.stale_seconds
        ),
    ),
    "orchestrator cut off": (
        {"marker_stale"},
        lambda said, _: _lateness(said) > the_day().timing.stale_seconds,
    ),
    "clock ahead": (
        {"clock_skew"},
        lambda said, _: {e.clock_off_seconds for e in said if e.emitter.kind == "ci"} == {600},
    ),
    "clock behind": (
        {"clock_skew"},
        lambda said, _: sorted(e.clock_off_seconds for e in said)[:2] == [-600, 0],
    ),
    "duplicates": (
        set(),
        lambda said, _: {each.copies for each in said if each.phase != "removed"} == {3},
    ),
    "retried elsewhere": (
        set(),
        lambda said, _: [each.answers for each in said].count(frozenset({200})) == 3,
    ),
    "conflicting retry": (
        {"marker_conflict"},
        lambda said, _: len({e.fields["commit_hash"] for e in said if e.phase == "planned"}) == 2,
    ),
    "forged": (
        {"marker_forged"},
        lambda said, _: [each.seal for each in said].count(Seal.SPOILT) == 1,
    ),
    "unknown key": (
        {"marker_unauthorised"},
        lambda said, _: [each.seal for each in said].count(Seal.STRANGER) == 1,
    ),
    "out of scope": (
        {"marker_unauthorised"},
        lambda said, _: sum(each.caller.startswith("outsider") for each in said) == 1,
    ),
    "wrong digest": ({"digest_mismatch"}, lambda said, _: len(_observed(said)) == 2),
    "tag without digest": (
        {"artifact_unresolved"},
        lambda said, _: (
            not any("digest" in e.fields["artifact"] for e in said if e.emitter.kind == "ci")
        ),
    ),
    "declared only": ({"binding_unproven"}, lambda said, _: _bases(said) == {"declared"}),
    "silent zone": (
        {"rollout_partial", "marker_missing", "instance_unmarked"},
        lambda said, injection: (
            {each.instance_uid for each in said if each.instance_uid}
            == {each.uid for each in injection.deploy.born if not each.silent}
        ),
    ),
    "silent cluster": (
        {"rollout_partial", "marker_missing", "instance_unmarked"},
        lambda said, injection: (
            injection.deploy.lane.sites[-1].cluster not in {each.cluster for each in said}
        ),
    ),
}


def test_the_table_names_every_fault() -> None:
    assert CHECKS.keys() == {each.name for each in ALL}


@pytest.mark.parametrize("name", CHECKS)
def test_what_is_sent_and_must_be_found(name: str) -> None:
    codes, is_spoilt = CHECKS[name]
    injections = [each for each in the_day().injections if each.fault == name]
    assert injections
    for injection in injections:
        assert is_spoilt(by_number()[injection.deploy.number], injection)
        wanted = {code for finding in injection.findings for code in finding.codes}
        assert wanted == {FindingCode(code) for code in codes}
        for each in injection.wanted:
            assert each.since >= injection.deploy.starts


def test_what_must_be_seen_is_seen_in_the_record_of_the_deployment_that_was_sent() -> None:
    for injection in the_day().injections:
        said = by_number()[injection.deploy.number]
        assert injection.record is not None
        assert injection.record.id in {ids_of_marker(each.fields)[0] for each in said}


def test_a_tag_without_digest_gives_the_id_of_its_commit() -> None:
    tagged = [each for each in the_day().injections if each.fault == "tag without digest"]
    for injection in tagged:
        planned = next(e for e in by_number()[injection.deploy.number] if e.phase == "planned")
        assert ids_of_marker(planned.fields)[0] == identify(injection.deploy)


def test_the_other_deploys_are_told_as_on_a_day_without_faults() -> None:
    day: Day = the_day()
    faulty = {each.deploy.number for each in day.injections}
    for number, said in by_number().items():
        if number in faulty:
            continue
        assert not any(each.lost or each.clock_off_seconds for each in said)
        # Instances that end while something is cut off or repeated belong to the deploy before.
        own = [each for each in said if each.phase != "removed"]
        assert {each.copies for each in own} == {1}
        assert all(each.leaves_at == each.at for each in own)

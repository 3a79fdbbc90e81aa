"""Whatever is told: lists add up to the measures, entries prove the items, and replays agree."""

import pathlib
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

from broker_markers import MINUTE, ci, orchestrated
from hypothesis import given, settings
from hypothesis import strategies as st
from outcome_stories import Story, decision, named, summed, verdict

from deploymark.model.instants import format_instant
from deploymark.model.vocabulary import DECISION, MARKER, VERDICT
from deploymark.projections.logged import LoggedEntry, read_entry
from deploymark.projections.outcomes_query import COUNTERS
from deploymark.testing.clock import START_MS

PHASES = ("planned", "applying", "applied", "promoted", "failed", "rolling_back", "rolled_back")
Told = tuple[str, str, dict[str, Any]]

releases = st.sampled_from(["v1", "v2", "v3"])
environments = st.sampled_from(["prod", "prod", "eu-live", "staging"])
markers = st.builds(
    lambda phase, release, environment, weight, run: (
        MARKER,
        release,
        ci(phase, release, weight=weight, run=run, environment=environment),
    ),
    st.sampled_from(PHASES),
    releases,
    environments,
    st.sampled_from([None, 25, 100]),
    st.sampled_from([None, None, "again"]),
)
evidence = st.builds(
    lambda release, environment: (
        MARKER,
        release,
        orchestrated("applied", release, environment=environment),
    ),
    releases,
    environments,
)
verdicts = st.builds(
    lambda release, result, environment, reasons: (
        VERDICT,
        release,
        verdict(
            named(ci("applied", release, environment=environment)),
            result,
            environment=environment,
            reasons=reasons,
        ),
    ),
    releases,
    st.sampled_from(["pass", "fail", "inconclusive"]),
    environments,
    st.sampled_from([[], ["burn"], ["no_data"]]),
)
decisions = st.builds(
    lambda release, action, stage, environment, outcome, follows, numbered: (
        DECISION,
        release,
        decision(
            named(ci("applied", release, environment=environment))[: None if numbered else -2],
            action,
            stage,
            environment=environment,
            reason="burn",
            **({"outcome": outcome} if stage == "outcome" else {}),
            **({} if follows is None else {"decision_index": follows}),
        ),
    ),
    releases,
    st.sampled_from(["promote", "roll_back", "roll_back", "pause", "approve"]),
    st.sampled_from(["decided", "approved", "executed", "outcome", "outcome"]),
    environments,
    st.sampled_from(["succeeded", "failed", "unknown"]),
    st.none() | st.integers(0, 25),
    st.booleans(),
)
logs = st.lists(
    st.tuples(markers | markers | evidence | verdicts | decisions, st.integers(0, 600)), max_size=25
)


@contextmanager
def stories(*batches: int, told: list[tuple[Told, int]]) -> Iterator[Story]:
    """Tell a log; the views take it in at these sizes, and at its end."""
    with TemporaryDirectory(prefix="outcomes-") as folder:
        story, minutes = Story(pathlib.Path(folder)), 0
        for size, ((payload_type, _, fields), wait) in enumerate(told, 1):
            minutes += wait
            story.write(fields, minutes * MINUTE, payload_type)
            if size in batches:
                story.log.runner.catch_up()
        story.log.runner.catch_up()
        yield story
        story.close()


@given(logs, st.integers(1, 4), st.integers(0, 15_000))
@settings(max_examples=30)
def test_the_lists_add_up_to_the_measures(
    told: list[tuple[Told, int]], limit: int, until: int
) -> None:
    windows: list[dict[str, Any]] = [
        {},
        {"environment": ("staging", "eu-live")},
        {"until": format_instant(START_MS + until * MINUTE * 1_000)},
    ]
    with stories(told=told) as story:
        assert not [name for name in story.log.meter.counts if "skipped" in name]
        for asked in windows:
            shares = story.shares(**asked)
            assert shares.keys() == COUNTERS.keys()
            for measure, share in shares.items():
                items = story.items(measure, limit, **asked)
                assert summed(items) == share, measure
                places = [(item["at"], item["index"]) for item in items]
                assert places == sorted(set(places), reverse=True), measure


@given(logs)
@settings(max_examples=20)
def test_every_item_is_proven_by_entries_of_the_log(told: list[tuple[Told, int]]) -> None:
    with stories(told=told) as story:
        store = story.log.store
        entries = [read_entry(each) for each in store.entries(0, store.head().size)]
        for measure in COUNTERS:
            for item in story.items(measure, 50):
                assert item["index"] in [each["index"] for each in item["entries"]], item
                for each in item["entries"]:
                    proves(entries[each["index"]], each["says"])


def proves(entry: LoggedEntry, says: str) -> None:
    """Fail unless an entry says what an item says that it does."""
    said: Any = entry.content
    match says:
        case "live" | "rolled back: return":
            assert said.phase in {"applied", "promoted"}
        case "failed" if entry.type == "marker":
            assert said.phase == "failed"
        case "rolled back: marker":
            assert said.phase in {"rolling_back", "rolled_back"}
        case "rolled back: decision":
            assert (said.action, said.outcome) == ("roll_back", "succeeded")
        case "pass" | "fail":
            assert said.result == says
        case "breached":
            assert "burn" in (said.reasons if entry.type == "verdict" else said.reason)
        case "decided":
            assert said.action in {"promote", "roll_back"}
        case _:
            assert said.outcome == says


@given(logs)
@settings(max_examples=30)
def test_canaries_and_rollbacks_are_as_a_plain_recount_of_the_log_has_them(
    told: list[tuple[Told, int]],
) -> None:
    canaries: dict[tuple[str, str], str] = {}
    ended: dict[int, str] = {}
    roots: dict[int, int] = {}
    actions: dict[int, str] = {}
    for index, ((payload_type, _, said), _) in enumerate(told):
        environment = said["environment"]
        if payload_type == VERDICT and said["result"] != "inconclusive":
            key = (said["deployment_id"], environment)
            canaries[key] = "fail" if canaries.get(key) == "fail" else said["result"]
        if payload_type != DECISION or said["action"] == "pause":
            continue
        root = roots.get(said.get("decision_index", -1))
        if said["action"] != "approve" and (root is None or actions[root] != said["action"]):
            root = index
            actions[root] = said["action"]
        if root is None:
            continue
        roots[index] = root
        same = actions[root] == said["action"]
        if same and "outcome" in said and ended.get(root) != "succeeded":
            ended[root] = said["outcome"]
    production = [result for (_, where), result in canaries.items() if where != "staging"]
    rollbacks = [
        ended[root]
        for root, action in actions.items()
        if action == "roll_back" and root in ended and told[root][0][2]["environment"] != "staging"
    ]
    with stories(told=told) as story:
        assert story.share("M6") == (production.count("pass"), len(production))
        assert sorted(story.results("M11")) == sorted(rollbacks)


@given(logs, st.sets(st.integers(1, 24), max_size=6))
@settings(max_examples=20)
def test_a_replay_ends_with_the_same_rows_byte_for_byte(
    told: list[tuple[Told, int]], batches: set[int]
) -> None:
    with stories(told=told) as whole, stories(*batches, told=told) as fed:
        assert fed.dump() == whole.dump()
        with TemporaryDirectory(prefix="outcomes-") as folder:
            again = Story(pathlib.Path(folder), fed.log.store)
            assert again.dump() == fed.dump()
            assert again.shares() == fed.shares()
            again.close()


def test_more_than_one_page_of_the_sum_is_added_up(tmp_path: pathlib.Path) -> None:
    story = Story(tmp_path)
    for number in range(1_003):
        story.write(verdict(f"d-{number:04}~1", "pass"), number, VERDICT)
    story.log.runner.catch_up()
    assert story.share("M6") == (1_003, 1_003)
    story.close()

"""What came of deployments, canaries, rollbacks and promotions: what the log proves."""

from typing import Any

import pytest
from broker_markers import DAY, HOUR, MINUTE, ci, gone, id_of, orchestrated, pod
from outcome_stories import (
    Story,
    canary,
    decision,
    moment,
    named,
    summed,
    tell_the_example,
    verdict,
)

from deploymark.model.vocabulary import DECISION, VERDICT
from deploymark.projections.outcomes_query import COUNTERS
from generated_pages import ROOT

# The examples of docs/reference/measures.md ------------------------------------------------------


EXAMPLE = {"M1": (2, 5), "M6": (1, 2), "M7": (2, 5), "M9": (1, 5), "M11": (1, 2), "M14": (2, 3)}


@pytest.mark.parametrize("measure", COUNTERS)
def test_the_example_of_the_docs_is_counted_as_there(story: Story, measure: str) -> None:
    tell_the_example(story)
    assert story.share(measure) == EXAMPLE[measure]
    assert summed(story.items(measure)) == EXAMPLE[measure]


@pytest.mark.parametrize("measure", COUNTERS)
def test_the_docs_say_what_the_example_comes_to(measure: str) -> None:
    page = (ROOT / "docs" / "reference" / "measures.md").read_text(encoding="utf-8")
    part = page.partition(f"## {measure}: ")[2].partition("\n## ")[0]
    numerator, denominator = EXAMPLE[measure]
    assert f"In the example: {numerator} / {denominator}." in " ".join(part.split())


def test_the_times_of_the_example_are_those_of_the_docs(story: Story) -> None:
    tell_the_example(story)
    assert story.reading("M11").seconds == (240.0, 1_200.0, 600)
    assert [item["seconds"] for item in story.items("M11")] == [1_200.0, 240.0]


def test_the_example_tells_what_came_of_each(story: Story) -> None:
    tell_the_example(story)
    outcomes = ["succeeded", "failed", "rolled_back", "rolled_back", "succeeded"]
    assert story.results("M1") == story.results("M7") == outcomes
    assert story.results("M9") == ["kept", "kept", "kept", "breached", "kept"]
    assert story.results("M14") == ["rolled_back", "succeeded", "succeeded"]
    assert story.results("M6") == ["fail", "pass"]


# Deployments -------------------------------------------------------------------------------------


def test_an_item_names_the_entries_that_an_auditor_looks_up(story: Story) -> None:
    story.say(ci("planned"), 0)
    live = story.say(ci("applied"), MINUTE)
    _, undone = story.carry_out(ci("applied"), "roll_back", HOUR)
    assert story.items("M1") == [
        {
            "index": live,
            "at": moment(MINUTE),
            "service": "checkout",
            "environment": "prod",
            "deployment_id": named(ci("applied")),
            "result": "rolled_back",
            "numerator": 0,
            "denominator": 1,
            "entries": [
                {"index": live, "says": "live"},
                {"index": undone, "says": "rolled back: decision"},
            ],
        }
    ]


def test_markers_alone_say_that_a_deployment_was_rolled_back(story: Story) -> None:
    story.say(ci("applied"), 0)
    index = story.say(ci("rolled_back"), HOUR)
    (item,) = story.items("M7")
    assert (item["result"], item["numerator"]) == ("rolled_back", 1)
    assert item["entries"][1] == {"index": index, "says": "rolled back: marker"}


def test_a_rollback_that_has_begun_is_one_until_it_is_given_up(story: Story) -> None:
    story.say(ci("applied"), 0)
    story.say(ci("rolling_back"), HOUR)
    assert story.share("M7") == (1, 1)
    story.say(ci("applied", place="eu"), 2 * HOUR)
    assert story.share("M7") == (0, 1)


def test_returning_to_what_ran_before_is_a_rollback_and_no_deployment(story: Story) -> None:
    story.say(ci("applied", "v1"), 0)
    story.say(ci("applied", "v2"), HOUR)
    back = story.say(ci("applied", "v1", run="again"), 2 * HOUR)
    assert story.results("M1") == ["rolled_back", "succeeded"]
    assert story.items("M1")[0]["entries"][-1] == {"index": back, "says": "rolled back: return"}


def test_a_deployment_that_failed_in_one_place_did_not_succeed(story: Story) -> None:
    story.say(ci("applied", place="us"), 0)
    failed = story.say(ci("failed", place="eu"), MINUTE)
    (item,) = story.items("M1")
    assert (item["result"], item["entries"][1]) == ("failed", {"index": failed, "says": "failed"})
    assert story.share("M7") == (0, 1)


def test_what_is_not_live_yet_or_was_superseded_before_is_left_out(story: Story) -> None:
    story.say(ci("planned", "v1"), 0)
    story.say(canary("applied", "v2"), MINUTE)
    story.say(ci("applied", "v3"), HOUR)
    story.say(ci("planned", "v4"), 2 * HOUR)
    assert [item["deployment_id"] for item in story.items("M1")] == [named(ci("applied", "v3"))]


def test_changes_that_are_no_deployments_are_left_out(story: Story) -> None:
    flag: dict[str, Any] = {"kind": "feature_flag", "key": "new-cart", "revision": "on"}
    story.say(ci("applied", artifact=None, commit_hash=None, action=None, **flag), 0)
    assert story.share("M1") == (0, 0)


def test_an_orchestrator_completes_what_a_pipeline_began(story: Story) -> None:
    story.say(ci("planned"), 0)
    live = story.say(orchestrated("applied"), MINUTE)
    story.say(pod("uid-1"), 2 * MINUTE)
    story.say(gone("uid-1"), 3 * MINUTE)
    assert [(i["index"], i["deployment_id"]) for i in story.items("M1")] == [
        (live, named(ci("planned")))
    ]


def test_a_canary_without_markers_of_its_rollback_is_counted_by_the_decision(story: Story) -> None:
    story.say(canary("applied", "v2"), 0)
    _, undone = story.carry_out(ci("applied", "v2"), "roll_back", MINUTE)
    (item,) = story.items("M1")
    assert (item["result"], item["index"]) == ("rolled_back", undone)
    assert story.share("M9") == (0, 1)


def test_a_canary_that_both_say_was_rolled_back_names_both(story: Story) -> None:
    story.say(canary("applied", "v2"), 0)
    _, decided = story.carry_out(ci("applied", "v2"), "roll_back", MINUTE)
    marked = story.say(canary("rolled_back", "v2"), HOUR)
    (item,) = story.items("M7")
    assert (item["index"], item["numerator"]) == (marked, 1)
    assert item["entries"] == [
        {"index": marked, "says": "rolled back: marker"},
        {"index": decided, "says": "rolled back: decision"},
    ]


def test_a_rollback_that_failed_or_was_only_decided_takes_nothing_back(story: Story) -> None:
    story.say(ci("applied"), 0)
    story.decide(ci("applied"), "roll_back", "decided", MINUTE)
    story.carry_out(ci("applied"), "roll_back", HOUR, how="failed")
    assert story.share("M1") == (1, 1)


def test_a_decision_under_another_id_of_a_deployment_counts_for_it(story: Story) -> None:
    early = ci("planned", artifact=None)
    story.say(early, 0)
    story.say(ci("applied"), MINUTE)
    assert id_of(early) != id_of(ci("applied"))
    story.carry_out(early, "roll_back", HOUR)
    assert story.results("M1") == ["rolled_back"]


def test_a_decision_that_names_no_occurrence_means_the_latest_of_its_time(story: Story) -> None:
    story.say(ci("applied"), 0)
    story.say(ci("failed"), HOUR)
    story.say(ci("applied"), 2 * HOUR, occurrence=2)
    decided = decision(id_of(ci("applied")), "roll_back", "outcome", outcome="succeeded")
    story.say(decided, 3 * HOUR, DECISION)
    assert story.results("M1") == ["rolled_back", "failed"]


def test_an_occurrence_that_opens_later_is_not_meant(story: Story) -> None:
    story.say(ci("applied"), 0)
    decided = decision(id_of(ci("applied")), "roll_back", "outcome", outcome="succeeded")
    story.say(decided, HOUR, DECISION)
    story.say(ci("removed"), 2 * HOUR)
    story.say(ci("applied"), 3 * HOUR, occurrence=2)
    assert story.results("M1") == ["succeeded", "rolled_back"]


def test_a_canary_that_never_was_live_may_be_named_without_occurrence(story: Story) -> None:
    story.say(canary("applied", "v2"), 0)
    decided = decision(id_of(ci("applied", "v2")), "roll_back", "outcome", outcome="succeeded")
    index = story.say(decided, HOUR, DECISION)
    assert [(i["index"], i["result"]) for i in story.items("M1")] == [(index, "rolled_back")]


def test_whoever_deploys_can_say_what_is_taken_back(story: Story) -> None:
    story.say(ci("applying"), 0)
    story.say(ci("failed"), HOUR)
    story.say(ci("applied"), 2 * HOUR, occurrence=2)
    story.say(ci("applied", "fixed", rollout={"rollback_of": id_of(ci("applied"))}), 3 * HOUR)
    assert story.results("M1") == ["rolled_back", "failed"]


def test_the_first_rollback_that_succeeded_is_the_one(story: Story) -> None:
    story.say(ci("applied"), 0)
    _, first = story.carry_out(ci("applied"), "roll_back", HOUR)
    story.carry_out(ci("applied"), "roll_back", 2 * HOUR)
    assert story.items("M7")[0]["entries"][-1]["index"] == first
    assert story.share("M11")[1] == 2


def test_each_occurrence_is_counted_by_itself(story: Story) -> None:
    story.say(ci("applying"), 0)
    story.say(ci("failed"), HOUR)
    story.say(ci("applied"), 2 * HOUR, occurrence=2)
    assert [i["deployment_id"][-2:] for i in story.items("M1")] == ["~2", "~1"]
    assert story.share("M1") == (1, 2)


# SLO breaches ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        ("verdict", {"result": "fail", "reasons": ["burn"]}),
        (
            "verdict",
            {"result": "fail", "metrics": [{"name": "burn", "log_e_fail": 5, "log_e_pass": 0}]},
        ),
        ("decision", {"action": "pause", "reason": "errors burn 3 times the budget"}),
        ("decision", {"action": "roll_back", "reason": "burn above 2"}),
    ],
)
def test_a_budget_that_burns_is_laid_to_the_deployment_once(
    story: Story, said: tuple[str, dict[str, Any]]
) -> None:
    story.say(ci("applied"), 0)
    kind, more = said
    for at in (HOUR, 2 * HOUR):
        if kind == "verdict":
            story.say(verdict(named(ci("applied")), **more), at, VERDICT)
        else:
            story.say(decision(named(ci("applied")), stage="decided", **more), at, DECISION)
    (item,) = story.items("M9")
    assert (item["result"], item["numerator"]) == ("breached", 1)
    assert item["entries"][-1] == {"index": 1, "says": "breached"}


@pytest.mark.parametrize(
    "said",
    [
        verdict(named(ci("applied")), "inconclusive", reasons=["burn"]),
        verdict(named(ci("applied")), "fail", reasons=["errors"]),
        decision(named(ci("applied")), "pause", "decided", actor="anna", reason="CPUs burn"),
        decision(named(ci("applied")), "pause", "decided", reason="burning issue"),
        decision(named(ci("applied")), "resume", "decided", reason="no burn"),
    ],
)
def test_what_does_not_say_so_is_no_breach(story: Story, said: dict[str, Any]) -> None:
    story.say(ci("applied"), 0)
    story.say(said, HOUR, VERDICT if "result" in said else DECISION)
    assert story.share("M9") == (0, 1)


def test_a_canary_that_burns_is_counted_before_it_settles(story: Story) -> None:
    story.say(canary("applied", "v1"), 0)
    index = story.judge(ci("applied", "v1"), "fail", HOUR, reasons=["burn"])
    assert [(i["index"], i["numerator"]) for i in story.items("M9")] == [(index, 1)]
    assert story.share("M1") == (0, 0)


# Canaries, rollbacks and promotions --------------------------------------------------------------


def test_a_canary_that_failed_once_did_not_pass(story: Story) -> None:
    story.judge(ci("applied"), "pass", 0)
    failed = story.judge(ci("applied"), "fail", MINUTE)
    story.judge(ci("applied"), "fail", 2 * MINUTE)
    story.judge(ci("applied"), "pass", HOUR)
    (item,) = story.items("M6")
    assert (item["result"], item["index"], item["at"]) == ("fail", failed, moment(MINUTE))


def test_a_canary_of_which_nothing_is_known_is_left_out(story: Story) -> None:
    story.judge(ci("applied"), "inconclusive", 0, reasons=["low_traffic"])
    assert story.share("M6") == (0, 0)


def test_a_rollback_takes_from_the_first_failing_verdict(story: Story) -> None:
    failed = story.judge(ci("applied"), "fail", 0)
    story.judge(ci("applied"), "fail", MINUTE)
    first, last = story.carry_out(ci("applied"), "roll_back", 2 * MINUTE, 8 * MINUTE)
    (item,) = story.items("M11")
    assert (item["seconds"], item["numerator"]) == (600.0, 1)
    assert [entry["index"] for entry in item["entries"]] == [failed, first, last]


def test_a_rollback_without_a_verdict_takes_from_the_decision(story: Story) -> None:
    story.carry_out(ci("applied"), "roll_back", MINUTE, 601)
    assert [(i["seconds"], i["numerator"]) for i in story.items("M11")] == [(601.0, 0)]


def test_the_stages_of_a_decision_are_one_whoever_approves(story: Story) -> None:
    first = story.decide(ci("applied"), "roll_back", "decided", 0)
    approved = story.decide(
        ci("applied"), "approve", "approved", 10, decision_index=first, actor="anna"
    )
    done = story.decide(ci("applied"), "roll_back", "executed", 20, decision_index=approved)
    more = {"decision_index": done, "outcome": "unknown"}
    story.decide(ci("applied"), "roll_back", "outcome", 30, **more)
    assert story.results("M11") == ["unknown"]
    assert story.share("M11") == (0, 1)
    more["outcome"] = "succeeded"
    story.decide(ci("applied"), "roll_back", "outcome", 40, **more)
    more["outcome"] = "failed"  # what succeeded stays so
    story.decide(ci("applied"), "roll_back", "outcome", 50, **more)
    assert [(i["result"], i["seconds"]) for i in story.items("M11")] == [("succeeded", 40.0)]


def test_a_rollback_that_names_another_decision_is_one_of_its_own(story: Story) -> None:
    promoted, _ = story.carry_out(ci("applied"), "promote", 0)
    more = {"decision_index": promoted, "outcome": "succeeded"}
    story.decide(ci("applied"), "roll_back", "outcome", HOUR, **more)
    assert story.share("M11") == (1, 1)
    assert story.results("M14") == ["rolled_back"]


def test_no_rollback_has_no_median(story: Story) -> None:
    story.carry_out(ci("applied"), "roll_back", 0, how="failed")
    assert story.reading("M11").seconds == (None, None, 600)


@pytest.mark.parametrize(("hours", "result"), [(23.9, "rolled_back"), (24.1, "succeeded")])
def test_a_promotion_must_hold_for_a_day(story: Story, hours: float, result: str) -> None:
    story.say(ci("applied"), 0)
    story.carry_out(ci("applied"), "promote", 0, 60)
    story.say(ci("rolled_back"), 60 + hours * HOUR)
    assert story.results("M14") == [result]


def test_what_happened_before_or_to_another_occurrence_spoils_no_promotion(story: Story) -> None:
    story.carry_out(ci("applied"), "roll_back", 0)
    story.say(ci("applied"), HOUR)
    story.carry_out(ci("applied"), "promote", HOUR)
    story.say(ci("removed"), 2 * HOUR)
    story.say(ci("applied"), 3 * HOUR, occurrence=2)
    story.say(ci("rolled_back"), 4 * HOUR, occurrence=2)
    assert story.results("M14") == ["succeeded"]


def test_a_promotion_that_failed_is_counted_when_its_day_is_over(story: Story) -> None:
    story.carry_out(ci("applied"), "promote", 0, 60, how="failed")
    assert story.share("M14", until=moment(DAY + 60)) == (0, 0)
    assert story.share("M14", until=moment(DAY + 61)) == (0, 1)


def test_a_canary_that_made_room_for_a_newer_one_was_not_rolled_back(story: Story) -> None:
    story.say(canary("applied", "v2"), 0)
    newer = {"superseded_by": named(ci("applied", "v3"))}
    first = story.decide(ci("applied", "v2"), "roll_back", "decided", MINUTE, **newer)
    stages = {"decision_index": first, "outcome": "succeeded"}
    story.decide(ci("applied", "v2"), "roll_back", "outcome", 2 * MINUTE, **newer, **stages)
    assert "rolled_back" not in story.results("M1")
    assert story.share("M7") == (0, 0)

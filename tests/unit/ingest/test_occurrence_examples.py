"""The worked examples of the specification that are decided when a marker is admitted.

The numbers are those of spec/identity.md. What a fold decides later (rollback, findings, joins)
is not asked here.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from occurrence_script import Happened, Story, marker

A, B = "release-a", "release-b"


@pytest.fixture
def story() -> Iterator[Story]:
    with Story() as told:
        yield told
        assert told.log.faults() == []


def occurrences(*said: Happened) -> list[int]:
    assert [one.refused for one in said] == [""] * len(said)
    return [one.occurrence for one in said]


def test_1_an_http_retry_is_a_duplicate(story: Story) -> None:
    body = marker("applied", at="+0s", number=7)
    first = story.send(body, arrives="+1s")
    again = story.send(body, arrives="+3h")
    assert not first.duplicate
    assert again == Happened(
        first.index,
        duplicate=True,
        deployment=first.deployment,
        marker=first.marker,
        occurrence=1,
    )


def test_1_an_unnumbered_http_retry_is_a_duplicate(story: Story) -> None:
    body = marker("planned")
    first = story.send(body, arrives="+1s")
    story.say("failed", at="+1m")
    again = story.send(body, arrives="+14m")
    assert again.duplicate
    assert again.index == first.index


def test_2_attempt_2_while_attempt_1_is_open_is_the_same_occurrence(story: Story) -> None:
    first = story.say("planned", at="+0s", attempt=1)
    story.say("applying", at="+1m", attempt=1)
    again = story.say("planned", at="+5m", attempt=2)
    applied = story.say("applied", at="+6m", attempt=2)
    assert again.duplicate
    assert again.index == first.index
    assert occurrences(first, applied) == [1, 1]
    assert first.deployment == applied.deployment


def test_3_attempt_2_after_failed_is_the_second_occurrence(story: Story) -> None:
    first = story.say("planned", at="+0s", attempt=1)
    failed = story.say("failed", at="+1m", attempt=1)
    again = story.say("planned", at="+5m", attempt=2)
    applied = story.say("applied", at="+6m", attempt=2)
    assert occurrences(first, failed, again, applied) == [1, 1, 2, 2]
    assert not again.duplicate


def test_3_what_attempt_1_still_says_after_it_failed_is_late_news(story: Story) -> None:
    story.say("planned", at="+0s", attempt=1)
    story.say("failed", at="+1m", attempt=1)
    assert story.say("applying", at="+2m", attempt=1).occurrence == 1


def test_4_an_old_job_run_again_after_a_newer_deploy_is_the_second_occurrence(
    story: Story,
) -> None:
    old = story.say("applied", at="+0s", release=A, attempt=1)
    new = story.say("applied", at="+10m", release=B, attempt=1)
    rerun = story.say("applied", at="+20m", release=A, attempt=2)
    assert occurrences(old, new, rerun) == [1, 1, 2]
    assert not rerun.duplicate
    assert rerun.deployment == old.deployment


def test_4_the_newer_deploy_may_carry_a_higher_attempt(story: Story) -> None:
    story.say("applied", at="+0s", release=A, attempt=1)
    story.say("applied", at="+10m", release=B, attempt=5)
    assert story.say("applied", at="+20m", release=A, attempt=2).occurrence == 2


def test_4_a_newer_deploy_that_is_not_live_replaces_nothing(story: Story) -> None:
    first = story.say("applied", at="+0s", release=A)
    story.say("planned", at="+1m", release=B)
    story.say("applied", at="+2m", release=B, weight=5)
    again = story.say("applied", at="+3m", release=A)
    assert again.duplicate
    assert again.index == first.index


def test_5_one_digest_in_two_clusters_is_one_deployment_in_two_places(story: Story) -> None:
    eu = story.say("applied", at="+0s", place="eu")
    us = story.say("applied", at="+1m", place="us")
    assert eu.deployment == us.deployment
    assert eu.marker != us.marker
    assert occurrences(eu, us) == [1, 1]


def test_6_a_canary_in_three_steps_is_one_deployment(story: Story) -> None:
    steps = [
        story.say("applied", at=f"+{minute}m", weight=weight)
        for minute, weight in enumerate((5, 25, 100))
    ]
    assert occurrences(*steps) == [1, 1, 1]
    assert len({step.deployment for step in steps}) == 1
    assert len({step.index for step in steps}) == 3


def test_7_a_restarted_pod_brings_one_running_marker_and_nothing_else(story: Story) -> None:
    applied = story.say("applied", at="+0s")
    first = story.say("running", at="+1m", emitter="runtime", uid="pod/container-1")
    restarted = story.say("running", at="+5h", emitter="runtime", uid="pod/container-2")
    assert occurrences(applied, first, restarted) == [1, 1, 1]
    assert not restarted.duplicate
    assert restarted.deployment == applied.deployment


def test_8_a_pod_created_again_under_its_name_is_another_marker(story: Story) -> None:
    target = {"instance": "pod/db-0"}
    first = story.say("running", at="+0s", place=target, uid="uid-1")
    again = story.say("running", at="+1m", place=target, uid="uid-1", emitter="ci")
    recreated = story.say("running", at="+2m", place=target, uid="uid-2")
    assert again.duplicate
    assert not recreated.duplicate
    assert recreated.marker != first.marker
    assert occurrences(first, recreated) == [1, 1]


def test_12_a_config_change_is_a_deployment_of_its_own(story: Story) -> None:
    code = story.say("applied", at="+0s")
    config = story.say("applied", at="+10m", kind="config", key="settings", revision="2")
    pods = story.say("running", at="+11m", uid="uid-1")
    assert config.deployment != code.deployment
    assert occurrences(config, pods) == [1, 1]
    assert pods.deployment == code.deployment
    assert story.say("applied", at="+12m").index == code.index


def test_15_the_end_told_by_a_clock_ten_minutes_ahead_counts_when_it_arrived(
    story: Story,
) -> None:
    story.say("planned", at="+0s")
    story.say("failed", at="+12m", arrives="+2m")
    assert story.say("planned", at="+3m").occurrence == 2


def test_15_an_opening_told_by_a_clock_ten_minutes_ahead_counts_when_it_arrived(
    story: Story,
) -> None:
    story.say("planned", at="+0s")
    story.say("applied", at="+11m", arrives="+1m")
    story.say("failed", at="+5m")
    # By its own clock it was applied after it failed; by ours it is the same, failed, occurrence.
    assert story.say("planned", at="+7m").occurrence == 2


def test_15_a_clock_a_minute_ahead_is_believed(story: Story) -> None:
    story.say("planned", at="+0s")
    story.say("failed", at="+3m", arrives="+2m")
    assert story.say("applying", at="+150s").occurrence == 1


def test_15_a_clock_ten_minutes_behind_counts_when_it_arrived(story: Story) -> None:
    story.say("planned", at="+0s")
    story.say("failed", at="+20m")
    assert story.say("planned", at="+15m", arrives="+25m").occurrence == 2


def test_15_what_waited_in_a_spool_is_believed(story: Story) -> None:
    story.say("planned", at="+0s", number=0)
    story.say("failed", at="+20m", emitter="orchestrator", by="watcher", number=0)
    late = story.say("applying", at="+15m", arrives="+3h", number=1)
    assert late.occurrence == 1


def test_16_a_run_again_on_another_runner_while_live_is_a_duplicate(story: Story) -> None:
    first = story.say("applied", at="+0s", number=3, epoch="runner-1", build_url="https://ci/1")
    again = story.say("applied", at="+2h", number=0, epoch="runner-2", build_url="https://ci/2")
    assert again.duplicate
    assert again.index == first.index


def test_17_the_same_key_with_another_commit_is_a_conflict(story: Story) -> None:
    story.say("applied", at="+0s", commit_hash="a" * 40)
    other = story.say("applied", at="+1m", commit_hash="b" * 40)
    assert (other.refused, other.field) == ("marker_conflict", "/commit_hash")
    assert story.say("applied", at="+2m", commit_hash="a" * 40).duplicate


def test_18_an_alias_moved_back_is_the_second_occurrence(story: Story) -> None:
    live = {"workload": "shop:live"}
    first = story.say("applied", at="+0s", release=A, place=live)
    moved = story.say("applied", at="+1h", release=B, place=live)
    back = story.say("applied", at="+2h", release=A, place=live)
    assert occurrences(first, moved, back) == [1, 1, 2]


def test_18_the_second_alias_is_another_place(story: Story) -> None:
    live, beta = {"workload": "shop:live"}, {"workload": "shop:beta"}
    first = story.say("applied", at="+0s", release=A, place=live)
    story.say("applied", at="+1h", release=B, place=beta)
    again = story.say("applied", at="+2h", release=A, place=live)
    assert again.duplicate
    assert again.index == first.index


def test_19_blue_green_blue_green_are_four_cutovers(story: Story) -> None:
    story.say("applied", at="+0s", release=A, colour="blue")
    story.say("applied", at="+1s", release=B, colour="green")
    said = [
        story.say("cutover", at=f"+{hour}h", release=release, colour=colour)
        for hour, release, colour in (
            (1, A, "blue"),
            (2, B, "green"),
            (3, A, "blue"),
            (4, B, "green"),
        )
    ]
    assert occurrences(*said) == [1, 1, 1, 1]
    assert [one.repeat for one in said] == [0, 0, 1, 1]
    assert len({one.index for one in said}) == 4


def test_19_a_cutover_told_twice_is_one(story: Story) -> None:
    first = story.say("cutover", at="+1h", release=A, colour="blue")
    assert story.say("cutover", at="+61m", release=A, colour="blue").index == first.index
    story.say("cutover", at="+2h", release=B, colour="green")
    returned = story.say("cutover", at="+3h", release=A, colour="blue")
    again = story.say("cutover", at="+181m", release=A, colour="blue")
    assert returned.repeat == 1
    assert again.duplicate
    assert again.index == returned.index


def test_21_a_sentry_deploy_repeated_is_one_deployment(story: Story) -> None:
    said = [
        story.say(
            "applied",
            at=f"+{minute}m",
            emitter="gateway",
            digest=False,
            commit_hash=None,
            version="shop@2.31.0",
            labels={"dialect": "sentry"},
        )
        for minute in (0, 1, 30)
    ]
    assert [one.duplicate for one in said] == [False, True, True]
    assert {one.index for one in said} == {said[0].index}


def test_22_a_scale_up_hours_later_opens_nothing_new(story: Story) -> None:
    applied = story.say("applied", at="+0s", place="eu")
    more = [story.say("running", at=f"+{5 + n}h", place="eu", uid=f"uid-{n}") for n in range(3)]
    assert occurrences(applied, *more) == [1, 1, 1, 1]
    assert {one.deployment for one in more} == {applied.deployment}
    assert story.say("applied", at="+9h", place="eu").index == applied.index


def test_23_an_aborted_canary_tried_again_in_a_new_run_is_a_new_deployment(story: Story) -> None:
    first = story.say("applied", at="+0s", weight=5, action="github/shop/1")
    aborted = story.say("rolled_back", at="+10m", action="github/shop/1")
    retried = story.say("applied", at="+1h", weight=5, action="github/shop/2")
    old_pod = story.say("running", at="+2h", uid="uid-1", action="github/shop/1")
    new_pod = story.say("running", at="+2h", uid="uid-2", action="github/shop/2")
    assert occurrences(first, aborted, retried, old_pod, new_pod) == [1] * 5
    assert retried.deployment != first.deployment
    assert old_pod.deployment == first.deployment
    assert new_pod.deployment == retried.deployment


def test_24_a_cluster_that_is_a_day_late_belongs_to_the_same_occurrence(story: Story) -> None:
    for cluster in ("eu", "us", "ap"):
        story.say("planned", at="+0s", place=cluster, release=A)
    story.say("applied", at="+1m", place="eu", release=A)
    story.say("applied", at="+2m", place="us", release=A)
    story.say("applied", at="+5h", place="eu", release=B)
    story.say("applied", at="+6h", place="us", release=B)
    late = story.say("applied", at="+1d", place="ap", release=A)
    assert not late.duplicate
    assert late.occurrence == 1


def test_24_once_the_late_place_is_replaced_too_the_occurrence_is_over(story: Story) -> None:
    for cluster in ("eu", "us"):
        story.say("applied", at="+0s", place=cluster, release=A)
    story.say("applied", at="+1h", place="eu", release=B)
    assert story.say("applied", at="+2h", place="eu", release=A).duplicate
    story.say("applied", at="+3h", place="us", release=B)
    assert story.say("applied", at="+4h", place="eu", release=A).occurrence == 2


def test_25_failed_in_one_cluster_and_applied_in_another_is_one_occurrence(story: Story) -> None:
    planned = [story.say("planned", at="+0s", place=place) for place in ("eu", "us")]
    failed = story.say("failed", at="+1m", place="eu", attempt=1)
    applied = story.say("applied", at="+2m", place="us")
    retried = story.say("applied", at="+9m", place="eu", attempt=2)
    assert occurrences(*planned, failed, applied, retried) == [1] * 5
    assert not retried.duplicate


def test_25_a_place_that_was_tried_again_is_live_again(story: Story) -> None:
    story.say("planned", at="+0s", place="eu", release=A)
    story.say("applied", at="+1m", place="us", release=A)
    story.say("failed", at="+2m", place="eu", release=A)
    retried = story.say("applied", at="+3m", place="eu", release=A)
    story.say("applied", at="+1h", place="us", release=B)
    again = story.say("applied", at="+2h", place="eu", release=A)
    assert again.duplicate
    assert again.index == retried.index


def test_28_a_flag_toggled_ten_times_is_ten_changes_of_one_key(story: Story) -> None:
    code = story.say("applied", at="+0s")
    said = [
        story.say(
            "applied",
            at=f"+{hour}h",
            kind="feature_flag",
            key="new-checkout",
            value="on" if hour % 2 else "off",
        )
        for hour in range(1, 11)
    ]
    assert occurrences(*said) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert len({one.index for one in said}) == 10
    assert len({one.deployment for one in said}) == 2
    assert story.say("applied", at="+11h").index == code.index


def test_28_ten_revisions_of_one_flag_are_ten_changes(story: Story) -> None:
    said = [
        story.say("applied", at=f"+{n}h", kind="feature_flag", key="new-checkout", revision=f"{n}")
        for n in range(10)
    ]
    assert occurrences(*said) == [1] * 10
    assert len({one.deployment for one in said}) == 10


def test_28_a_flag_replaces_no_other_flag(story: Story) -> None:
    flag = {"kind": "feature_flag", "value": "on"}
    first = story.say("applied", at="+0h", key="one", **flag)
    story.say("applied", at="+1h", key="two", **flag)
    assert story.say("applied", at="+2h", key="one", **flag).index == first.index


def test_30_failed_delivered_before_its_own_planned_is_one_occurrence(story: Story) -> None:
    failed = story.say("failed", at="+30s")
    planned = story.say("planned", at="+0s", arrives="+31s")
    applying = story.say("applying", at="+10s", arrives="+32s")
    assert occurrences(failed, planned, applying) == [1, 1, 1]
    assert story.say("planned", at="+5m").occurrence == 2


def test_30_so_it_is_when_only_the_numbers_tell_their_order(story: Story) -> None:
    failed = story.say("failed", at="+0s", number=5)
    planned = story.say("planned", at="+20s", number=4)
    assert occurrences(failed, planned) == [1, 1]
    assert story.say("planned", at="+21s", number=6).occurrence == 2


def test_30_so_it_is_with_the_attempt_they_share(story: Story) -> None:
    failed = story.say("failed", at="+0s", attempt=1)
    planned = story.say("planned", at="+20s", attempt=1)
    assert occurrences(failed, planned) == [1, 1]
    assert story.say("planned", at="+10s", arrives="+21s", attempt=2).occurrence == 2


def test_31_planned_with_a_commit_and_applied_with_a_digest_share_their_occurrences(
    story: Story,
) -> None:
    usual = {"action": "github/shop/1"}
    first = story.say("planned", at="+0s", digest=False, **usual)
    failed = story.say("failed", at="+1m", digest=False, **usual)
    again = story.say("planned", at="+5m", digest=False, **usual)
    applied = story.say("applied", at="+6m", **usual)
    assert occurrences(first, failed, again, applied) == [1, 1, 2, 2]


def test_31_failing_under_the_digest_ends_what_was_planned_under_the_commit(
    story: Story,
) -> None:
    usual = {"action": "github/shop/1"}
    planned = story.say("planned", at="+0s", digest=False, **usual)
    failed = story.say("failed", at="+1m", **usual)
    again = story.say("planned", at="+5m", digest=False, **usual)
    assert occurrences(planned, failed, again) == [1, 1, 2]


def test_31_another_commit_of_the_same_action_is_another_deployment(story: Story) -> None:
    usual: dict[str, Any] = {"action": "github/shop/1", "digest": False}
    story.say("planned", at="+0s", release=A, **usual)
    story.say("failed", at="+1m", release=A, **usual)
    story.say("planned", at="+5m", release=A, **usual)
    other = story.say("planned", at="+6m", release=B, **usual)
    assert other.occurrence == 1


def test_31_without_an_action_a_commit_and_its_digest_are_two_deployments(story: Story) -> None:
    story.say("planned", at="+0s", digest=False)
    story.say("failed", at="+1m", digest=False)
    story.say("planned", at="+5m", digest=False)
    assert story.say("applied", at="+6m").occurrence == 1


def test_27_the_release_returned_to_opens_its_next_occurrence(story: Story) -> None:
    story.say("applied", at="+0s", release=A)
    story.say("applied", at="+1h", release=B)
    said = [
        story.say("rolling_back", at="+70m", release=B, emitter="platform"),
        story.say("planned", at="+71m", release=A, emitter="platform"),
        story.say("applied", at="+75m", release=A, emitter="ci"),
        story.say("rolled_back", at="+76m", release=B, emitter="platform"),
    ]
    assert occurrences(*said) == [1, 2, 2, 1]

"""What shall happen in the demonstration, in which order, and what each step tells. Pure.

Only what is decided here is the same in every run: releases, plan, order and the end that each
release must come to. Counts are real, so they, and the second at which something is known, differ.
"""

import json
from collections.abc import Mapping, Sequence
from math import exp
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from deploymark.judge.counts import Events, Latencies, Look
from deploymark.judge.plan import PASS_AT, ROLL_BACK_AT
from deploymark.judge.verdict import Judgement
from deploymark.log.steps import counted
from deploymark.testing.fleet.release import Behaviour

SERVICE: Final = "shop"
ENVIRONMENT: Final = "demo"
REPLICAS: Final = 2
WEIGHT: Final = 25
RATE: Final = 300
HISTORY_SECONDS: Final = 12
WARMUP_SECONDS: Final = 2
LAG_SECONDS: Final = 2
WAIT_SECONDS: Final = 120

_BASE_ERRORS: Final = 0.02
_BAD_ERRORS: Final = 0.2
_SLOW_SHARE: Final = 0.05
_SLOW_SECONDS: Final = 0.1
_BAD_SHARE: Final = 0.02
_BAD_SECONDS: Final = 1.0
_PERCENT: Final = 100
_SOON_LOOKS: Final = 5


class Act(NamedTuple):
    """One release of the story.

    Attributes:
        version: Its version.
        replicas: How many instances are deployed of it.
        behaviour: What is in it.
        what: What it is, for people.
        ends: What its rollout must come to: `promoted`, `rolled_back`, or "" for the first one,
            which is adopted.
    """

    version: str
    replicas: int
    behaviour: Behaviour
    what: str
    ends: str


class Told(NamedTuple):
    """One step, as it is told.

    Attributes:
        event: A stable word for programs.
        text: A sentence for people.
        facts: What programs get beside both.
    """

    event: str
    text: str
    facts: Mapping[str, Any] = {}


def acts(seed: int, *, latency: bool) -> tuple[Act, Act, Act]:
    """Return the releases in their order: what runs, a healthy one, and one that regresses.

    Args:
        seed: The same seed gives each instance the same chances.
        latency: The last one is slow at times, instead of failing at times.
    """
    if latency:
        # Far below the first bound of the histogram: what remains near it is the machine's noise.
        well = Behaviour(
            "1.0",
            error_rate=_BASE_ERRORS,
            slow_share=_SLOW_SHARE,
            slow_seconds=_SLOW_SECONDS,
            typical_seconds=0.001,
            seed=seed,
        )
        worse = replace(well, version="3.0", slow_share=_BAD_SHARE, slow_seconds=_BAD_SECONDS)
        usual = f"{_PERCENT * _SLOW_SHARE:g} % of its requests take {_SLOW_SECONDS:g} s longer"
        what = f"{_PERCENT * _BAD_SHARE:g} % of its requests take {_BAD_SECONDS:g} s longer"
    else:
        well = Behaviour("1.0", error_rate=_BASE_ERRORS, seed=seed)
        worse = replace(well, version="3.0", error_rate=_BAD_ERRORS)
        usual = f"{_PERCENT * _BASE_ERRORS:g} % of its requests fail"
        what = f"{_PERCENT * _BAD_ERRORS:g} % of its requests fail"
    equal = replace(well, version="2.0")
    return (
        Act("1.0", REPLICAS, well, usual, ""),
        Act("2.0", 1, equal, "it is no worse than the one before", "promoted"),
        Act("3.0", 1, worse, what, "rolled_back"),
    )


def configuration(control: str, *, latency: bool) -> str:
    """Return the configuration of the server, in TOML: the demonstration's own times.

    Args:
        control: The control file of the fleet.
        latency: Latency is compared as well.
    """
    metrics = '{ name = "errors" }'
    if latency:
        metrics += ', { name = "latency", kind = "latency" }'
    return f"""\
[act]
turn_seconds = 0.2

[telemetry]
bucket_seconds = 1
lag_seconds = {LAG_SECONDS}

[policy.environments.{ENVIRONMENT}]
action_assurance = "signed"

[rollouts.{SERVICE}.{ENVIRONMENT}]
steps = [{{ weight = {WEIGHT} }}]
metrics = [{metrics}]
look_seconds = 1
bucket_seconds = 1
warmup_seconds = {WARMUP_SECONDS}
block_seconds = [1, 2, 5]
history_seconds = {HISTORY_SECONDS}
max_wait_seconds = {WAIT_SECONDS}
roll_back = {{ recovery_seconds = 60 }}

[rollouts.{SERVICE}.{ENVIRONMENT}.actuator]
kind = "local_fleet"
options = {{ control = {json.dumps(control)} }}
"""


# What the steps tell ---------------------------------------------------------------------


def serving(url: str, *, keys: int, sign_in: str, stays: bool = True) -> Told:
    """Tell that the server answers, and how a person gets to its page."""
    text = (
        f"A server answers at {url}, on a log of its own; {counted(keys, 'producer key')} and "
        "a token for each caller are registered. "
    )
    text += (
        f"Look at its page, once and within ten minutes, by {sign_in}"
        if stays
        else "It ends with the story; `deploymark demo` without --once stays up to look around."
    )
    return Told("serving", text, {"url": url, "sign_in": sign_in})


def simulated(deployments: int, markers: int) -> Told:
    """Tell that a fleet is made up beside what is real."""
    text = (
        f"Beside it stands a fleet that is simulated, and every page says so: {deployments} "
        f"deployments of a month, told by {markers} markers, and two days of telemetry."
    )
    return Told("simulated", text, {"deployments": deployments, "markers": markers})


def deployed(act: Act, deployment: str, digest: str, index: int | None) -> Told:
    """Tell that a release was deployed."""
    text = (
        f"Version {act.version} is deployed ({act.what}): "
        f"{counted(act.replicas, 'process', 'processes')} of release {digest[:19]}…, said by a "
        f"signed marker in entry {index}."
    )
    facts = {"version": act.version, "deployment_id": deployment, "digest": digest, "index": index}
    return Told("deployed", text, facts)


def observed(act: Act, seen: int) -> Told:
    """Tell that an observer saw what runs."""
    text = (
        f"An observer hashed what {counted(seen, 'process', 'processes')} of version "
        f"{act.version} really {'executes' if seen == 1 else 'execute'}: it is the release that "
        "the marker names."
    )
    return Told("observed", text, {"version": act.version, "instances": seen})


def adopted(act: Act, index: int) -> Told:
    """Tell that a person answers for what ran before."""
    text = (
        f"An operator adopts version {act.version} as good to return to (entry {index}): nobody "
        "has judged it."
    )
    return Told("adopted", text, {"version": act.version, "index": index})


def loading(url: str) -> Told:
    """Tell that requests come in."""
    text = f"{RATE} requests a second go through the splitter at {url}."
    return Told("loading", text, {"url": url, "rate": RATE})


def comparing(act: Act) -> Told:
    """Tell what is waited for before a canary comes."""
    text = (
        f"Two halves of version {act.version} are compared for {HISTORY_SECONDS} s, so that it is "
        "known how much equals differ."
    )
    return Told("comparing", text, {"version": act.version, "seconds": HISTORY_SECONDS})


def decided(index: int, decision: Mapping[str, Any]) -> Told | None:
    """Tell a decision of the log; None for a stage that says nothing new to people."""
    action, stage = str(decision["action"]), str(decision["stage"])
    facts = {"index": index, "action": action, "stage": stage}
    reason = str(decision.get("reason") or "")
    if stage == "decided":
        guards = decision.get("guards") or ()
        held = [each["name"] for each in guards if each["held"]]
        against = [each["name"] for each in guards if not each["held"]]
        facts |= {"actor": decision["actor"], "held": held, "against": against}
        text = f"Entry {index}: {decision['actor']} decides to {_words(action)}. {reason}"
        if against:
            text += f" Against more: {', '.join(against)}."
        elif held:
            text += f" All {len(held)} guards hold."
        return Told("decided", text, facts)
    if stage == "executed":
        text = f"Entry {index}: carried out by the fleet. {reason}".rstrip()
        return Told("executed", text, facts)
    outcome = str(decision.get("outcome") or "")
    if stage == "outcome" and (action != "shift" or outcome != "succeeded"):
        said = _OUTCOMES.get((action, outcome), f"What was decided ended as {outcome}. {reason}")
        return Told("ended", f"Entry {index}: {said}".rstrip(), {**facts, "outcome": outcome})
    return None


_OUTCOMES: Final = {
    ("promote", "succeeded"): "it is promoted, and gets all of the traffic.",
    ("roll_back", "succeeded"): (
        "it is rolled back; no request reaches it any more, and the others are answered."
    ),
}


def _words(action: str) -> str:
    words = {
        "shift": f"give the canary {WEIGHT} % of the traffic",
        "promote": "promote it",
        "roll_back": "roll it back",
        "quarantine": "put its image away",
        "pause": "pause it",
    }
    return words.get(action, action)


def looked(verdict: Mapping[str, Any]) -> Told | None:
    """Tell a look; None for those between that bring nothing new."""
    number, result = int(verdict["look"]), str(verdict["result"])
    if result == "inconclusive" and number % _SOON_LOOKS != 1:
        return None
    against, for_it = exp(verdict["log_e_fail"]), exp(verdict["log_e_pass"])
    why = ", ".join(verdict.get("reasons") or ())
    text = (
        f"Look {number} (entry {verdict['index']}): {result}{f' ({why})' if why else ''}, score "
        f"{verdict['score']:.0f}; evidence that it is worse {against:,.3g} of {ROLL_BACK_AT:,.0f}, "
        f"that it is no worse {for_it:,.3g} of {PASS_AT:g}."
    )
    facts = {
        "index": verdict["index"],
        "look": number,
        "result": result,
        "advice": verdict["advice"],
        "score": verdict["score"],
        "e_fail": against,
        "e_pass": for_it,
    }
    return Told("looked", text, facts)


def judged(index: int, looks: Sequence[Look], judgement: Judgement) -> Told:
    """Tell what a verdict rests on, judged again from what was kept.

    Args:
        index: Of its entry.
        looks: With their counts.
        judgement: Made again from them.
    """
    counts = [_compared(name, looks) for name in ("errors", "latency")]
    shown = "; ".join(each for each in counts if each)
    text = (
        f"The verdict of entry {index}, judged again from {counted(len(looks), 'stored look')}, "
        f"is the same to the last bit: {judgement.result}. {shown}."
    )
    return Told("replayed", text, {"index": index, "result": judgement.result.value})


def _compared(name: str, looks: Sequence[Look]) -> str:
    seen = [look.seen[name] for look in looks if name in look.seen]
    events = [each for each in seen if isinstance(each, Events)]
    if events:
        x, a = (sum(getattr(each.canary, part) for each in events) for part in ("events", "trials"))
        y, b = (
            sum(getattr(each.control, part) for each in events) for part in ("events", "trials")
        )
        return f"Of the canary's requests {_share(x, a)} failed, beside it {_share(y, b)}"
    slow = [_slower(each) for each in seen if isinstance(each, Latencies)]
    if slow:
        x, a, y, b = (sum(column) for column in zip(*slow, strict=True))
        return f"{_share(x, a)} took longer than half a second, beside it {_share(y, b)}"
    return ""


def _slower(seen: Latencies, bound: float = 0.5) -> tuple[int, int, int, int]:
    first = sum(each <= bound for each in seen.bounds)
    return (
        sum(seen.canary[first:]),
        sum(seen.canary),
        sum(seen.control[first:]),
        sum(seen.control),
    )


def _share(part: int, whole: int) -> str:
    percent = _PERCENT * part / whole if whole else 0.0
    return f"{part} of {whole} ({percent:.1f} %)"


def added_up(entries: int, faults: Sequence[str]) -> Told:
    """Tell whether the log adds up."""
    if faults:
        text = f"The log does not add up: {faults[0]}"
    else:
        text = f"The log adds up, checked from its files: {counted(entries, 'entry', 'entries')}."
    return Told("verified", text, {"entries": entries, "faults": list(faults)})


def over(ends: Mapping[str, str], *, as_told: bool) -> Told:
    """Tell how it ended."""
    shown = ", ".join(
        f"version {version} was {what.replace('_', ' ')}" for version, what in ends.items()
    )
    text = f"It ended {'as told' if as_told else 'otherwise than told'}: {shown}."
    return Told("over", text, {"ends": dict(ends), "as_told": as_told})


class Ending(NamedTuple):
    """How the story ended.

    Attributes:
        as_told: Each release came to its end, and all of it adds up.
        deployments: Ids of the rollouts, in their order.
        verdicts: Entries of the verdicts that these ended on.
    """

    as_told: bool
    deployments: tuple[str, ...]
    verdicts: tuple[int, ...]


PAGES: Final = {
    "/oncall": "what is wrong now, whose it is and how bad",
    "/deployments": "all that was deployed",
    "/services": "each service, and how it fares",
    "/fleet": "what runs where",
    "/exec": "the month in numbers",
    "/audit": "the log, and its proofs",
}
"""Addresses of the page, and what is there."""


def pages(ending: Ending) -> dict[str, str]:
    """Return addresses of the page that show more of it, and what is there."""
    last = {f"/d/{each}": "the release that was judged last" for each in ending.deployments[-1:]}
    return {**PAGES, **last}


def places(ending: Ending, data: str) -> list[tuple[str, ...]]:
    """Return commands that show more of it, as words behind `deploymark`."""
    shown = [("show", each) for each in ending.deployments]
    return [
        ("canary",),
        *(("canary", "replay", str(each)) for each in ending.verdicts[-1:]),
        *shown[-1:],
        ("timeline", "--service", SERVICE),
        *(("receipt", str(each)) for each in ending.verdicts[-1:]),
        ("log", "fsck", "--data", data),
    ]

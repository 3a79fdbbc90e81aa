"""Words one rollout for the person on call, from the answer of the server. Pure but for saying it.

What stands here follows from what the server answers; nothing is judged or decided.
"""

from collections.abc import Iterator
from math import exp, log
from typing import Any, Final

from deploymark.cli.output import Output, plain

COLUMNS: Final = (
    "service",
    "environment",
    "version",
    "step",
    "weight",
    "result",
    "score",
    "deployment",
    "what",
)
"""What it waits for is a sentence: last, so that no line is filled up to the longest of them."""

ADOPTION: Final = "was adopted"
"""What guard `target` says of a release that nobody has called good."""

_LOOKS, _DECISIONS = 10, 20
_MILLION: Final = log(1e6)
_ENOUGH: Final = ((1_000.0, "enough to roll back"), (100.0, "enough to pause"))
_PASS_AT: Final = 20.0
_WHY: Final = "why…"
_OVER: Final = frozenset({"failed", "removed", "superseded", "rolled_back"})


def row_of(shown: dict[str, Any]) -> tuple[str, ...]:
    """Return one rollout as a row of the list."""
    verdict = shown["verdict"]
    step = f"{shown['step']}/{len(shown['steps'])}" if shown["step"] else "-"
    return (
        shown["service"],
        shown["environment"],
        shown["version"] or (shown["digest"] or "?")[:19],
        step,
        f"{_weight(shown):g} %",
        "-" if verdict is None else verdict["result"],
        "-" if verdict is None else f"{verdict['score']:g}",
        shown["deployment_id"],
        standing(shown),
    )


def standing(shown: dict[str, Any]) -> str:
    """Return where a rollout stands and what it waits for, in one sentence.

    What is under way, or ended otherwise than it should, comes before what had ended before.
    """
    wants, state = shown["wants"] or {}, shown["state"].replace("_", " ")
    failed, frozen = shown["failed"], _frozen(shown)
    said = (
        (shown["superseded_by"], f"It made room for {shown['superseded_by']}."),
        (
            shown["unknown"] is not None,
            f"What came of entry {shown['unknown']} is not known: look at what runs.",
        ),
        (shown["doing"], f"It is being done: {str(shown['doing']).replace('_', ' ')}."),
        (failed, "" if failed is None else _failed(failed)),
        (shown["ended"], f"It is {str(shown['ended']).replace('_', ' ')}."),
        (wants.get("move") == "page", str(wants.get("reason"))),
        (frozen, frozen),
        (wants, " ".join(filter(None, (wants.get("reason"), shown["silence"])))),
        (shown["silence"], str(shown["silence"])),
        (shown["paused_by"], f"It was paused by {shown['paused_by']}."),
        (shown["state"] in _OVER, f"It is over: {state}."),
        (
            shown["step"] == 0 and shown["live_at"],
            "It has all of the traffic: there is nothing to roll out.",
        ),
    )
    return next((text for holds, text in said if holds), "It has not been looked at yet.")


def _failed(failed: dict[str, Any]) -> str:
    what = failed["action"].replace("_", " ")
    why = failed["reason"] or "look at what runs."
    return f"To {what} it failed (entry {failed['index']}): {why}"


def _frozen(shown: dict[str, Any]) -> str:
    """Return who froze it and why, "" where nobody did."""
    said = " ".join(
        f"Frozen by {each['by']}: {(each['reason'] or 'no reason given').rstrip('.')}."
        for each in shown["frozen"]
    )
    return f"{said} Nothing is done by itself." if said else ""


def say(shown: dict[str, Any], output: Output) -> None:
    """Say everything about one rollout."""
    for name, value in _head(shown):
        if value:
            output.remark(plain(f"{name:13}  {value}"))
    for line in _metrics(shown):
        output.remark(plain(f"{'':13}    {line}"))
    wants = shown["wants"] or {}
    against = [each for each in wants.get("guards") or () if not each["held"]]
    if against and not shown["ended"]:
        output.remark("")
        output.remark("What keeps it back:")
        for each in against:
            output.remark(plain(f"  guard {each['name']}: {each.get('reason', '')}"))
    _say_looks(shown, output)
    _say_decisions(shown, output)
    output.remark("")
    output.remark("What to do:")
    for what, command in next_of(shown):
        output.remark(plain(f"  {what}"))
        if command:
            output.remark(plain(f"    {command}"))


def _head(shown: dict[str, Any]) -> Iterator[tuple[str, str]]:
    bound = shown["instances"]
    yield "deployment", shown["deployment_id"]
    yield "service", f"{shown['service']} in {shown['environment']}"
    yield "version", shown["version"] or ""
    yield "digest", shown["digest"] or ""
    yield "owner", shown["owner"] or ""
    yield "stands", _place(shown)
    yield "now", standing(shown)
    yield "frozen", "" if shown["ended"] else _frozen(shown)
    yield (
        "returned to" if shown["ended"] == "rolled_back" else "returns to",
        shown["target_deployment_id"] or "nothing: no earlier release is known here",
    )
    yield (
        "instances",
        (
            f"{bound['started']} started, {bound['running']} run, {bound['observed']} seen with "
            f"its digest, {bound['other']} with another"
        ),
    )
    yield "source", "" if shown["ended"] else shown["silence"] or ""
    yield "next look", f"due at {shown['next_look_at']}" if shown["next_look_at"] else ""
    yield "newest entry", str(shown["newest_index"]) if shown["newest_index"] >= 0 else ""
    verdict = shown["verdict"]
    if verdict is None:
        yield "verdict", "none at this step yet"
        return
    why = f" ({', '.join(verdict['reasons'])})" if verdict.get("reasons") else ""
    yield (
        "verdict",
        (
            f"{verdict['result']}{why}, advice {verdict['advice'].replace('_', ' ')}, score "
            f"{verdict['score']:g}, look {verdict['look']} of this step (entry {verdict['index']})"
        ),
    )
    yield "of failure", failure(verdict.get("log_e_fail"))
    yield "of a pass", passing(verdict.get("log_e_pass"))


def _place(shown: dict[str, Any]) -> str:
    steps, since = shown["steps"], f" since {shown['since']}" if shown["since"] else ""
    if shown["ended"]:
        ended = shown["ended"].replace("_", " ")
        unsettled = _unsettled(shown)
        # What the traffic goes to while that lasts, or after it, nobody has said.
        return f"{ended}, {unsettled or f'{_weight(shown):g} % of the traffic'}"
    if not shown["step"]:
        return f"before the first step, {_weight(shown):g} % of the traffic{since}"
    return f"step {shown['step']} of {len(steps)}, {_weight(shown):g} % of the traffic{since}"


def _unsettled(shown: dict[str, Any]) -> str:
    """Return what is, or was, done after it had ended, as long as that has not ended well."""
    if shown["unknown"] is not None:
        return f"and nobody knows what came of entry {shown['unknown']}"
    if shown["doing"]:
        return f"and then to {shown['doing'].replace('_', ' ')}, which is being done"
    if shown["failed"] is not None:
        return f"and then to {shown['failed']['action'].replace('_', ' ')}, which failed"
    return ""


def _weight(shown: dict[str, Any]) -> float:
    weight: float = shown["weight"]
    return 100.0 if not shown["step"] and shown["live_at"] and not shown["ended"] else weight


def odds(log_e: float) -> str:
    """Return evidence in words."""
    if log_e > _MILLION:
        return "more than a million to one"
    return f"{exp(log_e):,.0f} to one" if log_e >= log(2) else "none to speak of"


def failure(log_e: float | None) -> str:
    """Return how much speaks for a failure, and what that is enough for."""
    if log_e is None:
        return ""
    enough = next((said for bound, said in _ENOUGH if log_e >= log(bound)), "not enough to act on")
    return f"{odds(log_e)}, {enough} (100 to pause, 1,000 to roll back)"


def passing(log_e: float | None) -> str:
    """Return how much speaks for a pass, and whether that is enough."""
    if log_e is None:
        return ""
    enough = "enough" if log_e >= log(_PASS_AT) else "not enough"
    return f"{odds(log_e)}, {enough} (20 to pass)"


def _metrics(shown: dict[str, Any]) -> Iterator[str]:
    """Yield what each metric says, the one that speaks most for a failure first."""
    verdict = shown["verdict"] or {}
    found = verdict.get("metrics") or []
    plan = shown.get("plan") or {}
    weights = {each["name"]: each["weight"] for each in plan.get("metrics", ())}
    shares = shares_of([(each["log_e_fail"], weights.get(each["name"], 1.0)) for each in found])
    for share, each in sorted(zip(shares, found, strict=True), key=lambda pair: -pair[0]):
        advisory = "" if each.get("required", True) else " (advisory)"
        part = f" ({share:.0%} of all such evidence)" if each["log_e_fail"] >= log(2) else ""
        yield (
            f"{each['name']}{advisory}: that it is worse, {odds(each['log_e_fail'])}{part}; that "
            f"it is not, {odds(each['log_e_pass'])}"
        )


def shares_of(evidence: list[tuple[float, float]]) -> list[float]:
    """Return each metric's part of the evidence of failure, from log e-values and weights."""
    most = max((log_e for log_e, weight in evidence if weight), default=0.0)
    sizes = [weight * exp(log_e - most) for log_e, weight in evidence]
    total = sum(sizes)
    return [size / total if total else 0.0 for size in sizes]


def _say_looks(shown: dict[str, Any], output: Output) -> None:
    looks = shown["looks"][-_LOOKS:]
    if not looks:
        return
    output.remark("")
    columns = ("entry", "look", "result", "advice", "score")
    output.table(
        columns,
        [
            (each["index"], each["look"], each["result"], each["advice"], f"{each['score']:g}")
            for each in reversed(looks)
        ],
    )


def _say_decisions(shown: dict[str, Any], output: Output) -> None:
    decisions = shown["decisions"][-_DECISIONS:]
    if not decisions:
        return
    output.remark("")
    rows = [
        (
            each["index"],
            each["received_at"],
            (
                f"{each['action']} {'asked' if each['stage'] == 'approved' else each['stage']}"
                f"{' ' + each['outcome'] if each.get('outcome') else ''}"
                f"{' (glass broken)' if each.get('break_glass') else ''}"
            ),
            each["actor"],
            each.get("reason") or "",
        )
        for each in reversed(decisions)
    ]
    earlier = len(shown["decisions"]) - len(decisions)
    output.table(("entry", "received_at", "decision", "by", "reason"), rows)
    if earlier:
        output.remark(f"{earlier} earlier ones are not shown; --json has all.")


def _after(shown: dict[str, Any], back: tuple[str, str]) -> tuple[str, str]:
    """Return what a person can do of a rollout that is over."""
    if shown["ended"] == "promoted":
        return "Nothing: it is done. To return all the same:", back[1]
    if (shown["wants"] or {}).get("code") == "left_behind":
        return back
    name = shown["deployment_id"]
    return "Nothing: it is over. If it was put away and is good:", _command("canary release", name)


def next_of(shown: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a person can do now: a sentence, and the command for it."""
    name = shown["deployment_id"]
    back = ("Return to the old release:", _command("rollback", name))
    if shown["unknown"] is not None:
        yield "Look at what the traffic goes to, then say what shall be:", ""
        if not shown["ended"]:
            yield "All of it to the new release:", _command("promote", name)
        yield back
    elif shown["doing"]:
        yield "Wait: it is being carried out.", f"deploymark canary show {name}"
    elif shown["failed"] is not None:
        yield "Look at what the traffic goes to, and mend why it failed.", ""
        if not shown["ended"]:
            yield "Then let it go on:", _command("canary resume", name)
        yield back
        yield from _unblocking(shown)
    elif shown["ended"] or shown["state"] in _OVER:
        yield _after(shown, back)
    elif shown["paused_by"]:
        yield (
            "Let it go on, if you know why it was paused and it is well:",
            _command("canary resume", name),
        )
        yield back
        yield from _unblocking(shown)
    elif shown["step"] == 0 and shown["live_at"]:
        yield "Nothing: it has all of the traffic.", ""
    else:
        yield from _going(shown, name)
        yield back
        yield from _unblocking(shown)


def _going(shown: dict[str, Any], name: str) -> Iterator[tuple[str, str]]:
    wants = shown["wants"] or {}
    if wants.get("older_deployment_id") and wants["move"] != "wait":
        older = wants["older_deployment_id"]
        yield "An older canary has traffic still. Return it first:", _command("rollback", older)
    elif wants.get("move") == "hold":
        yield "It waits for a person. Let it go on:", f"deploymark approve {name}"
    elif wants.get("move") == "page":
        yield "Look at what runs: something is not as it should be.", ""
    else:
        yield "Nothing: the next look knows more. To stop it:", _command("canary pause", name)
    if shown["step"]:
        yield "Give it all of the traffic now:", _command("promote", name)


def _unblocking(shown: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what removes the guards that keep it back."""
    wants = shown["wants"] or {}
    stands = {
        each["name"]: each.get("reason", "")
        for each in wants.get("guards") or ()
        if not each["held"]
    }
    target, name = shown["target_deployment_id"], shown["deployment_id"]
    if ADOPTION in stands.get("target", "") and target:
        yield f"If {target} is known to be good, say so once:", _command("rollback adopt", target)
    if "binding" in stands:
        yield "See which instances were observed, and with what:", _instances(name)
    if "no_loops" in stands:
        yield "If it was put away and is good:", _command("canary release", name)
    for each in shown["frozen"]:
        yield f"If the freeze by {each['by']} is no longer needed:", _lift(each)


def _instances(name: str) -> str:
    return f"deploymark instances --deployment-id {name}"


def _lift(freeze: dict[str, Any]) -> str:
    of = "" if freeze["service"] == "*" else f" --service {freeze['service']}"
    where = "'*'" if freeze["environment"] == "*" else freeze["environment"]
    return f"deploymark freeze --lift --environment {where}{of} --reason '{_WHY}'"


def _command(command: str, name: str) -> str:
    return f"deploymark {command} {name} --reason '{_WHY}'"

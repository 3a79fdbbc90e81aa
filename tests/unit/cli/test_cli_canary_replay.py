"""`canary replay`: what was kept is judged again, offline, and every change of it is noticed."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import msgspec
import pytest

from deploymark.cli.canary_show import odds, passing, shares_of
from deploymark.judge.counts import Events, Look, Tally
from deploymark.judge.placebo import Placebo
from deploymark.judge.plan import Kind, Metric, Plan
from deploymark.judge.replay import JUDGE, Head, digest_of, replay_step, text_of

Run = Callable[..., CompletedProcess[str]]
Change = Callable[[dict[str, Any]], None]
FIRST, LAST = 40, 42


def _verdict(looks: list[bytes], basis: bytes) -> dict[str, Any]:
    """Return what the log says of the last of these looks."""
    judged = msgspec.to_builtins(replay_step(basis, looks))
    metrics = [
        {name: each[name] for name in ("name", "log_e_fail", "log_e_pass", "required")}
        for each in judged["metrics"]
    ]
    return {
        **{name: judged[name] for name in ("result", "advice", "look", "score", "reasons")},
        **{name: judged[name] for name in ("log_e_fail", "log_e_pass")},
        "metrics": metrics,
        "deployment_id": "d-new~1",
        "service": "shop",
        "environment": "prod",
        "step": 1,
        "inputs_digest": digest_of(looks[-1]),
        "plan_digest": digest_of(basis),
        "judge": JUDGE,
        "timestamp": "2026-11-23T00:00:00.000Z",
    }


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    """What `canary replay --save` writes of the third look of a release that fails."""
    plan = Plan(metrics=(Metric(name="errors", kind=Kind.EVENTS),))
    basis = text_of(Head(JUDGE, plan, Placebo(), ()))
    looks = [
        text_of(
            Look(
                at * 60_000,
                (at + 1) * 60_000,
                {"errors": Events(Tally(1_000, 90), Tally(4_000, 40))},
            )
        )
        for at in range(3)
    ]
    verdicts = [_verdict(looks[: number + 1], basis) for number in range(3)]
    kept = [
        {"index": FIRST + number, "digest": digest_of(text), "text": text.decode()}
        for number, text in enumerate(looks)
    ]
    return {
        "index": LAST,
        "verdict": verdicts[-1],
        "basis": {"digest": digest_of(basis), "text": basis.decode()},
        "looks": kept,
        "entries": {
            str(FIRST + number): {"index": FIRST + number, "type": "verdict", "entry": each}
            for number, each in enumerate(verdicts)
        },
    }


def replay(run: Run, evidence: object, *more: object) -> CompletedProcess[str]:
    Path("evidence.json").write_text(json.dumps(evidence))
    return run(f"canary replay {LAST} --file evidence.json", *more)


def test_the_same_comes_out_line_by_line(run: Run, made: dict[str, Any]) -> None:
    said = replay(run, made)
    assert said.returncode == 0, said.stdout
    lines = said.stdout.splitlines()
    assert all(line.startswith("✓ ") for line in lines[:-1])
    assert "✓ 4. Each earlier look stands in the log with a verdict of its own: 2 looks" in lines
    assert f"✓ 5. The result: {made['verdict']['result']}" in lines
    assert any(line.startswith("✓ 10. The score: ") for line in lines)
    assert lines[-1] == f"Judged again, the verdict of entry {LAST} is the same."
    told = [json.loads(line) for line in replay(run, made, "--json").stdout.splitlines()]
    assert {each["result"] for each in told} == {"holds"}


def _set(*path: str | float) -> Change:
    *way, last, value = path

    def change(evidence: dict[str, Any]) -> None:
        inner: Any = evidence
        for each in way:
            inner = inner[each]
        inner[last] = value

    return change


def _in_both(field: str, value: object) -> Change:
    """Change what the server says of the verdict, in both places where it says it."""

    def change(evidence: dict[str, Any]) -> None:
        evidence["verdict"][field] = value
        evidence["entries"][str(LAST)]["entry"][field] = value

    return change


def _other_counts(evidence: dict[str, Any]) -> None:
    """Give the first look other counts and the digest of these."""
    text = evidence["looks"][0]["text"].replace("90", "91")
    evidence["looks"][0] |= {"text": text, "digest": digest_of(text.encode())}


def _other_basis(evidence: dict[str, Any]) -> None:
    evidence["basis"]["text"] = evidence["basis"]["text"].replace(JUDGE, "deploymark/9")
    evidence["basis"]["digest"] = digest_of(evidence["basis"]["text"].encode())
    _in_both("plan_digest", evidence["basis"]["digest"])(evidence)


SPOILT: dict[str, tuple[Change, str]] = {
    "a text that its digest does not name": (
        _set("looks", 1, "text", "{}"),
        "The text of look 2 is not what sha256:",
    ),
    "half a character": (
        _set("looks", 1, "text", "\ud800"),
        "The text of look 2 is not what sha256:",
    ),
    "a changed basis": (_set("basis", "text", "{}"), "The text of the basis is not what sha256:"),
    "another result in the verdict alone": (
        _set("verdict", "result", "pass"),
        f"Entry {LAST} says something else.",
    ),
    "another result in the log as well": (
        _in_both("result", "pass"),
        "The log says pass, judged again it is fail.",
    ),
    "another advice": (_in_both("advice", "extend"), "The log says extend, judged again it is"),
    "another score": (_in_both("score", 99.5), "The log says 99.5, judged again it is 0."),
    "other evidence of failure": (_in_both("log_e_fail", 0.5), "The log says 0.5, judged again"),
    "other evidence of a pass": (_in_both("log_e_pass", 3.5), "The log says 3.5, judged again"),
    "other reasons": (_in_both("reasons", ["no_data"]), "The log says no_data, judged again"),
    "no metrics": (_in_both("metrics", []), "It says nothing of errors."),
    "a look that was never logged so": (_other_counts, f"Entry {FIRST} names sha256:"),
    "a look of another step": (
        _set("entries", str(FIRST), "entry", "step", 2),
        f"Entry {FIRST} is no verdict on look 1 of this step.",
    ),
    "a look whose entry is no verdict": (
        _set("entries", str(FIRST), "type", "marker"),
        f"Entry {FIRST} is no verdict on look 1 of this step.",
    ),
    "a look left out": (lambda evidence: evidence["looks"].pop(0), "It is of look 3; here are 2."),
    "other formulas": (_other_basis, "The verdict was made by deploymark/9, this is deploymark/1."),
}


@pytest.mark.parametrize(("change", "fault"), SPOILT.values(), ids=SPOILT)
def test_it_is_noticed(run: Run, made: dict[str, Any], change: Change, fault: str) -> None:
    evidence = json.loads(json.dumps(made))
    change(evidence)
    said = replay(run, evidence)
    assert said.returncode == 1
    assert fault in said.stdout
    assert said.stdout.endswith(f"The verdict of entry {LAST} does not follow from this.\n")


def test_what_was_changed_is_not_judged(run: Run, made: dict[str, Any]) -> None:
    evidence = json.loads(json.dumps(made))
    evidence["basis"]["text"] = "[" * 100_000
    said = replay(run, evidence).stdout
    assert "? 5. It can be judged again\n     Not checked: A text is not the one" in said


def test_without_the_entries_it_says_what_it_could_not_check(
    run: Run, made: dict[str, Any]
) -> None:
    said = replay(run, {**made, "entries": {}})
    assert said.returncode == 2
    assert "? 3. The log's own entry says the same" in said.stdout
    assert "--receipt names one" in said.stdout
    assert "The entries of 2 looks are not at hand." in said.stdout


UNREADABLE = {
    "no JSON": ("{", "is not JSON"),
    "another document": ("{}", f"is not the evidence of verdict {LAST}"),
    "a list": ("[]", f"is not the evidence of verdict {LAST}"),
    "other evidence": ('{"index": 1}', f"is not the evidence of verdict {LAST}"),
}


@pytest.mark.parametrize(("text", "complaint"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_file_that_is_no_evidence_is_refused(run: Run, text: str, complaint: str) -> None:
    Path("evidence.json").write_text(text)
    refused = run(f"canary replay {LAST} --file evidence.json")
    assert refused.returncode == 64
    assert complaint in refused.stderr


def test_files_are_named_that_cannot_be_what_they_should(run: Run, made: dict[str, Any]) -> None:
    replay(run, made)
    other = run("canary replay 7 --file evidence.json")
    assert "evidence.json is not the evidence of verdict 7" in other.stderr
    refused = replay(run, made, "--receipt", "evidence.json")
    assert refused.returncode == 64
    assert "evidence.json is no receipt of a verdict" in refused.stderr
    both = replay(run, made, "--save", "again.json")
    assert both.returncode == 64
    assert run("canary replay 7 --file nowhere.json").returncode == 64


@pytest.mark.usefixtures("team")
def test_a_receipt_of_something_else_is_refused(run: Run, made: dict[str, Any]) -> None:
    refused = replay(run, made, "--receipt", "receipt")
    assert refused.returncode == 64
    assert f"the receipt of entry 4, not of the verdict {LAST}" in refused.stderr


def test_without_the_judge_s_package_it_says_what_to_install(
    run: Run, made: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.startswith("deploymark.judge"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "numpy", None)
    refused = replay(run, made)
    assert refused.returncode == 64
    assert "Judging again needs more packages (numpy)." in refused.stderr
    assert "pip install '.[server]'" in refused.stderr


# Words -------------------------------------------------------------------------------------------


def test_evidence_is_told_as_odds() -> None:
    assert odds(0.0) == "none to speak of"
    assert odds(5.0) == "148 to one"
    assert odds(40.0) == "more than a million to one"
    assert passing(2.9) == "18 to one, not enough (20 to pass)"
    assert passing(3.0) == "20 to one, enough (20 to pass)"


def test_shares_are_by_weight_and_of_numbers_that_no_float_could_hold() -> None:
    assert shares_of([(5_000.0, 1.0), (5_000.0, 3.0)]) == [0.25, 0.75]
    assert shares_of([(5_000.0, 1.0), (0.0, 1.0), (9.0, 0.0)]) == [1.0, 0.0, 0.0]
    assert shares_of([]) == []

"""`deploymark canary replay`: judge a verdict again, from what was kept, on this machine.

A server is asked for texts, and believed in nothing: each text is hashed, the digests are compared
with the entries of the log, and the judge is run on the texts. Whether an entry stands in the log
a receipt proves, which `deploymark verify` checks.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from deploymark.cli.client import Client, client_settings, path_of
from deploymark.cli.options import read_bytes, read_text, write_text
from deploymark.cli.output import Output
from deploymark.decoding import convert
from deploymark.errors import (
    DeploymarkError,
    ExtraMissingError,
    JudgeError,
    ServerUnavailableError,
    UsageError,
)
from deploymark.log.receipt import parse_receipt
from deploymark.log.steps import Result, Step, counted, verdict
from deploymark.model.entries import Verdict, decode_entry
from deploymark.model.leaf import decode_leaf

_EXIT: Final = {Result.HOLDS: 0, Result.FAILS: 1, Result.UNCHECKED: 2}
_VERDICT: Final = "verdict"
_COMPARED: Final = (
    ("result", "The result"),
    ("advice", "The advice"),
    ("reasons", "The reasons"),
    ("log_e_fail", "The evidence of failure (logarithm)"),
    ("log_e_pass", "The evidence of a pass (logarithm)"),
    ("score", "The score"),
)

Judged = Callable[[bytes, list[bytes]], Any]


class Kept(Struct, frozen=True):
    """A text, and the digest that it is kept by."""

    digest: str
    text: str
    index: int | None = None


class Evidence(Struct, frozen=True):
    """What a verdict rests on, as `GET /v1/verdicts/{index}/evidence` answers it, and --save.

    Attributes:
        index: The verdict's entry.
        verdict: What it says.
        basis: Plan and placebos.
        looks: The counts of the step, in order, each with the entry of the verdict on it.
        entries: Those entries as the server shows them, by index; only in what --save wrote.
    """

    index: int
    verdict: Verdict
    basis: Kept
    looks: tuple[Kept, ...]
    entries: dict[str, dict[str, Any]] = {}


def replay_verdict(options: argparse.Namespace, output: Output) -> int:
    """Judge a verdict again, and say step by step what comes out.

    Raises:
        ExtraMissingError: The judge needs a package that is not installed.
        UsageError: A file that was named cannot be read, or is something else.
        DeploymarkError: The server refuses, or is away.
    """
    judged = _judge()
    fetched = _saved(options) if options.file is not None else _fetched(options)
    try:
        evidence = convert(fetched, Evidence)
    except msgspec.ValidationError as error:
        raise _unlike(options, str(error)) from error
    if evidence.index != options.index:
        raise _unlike(options, f"it is about entry {evidence.index}, not {options.index}")
    if options.save is not None:
        write_text(options.save, json.dumps(fetched, indent=1) + "\n")
    proven = None if options.receipt is None else _proven(options.receipt, evidence.index)
    steps = []
    for step in checks(evidence, proven, judged):
        output.step(step)
        steps.append(step)
    result = verdict(steps)
    words = {
        Result.HOLDS: f"Judged again, the verdict of entry {evidence.index} is the same.",
        Result.FAILS: f"The verdict of entry {evidence.index} does not follow from this.",
        Result.UNCHECKED: f"Judged again, the verdict of entry {evidence.index} is the same; not "
        "everything could be checked.",
    }
    output.say(words[result], {"result": result.value, "index": evidence.index})
    return _EXIT[result]


def checks(evidence: Evidence, proven: Verdict | None, judged: Judged) -> Iterator[Step]:
    """Yield the steps of a replay.

    Args:
        evidence: What was fetched.
        proven: The verdict's entry, from a receipt.
        judged: Judges again.
    """
    texts = _digests(evidence)
    yield texts
    yield _named(evidence)
    yield _logged(evidence, proven)
    yield _looks_logged(evidence)
    if texts.faults:
        why = "A text is not the one that was kept; what it leads to says nothing."
        yield Step(5, "It can be judged again", "", unchecked=why)
        return
    try:
        again = judged(_bytes(evidence.basis), [_bytes(each) for each in evidence.looks])
    except JudgeError as error:
        yield Step(5, "It can be judged again", "", faults=(f"{error.message} {error.hint}",))
        return
    yield from _compared(evidence.verdict, msgspec.to_builtins(again))


def _digests(evidence: Evidence) -> Step:
    texts = {"the basis": evidence.basis}
    texts |= {f"look {number}": each for number, each in enumerate(evidence.looks, 1)}
    faults = tuple(
        f"The text of {name} is not what {each.digest} was computed from."
        for name, each in texts.items()
        if f"sha256:{sha256(_bytes(each)).hexdigest()}" != each.digest
    )
    detail = f"{counted(len(texts), 'text')}, SHA-256 computed here"
    return Step(1, "Every text is the one that its digest names", detail, faults)


def _bytes(kept: Kept) -> bytes:
    """Return the bytes of a text; half a character, which no text that was kept has, is as any."""
    return kept.text.encode("utf-8", "surrogatepass")


def _named(evidence: Evidence) -> Step:
    said, faults = evidence.verdict, []
    if said.plan_digest != evidence.basis.digest:
        faults.append(f"It names the basis {said.plan_digest}, not {evidence.basis.digest}.")
    last = evidence.looks[-1].digest if evidence.looks else "none"
    if said.inputs_digest != last:
        faults.append(f"It names the look {said.inputs_digest}, not {last}.")
    if said.look != len(evidence.looks):
        faults.append(f"It is of look {said.look}; here are {len(evidence.looks)}.")
    return Step(2, "The verdict names this evidence", f"look {said.look}", tuple(faults))


def _logged(evidence: Evidence, proven: Verdict | None) -> Step:
    name = "The log's own entry says the same"
    if proven is not None:
        faults = () if proven == evidence.verdict else ("The receipt's entry says something else.",)
        return Step(3, name, f"entry {evidence.index}, from the receipt", faults)
    entry = _entry(evidence.entries, evidence.index)
    if entry is None:
        missing = "Neither its entry nor a receipt of it is at hand; --receipt names one."
        return Step(3, name, "", unchecked=missing)
    faults = () if entry == evidence.verdict else (f"Entry {evidence.index} says something else.",)
    detail = f"entry {evidence.index}, as the server shows it; --receipt takes a proof"
    return Step(3, name, detail, faults)


def _looks_logged(evidence: Evidence) -> Step:
    name, said = "Each earlier look stands in the log with a verdict of its own", evidence.verdict
    faults, missing = [], []
    for number, each in enumerate(evidence.looks[:-1], 1):
        entry = None if each.index is None else _entry(evidence.entries, each.index)
        if entry is None:
            missing.append(number)
            continue
        shape = (entry.deployment_id, entry.step, entry.plan_digest, entry.look)
        if shape != (said.deployment_id, said.step, said.plan_digest, number):
            faults.append(f"Entry {each.index} is no verdict on look {number} of this step.")
        elif entry.inputs_digest != each.digest:
            faults.append(f"Entry {each.index} names {entry.inputs_digest}, not {each.digest}.")
    unchecked = f"The entries of {counted(len(missing), 'look')} are not at hand."
    detail = counted(len(evidence.looks) - 1, "look")
    return Step(4, name, detail, tuple(faults), unchecked if missing else "")


def _entry(entries: Mapping[str, dict[str, Any]], index: int) -> Verdict | None:
    """Return what an entry says, None where it is not at hand; what is no verdict equals none."""
    shown = entries.get(str(index))
    if shown is None:
        return None
    try:
        is_this = (shown["type"], shown["index"]) == (_VERDICT, index)
        return convert(shown["entry"], Verdict) if is_this else _NO_VERDICT
    except (msgspec.ValidationError, KeyError):
        return _NO_VERDICT


_NO_VERDICT: Final = Verdict(
    deployment_id="d-none",
    service="none",
    environment="none",
    result="inconclusive",
    advice="none",
    look=1,
    score=0.0,
    inputs_digest="",
    judge="",
    timestamp="",
)


def _compared(said: Verdict, again: dict[str, Any]) -> Iterator[Step]:
    logged = msgspec.to_builtins(said)
    number = 5
    for field, name in _COMPARED:
        yield _same(number, name, logged.get(field), again[field])
        number += 1
    found = {each["name"]: each for each in again["metrics"]}
    for metric in logged.get("metrics") or ():
        other = found.pop(metric["name"], None)
        for field, what in (("log_e_fail", "failure"), ("log_e_pass", "a pass")):
            name = f"The evidence of {what} from {metric['name']} (logarithm)"
            yield _same(number, name, metric[field], None if other is None else other[field])
            number += 1
    for name in found:
        yield Step(number, f"The log has {name}", "", (f"It says nothing of {name}.",))
        number += 1


def _same(number: int, name: str, logged: object, again: object) -> Step:
    shown = _shown(again)
    if _listed(logged) == _listed(again):
        return Step(number, name, shown)
    fault = f"The log says {_shown(logged)}, judged again it is {shown}."
    return Step(number, name, "", (fault,))


def _listed(value: object) -> object:
    """Return a value in which an absent list is an empty one, as entries leave it out."""
    return tuple(value or ()) if value is None or isinstance(value, (list, tuple)) else value


def _shown(value: object) -> str:
    if value is None or isinstance(value, (list, tuple)):
        return ", ".join(map(str, value or ())) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _judge() -> Judged:
    try:
        from deploymark.judge.replay import replay_step  # noqa: PLC0415 - optional extra
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"Judging again needs more packages ({error.name}).",
            hint="Install this package with its extra `server`: pip install '.[server]' in its "
            "folder.",
        ) from error
    return replay_step


def _fetched(options: argparse.Namespace) -> dict[str, Any]:
    """Return the evidence of a server, with the entries that it names."""
    client = Client(client_settings(options.url))
    evidence = client.get(path_of("verdicts", options.index, "evidence"))
    wanted = [options.index]
    looks = evidence.get("looks")
    for each in looks if isinstance(looks, list) else ():
        index = each.get("index") if isinstance(each, dict) else None
        if isinstance(index, int) and index not in wanted:
            wanted.append(index)
    entries = {str(index): client.get(path_of("entries", index)) for index in wanted}
    return {**evidence, "entries": entries}


def _saved(options: argparse.Namespace) -> Any:  # noqa: ANN401 - whatever the file holds
    if options.save is not None:
        raise UsageError(
            "--file and --save do not go together.", hint="What is saved already need not be."
        )
    try:
        return json.loads(read_bytes(options.file))
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{options.file} is not JSON.", hint="It is what `canary replay --save` wrote."
        ) from error


def _proven(file: Path, index: int) -> Verdict:
    """Return the verdict in a receipt; `deploymark verify` tells whether it proves anything."""
    hint = f"`deploymark receipt {index} --out FILE` fetches it."
    try:
        receipt = parse_receipt(read_text(file))
        leaf = decode_leaf(receipt.extra or b"")
        is_this = receipt.index == index
        said = decode_entry(leaf.dsse.payload_bytes(), leaf.dsse.payloadType) if is_this else None
    except DeploymarkError as error:
        raise UsageError(
            f"{file} is no receipt of a verdict: {error.message}", hint=hint
        ) from error
    if not isinstance(said, Verdict):
        raise UsageError(
            f"{file} is the receipt of entry {receipt.index}, not of the verdict {index}.",
            hint=hint,
        )
    return said


def _unlike(options: argparse.Namespace, why: str) -> DeploymarkError:
    if options.file is not None:
        return UsageError(
            f"{options.file} is not the evidence of verdict {options.index}: {why}.",
            hint=f"`deploymark canary replay {options.index} --save FILE` writes it.",
        )
    return ServerUnavailableError(
        f"The server answered with what is no evidence of verdict {options.index}: {why}."
    )

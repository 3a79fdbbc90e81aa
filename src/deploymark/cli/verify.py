"""`deploymark verify`: check evidence offline, with a policy file and nothing else."""

import argparse
import json
from collections.abc import Iterable
from hashlib import file_digest
from pathlib import Path
from typing import Any

from deploymark.cli.flags import add_json
from deploymark.cli.options import open_export, read_bytes, unreadable
from deploymark.cli.output import Output
from deploymark.crypto.keyring import KeyRing
from deploymark.crypto.note import parse_note
from deploymark.emit.release import release_digest
from deploymark.errors import DeploymarkError, EnvelopeError, UsageError
from deploymark.log.checkpoint import parse_checkpoint
from deploymark.log.export import CHECKPOINT, Export
from deploymark.log.policy import Policy, parse_policy
from deploymark.log.receipt import HEADER, parse_receipt
from deploymark.log.steps import Result, Step, verdict
from deploymark.log.verify import ExportVerification, Found, ReceiptVerification
from deploymark.model.envelope import Envelope, decode_envelope

Fields = dict[str, object] | None

_EXIT = {Result.HOLDS: 0, Result.FAILS: 1, Result.UNCHECKED: 2}
_ENVELOPE_MEMBERS = {"payload", "payloadType", "signatures"}
_MAX_TEXT_BYTES = 1 << 20
_KEYS_STEP = 4  # of the steps of an export, docs/formats/verification
_OF_OTHERS = ("keys", "export", "receipt")
_CLAIMS = ("service", "environment", "phase")


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark verify`."""
    parser = commands.add_parser(
        "verify",
        help=sentence,
        description="Verifies offline, step by step. EVIDENCE is a receipt (tlog-proof), a DSSE "
        "envelope, any other file or a release directory as an artifact, or the directory of an "
        "export.",
    )
    parser.add_argument("evidence", type=Path, metavar="EVIDENCE", help="what to verify")
    parser.add_argument(
        "--policy", type=Path, metavar="FILE", required=True, help="whom to trust: a tlog-policy"
    )
    keys = parser.add_mutually_exclusive_group()
    keys.add_argument(
        "--keys", type=Path, metavar="FILE", help="producer keys, from `keys ls --export`"
    )
    keys.add_argument(
        "--export", type=Path, metavar="DIR", help="the log's export, which holds the keys itself"
    )
    parser.add_argument(
        "--receipt", type=Path, metavar="FILE", help="the receipt of an envelope or artifact"
    )
    parser.add_argument(
        "--as",
        dest="kind",
        choices=("artifact", "receipt", "envelope", "export"),
        help="what EVIDENCE is; say `artifact` of anything that will be run, because a file can be "
        "made to look like a receipt (default: by its content)",
    )
    for name in _CLAIMS:
        parser.add_argument(f"--{name}", help=f"the {name} that the entry must name, else it fails")
    add_json(parser)
    parser.set_defaults(run=_verify)


def _verify(options: argparse.Namespace, output: Output) -> int:
    policy = parse_policy(read_bytes(options.policy))
    evidence: Path = options.evidence
    proven = options.receipt is not None or options.export is not None
    kind = options.kind or _kind(evidence, proven=proven)
    if kind == "export":
        _refuse_flags(options, "An export holds entries and keys itself", *_OF_OTHERS)
        _refuse_flags(options, "An export holds many entries", *_CLAIMS)
        path = evidence if evidence.is_dir() else evidence.parent
        _, steps = _verify_export(path, policy, output)
        return _conclude(steps, f"the export {path}", output)
    if kind == "receipt":
        _refuse_flags(options, f"{evidence} is a receipt itself", "receipt")
        return _verify_receipt(options, evidence, policy, None, output)
    envelope = _held(evidence) if kind == "envelope" else None
    if options.receipt is not None:
        return _verify_receipt(options, options.receipt, policy, envelope, output)
    return _find(options, policy, envelope, output)


def _refuse_flags(options: argparse.Namespace, why: str, *flags: str) -> None:
    """Refuse what would be left unused: a user would take it for checked."""
    for flag in flags:
        if getattr(options, flag) is not None:
            raise UsageError(f"{why}: --{flag} has no use here.", hint=f"Leave --{flag} out.")


def _head(file: Path) -> bytes:
    if file.exists() and not file.is_file():
        raise UsageError(f"{file} is not a file.", hint="A device or a pipe has no end to hash.")
    try:
        with file.open("rb") as stream:
            return stream.read(_MAX_TEXT_BYTES)
    except OSError as error:
        raise unreadable(file, error) from error


def _receipt_text(file: Path) -> str:
    head = _head(file)
    if len(head) == _MAX_TEXT_BYTES:
        raise UsageError(f"{file} is too large for a receipt.")
    try:
        return head.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text.") from error


def _kind(evidence: Path, *, proven: bool) -> str:
    """Guess what a file or directory is by its content."""
    if evidence.is_dir():
        return "export" if (evidence / CHECKPOINT).exists() or not proven else "artifact"
    if evidence.name == CHECKPOINT:
        return "export"
    head = _head(evidence)
    if head.startswith(HEADER.encode()):
        return "receipt"
    members = _members(head)
    held = "payloadType" in members and members <= _ENVELOPE_MEMBERS
    return "envelope" if held else "artifact"


def _members(head: bytes) -> set[str]:
    """Return the members of a JSON object; none for anything else."""
    if len(head) == _MAX_TEXT_BYTES or head.lstrip()[:1] != b"{":
        return set()
    try:
        return set(json.loads(head))
    except (ValueError, RecursionError):
        return set()


def _held(file: Path) -> Envelope:
    """Return the envelope that a user holds; it has nothing else in it."""
    head = _head(file)
    if extra := _members(head) - _ENVELOPE_MEMBERS:
        raise EnvelopeError(f"{file}: an envelope has no member {min(extra)!r}.")
    try:
        return decode_envelope(head)
    except DeploymarkError as error:
        raise type(error)(f"{file}: {error.message}", hint=error.hint) from error


def _verify_receipt(
    options: argparse.Namespace,
    file: Path,
    policy: Policy,
    envelope: Envelope | None,
    output: Output,
) -> int:
    text = _receipt_text(file)
    ring = _ring(options, policy, text)
    export = None if options.export is None else open_export(options.export)
    verification = ReceiptVerification(text, policy, ring, envelope, export)
    steps = _show(verification.steps(), output)
    found = verification.found
    if verdict(steps) is Result.FAILS:
        return _conclude(steps, f"the receipt {file}", output)
    if of_artifact := file != options.evidence and envelope is None:
        number = len(steps) + 1
        steps += _show([_artifact_step(number, options.evidence, found.fields)], output)
    if _claims(options) and verdict(steps) is not Result.FAILS:
        faults = _unlike(_claims(options), found.fields)
        step = Step(len(steps) + 1, "The entry says what was claimed", "", faults)
        steps += _show([step], output)
        if faults:
            said = f"NOT verified: {file} is of another event."
            output.say(said, {"result": Result.FAILS, "entry": None})
            return _EXIT[Result.FAILS]
    entry = _entry(found) if verdict(steps) is not Result.FAILS else None
    if entry is not None:
        _describe(found.index, found.fields, output)
    if of_artifact:
        return _conclude_artifact(steps, options.evidence, file, entry, output)
    return _conclude(steps, f"the receipt {file}", output, entry)


def _artifact_step(number: int, file: Path, fields: Fields) -> Step:
    held, named = _artifact_digest(file), _digest(fields)
    fault = f"The artifact in hand has another digest. The entry names {named or 'none'}."
    detail = f"The artifact in hand is {held}"
    return Step(number, "The entry names the artifact", detail, () if held == named else (fault,))


def _claims(options: argparse.Namespace) -> dict[str, str]:
    """Return what the caller says that the entry must say."""
    given = {name: getattr(options, name) for name in _CLAIMS}
    return {name: value for name, value in given.items() if value is not None}


def _unlike(claims: dict[str, str], fields: Fields) -> tuple[str, ...]:
    """Return in what an entry differs from what was claimed of it, one sentence each."""
    if fields is None:
        return ("The entry is no marker.",)
    return tuple(
        f"It says {name} {fields[name]}, not {value}."
        for name, value in claims.items()
        if fields[name] != value
    )


def _entry(found: Found) -> dict[str, object] | None:
    """Return what the entry of a receipt says, for programs; None when it is no marker."""
    fields, leaf = found.fields, found.leaf
    if fields is None or leaf is None:
        return None
    return {
        "index": found.index,
        "service": fields["service"],
        "environment": fields["environment"],
        "phase": fields["phase"],
        "version": fields.get("version"),
        "digest": _digest(fields) or None,
        "deployment_id": leaf.ids.get("deployment_id"),
        "occurrence": leaf.occurrence,
    }


def _ring(options: argparse.Namespace, policy: Policy, receipt: str) -> KeyRing | None:
    """Return the producers' keys, verified from an export or taken from a trusted file."""
    if options.keys is not None:
        ring = KeyRing.load(read_bytes(options.keys))
        if ring.as_of is None:
            raise UsageError(
                f"{options.keys} does not say of which log it speaks.",
                hint="Make it anew with `deploymark keys ls --export`.",
            )
        return ring
    if options.export is None:
        return None
    export = open_export(options.export)
    _check_same_log(export, receipt)
    verification = ExportVerification(export, policy)
    # Up to the keys: that other entries are not trusted any more says nothing against these.
    steps = [step for step in verification.steps() if step.number <= _KEYS_STEP]
    faults = [fault for step in steps for fault in step.faults]
    if faults:
        raise UsageError(
            f"The export {options.export} does not hold: {faults[0]}",
            hint=f"deploymark verify {options.export} --policy {options.policy} lists every fault.",
        )
    return verification.ring


def _check_same_log(export: Export, receipt: str) -> None:
    """Refuse keys of another log: a policy may trust many, but each has its own producers."""
    try:
        origin = parse_checkpoint(parse_note(parse_receipt(receipt).note).text).origin
    except DeploymarkError:
        return  # the first step says what is wrong with it
    if export.checkpoint.origin != origin:
        raise UsageError(
            f"The receipt is of the log {origin}, the export of {export.checkpoint.origin}.",
            hint="Name the export of the log that the receipt is from.",
        )


def _verify_export(
    path: Path, policy: Policy, output: Output
) -> tuple[ExportVerification, list[Step]]:
    export = open_export(path)
    with output.progress("Verifying entries", export.checkpoint.size) as progress:
        verification = ExportVerification(export, policy, progress)
        steps = _show(verification.steps(), output)
    return verification, steps


def _find(
    options: argparse.Namespace, policy: Policy, envelope: Envelope | None, output: Output
) -> int:
    """Verify an export, then look in it for an envelope's payload or an artifact's digest."""
    if options.export is None:
        what = "An envelope" if envelope is not None else "An artifact"
        raise UsageError(
            f"{what} alone proves nothing: where was it logged?",
            hint="Add --export DIR "
            "or --receipt FILE; the log must name "
            + ("its payload." if envelope is not None else "its digest."),
        )
    verification, steps = _verify_export(options.export, policy, output)
    number = len(steps) + 1
    if verdict(steps) is Result.HOLDS:
        if envelope is not None:
            name = "The envelope's payload is in the log"
            indexes = verification.find_payload(envelope.payload_bytes())
        else:
            digest = _artifact_digest(options.evidence)
            name = f"Markers name the artifact {digest}"
            indexes = verification.artifacts.get(digest, [])
        entries = ", ".join(map(str, indexes))
        faults = () if indexes else ("No entry of the log names it.",)
        claims = _claims(options)
        if claims and indexes:
            indexes = [at for at in indexes if not _unlike(claims, verification.fields(at))]
            said = ", ".join(f"{key} {value}" for key, value in claims.items())
            faults = () if indexes else (f"No entry that names it says {said}.",)
            entries = ", ".join(map(str, indexes))
        step = Step(number, name, f"entries {entries}" if indexes else "", faults)
        output.step(step)
        steps.append(step)
        for index in indexes:
            _describe(index, verification.fields(index), output)
    return _conclude(steps, str(options.evidence), output)


def _artifact_digest(file: Path) -> str:
    if file.is_dir():
        return release_digest(str(file))
    try:
        with file.open("rb") as stream:
            return f"sha256:{file_digest(stream, 'sha256').hexdigest()}"
    except OSError as error:
        raise unreadable(file, error) from error


def _digest(fields: Fields) -> str:
    """Return the artifact digest that a flat marker names, "" when it names none."""
    artifact = (fields or {}).get("artifact")
    digest = artifact.get("digest") if isinstance(artifact, dict) else None
    return str(digest or "")


def _show(steps: Iterable[Step], output: Output) -> list[Step]:
    shown: list[Step] = []
    for step in steps:
        output.step(step)
        shown.append(step)
    return shown


def _describe(index: int, fields: Fields, output: Output) -> None:
    if fields is None:
        return
    said = (fields.get("version"), _digest(fields), fields.get("commit_hash"))
    what = " ".join(str(value) for value in said if value)
    claimed = fields.get("timestamp")
    output.remark(
        f"  entry {index}: {fields['service']} {fields['phase']} in {fields['environment']}, "
        f"{what}, " + (f"claimed time {claimed}" if claimed else "no time claimed")
    )


def _conclude_artifact(
    steps: list[Step],
    artifact: Path,
    receipt: Path,
    entry: dict[str, object] | None,
    output: Output,
) -> int:
    """End with a sentence about the artifact: the receipt holds, whatever the artifact is."""
    result = verdict(steps)
    if result is Result.UNCHECKED or (result is Result.HOLDS and entry is None):
        return _conclude(steps, f"the receipt {receipt}", output, entry)
    said = f"NOT verified: {artifact} is not what {receipt} names."
    if entry is not None:
        event = f"{entry['service']} {entry['phase']} in {entry['environment']}"
        said = f"Verified: {artifact} is what {receipt} names: {event}."
    output.say(said, {"result": result, "entry": entry})
    return _EXIT[result]


def _conclude(
    steps: list[Step], what: str, output: Output, entry: dict[str, object] | None = None
) -> int:
    result = verdict(steps)
    sentences = {
        Result.HOLDS: f"Verified: {what} holds.",
        Result.FAILS: f"NOT verified: {what} does not hold.",
        Result.UNCHECKED: f"Undecided: not everything about {what} could be checked.",
    }
    output.say(sentences[result], {"result": result, "entry": entry})
    return _EXIT[result]

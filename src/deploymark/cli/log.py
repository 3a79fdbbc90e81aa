"""`deploymark log`: create, write, publish, prove, audit, export and repair a log."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from deploymark.cli import policy, witness
from deploymark.cli.numbers import decimal, entry_index
from deploymark.cli.options import (
    add_data,
    add_passphrase,
    check_key_name,
    data_directory,
    log_on_this_machine,
    open_export,
    open_signer,
    passphrase,
    read_text,
    write_text,
)
from deploymark.cli.output import Output
from deploymark.crypto.note import parse_note
from deploymark.errors import (
    DeploymarkError,
    KeyFileError,
    RefusedError,
    RolledBackError,
    UsageError,
)
from deploymark.ingest.markers import Line, envelopes_of
from deploymark.log.checkpoint import encode_hash, parse_checkpoint
from deploymark.log.export import CHECKPOINT, write_export
from deploymark.log.fsck import Audit
from deploymark.log.policy import Policy
from deploymark.log.reader import LogView, full_note
from deploymark.log.receipt import format_receipt
from deploymark.log.sequencer import Acknowledgement, Outcome
from deploymark.log.steps import Result, Step, counted, verdict
from deploymark.model.filing import check_filing
from deploymark.model.leaf import decode_leaf
from deploymark.ports import EnvelopeSigner, PublishedCheckpoint
from deploymark.runtime.compose import (
    init_log,
    log_keys,
    open_log,
    open_reader,
    read_policy,
    remembered_guard,
)
from deploymark.runtime.config import read_environment
from deploymark.runtime.data_directory import DataDirectory, default_origin
from deploymark.runtime.repair import accept_copy, recover_from_export

_BATCH = 512


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark log` and its subcommands."""
    parser = commands.add_parser("log", help=sentence)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    init = actions.add_parser("init", help="create a log, its keys and its policy")
    init.add_argument("--origin", help="the log's name for ever: its public URL without https://")
    _finish(init, _init, writes=True)

    append = actions.add_parser("append", help="admit markers from a file")
    append.add_argument("file", type=Path, help="flat markers or DSSE envelopes: JSON or NDJSON")
    append.add_argument(
        "--sign",
        metavar="KEY",
        help="producer key that signs flat markers (default: DEPLOYMARK_KEY)",
    )
    _finish(append, _append, writes=True)

    checkpoint = actions.add_parser("checkpoint", help="show the newest published checkpoint")
    checkpoint.add_argument("--publish", action="store_true", help="publish the head first")
    _finish(checkpoint, _checkpoint, writes=True)

    prove = actions.add_parser("prove", help="print the receipt of an entry")
    prove.add_argument("index", type=entry_index, help="the entry's index")
    prove.add_argument("--out", type=Path, metavar="FILE", help="write it to a new file")
    _finish(prove, _prove)

    show = actions.add_parser("show", help="print what an entry says")
    show.add_argument("index", type=entry_index, help="the entry's index")
    _finish(show, _show)

    ls = actions.add_parser("ls", help="list the newest entries")
    ls.add_argument("--last", type=decimal, default=20, metavar="N", help="how many (default: 20)")
    _finish(ls, _ls)

    fsck = actions.add_parser("fsck", help="check that everything stored adds up")
    fsck.add_argument("export", type=Path, nargs="?", help="an export instead of a data directory")
    _finish(fsck, _fsck)

    export = actions.add_parser("export", help="write the log as a static site")
    export.add_argument("directory", type=Path, help="where; an earlier export there grows")
    _finish(export, _export)

    policy.add_parser(actions)

    recover = actions.add_parser("recover", help="repair a log that refuses to start")
    how = recover.add_mutually_exclusive_group(required=True)
    how.add_argument(
        "--from", dest="source", type=Path, metavar="EXPORT", help="take missing entries from it"
    )
    how.add_argument(
        "--accept", action="store_true", help="the guard file is lost; this is the newest copy"
    )
    _finish(recover, _recover, writes=True)

    witness.add_parser(actions)


def _finish(parser: argparse.ArgumentParser, run: object, *, writes: bool = False) -> None:
    add_data(parser)
    if writes:
        add_passphrase(parser)
    parser.set_defaults(run=run)


def _init(options: argparse.Namespace, output: Output) -> int:
    path = data_directory(options)
    origin = default_origin() if options.origin is None else options.origin
    check_key_name(origin)
    published = init_log(path, origin, passphrase(options))
    data = DataDirectory(path)
    output.say(
        f"Created the log {origin} in {path}.\n"
        f"  private keys    {data.path / 'keys'}, back them up\n"
        f"  rollback guard  {data.guard}, do not restore it together with {path}\n"
        "  next            deploymark keys new KEY; deploymark keys trust KEY.pub; "
        "deploymark log append FILE --sign KEY",
        {"origin": origin, "data": path, "size": published.size, "guard": data.guard},
    )
    return 0


def _append(options: argparse.Namespace, output: Output) -> int:
    secret = passphrase(options)
    name = options.sign or read_environment().key
    signer = None if name is None else open_signer(name, secret)
    envelopes = _envelopes(options.file, signer)
    counts = {"appended": 0, "duplicates": 0, "refused": 0}
    with open_log(data_directory(options), secret) as log:
        with output.progress("Appending", len(envelopes)) as progress:
            for start in range(0, len(envelopes), _BATCH):
                batch = envelopes[start : start + _BATCH]
                outcomes = log.receiver.receive([envelope for _, envelope in batch])
                lines = [line for line, _ in batch]
                _count(options.file, zip(lines, outcomes, strict=True), counts, output)
                progress(start + len(batch))
        said = (
            f"{counts['appended']} appended, {counts['duplicates']} known already, "
            f"{counts['refused']} refused"
        )
        try:
            published = log.publisher.publish()
        except DeploymarkError:
            # What was appended stays; whoever gets the error must know that it is there.
            output.say(f"{said}; not published.", {**counts, "size": None})
            raise
    output.say(
        f"{said}; published at size {published.size}{_cosigned(published, log.policy)}.",
        {**counts, "size": published.size, "cosignatures": len(published.cosignatures)},
    )
    return 1 if counts["refused"] else 0


def _envelopes(file: Path, signer: EnvelopeSigner | None) -> list[Line]:
    text = read_text(file)
    try:
        return envelopes_of(text, signer)
    except KeyFileError:
        raise
    except RefusedError as error:
        raise type(error)(f"{file}: {error.message}", hint=error.hint, field=error.field) from error


def _cosigned(published: PublishedCheckpoint, policy: Policy) -> str:
    """Say how many witnesses cosigned, so that one that is away does not go unnoticed."""
    asked = [line for line in policy.witnesses.values() if line.url]
    if not asked:
        return ""
    have = sum(str(line.key) in published.cosignatures for line in asked)
    return f", cosigned by {have} of {counted(len(asked), 'witness', 'witnesses')}"


def _count(
    file: Path, results: Iterator[tuple[int, Outcome]], counts: dict[str, int], output: Output
) -> None:
    for line, outcome in results:
        match outcome:
            case Acknowledgement(duplicate=True):
                counts["duplicates"] += 1
            case Acknowledgement():
                counts["appended"] += 1
            case DeploymarkError():
                counts["refused"] += 1
                located = type(outcome)(
                    f"{file}, line {line}: {outcome.message}",
                    hint=outcome.hint,
                    field=outcome.field,
                )
                output.error(located)


def _checkpoint(options: argparse.Namespace, output: Output) -> int:
    if options.publish:
        with open_log(data_directory(options), passphrase(options)) as log:
            published = log.publisher.publish()
    else:
        with open_reader(log_on_this_machine(options)) as (_, reader):
            published = reader.checkpoint(max(1, reader.head().published_size))
    _say_checkpoint(published, output)
    return 0


def _say_checkpoint(published: PublishedCheckpoint, output: Output) -> None:
    note = full_note(published.note, published.cosignatures)
    if not output.json:
        output.raw(note)
        return
    checkpoint = parse_checkpoint(parse_note(note).text)
    output.say(
        "",
        {
            "origin": checkpoint.origin,
            "size": checkpoint.size,
            "root": encode_hash(checkpoint.root),
            "published_at": published.published_at_s,
            "cosignatures": len(published.cosignatures),
            "note": note,
        },
    )


def _prove(options: argparse.Namespace, output: Output) -> int:
    with open_reader(log_on_this_machine(options)) as (_, reader):
        receipt = LogView(reader).published_receipt(options.index)
    text = format_receipt(receipt)
    if options.out is not None:
        write_text(options.out, text)
        output.say(
            f"{options.out} proves entry {options.index}; check it with "
            f"`deploymark verify {options.out} --policy POLICY`.",
            {"index": options.index, "file": options.out},
        )
    elif output.json:
        output.say("", {"index": options.index, "receipt": text})
    else:
        output.raw(text)
    return 0


def _show(options: argparse.Namespace, output: Output) -> int:
    with open_reader(log_on_this_machine(options)) as (_, reader):
        entry = reader.entry(options.index)
    leaf = decode_leaf(entry.leaf or b"")
    record = {
        "index": entry.index,
        "received_at": leaf.received_at,
        "assurance": leaf.assurance,
        "principal": leaf.principal,
        "key_id": entry.key_id,
        "ids": leaf.ids,
        "occurrence": leaf.occurrence,
        "payload_type": leaf.dsse.payloadType,
        "payload": leaf.dsse.payload_bytes().decode("utf-8"),
    }
    ids = " ".join(f"{name}={value}" for name, value in leaf.ids.items())
    lines = [f"{name:13} {value}" for name, value in {**record, "ids": ids}.items()]
    output.say("\n".join(lines), record)
    return 0


def _ls(options: argparse.Namespace, output: Output) -> int:
    with open_reader(log_on_this_machine(options)) as (_, reader):
        size = reader.head().size
        entries = list(reader.entries(max(0, size - options.last), size))
    rows = []
    for entry in entries:
        leaf = decode_leaf(entry.leaf or b"")
        fields = check_filing(leaf).fields or {}
        said = [fields.get(name) for name in ("service", "environment", "phase", "version")]
        what = " ".join(str(value) for value in said if value)
        rows.append((entry.index, leaf.received_at, entry.key_id, entry.dedupe, what))
    output.table(("index", "received_at", "key_id", "identity", "what"), rows)
    return 0


def _fsck(options: argparse.Namespace, output: Output) -> int:
    if options.export is not None:
        if options.data is not None:
            raise UsageError("An export and --data are two different things to check.")
        return _fsck_export(options.export, output)
    directory = log_on_this_machine(options)
    check_guard_of = remembered_guard(directory)
    with open_reader(directory) as (data, reader):
        size = reader.head().size
        with output.progress("Checking entries", size) as progress:
            audit = Audit(reader, log_keys(read_policy(data)), progress=progress)
            steps = list(_shown(audit.steps(), output))
        guard = Step(len(steps) + 1, "The rollback guard", str(data.guard), check_guard_of(reader))
        steps += _shown(iter([guard]), output)
    return _conclude(steps, counted(size, "entry", "entries"), output)


def _fsck_export(path: Path, output: Output) -> int:
    export = open_export(path)
    size = export.checkpoint.size
    with output.progress("Checking entries", size) as progress:
        faults = tuple(export.faults(progress))
    step = Step(1, "Every file follows from the entries", counted(size, "entry", "entries"), faults)
    output.step(step)
    output.remark("Signatures are not part of this: `deploymark verify EXPORT --policy FILE`.")
    return _conclude([step], counted(size, "entry", "entries"), output)


def _shown(steps: Iterator[Step], output: Output) -> Iterator[Step]:
    for step in steps:
        output.step(step)
        yield step


def _conclude(steps: Sequence[Step], what: str, output: Output) -> int:
    faults = sum(len(step.faults) for step in steps)
    holds = verdict(steps) is Result.HOLDS
    sentence = f"{what}: " + ("everything adds up." if holds else f"{counted(faults, 'fault')}.")
    output.say(sentence, {"result": verdict(steps), "faults": faults})
    return 0 if holds else 1


def _export(options: argparse.Namespace, output: Output) -> int:
    with open_reader(log_on_this_machine(options)) as (_, reader):
        head = reader.head()
        total = head.published_size
        _check_continues(options.directory, head.origin, total)
        with output.progress("Exporting entries", total) as progress:
            checkpoint = write_export(reader, options.directory, progress)
    output.say(
        f"{options.directory} holds {checkpoint.size} entries of {checkpoint.origin}; "
        "serve it with any web server.",
        {"directory": options.directory, "origin": checkpoint.origin, "size": checkpoint.size},
    )
    return 0


def _check_continues(target: Path, origin: str, size: int) -> None:
    """Refuse to put a log over an export of another one, or over one that is further on."""
    if not (target / CHECKPOINT).exists():
        return
    there = open_export(target).checkpoint
    if there.origin != origin:
        raise UsageError(
            f"{target} is the export of another log, {there.origin}.",
            hint="Name another directory.",
        )
    if there.size > size:
        raise RolledBackError(
            f"The export {target} has {there.size} entries, this log has published {size}.",
            hint="This is an old copy of the log: keep the export, and bring the missing entries "
            f"back with `deploymark log recover --from {target}`.",
        )


def _recover(options: argparse.Namespace, output: Output) -> int:
    path, secret = data_directory(options), passphrase(options)
    if options.accept:
        remembered = accept_copy(path)
        output.say(
            f"The guard now remembers {remembered.size} entries of {remembered.origin}.",
            {"origin": remembered.origin, "size": remembered.size},
        )
        return 0
    if not options.source.is_dir():
        raise UsageError(
            f"{options.source} is not the directory of an export.",
            hint="Name the directory that `deploymark log export` wrote, or a mirror of it.",
        )
    before, after = recover_from_export(path, open_export(options.source), secret)
    output.say(
        f"Brought back {counted(after - before, 'entry', 'entries')}; the log has {after} again.",
        {"before": before, "after": after},
    )
    return 0

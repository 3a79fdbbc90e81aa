"""What holds afterwards, checked from what was kept and not from what was told.

Both checks need no server: the log is read from its files, and a verdict is judged again from the
texts that it names by digest.
"""

from pathlib import Path

from msgspec import structs

from deploymark.decoding import decode_json
from deploymark.errors import JudgeError
from deploymark.judge import replay
from deploymark.judge.counts import Look
from deploymark.judge.verdict import Judgement
from deploymark.log.fsck import Audit
from deploymark.model.entries import Verdict
from deploymark.projections.logged import read_entry
from deploymark.runtime.acting import evidence_of
from deploymark.runtime.compose import log_keys, open_reader, read_policy, remembered_guard


def audit(data: Path) -> tuple[int, list[str]]:
    """Return how many entries a log has, and what of it does not add up.

    Args:
        data: Its data directory; its server may run.

    Raises:
        DataDirectoryError: There is none.
    """
    against_guard = remembered_guard(data)
    with open_reader(data) as (directory, reader):
        steps = list(Audit(reader, log_keys(read_policy(directory))).steps())
        faults = [fault for step in steps for fault in step.faults]
        return reader.head().size, [*faults, *against_guard(reader)]


def judge_again(data: Path, index: int) -> tuple[Judgement, list[Look]]:
    """Return the judgement of a verdict, made again from what was kept, and the looks it rests on.

    Args:
        data: The data directory.
        index: Of the verdict's entry.

    Raises:
        JudgeError: It is no verdict, or does not come out the same.
        NotFoundError: Something that it rests on is gone.
    """
    with open_reader(data) as (_, reader):
        said = read_entry(reader.entry(index)).content
        if not isinstance(said, Verdict):
            raise JudgeError(f"The entry {index} is no verdict.")
        before = [
            each.content
            for each in map(read_entry, reader.entries(0, index + 1))
            if isinstance(each.content, Verdict)
        ]
        load = evidence_of(reader)
        digests = [
            each.inputs_digest
            for each in before
            if (each.deployment_id, each.plan_digest) == (said.deployment_id, said.plan_digest)
        ]
        head = decode_json(load(said.plan_digest or ""), replay.Head)
        texts = [load(digest) for digest in digests]
    whole = structs.replace(head, looks=tuple(digests))
    found = replay.replay(replay.text_of(whole), texts)
    same = (found.result, found.advice, found.look, found.log_e_fail, found.log_e_pass)
    if same != (said.result, said.advice, said.look, said.log_e_fail, said.log_e_pass):
        raise JudgeError(f"The verdict of entry {index} does not come out the same.")
    return found, [decode_json(text, Look) for text in texts]

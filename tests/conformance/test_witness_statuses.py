"""Every status of add-checkpoint (c2sp.org/tlog-witness), asked over HTTP of a real server.

Each row has a log of its own, so the rows share one witness.
"""

import http.client
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from deploymark.crypto.note import VerifierKey, parse_note, verify_note
from deploymark.log.checkpoint import Checkpoint
from deploymark.log.witness import format_request, trusted_logs
from deploymark.ports import Witnessed
from deploymark.server.witness import witness_app
from deploymark.storage.witness_state import MemoryWitnessState
from deploymark.testing.clock import START_MS, ManualClock
from deploymark.testing.witness import SampleLog, sample_cosigners
from deploymark.testing.witness_server import running_witness

_EXAMPLE = """\
old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
"""  # noqa: E501 - the example of the specification, as it stands there
_SOME_HASH = b"h" * 32
_TREE_SIZE = "text/x.tlog.size"
_TEXT = "text/plain; charset=utf-8"

Request = Callable[[SampleLog], bytes]


def _ask(old: int, new: int) -> Request:
    return lambda log: format_request(old, log.proof(min(old, new), new), log.note(new))


def _ask_with(proof: list[bytes], old: int, new: int) -> Request:
    return lambda log: format_request(old, proof, log.note(new))


def _forked(at: int, old: int, new: int) -> Request:
    return lambda log: _ask(old, new)(SampleLog(log.origin, fork_at=at))


def _edited(old: str, new: str) -> Request:
    return lambda log: _ask(0, 5)(log).decode().replace(old, new, 1).encode()


def _signed_by_strangers(log: SampleLog) -> bytes:
    text = Checkpoint(log.origin, 5, log.root(5)).text()
    return format_request(0, [], SampleLog("log.example/stranger").sign(text))


def _signed_by_strangers_too(log: SampleLog) -> bytes:
    stranger = SampleLog("log.example/stranger").note(5).rpartition("\n\n")[2]
    return _ask(0, 5)(log) + stranger.encode()


def _one_bad_line(log: SampleLog) -> bytes:
    text, _, lines = log.note(5).rpartition("\n\n")
    other_lines = log.note(6).rpartition("\n\n")[2].splitlines(keepends=True)
    mixed = lines.splitlines(keepends=True)[0] + other_lines[1]
    return format_request(0, [], f"{text}\n\n{mixed}")


def _empty_with_a_root(log: SampleLog) -> bytes:
    return format_request(0, [], log.note(0, root=_SOME_HASH))


def _with_extension_line(log: SampleLog) -> bytes:
    text = Checkpoint(log.origin, 5, log.root(5)).text() + "some extension\n"
    ed25519 = log.signers[0]
    return f"old 0\n\n{text}\n{ed25519.sign_note(text, now_seconds=1)}".encode()


@dataclass(frozen=True)
class Row:
    """One request and its answer; `recorded` is the size the witness stands at."""

    recorded: int
    request: Request
    status: int
    size: int | None = None


_ROWS = {
    "the first checkpoint": Row(0, _ask(0, 5), 200),
    "the first checkpoint, of an empty tree": Row(0, _ask(0, 0), 200),
    "growth with a proof": Row(5, _ask(5, 9), 200),
    "the same checkpoint again": Row(5, _ask(5, 5), 200),
    "lines of strangers beside the log's": Row(0, _signed_by_strangers_too, 200),
    "a checkpoint with an extension line": Row(0, _with_extension_line, 200),
    "no body": Row(0, lambda _: b"", 400),
    "no old size": Row(0, _edited("old 0\n", ""), 400),
    "an old size with a leading zero": Row(0, _edited("old 0", "old 00"), 400),
    "an old size with a sign": Row(0, _edited("old 0", "old +0"), 400),
    "an old size in other digits": Row(0, _edited("old 0", "old \u0660"), 400),
    "an old size beyond 63 bits": Row(0, _edited("old 0", f"old {2**63}"), 400),
    "two spaces in the old line": Row(0, _edited("old 0", "old  0"), 400),
    "carriage returns": Row(0, _edited("old 0\n", "old 0\r\n"), 400),
    "a proof line that is no hash": Row(0, _edited("old 0\n", "old 0\nAAAA\n"), 400),
    "a proof line in URL-safe base64": Row(0, _edited("0\n", f"0\n{'_' * 42}8=\n"), 400),
    "sixty-four proof lines": Row(0, _edited("0\n", "0\n" + ("A" * 43 + "=\n") * 64), 400),
    "no empty line before the checkpoint": Row(0, lambda _: b"old 0\nlog.example\n", 400),
    "a checkpoint without signatures": Row(0, lambda _: b"old 0\n\nlog.example\n0\nAAAA\n", 400),
    "a missing final newline": Row(0, lambda log: _ask(0, 5)(log)[:-1], 400),
    "a body that is not UTF-8": Row(0, lambda log: b"old 0\n\n\xff" + _ask(0, 5)(log), 400),
    "an old size beyond the checkpoint": Row(9, _ask(9, 5), 400),
    "an old size beyond it, and nothing recorded": Row(0, _ask(9, 5), 400),
    "only signatures of strangers": Row(0, _signed_by_strangers, 403),
    "a failing line of a trusted key": Row(0, _one_bad_line, 403),
    "a changed size": Row(0, _edited("\n5\n", "\n6\n"), 403),
    "an unknown origin": Row(0, lambda _: _ask(0, 5)(SampleLog("log.example/unknown")), 404),
    "the specification's example, whose log is unknown": Row(0, lambda _: _EXAMPLE.encode(), 404),
    "an old size where nothing is recorded": Row(0, _ask(3, 9), 409, size=0),
    "an old size of zero to learn the size": Row(7, _ask(0, 9), 409, size=7),
    "an old size behind the recorded one": Row(7, _ask(5, 9), 409, size=7),
    "an old size beyond the recorded one": Row(7, _ask(8, 9), 409, size=7),
    "a checkpoint behind the recorded one": Row(7, _ask(3, 5), 409, size=7),
    "a fork": Row(7, _forked(6, 7, 9), 422),
    "the same size with another root": Row(7, _forked(6, 7, 7), 422),
    "no proof where one is needed": Row(7, _ask_with([], 7, 9), 422),
    "a proof that proves nothing": Row(7, _ask_with([_SOME_HASH], 7, 9), 422),
    "a proof from an empty tree": Row(0, _ask_with([_SOME_HASH], 0, 9), 422),
    "a proof where nothing grew": Row(7, _ask_with([_SOME_HASH], 7, 7), 422),
    "an empty tree with a root of its own": Row(0, _empty_with_a_root, 422),
}
_LOGS = {name: SampleLog(f"log.example/row/{number}") for number, name in enumerate(_ROWS)}
_STATE = MemoryWitnessState()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    vkeys = [vkey for log in _LOGS.values() for vkey in log.vkeys]
    app = witness_app(trusted_logs(vkeys), sample_cosigners(), _STATE, ManualClock(), prefix="/w")
    with running_witness(app) as running:
        yield f"{running}/w"


def _post(url: str, body: bytes) -> tuple[int, str, str]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    try:
        connection.request("POST", f"{parts.path}/add-checkpoint", body)
        response = connection.getresponse()
        return response.status, response.getheader("Content-Type", ""), response.read().decode()
    finally:
        connection.close()


def _lines_verify(note: str, lines: str) -> bool:
    keys = [VerifierKey.parse(signer.vkey) for signer in sample_cosigners()]
    # An ML-DSA-44 key may leave its line out where it would not cover the whole text.
    expected = keys[: lines.count("\n")]
    verified = verify_note(parse_note(note + lines), keys)
    plain = len(parse_note(note).text.splitlines()) == 3
    return (len(expected) == len(keys) or not plain) and {
        line.key: line.timestamp for line in verified
    } == dict.fromkeys(expected, START_MS // 1000)


@pytest.mark.parametrize("name", _ROWS)
def test_the_witness_answers_as_the_specification_says(name: str, url: str) -> None:
    row, log = _ROWS[name], _LOGS[name]
    before = Witnessed(row.recorded, log.root(row.recorded)) if row.recorded else None
    if before is not None:
        assert _STATE.compare_and_swap(log.origin, None, before)
    body = row.request(log)

    status, media_type, answer = _post(url, body)

    assert status == row.status, answer
    if status == 200:
        note = body.decode().partition("\n\n")[2]
        size = int(note.split("\n")[1])
        assert media_type == _TEXT
        assert _lines_verify(note, answer)
        assert _STATE.read(log.origin) == Witnessed(size, log.root(size))
        return
    assert _STATE.read(log.origin) == before
    if row.size is not None:
        assert (media_type, answer) == (_TREE_SIZE, f"{row.size}\n")
    else:
        assert media_type == _TEXT
        assert answer.count("\n") == 1
        assert answer.endswith(".\n")
        assert len(answer) < 400


def test_every_status_of_the_specification_has_a_row() -> None:
    assert {row.status for row in _ROWS.values()} == {200, 400, 403, 404, 409, 422}

"""A spool is looked into without a lock, and without a change."""

import json
import os
from pathlib import Path

import pytest

from deploymark.emit.emitter import Emitter
from deploymark.emit.inspection import (
    SpoolState,
    Waiting,
    elsewhere_said,
    inspect_spool,
    waiting_said,
)
from deploymark.emit.settings import Settings
from deploymark.errors import StoreUnavailableError

NOBODY = "http://127.0.0.1:1"
ME = os.geteuid()


def filled(directory: Path, count: int, url: str = NOBODY) -> Emitter:
    """Return an emitter that is at work in a spool."""
    emitter = Emitter(Settings(url=url, spool=str(directory)), facts={})
    for number in range(count):
        emitter.mark("applied", service="a", environment="b", version=str(number))
    return emitter


def test_what_waits_is_counted_while_its_emitter_is_at_work(tmp_path: Path) -> None:
    emitter = filled(tmp_path / "spool", 3)
    found = inspect_spool(str(tmp_path / "spool"), ME)
    assert (found.waiting, found.journals, found.trouble) == (3, 1, "")
    assert found.bytes > 300
    emitter.close(0)


def test_what_waits_for_which_server_is_told_apart(tmp_path: Path) -> None:
    for url, count in [(NOBODY, 2), ("http://127.0.0.1:2", 3), ("HTTP://127.0.0.1:2/", 1)]:
        filled(tmp_path / "spool", count, url).close(0)
    found = inspect_spool(str(tmp_path / "spool"), ME)
    assert found.waiting == 6
    assert found.elsewhere(NOBODY) == {"http://127.0.0.1:2": 4}
    assert elsewhere_said(found.elsewhere(NOBODY)) == "4 markers wait for http://127.0.0.1:2"
    assert elsewhere_said({"a": 1, "b": 2}) == "1 marker waits for a; 2 markers wait for b"


def test_what_waits_is_told_by_service_and_environment(tmp_path: Path) -> None:
    emitter = filled(tmp_path / "spool", 2)
    for number in range(7):
        emitter.mark("applied", service=f"s{number}", environment="e", version="1")
    found = inspect_spool(str(tmp_path / "spool"), ME).here(NOBODY)
    assert found[0] == Waiting(NOBODY, "a", "b", 2)
    assert waiting_said(found[:2]) == "2 markers of a in b, 1 marker of s0 in e"
    assert waiting_said(found).endswith("1 marker of s3 in e, 3 more")
    assert waiting_said([Waiting("", "", "", 1)]) == "1 marker of ? in ?"
    emitter.close(0)


def test_a_line_that_is_being_written_does_not_count(tmp_path: Path) -> None:
    filled(tmp_path / "spool", 2).close(0)
    (journal,) = (tmp_path / "spool").glob("*.journal")
    journal.write_bytes(journal.read_bytes()[:-3])
    assert inspect_spool(str(tmp_path / "spool"), ME).waiting == 1


def test_a_spool_that_is_not_there_holds_nothing_and_is_not_made(tmp_path: Path) -> None:
    assert inspect_spool(str(tmp_path / "spool"), ME) == SpoolState()
    assert not (tmp_path / "spool").exists()


def test_a_spool_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "spool").touch()
    with pytest.raises(StoreUnavailableError, match="cannot be read"):
        inspect_spool(str(tmp_path / "spool"), ME)


def test_a_spool_of_somebody_else_or_for_everybody_is_not_trusted(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    assert inspect_spool(str(tmp_path), ME).trouble == "others may write in it"
    assert inspect_spool(str(tmp_path), ME + 1).trouble == "it belongs to another user"


REFUSED = {
    "a flat marker": (
        {"problem": {"detail": "no."}, "marker": '{"phase":"applied","service":"a"}'},
        "applied a: no.",
    ),
    "a signed one": (
        {"problem": {"code": "x"}, "marker": '{"payload":"eyJwaGFzZSI6ImZhaWxlZCJ9"}'},
        "failed: x",
    ),
    "half an entry": ({}, "a marker: no reason was given"),
}


@pytest.mark.parametrize(("entry", "sentence"), REFUSED.values(), ids=REFUSED)
def test_refused_was(tmp_path: Path, entry: dict[str, object], sentence: str) -> None:
    (tmp_path / "refused.ndjson").write_text(json.dumps(entry) + "\nnonsense\n")
    tmp_path.chmod(0o700)
    found = inspect_spool(str(tmp_path), ME)
    assert found.refused == (sentence, "a marker: no reason was given")
    assert found.refused_file == str(tmp_path / "refused.ndjson")

"""An export is the whole log as files; it grows in place, and half a one is never taken for one."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from deploymark.errors import (
    DeploymarkError,
    LogBrokenError,
    NoteError,
    NotFoundError,
    StoreUnavailableError,
)
from deploymark.log.export import CHECKPOINT, Export, SiteRenderer, write_export
from deploymark.log.tiles import bundle_names, tile_names
from deploymark.log.tree import EMPTY_ROOT
from deploymark.ports import StoredEntry
from deploymark.storage.memory import MemoryLogStore
from deploymark.testing.log_store import empty_head, next_batch
from deploymark.testing.whole_log import WholeLog


@pytest.fixture
def log() -> Iterator[WholeLog]:
    with WholeLog(MemoryLogStore()) as log:
        yield log


def _export(log: WholeLog, target: Path, *, up_to: int) -> Export:
    """Let the log grow to a size, publish it and export it."""
    log.append_markers(up_to - log.store.head().size)
    log.publish()
    written = write_export(log.store.snapshot(), target)
    export = Export(target)
    assert export.checkpoint == written
    assert written.size == up_to
    return export


def _files(path: Path) -> set[str]:
    return {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}


def _own(size: int) -> set[str]:
    names = [*tile_names(size), *bundle_names(size)]
    return {CHECKPOINT, *(name.path for name in names)}


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 600])
def test_an_export_has_exactly_the_files_of_its_size(
    log: WholeLog, tmp_path: Path, size: int
) -> None:
    export = _export(log, tmp_path / "site", up_to=size)
    assert _files(tmp_path / "site") == _own(size)
    assert list(export.faults()) == []
    assert list(export.leaves()) == [e.leaf for e in log.store.entries(0, size)]
    assert log.policy.check(export.note).checkpoint.root == log.store.head().root


def test_every_file_is_what_the_log_serves(log: WholeLog, tmp_path: Path) -> None:
    export = _export(log, tmp_path, up_to=600)
    for name in (*tile_names(600), *bundle_names(600)):
        assert export.read(name) == log.view.tile(name)


def test_an_export_shows_what_is_published_and_nothing_newer(log: WholeLog, tmp_path: Path) -> None:
    log.append_markers(9)
    log.publish()
    log.append_markers(300)
    assert write_export(log.store.snapshot(), tmp_path).size == 10
    assert _files(tmp_path) == _own(10)


def test_progress_is_told_in_entries(log: WholeLog, tmp_path: Path) -> None:
    log.append_markers(299)
    log.publish()
    done: list[int] = []
    write_export(log.store.snapshot(), tmp_path, done.append)
    assert done == sorted(done)
    assert done[-1] == 300
    checked: list[int] = []
    assert list(Export(tmp_path).faults(checked.append)) == []
    assert checked[-1] == 300


def test_an_unpublished_log_cannot_be_exported(log: WholeLog, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="published"):
        write_export(log.store.snapshot(), tmp_path)
    assert _files(tmp_path) == set()


def test_a_log_with_archived_entries_is_exported_from_the_archive(
    log: WholeLog, tmp_path: Path
) -> None:
    log.append_markers(5)
    log.publish()
    assert isinstance(log.store, MemoryLogStore)
    kept = log.store.entry(3)
    log.store._entries[3] = StoredEntry(3, kept.leaf_hash, 0, "", kept.dedupe, None)
    with pytest.raises(NotFoundError, match="Entry 3 is archived"):
        write_export(log.store.snapshot(), tmp_path)


def test_a_log_that_does_not_lead_to_its_checkpoint_is_not_exported(
    log: WholeLog, tmp_path: Path
) -> None:
    log.append_markers(5)
    log.publish()
    assert isinstance(log.store, MemoryLogStore)
    entries = log.store._entries
    entries[2], entries[3] = entries[3], entries[2]
    with pytest.raises(LogBrokenError, match="do not lead to the published root") as caught:
        write_export(log.store.snapshot(), tmp_path)
    assert "log fsck" in caught.value.hint
    assert CHECKPOINT not in _files(tmp_path)


# Growing in place ---------------------------------------------------------------------------------


def test_an_export_grows_and_keeps_older_partial_tiles(log: WholeLog, tmp_path: Path) -> None:
    sizes = (1, 3, 255, 256, 258, 500, 513)
    for size in sizes:
        assert list(_export(log, tmp_path, up_to=size).faults()) == []
    assert _files(tmp_path) == set().union(*map(_own, sizes))


def test_growing_does_not_touch_what_is_there(log: WholeLog, tmp_path: Path) -> None:
    _export(log, tmp_path, up_to=300)
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in _own(300)}
    _export(log, tmp_path, up_to=520)
    kept = _own(300) - {CHECKPOINT}
    assert {n: (tmp_path / n).stat().st_mtime_ns for n in kept} == {n: before[n] for n in kept}


def test_exporting_the_same_again_changes_nothing(log: WholeLog, tmp_path: Path) -> None:
    _export(log, tmp_path, up_to=300)
    before = {name: (tmp_path / name).read_bytes() for name in _own(300)}
    _export(log, tmp_path, up_to=300)
    assert {name: (tmp_path / name).read_bytes() for name in _files(tmp_path)} == before


def test_an_older_checkpoint_of_a_grown_export_still_has_all_its_tiles(
    log: WholeLog, tmp_path: Path
) -> None:
    old = _export(log, tmp_path, up_to=300)
    text, leaves = old.note, list(old.leaves())
    _export(log, tmp_path, up_to=520)
    (tmp_path / CHECKPOINT).write_text(text)
    again = Export(tmp_path)
    assert list(again.leaves()) == leaves
    # What came later does not belong to the old checkpoint, and is said so.
    assert all("does not belong" in fault for fault in again.faults())


def test_the_directory_of_another_log_is_not_grown_into(log: WholeLog, tmp_path: Path) -> None:
    _export(log, tmp_path, up_to=300)
    checkpoint = (tmp_path / CHECKPOINT).read_bytes()
    with WholeLog(MemoryLogStore(), origin="log.example/other") as other:
        other.clock.advance(1)
        other.append_markers(400)
        other.publish()
        with pytest.raises(LogBrokenError, match="exists with other content"):
            write_export(other.store.snapshot(), tmp_path)
    assert (tmp_path / CHECKPOINT).read_bytes() == checkpoint


# Interrupted --------------------------------------------------------------------------------------


class _StopError(Exception):
    """The process ends here."""


class _Stopper:
    """Ends an export once it has written so many entries."""

    def __init__(self, entries: int) -> None:
        self._entries = entries

    def __call__(self, done: int) -> None:
        if done >= self._entries:
            raise _StopError


def _interrupt(log: WholeLog, target: Path, *, up_to: int, after: int) -> None:
    log.append_markers(up_to - log.store.head().size)
    log.publish()
    with pytest.raises(_StopError):
        write_export(log.store.snapshot(), target, _Stopper(after))


@pytest.mark.parametrize("after", [1, 257, 600])
def test_the_first_export_interrupted_is_no_export(
    log: WholeLog, tmp_path: Path, after: int
) -> None:
    _interrupt(log, tmp_path, up_to=600, after=after)
    with pytest.raises(NotFoundError, match="not an export"):
        Export(tmp_path)
    assert list(_export(log, tmp_path, up_to=600).faults()) == []


@pytest.mark.parametrize("after", [1, 257, 513, 600])
def test_a_growing_export_interrupted_still_has_everything_of_the_old_one(
    log: WholeLog, tmp_path: Path, after: int
) -> None:
    old = _export(log, tmp_path, up_to=300)
    leaves = list(old.leaves())
    _interrupt(log, tmp_path, up_to=600, after=after)
    again = Export(tmp_path)
    assert again.note == old.note
    assert list(again.leaves()) == leaves
    assert all("does not belong" in fault for fault in again.faults())
    assert list(_export(log, tmp_path, up_to=600).faults()) == []


@pytest.mark.parametrize(
    "draft", ["tile/0/001.p/44.new", "tile/entries/001.p/44.new", "checkpoint.new"]
)
def test_a_draft_that_an_interrupted_export_left_does_not_stay(
    log: WholeLog, tmp_path: Path, draft: str
) -> None:
    _export(log, tmp_path, up_to=300)
    (tmp_path / draft).write_bytes(b"half")
    # The log has grown meanwhile, so that nothing of that name is written again.
    export = _export(log, tmp_path, up_to=520)
    assert list(export.faults()) == []


# What the disk and others do ----------------------------------------------------------------------


def test_a_directory_that_cannot_be_written_is_unavailable(log: WholeLog, tmp_path: Path) -> None:
    (tmp_path / "site").write_text("a file where a directory should be")
    log.publish()
    with pytest.raises(StoreUnavailableError, match="cannot be written"):
        write_export(log.store.snapshot(), tmp_path / "site")


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", NoteError),
        (b"not a checkpoint\n", NoteError),
        (b"\xff\xfe", LogBrokenError),
        (b"origin\n1\nshort\n\n\xe2\x80\x94 a AAAAAAA=\n", NoteError),
    ],
)
def test_a_checkpoint_that_is_none_is_refused(
    tmp_path: Path, content: bytes, error: type[DeploymarkError]
) -> None:
    (tmp_path / CHECKPOINT).write_bytes(content)
    with pytest.raises(error):
        Export(tmp_path)


@pytest.mark.parametrize("path", ["missing", "."])
def test_a_directory_without_a_checkpoint_is_no_export(tmp_path: Path, path: str) -> None:
    with pytest.raises(NotFoundError, match="not an export"):
        Export(tmp_path / path)


def test_faults_name_the_file(log: WholeLog, tmp_path: Path) -> None:
    export = _export(log, tmp_path, up_to=300)
    (tmp_path / "tile/0/000").write_bytes(bytes(32 * 256))
    (tmp_path / "stray").write_text("")
    assert list(export.faults()) == [
        "tile/0/000 does not follow from the entries.",
        "stray does not belong to this log.",
    ]
    (tmp_path / "tile/entries/001.p/44").unlink()
    *_, fault = export.faults()
    assert fault.startswith("tile/entries/001.p/44 is missing")


# The renderer -------------------------------------------------------------------------------------


def _rendered(leaves: Sequence[bytes]) -> tuple[SiteRenderer, set[str]]:
    renderer = SiteRenderer()
    return renderer, {name.path for name, _ in renderer.files(leaves)}


def test_the_site_of_an_empty_log_has_no_tile() -> None:
    renderer, names = _rendered([])
    assert (renderer.size, renderer.root, names) == (0, EMPTY_ROOT, set())


def test_the_renderer_makes_the_tiles_of_every_size() -> None:
    store = MemoryLogStore()
    store.create(empty_head())
    store.append(next_batch(store, 1000))
    leaves = [entry.leaf or b"" for entry in store.entries(0, 1000)]
    for size in (*range(1, 30), 255, 256, 257, 511, 512, 513):
        renderer, names = _rendered(leaves[:size])
        assert (renderer.size, names | {CHECKPOINT}) == (size, _own(size))
    assert _rendered(leaves)[0].root == store.head().root

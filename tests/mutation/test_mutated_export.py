"""Every changed, missing or added file of an export is found.

Checked as a stranger would: the files by `Export.faults`, the checkpoint by a policy. A signature
line whose name or key id was changed is, by signed-note, the line of somebody unknown, and has to
be ignored; then the policy names one signer fewer, and that is what the verifier is shown.

What cannot be found from an export alone: an older partial tile that is gone. They may be thrown
away once the tile has grown, and nothing says which sizes were exported.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import pytest
from msgspec.structs import replace

from deploymark.crypto.note import parse_note
from deploymark.errors import DeploymarkError
from deploymark.log.checkpoint import Checkpoint
from deploymark.log.export import CHECKPOINT, Export, SiteRenderer, write_export
from deploymark.model.leaf import decode_leaf, encode_leaf
from deploymark.storage.memory import MemoryLogStore
from deploymark.testing.history import HISTORY_SIZE, history_policy, write_history
from deploymark.testing.mutation import flips, spoiled_text

_POLICY = history_policy()
_FULL_TILES = ("tile/0/000", "tile/0/001", "tile/entries/000", "tile/entries/001")
_PARTIAL_TILES = ("tile/0/002.p/88", "tile/1/000.p/2", "tile/entries/002.p/88")
_OLDER_TILES = ("tile/0/001.p/144", "tile/1/000.p/1", "tile/entries/001.p/144")
_OWN_FILES = (CHECKPOINT, *_FULL_TILES, *_PARTIAL_TILES)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export that grew once, so that it holds older partial tiles."""
    target = tmp_path_factory.mktemp("site") / "log"
    for size in (400, HISTORY_SIZE):
        store = MemoryLogStore()
        write_history(store, size)
        write_export(store.snapshot(), target)
    return target


@pytest.fixture
def site(original: Path, tmp_path: Path) -> Path:
    """A copy of the export to be damaged."""
    return Path(shutil.copytree(original, tmp_path / "log"))


def _signers(note: str) -> tuple[list[str], list[str]]:
    checked = _POLICY.check(note)
    return [str(key) for key in checked.log_keys], sorted(checked.witnesses)


def _is_found(path: Path) -> bool:
    try:
        export = Export(path)
        logs, witnesses = _signers(export.note)
        if len(logs) < len(_POLICY.logs) or len(witnesses) < len(_POLICY.witnesses):
            return True
        return any(True for _ in export.faults())
    except DeploymarkError:
        return True


def _escapes(path: Path, changes: Iterator[tuple[str, bytes]]) -> list[str]:
    """Try changed contents of one file and put the old content back."""
    before = path.read_bytes()
    root = next(parent for parent in path.parents if (parent / CHECKPOINT).exists())
    escaped = []
    for what, content in changes:
        path.write_bytes(content)
        if not _is_found(root):
            escaped.append(f"{path.relative_to(root)}: {what}")
    path.write_bytes(before)
    return escaped


def test_the_export_as_it_was_written_has_no_fault(site: Path) -> None:
    assert not _is_found(site)
    files = {p.relative_to(site).as_posix() for p in site.rglob("*") if p.is_file()}
    assert files == {*_OWN_FILES, *_OLDER_TILES}


@pytest.mark.parametrize("name", [*_FULL_TILES, *_PARTIAL_TILES, *_OLDER_TILES])
def test_a_changed_byte_of_a_tile_is_found(site: Path, name: str) -> None:
    content = (site / name).read_bytes()
    masks = (0x01, 0x80)
    assert _escapes(site / name, flips(content, masks=masks)) == []


def test_a_changed_byte_of_the_checkpoint_is_found(site: Path) -> None:
    note = parse_note((site / CHECKPOINT).read_text())
    whole = str(note).encode()
    lines = [len(line.encode()) for line in str(note).splitlines(keepends=True)]
    longest = lines.index(max(lines))
    start = sum(lines[:longest])
    # Every byte but those in the middle of the very long ML-DSA-44 signature.
    spared = range(start + 80, start + lines[longest] - 20)
    changes = (
        (what, changed)
        for number, (what, changed) in enumerate(flips(whole, masks=(0x01,), every=True))
        if number not in spared or number % 97 == 0
    )
    assert _escapes(site / CHECKPOINT, changes) == []


@pytest.mark.soak
@pytest.mark.parametrize("name", [*_OWN_FILES, *_OLDER_TILES])
def test_every_changed_byte_of_every_file_is_found(site: Path, name: str) -> None:
    content = (site / name).read_bytes()
    assert _escapes(site / name, flips(content, masks=(0x01, 0x20, 0x80), every=True)) == []


def test_a_checkpoint_cut_or_lengthened_is_found(site: Path) -> None:
    # The order of signature lines says nothing, and a repeated one nothing new.
    harmless = {f"line {n} {how}" for n in range(4, 9) for how in ("twice", "behind the next")}
    note = (site / CHECKPOINT).read_text()
    changes = (change for change in spoiled_text(note) if change[0] not in harmless)
    assert _escapes(site / CHECKPOINT, changes) == []


@pytest.mark.parametrize("ending", [b"\r", b"\r\n"])
def test_other_ends_of_lines_in_the_checkpoint_are_found(site: Path, ending: bytes) -> None:
    note = (site / CHECKPOINT).read_bytes()
    places = [place for place, byte in enumerate(note) if byte == ord("\n")]
    one_changed = ((f"at {p}", note[:p] + ending + note[p + 1 :]) for p in places)
    assert _escapes(site / CHECKPOINT, one_changed) == []
    assert _escapes(site / CHECKPOINT, iter([("all", note.replace(b"\n", ending))])) == []


@pytest.mark.parametrize("name", [*_FULL_TILES, *_PARTIAL_TILES, *_OLDER_TILES])
def test_a_tile_cut_or_lengthened_is_found(site: Path, name: str) -> None:
    content = (site / name).read_bytes()
    changes = (
        ("empty", b""),
        ("one byte left", content[:1]),
        ("half", content[: len(content) // 2]),
        ("a byte less", content[:-1]),
        ("a hash less", content[:-32]),
        ("a byte more", content + b"\0"),
        ("a hash more", content + bytes(32)),
        ("an empty entry more", content + b"\0\0"),
        ("doubled", content * 2),
    )
    assert _escapes(site / name, iter(changes)) == []


@pytest.mark.parametrize("name", _OWN_FILES)
def test_a_missing_file_is_found(site: Path, name: str) -> None:
    (site / name).unlink()
    assert _is_found(site)


def test_an_older_partial_tile_may_go(site: Path) -> None:
    for name in _OLDER_TILES:
        (site / name).unlink()
    assert not _is_found(site)


def test_swapped_tiles_are_found(site: Path) -> None:
    for one, other in combinations((*_FULL_TILES, *_PARTIAL_TILES, *_OLDER_TILES), 2):
        a, b = (site / one).read_bytes(), (site / other).read_bytes()
        (site / one).write_bytes(b)
        (site / other).write_bytes(a)
        assert _is_found(site), (one, other)
        (site / one).write_bytes(a)
        (site / other).write_bytes(b)
    assert not _is_found(site)


def _write(name: str, content: bytes = b"x") -> Callable[[Path], None]:
    def add(site: Path) -> None:
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_bytes(content)

    return add


def _copy(old: str, new: str, keep: int = 0) -> Callable[[Path], None]:
    def add(site: Path) -> None:
        content = (site / old).read_bytes()
        _write(new, content[:keep] if keep else content)(site)

    return add


def _link(name: str, target: str) -> Callable[[Path], None]:
    def add(site: Path) -> None:
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).symlink_to(target)

    return add


@pytest.mark.parametrize(
    "add",
    [
        pytest.param(_write("robots.txt"), id="a stray file"),
        pytest.param(_write("tile/README"), id="a stray file among the tiles"),
        pytest.param(_write(".hidden"), id="a hidden file"),
        pytest.param(_write("checkpoint.old"), id="another checkpoint"),
        pytest.param(_write("extra/deep/file"), id="a directory with a file"),
        pytest.param(_write("tile/0/000.p/1/x"), id="a directory where an older tile would be"),
        pytest.param(_write(os.fsdecode(b"\xff\xfe")), id="a name that is not UTF-8"),
        pytest.param(_copy("tile/0/001", "tile/0/002"), id="the full tile that is not there yet"),
        pytest.param(_copy("tile/0/001", "tile/0/003"), id="a tile beyond the end"),
        pytest.param(_copy("tile/0/002.p/88", "tile/0/002.p/89"), id="a partial tile too wide"),
        pytest.param(_copy("tile/0/002.p/88", "tile/0/002.p/87"), id="a width that is not its"),
        pytest.param(_copy("tile/0/000", "tile/0/000.p/256"), id="a full tile called partial"),
        pytest.param(_copy("tile/0/000", "tile/0/000.p/0"), id="an empty partial tile"),
        pytest.param(_copy("tile/0/000", "tile/0/x000/000"), id="another spelling of a tile"),
        pytest.param(_copy("tile/0/000", "tile/00/000"), id="another spelling of a level"),
        pytest.param(_copy("tile/0/000", "tile/data/000"), id="entries under an older name"),
        pytest.param(_copy("tile/0/000", "tile/0/000.p/9"), id="an older tile of wrong length"),
        pytest.param(_copy("tile/0/001", "tile/0/000.p/9", 288), id="an older tile of elsewhere"),
        pytest.param(_copy("tile/1/000.p/2", "tile/2/000.p/1"), id="a level that is not there yet"),
        pytest.param(_copy("tile/0/000", "tile/64/000"), id="a level that never is"),
        pytest.param(_link("tile/0/latest", "000"), id="a symlink to a tile"),
        pytest.param(_link("tile/9", "0"), id="a symlink to a directory"),
        pytest.param(_link("loop", "."), id="a symlink to itself"),
        pytest.param(_link("tile/0/000.p/7", "nowhere"), id="a symlink to nothing"),
        pytest.param(_link("tile/0/000.p/8", "../../0"), id="a symlink in place of an older tile"),
    ],
)
def test_an_added_file_is_found(site: Path, add: Callable[[Path], None]) -> None:
    add(site)
    assert _is_found(site)


@pytest.mark.parametrize(("width", "is_found"), [(200, False), (201, True)])
def test_an_older_partial_tile_of_any_width_is_accepted_when_it_is_true(
    site: Path, width: int, *, is_found: bool
) -> None:
    _copy("tile/0/000", "tile/0/000.p/200", width * 32)(site)
    assert _is_found(site) is is_found


@pytest.mark.parametrize("directory", ["tile/0/000", "tile/0/000.p/5", CHECKPOINT])
def test_a_directory_in_place_of_a_file_is_found(site: Path, directory: str) -> None:
    (site / directory).unlink(missing_ok=True)
    (site / directory).mkdir(parents=True)
    _write(f"{directory}/file")(site)
    assert _is_found(site)


@pytest.mark.parametrize("index", [0, 255, 256, HISTORY_SIZE - 1])
def test_a_consistent_rewrite_without_the_keys_is_found_by_the_signatures(
    site: Path, index: int
) -> None:
    export = Export(site)
    leaves = list(export.leaves())
    leaves[index] = encode_leaf(replace(decode_leaf(leaves[index]), principal="somebody else"))
    renderer = SiteRenderer()
    shutil.rmtree(site / "tile")
    for name, content in renderer.files(leaves):
        _write(name.path, content)(site)
    text = Checkpoint(export.checkpoint.origin, HISTORY_SIZE, renderer.root).text()
    (site / CHECKPOINT).write_text(text + "\n" + export.note.partition("\n\n")[2])
    assert list(Export(site).faults()) == []
    with pytest.raises(DeploymarkError, match="signatures do not hold"):
        _POLICY.check(Export(site).note)


def test_an_older_checkpoint_over_newer_tiles_is_found(site: Path, tmp_path: Path) -> None:
    store = MemoryLogStore()
    write_history(store, 400)
    write_export(store.snapshot(), tmp_path / "older")
    shutil.copy(tmp_path / "older" / CHECKPOINT, site / CHECKPOINT)
    faults = list(Export(site).faults())
    assert any("does not belong to this log" in fault for fault in faults)

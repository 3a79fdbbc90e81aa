"""An old copy gets back what it lacks from an export, and nothing that contradicts it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploymark.crypto.dsse import sign_envelope
from deploymark.errors import (
    DataDirectoryError,
    DeploymarkError,
    LogBrokenError,
    LogBusyError,
    RolledBackError,
)
from deploymark.ingest.key_entries import registration
from deploymark.log.export import CHECKPOINT, Export, write_export
from deploymark.log.proof import verify_consistency
from deploymark.log.receipt import format_receipt
from deploymark.log.sequencer import Acknowledgement
from deploymark.log.steps import Result, verdict
from deploymark.log.verify import ReceiptVerification
from deploymark.model.vocabulary import DETAIL, KEY
from deploymark.ports import Head
from deploymark.runtime.compose import (
    OpenLog,
    expect,
    init_log,
    log_keys,
    open_log,
    open_reader,
    platform_signer,
)
from deploymark.runtime.data_directory import DataDirectory
from deploymark.runtime.repair import accept_copy, recover_from_export
from deploymark.storage.guard_file import FileRollbackGuard
from deploymark.testing.clock import START_MS
from deploymark.testing.whole_log import (
    MARKERS,
    blob_of,
    detail,
    faults_of,
    key_names,
    producer,
    sample_marker,
    sign,
)

ORIGIN = "log.example/recovered"
SALTED = blob_of(b"a name that is to be forgotten", b"s" * 32)


@dataclass(frozen=True, slots=True)
class Scene:
    """A log, an old copy of it and exports of both.

    Attributes:
        path: The data directory: 5 entries in the old copy, 309 published, 312 in all.
        backup: The old copy.
        old: Export of the old copy.
        new: Export of everything published.
        head: The head when the last export was made.
    """

    path: Path
    backup: Path
    old: Path
    new: Path
    head: Head

    def put_back(self) -> None:
        """Replace the log by its old copy; the guard stays."""
        shutil.rmtree(self.path)
        shutil.copytree(self.backup, self.path)


def append(log: OpenLog, numbers: range) -> list[Acknowledgement]:
    signer = platform_signer(log.data, None)
    return expect(log.receiver.receive([sign(sample_marker(n), signer) for n in numbers]))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("template")
    path = folder / "data"
    init_log(path, ORIGIN)
    with open_log(path) as log:
        append(log, range(4))
        log.publisher.publish()
        write_export(log.store.snapshot(), folder / "old")
    shutil.copytree(path, folder / "backup")
    with open_log(path) as log:
        append(log, range(100, 404))
        log.publisher.publish()
        head = log.store.head()
        write_export(log.store.snapshot(), folder / "new")
        append(log, range(500, 503))
    return Scene(path, folder / "backup", folder / "old", folder / "new", head)


@pytest.fixture
def scene(template: Scene, tmp_path: Path) -> Scene:
    folder = template.path.parent
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    data, backup, old, new = (tmp_path / part for part in ("data", "backup", "old", "new"))
    return Scene(data, backup, old, new, template.head)


def _audit(log: OpenLog) -> list[str]:
    return faults_of(log.store.snapshot(), log_keys(log.policy))


def test_an_old_copy_gets_its_entries_back_and_the_log_goes_on(scene: Scene) -> None:
    scene.put_back()
    with pytest.raises(RolledBackError), open_log(scene.path):
        pass
    assert recover_from_export(scene.path, Export(scene.new), None) == (5, 309)
    with open_log(scene.path) as log:
        head = log.store.head()
        assert (head.size, head.root) == (scene.head.size, scene.head.root)
        assert head.frontier == scene.head.frontier
        assert _audit(log) == []
        assert append(log, range(100, 102))[1].duplicate
        assert append(log, range(900, 902))[0].index == 309
        published = log.publisher.publish()
        assert (published.size, published.previous_size) == (311, 5)
        assert _audit(log) == []
        for index in (0, 4, 5, 255, 256, 308, 310):
            text = format_receipt(log.view.published_receipt(index))
            steps = ReceiptVerification(text, log.policy, log.ring).steps()
            assert verdict(steps) is Result.HOLDS


def test_checkpoints_given_out_before_are_still_beginnings_of_the_log(scene: Scene) -> None:
    before = [Export(scene.old).checkpoint, Export(scene.new).checkpoint]
    scene.put_back()
    recover_from_export(scene.path, Export(scene.new), None)
    with open_log(scene.path) as log:
        append(log, range(900, 1200))
        head = log.store.head()
        for old in before:
            proof = log.view.consistency(old.size, head.size)
            verify_consistency(old.size, head.size, proof, old.root, head.root)


def test_the_export_grows_on_after_the_recovery(scene: Scene) -> None:
    scene.put_back()
    recover_from_export(scene.path, Export(scene.new), None)
    with open_log(scene.path) as log:
        append(log, range(900, 1200))
        log.publisher.publish()
        write_export(log.store.snapshot(), scene.new)
    assert list(Export(scene.new).faults()) == []


def test_a_key_that_came_after_the_backup_counts_again(scene: Scene) -> None:
    ci = producer("ci")
    with open_log(scene.path) as log:
        payload = registration(ci.public, "ci", MARKERS, START_MS)
        envelope = sign_envelope(KEY, payload, [platform_signer(log.data, None)])
        expect(log.receiver.receive([envelope]))
        log.publisher.publish()
        write_export(log.store.snapshot(), scene.new)
    scene.put_back()
    recover_from_export(scene.path, Export(scene.new), None)
    with open_log(scene.path) as log:
        assert key_names(log.ring) == ["platform", "ci"]
        expect(log.receiver.receive([sign(sample_marker(900), ci)]))


def test_recovering_twice_changes_nothing(scene: Scene) -> None:
    scene.put_back()
    recover_from_export(scene.path, Export(scene.new), None)
    with pytest.raises(RolledBackError, match="none to bring back"):
        recover_from_export(scene.path, Export(scene.new), None)
    with open_log(scene.path) as log:
        assert log.store.head().root == scene.head.root


# What is refused ----------------------------------------------------------------------------------


def _refused(scene: Scene, export: Path) -> DeploymarkError:
    """Recovering must fail and leave the log as it is."""
    with open_reader(scene.path) as (_, reader):
        before = reader.head()
    with pytest.raises(DeploymarkError) as caught:
        recover_from_export(scene.path, Export(export), None)
    with open_reader(scene.path) as (_, reader):
        assert reader.head() == before
    return caught.value


def test_an_export_that_is_no_newer_is_refused(scene: Scene) -> None:
    scene.put_back()
    assert "none to bring back" in _refused(scene, scene.old).message


def test_an_export_that_does_not_reach_what_was_published_is_refused(scene: Scene) -> None:
    scene.put_back()
    FileRollbackGuard(DataDirectory(scene.path).guard).write(ORIGIN, 310, bytes(32))
    error = _refused(scene, scene.new)
    assert isinstance(error, RolledBackError)
    assert "published entries would be lost" in error.hint


def test_an_export_of_another_history_than_the_guard_remembers_is_refused(scene: Scene) -> None:
    scene.put_back()
    for size in (5, 200, 309):
        FileRollbackGuard(DataDirectory(scene.path).guard).write(ORIGIN, size, bytes(32))
        assert isinstance(_refused(scene, scene.new), RolledBackError)


@pytest.mark.parametrize("name", [CHECKPOINT, "tile/0/000", "tile/entries/000", "tile/1/000.p/1"])
def test_a_damaged_export_is_refused(scene: Scene, name: str) -> None:
    scene.put_back()
    content = bytearray((scene.new / name).read_bytes())
    content[30] ^= 1
    (scene.new / name).write_bytes(content)
    _refused(scene, scene.new)


def test_an_export_with_a_foreign_file_is_refused(scene: Scene) -> None:
    scene.put_back()
    (scene.new / "stray").write_text("")
    error = _refused(scene, scene.new)
    assert isinstance(error, LogBrokenError)
    assert "stray" in error.message


def test_the_export_of_another_log_is_refused(scene: Scene, tmp_path: Path) -> None:
    scene.put_back()
    for number, origin in enumerate((ORIGIN, "log.example/other")):
        other = tmp_path / f"other-{number}"
        init_log(other, origin)
        with open_log(other) as log:
            append(log, range(400))
            log.publisher.publish()
            write_export(log.store.snapshot(), tmp_path / f"export-{number}")
        _refused(scene, tmp_path / f"export-{number}")


def test_a_copy_that_went_its_own_way_is_refused(scene: Scene) -> None:
    scene.put_back()
    guard = DataDirectory(scene.path).guard
    kept = guard.read_bytes()
    with open_reader(scene.path) as (_, reader):
        old = reader.head()
    FileRollbackGuard(guard).write(ORIGIN, old.size, old.root)
    with open_log(scene.path) as log:
        append(log, range(700, 703))
    guard.write_bytes(kept)
    error = _refused(scene, scene.new)
    assert isinstance(error, RolledBackError)
    assert "not those of this copy" in error.message


def test_a_log_that_is_written_is_not_recovered(scene: Scene) -> None:
    with open_log(scene.path), pytest.raises(LogBusyError):
        recover_from_export(scene.path, Export(scene.new), None)


# Content ------------------------------------------------------------------------------------------


def _detail(log: OpenLog, action: str, **more: object) -> list[Acknowledgement]:
    signer = platform_signer(log.data, None)
    envelope = sign_envelope(DETAIL, detail(action, SALTED.digest, **more), [signer])
    if action == "erased":
        return expect(log.receiver.receive([envelope]))
    return expect([log.receiver.keep(envelope, SALTED)])


def test_what_was_erased_since_does_not_come_back_with_an_old_copy(tmp_path: Path) -> None:
    path = tmp_path / "data"
    init_log(path, ORIGIN)
    with open_log(path) as log:
        _detail(log, "stored", size=len(SALTED.content or b""), erasable=True)
        log.publisher.publish()
    shutil.copytree(path, tmp_path / "backup")
    with open_log(path) as log:
        _detail(log, "erased")
        log.publisher.publish()
        write_export(log.store.snapshot(), tmp_path / "export")
    shutil.rmtree(path)
    shutil.copytree(tmp_path / "backup", path)
    recover_from_export(path, Export(tmp_path / "export"), None)
    with open_log(path) as log:
        assert log.store.blob(SALTED.digest).content is None
        assert _audit(log) == []
    for file in path.iterdir():
        if file.is_file():
            assert (SALTED.content or b"") not in file.read_bytes(), file.name


def test_content_that_came_after_the_backup_is_not_in_an_export_and_said_to_be_missing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "data"
    init_log(path, ORIGIN)
    shutil.copytree(path, tmp_path / "backup")
    with open_log(path) as log:
        _detail(log, "stored", size=len(SALTED.content or b""), erasable=True)
        log.publisher.publish()
        write_export(log.store.snapshot(), tmp_path / "export")
    shutil.rmtree(path)
    shutil.copytree(tmp_path / "backup", path)
    recover_from_export(path, Export(tmp_path / "export"), None)
    with open_log(path) as log:
        (fault,) = _audit(log)
        assert f"{SALTED.digest.hex()} is named by an entry but not stored" in fault


# A lost guard -------------------------------------------------------------------------------------


def test_a_lost_guard_is_written_anew_when_a_person_says_so(scene: Scene) -> None:
    guard = DataDirectory(scene.path).guard
    guard.unlink()
    with pytest.raises(DataDirectoryError), open_log(scene.path):
        pass
    remembered = accept_copy(scene.path)
    assert remembered.size == 312
    assert FileRollbackGuard(guard).read() == (ORIGIN, 312, remembered.root)
    with open_log(scene.path) as log:
        assert append(log, range(900, 901))[0].index == 312


def test_a_guard_that_is_there_is_obeyed_and_not_replaced(scene: Scene) -> None:
    scene.put_back()
    guard = DataDirectory(scene.path).guard
    kept = guard.read_bytes()
    with pytest.raises(DataDirectoryError, match="is not lost"):
        accept_copy(scene.path)
    assert guard.read_bytes() == kept


def test_a_log_that_is_written_is_not_accepted(scene: Scene) -> None:
    with open_log(scene.path):
        DataDirectory(scene.path).guard.unlink()
        with pytest.raises(LogBusyError):
            accept_copy(scene.path)

"""The digest of a release directory is the one that the documented pipeline gives."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from deploymark.emit.release import MOST_FILES, release_digest
from deploymark.errors import ReleaseError
from generated_pages import DOCS

_PAGE = (DOCS / "reference" / "release-digest.md").read_text(encoding="utf-8")
_PIPELINE = re.search(r"```sh\ncd DIR\n(.*?)```", _PAGE, re.DOTALL)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A release as one is built: folders, odd names, empty files, byte-code."""
    files = {
        "app.py": b"print()\n",
        "lib/a b.py": b"",
        "lib-2/x": b"\0\xff",
        "lib/z/É": b"z",
        "lib.txt": b"1",
        "lib/__pycache__/a.cpython-311.pyc": b"cached",
        "old.pyc": b"cached",
        "-dash": b"d",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_the_usual_tools_give_the_same(release: Path) -> None:
    assert _PIPELINE is not None
    done = subprocess.run(
        ["/bin/bash", "-c", _PIPELINE[1]], cwd=release, capture_output=True, text=True, check=True
    )
    assert release_digest(str(release)) == f"sha256:{done.stdout.split()[0]}"


def test_running_it_changes_nothing_and_a_byte_does(release: Path) -> None:
    before = release_digest(str(release))
    (release / "lib" / "__pycache__" / "b.pyc").write_bytes(b"more")
    (release / "app.py").chmod(0o755)
    assert release_digest(str(release)) == before
    (release / "lib.txt").write_bytes(b"2")
    assert release_digest(str(release)) != before


def test_a_link_counts_by_where_it_points(release: Path) -> None:
    (release / "current").symlink_to("lib")
    before = release_digest(str(release))
    (release / "current").unlink()
    (release / "current").symlink_to("lib-2")
    assert release_digest(str(release)) != before


def test_what_has_no_digest_is_named(tmp_path: Path) -> None:
    for name in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ReleaseError, match=str(tmp_path)):
            release_digest(str(name))
    (tmp_path / "a\nb").touch()
    with pytest.raises(ReleaseError, match="line break"):
        release_digest(str(tmp_path))


def test_a_directory_that_is_no_release_is_refused_before_it_is_read(release: Path) -> None:
    files = 6
    assert release_digest(str(release), files) == release_digest(str(release))
    (release / "one-more").symlink_to("/")
    with pytest.raises(ReleaseError, match="more than 6 files"):
        release_digest(str(release), files)
    with pytest.raises(ReleaseError):
        release_digest("/", MOST_FILES)


def test_directories_too_deep_are_refused(tmp_path: Path) -> None:
    place = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1_500):
        os.mkdir("d", dir_fd=place)
        inner = os.open("d", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = inner
    os.close(place)
    with pytest.raises(ReleaseError, match=r"too deep|cannot be read"):
        release_digest(str(tmp_path))
    subprocess.run(["/bin/rm", "-rf", tmp_path / "d"], check=True)  # shutil would recurse, too

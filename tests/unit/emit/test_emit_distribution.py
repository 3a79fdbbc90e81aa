"""The digest of an installed distribution: equal to the wheel's, and another once it is changed."""

import base64
import hashlib
import json
import sys
from pathlib import Path

import pytest

from deploymark.emit.distribution import distribution_digest
from deploymark.emit.release import release_digest
from deploymark.errors import ReleaseError

INFO = "shop-1.0.dist-info"
WHEEL = {
    "shop/__init__.py": "VERSION = 1\n",
    "shop/data.txt": "tea\n",
    f"{INFO}/METADATA": "Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n",
    f"{INFO}/WHEEL": "Wheel-Version: 1.0\n",
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the wheel as pip does."""
    folder = tmp_path / "site-packages"
    extra = {f"{INFO}/INSTALLER": "pip\n", f"{INFO}/REQUESTED": "", "../bin/shop": "#!python\n"}
    lines = [f"{INFO}/RECORD,,", "shop/__pycache__/__init__.cpython-311.pyc,,"]
    for name, content in {**WHEEL, **extra}.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest())
        lines.append(f"{name},sha256={digest.decode().rstrip('=')},{len(content)}")
    (folder / INFO / "RECORD").write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    return folder


def test_it_is_the_digest_of_the_unpacked_wheel(site: Path, tmp_path: Path) -> None:
    unpacked = tmp_path / "unpacked"
    for name, content in WHEEL.items():
        (unpacked / name).parent.mkdir(parents=True, exist_ok=True)
        (unpacked / name).write_text(content)
    assert site.is_dir()
    assert distribution_digest("shop") == release_digest(str(unpacked))


def test_a_changed_file_and_a_missing_one_give_another(site: Path) -> None:
    genuine = distribution_digest("shop")
    (site / "shop" / "data.txt").write_text("coffee\n")
    changed = distribution_digest("shop")
    (site / "shop" / "data.txt").unlink()
    assert len({genuine, changed, distribution_digest("shop")}) == 3


def test_what_is_not_installed_from_a_wheel_has_none(site: Path) -> None:
    with pytest.raises(ReleaseError, match="not installed"):
        distribution_digest("no-such-distribution")
    (site / INFO / "direct_url.json").write_text(json.dumps({"dir_info": {"editable": True}}))
    with pytest.raises(ReleaseError, match="editable"):
        distribution_digest("shop")

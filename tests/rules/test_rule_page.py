"""The page's types are those of the server, and what it carries stays small."""

import json
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from deploymark.server.openapi import document_of
from deploymark.server.operations import OPERATIONS
from web_build import ASSETS, BuildError, node, sources_digest

WEB = Path(__file__).parents[2] / "web"
ADDRESSES = WEB / "src" / "address" / "address.ts"
GENERATOR = WEB / "node_modules" / "openapi-typescript" / "bin" / "cli.js"


def test_the_page_has_the_types_of_the_present_interface(tmp_path: Path) -> None:
    if not GENERATOR.is_file():
        pytest.skip("The page's packages are not installed: make web")
    try:
        program = node()
    except BuildError as error:
        pytest.skip(str(error))
    (tmp_path / "openapi.json").write_text(json.dumps(document_of(OPERATIONS)))
    made = tmp_path / "schema.d.ts"
    subprocess.run(
        [program, GENERATOR, tmp_path / "openapi.json", "-o", made],
        check=True,
        capture_output=True,
    )
    committed = (WEB / "src" / "api" / "schema.d.ts").read_text()
    # `make page-types` writes it anew.
    assert committed == made.read_text()


def test_the_page_asks_each_address_only_what_it_takes() -> None:
    """The table of address.ts says of each page which of window, filter and selection it has."""
    text = ADDRESSES.read_text()
    table = text.split("export const TAKES")[1].split("};")[0]
    said = {
        name: set(re.findall(r"(\w+): true", taken))
        for name, taken in re.findall(r"^  (\w+): \{(.*?)\}", table, re.MULTILINE)
    }
    paths = {
        "oncall": "/oncall",
        "debug": "/debug",
        "exec": "/exec",
        "deployments": "/deployments",
        "deployment": "/d/{id}",
        "compare": "/compare/{pair}",
        "services": "/services",
        "service": "/services/{service}",
        "fleet": "/fleet",
        "audit": "/audit",
        "entry": "/audit/{index}",
        "frozen": "/s/{hash}",
    }
    served = document_of(OPERATIONS)["paths"]
    names = {"range": "window", "q": "filter", "dep": "selected"}
    taken = {
        page: {
            names[parameter["name"]]
            for parameter in served[path]["get"].get("parameters", ())
            if parameter["name"] in names
        }
        for page, path in paths.items()
    }
    assert {**taken, "unknown": set()} == said


def test_text_that_only_newer_browsers_take_stands_behind_text_that_all_take() -> None:
    """Firefox 120, which the page is built for, drops `content` with an alternative text."""
    found = 0
    for sheet in (WEB / "src").rglob("*.css"):
        text = re.sub(r"/\*.*?\*/", "", sheet.read_text(), flags=re.DOTALL)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        for before, line in pairwise(lines):
            if line.startswith("content:") and line.endswith(' / "";'):
                found += 1
                assert before == line.removesuffix(' / "";') + ";"
    assert found


def test_only_three_packages_run_in_the_browser() -> None:
    packages = json.loads((WEB / "package.json").read_text())
    assert sorted(packages["dependencies"]) == ["@preact/signals", "preact", "uplot"]


def test_the_lock_names_no_registry() -> None:
    lock = json.loads((WEB / "package-lock.json").read_text())
    entries = {name: each for name, each in lock["packages"].items() if name}
    assert all("resolved" not in each for each in entries.values())
    assert all(each.get("integrity") for each in entries.values())


def test_built_files_are_those_of_the_manifest_and_small() -> None:
    if not (ASSETS / "manifest.json").is_file():
        pytest.skip("The page is not built: make web")
    manifest = json.loads((ASSETS / "manifest.json").read_text())
    there = {path.name for path in ASSETS.iterdir()}
    named = {f"{name}{suffix}" for name in manifest["files"] for suffix in ("", ".br", ".gz")}
    assert there == named | {"manifest.json"}
    assert manifest["budgets"]["oncall"] <= 60 * 1024
    assert manifest["budgets"]["all"] <= 120 * 1024
    assert len(sources_digest()) == 64

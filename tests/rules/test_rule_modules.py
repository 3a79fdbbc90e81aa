"""Modules stay small, and the ones the emitter shares stay cheap to import."""

import pathlib
import subprocess
import sys
import tomllib

from generated_pages import ROOT

LONGEST_LINES = 450
# One list by design: the whole error tree.
_LISTS = {"src/deploymark/errors.py"}
_SHARED_WITH_THE_EMITTER = (
    "crypto.pae",
    "model.canonical",
    "model.environment",
    "model.equality",
    "model.ids",
    "model.instants",
    "model.statement",
    "model.vocabulary",
)
_LOADS_MUCH = ("cryptography", "msgspec", "nacl", "rich", "starlette")


def _modules() -> list[pathlib.Path]:
    return [each for room in ("src", "tests", "tools") for each in (ROOT / room).rglob("*.py")]


def test_no_module_is_longer_than_one_idea() -> None:
    lengths = {
        each.relative_to(ROOT).as_posix(): each.read_text(encoding="utf-8").count("\n")
        for each in _modules()
    }
    long = {name: lines for name, lines in lengths.items() if lines > LONGEST_LINES}
    assert {name: lines for name, lines in long.items() if name not in _LISTS} == {}


def test_test_modules_have_names_of_their_own() -> None:
    # pytest imports them by their bare name, because test folders are no packages.
    names = [each.name for each in (ROOT / "tests").rglob("test_*.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_importing_what_the_emitter_shares_loads_no_third_party_package() -> None:
    # The import contract sees import statements; this also sees what a package's __init__ loads.
    imports = ", ".join(f"deploymark.{name}" for name in _SHARED_WITH_THE_EMITTER)
    program = f"import sys, {imports}; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    loaded = {name.partition(".")[0] for name in ran.stdout.split()}
    assert loaded.intersection(_LOADS_MUCH) == set()


def test_every_room_is_a_layer_and_none_is_left_in_parentheses() -> None:
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = configuration["tool"]["importlinter"]["contracts"]
    layers = next(each["layers"] for each in contracts if each["type"] == "layers")
    named = {room.strip() for layer in layers for room in layer.split("|")}
    source = ROOT / "src" / "deploymark"
    rooms = {each.parent.name for each in source.glob("*/__init__.py")} | {
        each.stem for each in source.glob("*.py") if not each.stem.startswith("__")
    }
    assert named == rooms

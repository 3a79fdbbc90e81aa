"""What people read is true: names exist, paths belong to nobody's machine, two commands suffice."""

import importlib
import pathlib
import re
from collections.abc import Iterator

import pytest

from generated_pages import ROOT, build_parser, commands, error_classes

_MACHINE_PATH = re.compile(r"(?<![\w.$)}-])/(?:root|work|home/\w+|Users/\w+)/")
_REGISTRY = re.compile(r"\b(?:pypi\.org|pythonhosted\.org|registry\.npmjs|deb\.debian)\b")
_BUILT = {".venv", ".tools", ".git", "_build", "__pycache__", "uv.lock"}
_TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".sh", ".sql", ".json", ".c", ".txt", ""}


def _files() -> Iterator[pathlib.Path]:
    top = ["src", "tests", "tools", "docs", "examples", "changes", "benchmarks", ".ci"]
    for folder in top:
        yield from (each for each in (ROOT / folder).rglob("*") if each.is_file())
    yield from (each for each in ROOT.iterdir() if each.is_file())


def _texts() -> Iterator[tuple[str, str]]:
    for each in _files():
        shown = each.relative_to(ROOT)
        if each.suffix in _TEXT and not _BUILT.intersection(shown.parts):
            yield shown.as_posix(), each.read_text(encoding="utf-8", errors="replace")


def _pages() -> dict[str, str]:
    hand_written = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
    return {
        name: text
        for name, text in _texts()
        if (name.startswith("docs/") and name.endswith(".md")) or ROOT / name in hand_written
    }


@pytest.mark.parametrize("pattern", [_MACHINE_PATH, _REGISTRY], ids=["machine path", "registry"])
def test_no_file_names_a_place_that_only_one_machine_has(pattern: re.Pattern[str]) -> None:
    found = {name: hit[0] for name, text in _texts() if (hit := pattern.search(text))}
    assert found == {}


def _exists(dotted: str) -> bool:
    parts = dotted.split(".")
    for depth in range(len(parts), 0, -1):
        try:
            value: object = importlib.import_module(".".join(parts[:depth]))
        except ModuleNotFoundError:
            continue
        for part in parts[depth:]:
            if not hasattr(value, part):
                return False
            value = getattr(value, part)
        return True
    return False


def test_every_dotted_name_in_the_docs_exists() -> None:
    named = {
        (page, name)
        for page, text in _pages().items()
        for name in re.findall(r"`(deploymark(?:\.[A-Za-z_]\w*)+)`", text)
    }
    assert sorted((page, name) for page, name in named if not _exists(name)) == []


def test_every_error_class_in_the_docs_exists() -> None:
    known = {each.__name__ for each in error_classes()}
    named = {
        (page, name)
        for page, text in _pages().items()
        for name in re.findall(r"`([A-Z]\w+Error)`", text)
    }
    assert sorted((page, name) for page, name in named if name not in known) == []


def test_every_command_named_in_docs_and_hints_exists() -> None:
    parser = build_parser()
    if parser is None:
        pytest.skip("deploymark.cli.build_parser does not exist yet")
    known = {name for name, _, _ in commands(parser)}
    texts = _pages() | {
        each.__name__: each.default_hint for each in error_classes() if each.default_hint
    }
    named = {
        (page, " ".join(words.split()))
        for page, text in texts.items()
        for words in re.findall(r"`(deploymark(?: [a-z][a-z-]*)+)", text)
    }
    unknown = [(page, name) for page, name in named if not _is_command(name, known)]
    assert sorted(unknown) == []


def _is_command(written: str, known: set[str]) -> bool:
    """Whether the longest known beginning of what is written takes no further sub-command."""
    words = written.split()
    for depth in range(len(words), 1, -1):
        prefix = " ".join(words[:depth])
        if prefix in known:
            rest_is_argument = not any(name.startswith(prefix + " ") for name in known)
            return depth == len(words) or rest_is_argument
    return False


def test_the_readme_has_exactly_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(
        r"^```(?:sh|shell|console|bash)\n(.*?)^```", readme, re.DOTALL | re.MULTILINE
    )
    written = [
        line.split("#")[0].strip() for block in blocks for line in block.splitlines() if line
    ]
    assert written == ["make demo", "make test"]


def test_bare_make_explains_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    explained = set(re.findall(r"^([a-z-]+):.*?## ", makefile, re.MULTILINE))
    assert set(phony[1].split()) - {"help"} == explained

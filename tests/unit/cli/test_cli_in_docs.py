"""Every command line in the docs is one that the parser takes."""

import argparse
import re
import shlex
from collections.abc import Iterator

import pytest

from deploymark.cli import build_parser
from generated_pages import DOCS, ROOT, commands

_BLOCK = re.compile(r"^( *)```sh\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`(deploymark [^`]+)`")
_PAGES = {
    page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8")
    for page in sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
    if not {"_build", "reference"}.intersection(page.relative_to(ROOT).parts)
}


def in_blocks(text: str) -> Iterator[list[str]]:
    """Yield the words of every `deploymark` command in the shell blocks of a page."""
    for block in _BLOCK.finditer(text):
        for line in block[2].replace("\\\n", " ").splitlines():
            if line.lstrip().startswith("deploymark "):  # others may quote over several lines
                words = shlex.split(line.partition("||")[0], comments=True)
                yield words[1 : words.index(">")] if ">" in words else words[1:]


_LINES = {
    f"{page}: {' '.join(words)}": words
    for page, text in _PAGES.items()
    for words in in_blocks(text)
}


def test_the_docs_show_commands() -> None:
    assert len(_LINES) > 50


@pytest.mark.parametrize("words", _LINES.values(), ids=_LINES)
def test_the_parser_takes(words: list[str]) -> None:
    assert build_parser().parse_args(words).run is not None


def flags(words: list[str]) -> tuple[set[str], set[str]]:
    """Return the flags in a text, and those that the command it names has."""
    known: set[str] = set()
    for name, _, parser in commands(build_parser()):
        if f"deploymark {' '.join(words)} ".startswith(f"{name} "):
            known = {flag for action in _actions(parser) for flag in action.option_strings}
    return {word.partition("=")[0] for word in words if word.startswith("--")}, known


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return parser._actions


@pytest.mark.parametrize("page", _PAGES)
def test_flags_named_in_a_sentence_exist(page: str) -> None:
    for text in _INLINE.findall(_PAGES[page]):
        named, known = flags(text.split()[1:])
        assert named <= known, text

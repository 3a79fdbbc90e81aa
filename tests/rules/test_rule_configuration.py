"""Every setting stands in the reference, with its default, and nothing else does."""

import json
import re
from collections.abc import Iterator

from msgspec import Struct

from deploymark.runtime.config import Configuration
from generated_pages import DOCS

_PAGE = (DOCS / "reference" / "configuration.md").read_text(encoding="utf-8")
_ROW = re.compile(r"^\| `([a-z]+(?:\.[a-z_]+)+)` \| `(.+?)` \|", re.MULTILINE)


def settings() -> Iterator[tuple[str, object]]:
    """Yield each setting with its default."""
    yield from _settings("", Configuration())


def _settings(prefix: str, values: Struct) -> Iterator[tuple[str, object]]:
    for name in values.__struct_fields__:
        value = getattr(values, name)
        if isinstance(value, Struct):
            yield from _settings(f"{prefix}{name}.", value)
        elif not isinstance(value, dict):  # tables that people name are told in words
            yield f"{prefix}{name}", value


def test_every_setting_is_documented_with_its_default() -> None:
    told = {name: json.loads(default) for name, default in _ROW.findall(_PAGE)}
    assert told == {name: json.loads(json.dumps(default)) for name, default in settings()}


def test_every_section_has_a_heading() -> None:
    for section in Configuration().__struct_fields__:
        assert f"## `[{section}]`" in _PAGE


def test_every_variable_that_is_read_is_documented() -> None:
    source = DOCS.parent / "src" / "deploymark"
    read = {
        f"DEPLOYMARK_{name}"
        for name in re.findall(
            r'value\("([A-Z_]+)"\)', (source / "runtime" / "config.py").read_text("utf-8")
        )
    } | set(
        re.findall(r'"(DEPLOYMARK_[A-Z_]+)"', (source / "emit" / "settings.py").read_text("utf-8"))
    )
    assert len(read) > 8
    assert {name for name in read if f"`{name}`" not in _PAGE} == set()

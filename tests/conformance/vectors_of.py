"""Reads the published facts in `vectors/`; each file names its source."""

import json
from pathlib import Path
from typing import Any


def load(name: str) -> dict[str, Any]:
    """The facts of one file."""
    text = (Path(__file__).parent / "vectors" / f"{name}.json").read_text("utf-8")
    facts: dict[str, Any] = json.loads(text)
    return facts

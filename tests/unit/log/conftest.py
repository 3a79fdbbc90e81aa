"""Lets these tests use the reference of the conformance tests, which knows nothing of our code."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "conformance"))

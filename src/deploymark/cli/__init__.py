"""The command line: one module per command, each with its own parser and nothing but talk.

A command reads arguments, calls the rooms below, and says what happened: tables and progress on a
terminal, one JSON object a line with `--json`, errors as one sentence and a hint on stderr. Exit
codes are a contract (docs/reference/cli).
"""

from deploymark.cli.main import build_parser, main

__all__ = ["build_parser", "main"]

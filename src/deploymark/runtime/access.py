"""Tokens of a server on this machine, by its files: for who has them and needs no token.

Works beside a running server, which hears of a change within two seconds.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from deploymark.decoding import convert
from deploymark.errors import UsageError
from deploymark.ingest.callers import LOCAL
from deploymark.ingest.token_view import token_view
from deploymark.ingest.tokens import Tokens
from deploymark.model.entries import Scope
from deploymark.runtime.data_directory import DataDirectory
from deploymark.runtime.system import SystemClock
from deploymark.storage.sqlite.state import StateFile
from deploymark.storage.sqlite.tokens import SqliteTokenStore


@contextmanager
def _tokens(path: Path) -> Iterator[Tokens]:
    data = DataDirectory(path)
    data.check_exists()
    state = StateFile(data.state)
    try:
        yield Tokens(SqliteTokenStore(state), SystemClock(), secrets.token_bytes)
    finally:
        state.close()


def issue_token(
    path: Path,
    name: str,
    roles: Sequence[str],
    scope: Mapping[str, Any] | None,
    lifetime_s: int | None,
) -> dict[str, Any]:
    """Make a token and return what is shown of it, with its text.

    Raises:
        DataDirectoryError: There is no data directory.
        UsageError, TokenError: What is asked for makes no token.
    """
    try:
        narrowed = None if scope is None else convert(scope, Scope)
    except msgspec.ValidationError as error:
        raise UsageError(f"The scope cannot be used: {error}.") from error
    with _tokens(path) as tokens:
        issued = tokens.issue(name, roles, narrowed, lifetime_s, LOCAL)
    return {"token": issued.text, **token_view(issued.record, SystemClock().now_ms())}


def revoke_token(path: Path, identity: str) -> None:
    """End a token; NotFoundError when there is none of this id."""
    with _tokens(path) as tokens:
        tokens.revoke(identity, LOCAL)


def list_tokens(path: Path) -> list[dict[str, Any]]:
    """Return what is known of every token, never a secret."""
    now_ms = SystemClock().now_ms()
    with _tokens(path) as tokens:
        return [token_view(record, now_ms) for record in tokens.ls(LOCAL)]

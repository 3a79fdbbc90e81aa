"""The suite of dialects passes a good one and finds what a bad one does wrong."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from deploymark.ports import (
    BEARER,
    Carrier,
    Change,
    Dialect,
    DialectRecords,
    ForeignReply,
    ForeignRequest,
    Refusal,
    Route,
    Said,
    Token,
    Told,
    Translated,
    Write,
    in_json,
)
from deploymark.runtime import dialects
from deploymark.testing.dialect import exercise_dialect

_MARKER = {"service": "web", "environment": "prod", "phase": "applied", "version": "1"}
_GOLDEN = [
    {
        "request": "POST /say/web",
        "body": {"version": "1"},
        "entries": [{"type": "marker", "kind": "deployment", **_MARKER}],
        "status": 200,
        "reply": {"id": "<entry 0>"},
    }
]


def _said(request: ForeignRequest) -> Said:
    version = str(request.json().get("version"))[:99] or "none"
    return Said((Translated({**_MARKER, "version": version.replace("\0", "")}),))


def _careless(request: ForeignRequest) -> Said:
    return Said((Translated({**_MARKER, "version": request.json()["version"].strip()}),))


_count = iter(range(1_000))


def _forgetful(_: ForeignRequest) -> Said:
    return Said((Translated({**_MARKER, "build_id": "1", "action": str(next(_count))}),))


def _looking(request: ForeignRequest, _: DialectRecords) -> Said:
    return _forgetful(request)


_NO_CREDENTIAL = Token(Carrier.BODY, "auth.token")
"""Stands in an object that no golden request has."""


def _answer(_: ForeignRequest, __: Said, told: Sequence[Told]) -> ForeignReply:
    return in_json({"id": told[0].index})


def _refuse(refusal: Refusal) -> ForeignReply:
    return in_json({"error": refusal.message}, refusal.status)


_GOOD = Dialect(
    "say",
    "Tests",
    (Route("POST", "/say/{name}", "Say it.", Write(_said, _answer), (BEARER,)),),
    _refuse,
)


def _exercise(
    monkeypatch: pytest.MonkeyPatch, folder: Path, dialect: Dialect, golden: list[Any] = _GOLDEN
) -> None:
    monkeypatch.setattr(dialects, "NAMES", ("say",))
    monkeypatch.setattr(dialects, "all_dialects", lambda: [dialect])
    (folder / "one.json").write_text(json.dumps(golden), encoding="utf-8")
    exercise_dialect(dialect, folder, mutations=24)


def _saying(translate: Any) -> Dialect:  # noqa: ANN401 - right or wrong
    return replace(_GOOD, routes=(replace(_GOOD.routes[0], does=Write(translate, _answer)),))


def test_a_good_dialect_passes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _exercise(monkeypatch, tmp_path, _GOOD)


_BAD: dict[str, tuple[Dialect, list[Any], str]] = {
    "it fails where a value has another type": (_saying(_careless), _GOLDEN, "mutation"),
    "it makes another deployment of a retry": (
        _saying(_forgetful),
        [{**_GOLDEN[0], "entries": ["<any>"]}],
        "said again",
    ),
    "a change that may do without records makes another deployment of a retry": (
        replace(
            _GOOD,
            routes=(replace(_GOOD.routes[0], does=Change(_looking, _answer, _forgetful)),),
        ),
        [{**_GOLDEN[0], "entries": ["<any>"]}],
        "said again",
    ),
    "one of its credentials opens nothing": (
        replace(
            _GOOD,
            routes=(replace(_GOOD.routes[0], credentials=(BEARER, _NO_CREDENTIAL)),),
        ),
        _GOLDEN,
        "by Token",
    ),
    "it says something else": (
        _GOOD,
        [{**_GOLDEN[0], "body": {"version": "2"}}],
        "the log holds",
    ),
    "it answers something else": (_GOOD, [{**_GOLDEN[0], "reply": {"id": 1_000}}], "is not"),
    "a route is told by no file": (
        replace(_GOOD, routes=(*_GOOD.routes, replace(_GOOD.routes[0], path="/other"))),
        _GOLDEN,
        "no golden file tells",
    ),
}


@pytest.mark.parametrize("case", _BAD)
def test_a_bad_dialect_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, case: str) -> None:
    dialect, golden, why = _BAD[case]
    with pytest.raises(AssertionError, match=why):
        _exercise(monkeypatch, tmp_path, dialect, golden)

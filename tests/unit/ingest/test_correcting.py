"""A correction is admitted when it corrects something, into a valid marker, within its scope."""

from typing import Any

import pytest
from receive_samples import entry_of, faulty_store, sound_log

from deploymark.errors import ForbiddenError, KeyUntrustedError, MarkerError
from deploymark.ingest.callers import Caller
from deploymark.log.sequencer import Acknowledgement
from deploymark.model.entries import Scope
from deploymark.model.vocabulary import AMENDMENT, RETRACTION, Role
from deploymark.testing.whole_log import WholeLog, producer, refusals, sample_marker, sign

store = pytest.fixture(faulty_store)
log = pytest.fixture(sound_log)

NARROW = producer("narrow")


@pytest.fixture
def about(log: WholeLog) -> int:
    (done,) = log.append(sign(sample_marker(5, service="pay-db"), log.admin))
    return done.index


@pytest.mark.parametrize(
    "changes",
    [
        {"version": "2.31.1"},
        {"/": "x"},
        {"/changes": 5},
        {"/labels": 5},
        {"/labels/tag.1": 5},
        {"/phase": "nonsense"},
        {"/service": None},
    ],
)
def test_what_no_marker_says_is_refused_with_a_hint(
    log: WholeLog, about: int, changes: dict[str, Any]
) -> None:
    (error,) = log.receive(entry_of(AMENDMENT, index=about, changes=changes))
    assert isinstance(error, MarkerError)
    assert error.field.startswith("/changes/")
    assert error.hint


def test_a_good_correction_is_admitted(log: WholeLog, about: int) -> None:
    log.append(entry_of(AMENDMENT, index=about, changes={"/owner": "team:b"}))
    log.append(entry_of(RETRACTION, index=about))


@pytest.mark.parametrize("kind", [AMENDMENT, RETRACTION])
def test_a_correction_of_nothing_or_of_a_correction_is_refused(
    log: WholeLog, about: int, kind: str
) -> None:
    (first,) = log.append(entry_of(RETRACTION, index=about))
    for index in (first.index, first.index + 1, 99):
        (error,) = log.receive(entry_of(kind, index=index, reason=f"of {index}"))
        assert isinstance(error, MarkerError), index
        assert error.field == "/index"


def test_a_key_corrects_only_markers_within_its_services(log: WholeLog, about: int) -> None:
    scope = Scope(services=("shop-*",), environments=("*",), entries=("amendment", "retraction"))
    log.register(NARROW, "narrow", scope)
    (mine,) = log.append(sign(sample_marker(6, service="shop-web"), log.admin))
    away = {"/service": "pay-db"}
    assert (
        refusals(
            log.receive(
                entry_of(RETRACTION, NARROW, index=about),
                entry_of(AMENDMENT, NARROW, index=about),
                entry_of(AMENDMENT, NARROW, index=mine.index, changes=away),
            )
        )
        == [KeyUntrustedError.code] * 3
    )
    log.append(entry_of(RETRACTION, NARROW, index=mine.index))


def test_a_caller_corrects_only_markers_within_its_services(log: WholeLog, about: int) -> None:
    scope = Scope(services=("shop-*",), environments=("*",))
    caller = Caller("token:shop", frozenset({Role.EMITTER}), scope)
    (mine,) = log.append(sign(sample_marker(6, service="shop-web"), log.admin))
    producer_signed = producer("corrector")
    log.register(
        producer_signed,
        "corrector",
        Scope(services=("*",), environments=("*",), entries=("retraction",)),
    )
    one, other = log.receiver.receive(
        [entry_of(RETRACTION, producer_signed, index=each) for each in (about, mine.index)],
        caller,
    )
    assert isinstance(one, ForbiddenError)
    assert isinstance(other, Acknowledgement)

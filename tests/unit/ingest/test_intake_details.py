"""Erasable content: kept salted under an entry of its own, named by markers, erased on demand."""

import json
from collections.abc import Callable
from hashlib import sha256

import pytest
from intake_samples import (
    READER,
    TOKENS,
    Gate,
    Watcher,
    batch,
    flat,
    open_intake,
    result,
    shown,
)
from privacy_samples import SECRETS
from receive_samples import faulty_store, sound_log

from deploymark.errors import DeploymarkError, MarkerError, NotFoundError, StoreUnavailableError
from deploymark.ingest.callers import LOCAL
from deploymark.ingest.intake import Intake
from deploymark.model.vocabulary import FINDING
from deploymark.ports import SALT_BYTES
from deploymark.testing.faulty_store import At, FaultyLogStore
from deploymark.testing.whole_log import WholeLog

store = pytest.fixture(faulty_store)
log = pytest.fixture(sound_log)


@pytest.fixture
def gate(log: WholeLog) -> Gate:
    return Gate(log.receiver)


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


intake = pytest.fixture(open_intake, name="intake")


def test_a_detail_is_kept_salted_named_by_a_marker_and_erased(
    intake: Intake, log: WholeLog
) -> None:
    name, kept = intake.keep_detail(b"who did it and why", TOKENS[0])
    digest = bytes.fromhex(name.removeprefix("sha256:"))
    blob = log.store.blob(digest)
    assert blob.content == b"who did it and why"
    assert len(blob.salt or b"") == SALT_BYTES
    assert digest == sha256((blob.salt or b"") + blob.content).digest()
    assert (kept.index, kept.principal, kept.ids["detail"]) == (2, "token:ci-0", name)
    again, _ = intake.keep_detail(b"who did it and why", TOKENS[0])
    assert again != name, "another salt, so that equal contents cannot be told"
    body = flat(1, details_digest=name)
    assert shown(result(intake.submit(batch(LOCAL, body)))) == ["new"]
    erased = intake.erase_detail(name, "asked", LOCAL)
    assert erased.principal == "local"
    assert log.store.blob(digest).content is None


def test_a_marker_whose_detail_is_not_there_is_refused(intake: Intake) -> None:
    body = flat(1, details_digest="sha256:" + "00" * 32)
    assert shown(result(intake.submit(batch(LOCAL, body)))) == ["bad_marker"]


UNTAKEN: dict[str, tuple[Callable[[Intake], object], str]] = {
    "erasing what was never kept": (
        lambda intake: intake.erase_detail("sha256:" + "00" * 32, "asked", LOCAL),
        NotFoundError.code,
    ),
    "erasing what is no digest": (
        lambda intake: intake.erase_detail("d-1", "asked", LOCAL),
        MarkerError.code,
    ),
    "keeping a secret": (
        lambda intake: intake.keep_detail(f"use {SECRETS['an AWS key'][0]} now".encode(), LOCAL),
        "secret_refused",
    ),
    "keeping a secret in JSON": (
        lambda intake: intake.keep_detail(
            json.dumps({"env": {"key": SECRETS["an AWS key"][0]}}).encode(), LOCAL
        ),
        "secret_refused",
    ),
    "keeping as a reader": (lambda intake: intake.keep_detail(b"x", READER), "forbidden"),
    "saying what breaks its schema": (
        lambda intake: intake.say(FINDING, {"code": "no"}, LOCAL),
        MarkerError.code,
    ),
}


@pytest.mark.parametrize("case", UNTAKEN)
def test_what_the_platform_cannot_say_is_refused_to_whoever_asked(
    intake: Intake, log: WholeLog, case: str
) -> None:
    call, code = UNTAKEN[case]
    with pytest.raises(DeploymarkError) as caught:
        call(intake)
    assert caught.value.code == code
    assert log.store.head().size == 2


def test_an_outage_keeps_no_detail_and_the_next_attempt_does(
    intake: Intake, log: WholeLog, store: FaultyLogStore
) -> None:
    store.fail(At.BEFORE_APPEND)
    with pytest.raises(StoreUnavailableError):
        intake.keep_detail(b"content", LOCAL)
    assert list(log.store.blobs()) == []
    name, _ = intake.keep_detail(b"content", LOCAL)
    assert log.store.blob(bytes.fromhex(name.removeprefix("sha256:"))).content == b"content"

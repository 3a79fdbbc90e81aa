"""Content is kept beside the log only as its entry names it, and is gone when erased."""

import pytest
from receive_samples import (
    ADMIN,
    CI,
    EVIDENCE,
    STRANGER,
    entry_of,
    faulty_store,
    leaf_at,
    sound_log,
)

from deploymark.crypto.dsse import sign_envelope
from deploymark.errors import StoreUnavailableError, UnavailableError
from deploymark.log.sequencer import Acknowledgement
from deploymark.model.envelope import Envelope
from deploymark.model.vocabulary import DETAIL, VERDICT
from deploymark.ports import Blob
from deploymark.testing.clock import START_MS
from deploymark.testing.faulty_store import FaultyLogStore
from deploymark.testing.whole_log import WholeLog, blob_of, detail, refusals, sample_marker, sign

store = pytest.fixture(faulty_store)
log = pytest.fixture(sound_log)

SALTED = blob_of(b"a name", b"s" * 32)


def _stored(blob: Blob, **more: object) -> Envelope:
    size = len(blob.content or b"")
    said = {"size": size, "erasable": True, **more}
    return sign_envelope(DETAIL, detail("stored", blob.digest, **said), [ADMIN])


def test_content_is_kept_with_the_entry_that_names_it(log: WholeLog) -> None:
    outcome = log.receiver.keep(_stored(SALTED), SALTED)
    assert isinstance(outcome, Acknowledgement)
    assert log.store.blob(SALTED.digest) == SALTED
    digest = f"sha256:{SALTED.digest.hex()}"
    log.append(sign(sample_marker(5, details_digest=digest), CI))
    assert leaf_at(log, 3).ids["detail"] == digest


def test_a_marker_may_bring_its_details_along(log: WholeLog) -> None:
    digest = f"sha256:{SALTED.digest.hex()}"
    outcome = log.receiver.keep(sign(sample_marker(5, details_digest=digest), CI), SALTED)
    assert isinstance(outcome, Acknowledgement)
    assert log.store.blob(SALTED.digest) == SALTED


@pytest.mark.parametrize(
    ("envelope", "blob"),
    [
        pytest.param(_stored(SALTED), blob_of(b"another", b"s" * 32), id="another content"),
        pytest.param(_stored(SALTED), blob_of(b"a name", b"t" * 32), id="another salt"),
        pytest.param(
            _stored(SALTED), Blob(SALTED.digest, b"s" * 32, b"forged"), id="not of its digest"
        ),
        pytest.param(
            _stored(SALTED), Blob(SALTED.digest, b"s" * 31, b"sa name"), id="cut at another place"
        ),
        pytest.param(_stored(SALTED, size=5), SALTED, id="not of the size it states"),
        pytest.param(_stored(SALTED), Blob(SALTED.digest, None, None), id="nothing"),
        pytest.param(sign(sample_marker(5), CI), SALTED, id="named by nothing"),
        pytest.param(
            entry_of(VERDICT), Blob(EVIDENCE.digest, b"co", b"unts"), id="salted evidence"
        ),
    ],
)
def test_content_that_is_not_what_the_entry_names_is_refused(
    log: WholeLog, envelope: Envelope, blob: Blob
) -> None:
    assert refusals([log.receiver.keep(envelope, blob)]) == ["bad_marker"]
    assert list(log.store.blobs()) == []
    assert log.store.head().size == 2


def test_a_refused_entry_leaves_no_content_behind(log: WholeLog) -> None:
    digest = f"sha256:{SALTED.digest.hex()}"
    outcome = log.receiver.keep(sign(sample_marker(5, details_digest=digest), STRANGER), SALTED)
    assert refusals([outcome]) == ["key_untrusted"]
    assert list(log.store.blobs()) == []


def test_erased_content_is_gone_and_everything_still_adds_up(log: WholeLog) -> None:
    log.keep(b"a name", b"s" * 32)
    log.clock.advance(10)
    log.erase(SALTED.digest)
    assert log.store.blob(SALTED.digest) == Blob(SALTED.digest, None, None, START_MS + 10_000)
    assert log.faults() == []
    # Named again it is still the same content, and still gone.
    digest = f"sha256:{SALTED.digest.hex()}"
    log.append(sign(sample_marker(5, details_digest=digest), CI))
    log.receiver.keep(_stored(SALTED, reason="again"), SALTED)
    assert log.store.blob(SALTED.digest).content is None


def test_erasing_twice_is_said_twice_and_dated_by_the_last(log: WholeLog) -> None:
    log.keep(b"a name", b"s" * 32)
    log.erase(SALTED.digest)
    log.clock.advance(10)
    again = sign_envelope(DETAIL, detail("erased", SALTED.digest, reason="asked again"), [ADMIN])
    log.append(again)
    assert log.store.blob(SALTED.digest).erased_at_ms == START_MS + 10_000
    assert log.faults() == []


def test_a_producer_cannot_erase(log: WholeLog) -> None:
    log.keep(b"a name", b"s" * 32)
    envelope = sign_envelope(DETAIL, detail("erased", SALTED.digest), [CI])
    assert refusals(log.receive(envelope)) == ["key_untrusted"]
    assert log.store.blob(SALTED.digest) == SALTED


def test_a_store_that_cannot_be_read_refuses_what_rests_on_content(
    log: WholeLog, store: FaultyLogStore
) -> None:
    class Unreadable(FaultyLogStore):
        def blob(self, digest: bytes) -> Blob:
            raise StoreUnavailableError(f"{digest.hex()} cannot be read.")

    log.receiver._reader = Unreadable(store)
    with pytest.raises(UnavailableError):
        log.receive(entry_of(VERDICT))

"""The suites of the ports that sign: `NoteSigner` and `EnvelopeSigner`."""

from collections.abc import Callable

from deploymark.crypto import ed25519
from deploymark.crypto.dsse import sign_envelope, verify_signature
from deploymark.crypto.note import SignatureType, VerifierKey, format_note, parse_note, verify_note
from deploymark.errors import NoteError
from deploymark.log.checkpoint import Checkpoint
from deploymark.model.ids import key_id
from deploymark.ports import EnvelopeSigner, NoteSigner

_NOW = 1_795_000_000
_SIZES = (0, 1, 2**31, 2**63 - 1)


def exercise_note_signer(make: Callable[[], NoteSigner]) -> None:
    """Run every check on signers of checkpoints.

    Args:
        make: Returns a signer, of the same key each time.

    Raises:
        AssertionError: The adapter breaks the contract; the traceback names the check.
    """
    for check in (
        _keeps_its_key,
        _signs_checkpoints,
        _signs_one_line,
        _signs_nothing_else_along,
        _states_the_time_it_is_given,
        _signs_beside_others,
    ):
        check(make())
    assert make().vkey == make().vkey


def _checkpoint(size: int = 7) -> str:
    return Checkpoint("log.example/exercise", size, bytes(range(32))).text()


def _verified(signer: NoteSigner, text: str, line: str) -> int:
    key = VerifierKey.parse(signer.vkey)
    (verified,) = verify_note(parse_note(format_note(text, [line])), [key])
    assert verified.key == key
    return verified.timestamp


def _keeps_its_key(signer: NoteSigner) -> None:
    assert isinstance(signer, NoteSigner)
    assert str(VerifierKey.parse(signer.vkey)) == signer.vkey
    signer.sign_note(_checkpoint(), now_seconds=_NOW)
    assert signer.vkey == signer.vkey


def _signs_checkpoints(signer: NoteSigner) -> None:
    for size in _SIZES:
        text = _checkpoint(size)
        _verified(signer, text, signer.sign_note(text, now_seconds=_NOW))


def _signs_one_line(signer: NoteSigner) -> None:
    line = signer.sign_note(_checkpoint(), now_seconds=_NOW)
    assert line.endswith("\n")
    assert line.count("\n") == 1
    (parsed,) = parse_note(f"{_checkpoint()}\n{line}").signatures
    key = VerifierKey.parse(signer.vkey)
    assert (parsed.name, parsed.key_id) == (key.name, key.key_id)
    assert str(parsed) == line


def _signs_nothing_else_along(signer: NoteSigner) -> None:
    text = _checkpoint(7)
    line = signer.sign_note(text, now_seconds=_NOW)
    for other in (_checkpoint(8), text.replace("exercise", "other")):
        try:
            _verified(signer, other, line)
        except NoteError:
            continue
        raise AssertionError("The signature holds for another checkpoint.")


def _states_the_time_it_is_given(signer: NoteSigner) -> None:
    timed = VerifierKey.parse(signer.vkey).algorithm is not SignatureType.ED25519
    for now in (1, _NOW, 2**63 - 1):
        text = _checkpoint()
        stated = _verified(signer, text, signer.sign_note(text, now_seconds=now))
        assert stated == (now if timed else 0)


def _signs_beside_others(signer: NoteSigner) -> None:
    text = _checkpoint()
    lines = [signer.sign_note(text, now_seconds=_NOW + later) for later in range(2)]
    note = parse_note(text + "\n" + "".join(lines))
    (verified,) = verify_note(note, [VerifierKey.parse(signer.vkey)])
    assert verified.timestamp in (0, _NOW + 1)


def exercise_envelope_signer(make: Callable[[], tuple[EnvelopeSigner, bytes]]) -> None:
    """Run every check on signers of envelopes.

    Args:
        make: Returns a signer and its raw Ed25519 public key of 32 bytes, the same each time.

    Raises:
        AssertionError: The adapter breaks the contract; the traceback names the check.
    """
    for check in (_names_its_key, _signs_every_message, _signs_envelopes):
        check(*make())
    assert make()[0].key_id == make()[0].key_id


def _names_its_key(signer: EnvelopeSigner, public: bytes) -> None:
    assert signer.key_id == key_id("ed25519", public)


def _signs_every_message(signer: EnvelopeSigner, public: bytes) -> None:
    for message in (b"", b"a", bytes(range(256)), b"long" * 10_000):
        signature = signer.sign(message)
        assert len(signature) == ed25519.SIGNATURE_BYTES
        assert ed25519.verify(public, message, signature)
        assert not ed25519.verify(public, message + b"!", signature)


def _signs_envelopes(signer: EnvelopeSigner, public: bytes) -> None:
    envelope = sign_envelope("text/plain", b"said", [signer])
    assert [signature.keyid for signature in envelope.signatures] == [signer.key_id]
    verify_signature(envelope, signer.key_id, public)

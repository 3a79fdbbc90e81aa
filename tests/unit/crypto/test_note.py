"""Signed notes by the letter of c2sp.org/signed-note and c2sp.org/tlog-cosignature."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploymark.crypto.base64text import decode_base64, encode_base64
from deploymark.crypto.note import (
    SignatureLine,
    SignatureType,
    SignedNote,
    VerifierKey,
    format_note,
    parse_note,
    parse_signature_line,
    verify_note,
)
from deploymark.crypto.signer import (
    Ed25519CosignatureSigner,
    Ed25519NoteSigner,
    MlDsa44NoteSigner,
)
from deploymark.errors import NoteError, SignatureError

VECTORS = Path(__file__).parent / "vectors"
NOW = 1_700_000_000

# golang.org/x/mod/sumdb/note, note_test.go and the package's documentation.
PETER_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_SEED = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PETER_TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
PETER_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6"
    "KE6RyyBwJnAM=\n"
)
PETER_NOTE = f"{PETER_TEXT}\n{PETER_LINE}"
# golang.org/x/mod/sumdb/note, note_test.go.
ENOCH_VKEY = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
# The test vectors of c2sp.org/signed-note.
EXAMPLE_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_NOTE = (
    "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONnc"
    "AlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
# c2sp.org/signed-note, the first example: its text has a blank line and is not ASCII.
QUASIMODO_NOTE = (
    "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n"
    "— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU"
    "0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
)
# The verifier keys of arche.note that are public: of the log, and of a witness.
ARCHE_VKEY = (
    "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f"
)
ARCHE_WITNESSES = {
    "transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM",
    "witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO",
    "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
    "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv",
}
NAVIGLI_ED25519 = (
    "witness.navigli.sunlight.geomys.org+a3e00fe2+BNy/co4C1Hn1p+INwJrfUlgz7W55dSZReusH/GhUhJ/G"
)
NAVIGLI_ML_DSA = (VECTORS / "navigli-ml-dsa-44.vkey").read_text().strip()
COACH_NOTE = (VECTORS / "coachandhorses.note").read_text()
ARCHE_NOTE = (VECTORS / "arche.note").read_text()

PUBLISHED_VKEYS = {
    "PeterNeumann": (PETER_VKEY, SignatureType.ED25519),
    "EnochRoot": (ENOCH_VKEY, SignatureType.ED25519),
    "the example of signed-note": (EXAMPLE_VKEY, SignatureType.ED25519),
    # transparency-dev/formats, note/note_cosigv1_test.go: '+' within the base64
    "a key with a plus sign": (
        "TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6",
        SignatureType.ED25519,
    ),
    "an Ed25519 witness": (NAVIGLI_ED25519, SignatureType.COSIGNATURE_V1),
    "an ML-DSA-44 witness": (NAVIGLI_ML_DSA, SignatureType.ML_DSA_44),
}

CHECKPOINT = f"example.com/log\n7\n{encode_base64(bytes(range(32)))}\n"
ED25519_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
LOG = Ed25519NoteSigner("example.com/log", ED25519_KEY)
WITNESS = Ed25519CosignatureSigner("witness.example/w1", ED25519_KEY)
LOG_PQ = MlDsa44NoteSigner("example.com/log", MLDSA44PrivateKey.from_seed_bytes(bytes(32)))
WITNESS_PQ = MlDsa44NoteSigner("witness.example/w1", MLDSA44PrivateKey.from_seed_bytes(b"w" * 32))
SIGNERS = {
    "a log's Ed25519": (LOG, 0),
    "a witness's Ed25519": (WITNESS, NOW),
    "a log's ML-DSA-44": (LOG_PQ, NOW),
    "a witness's ML-DSA-44": (WITNESS_PQ, NOW),
}


def keys_of(*vkeys: str) -> list[VerifierKey]:
    return [VerifierKey.parse(vkey) for vkey in vkeys]


def signed(*signers: Ed25519NoteSigner | Ed25519CosignatureSigner | MlDsa44NoteSigner) -> str:
    lines = [signer.sign_note(CHECKPOINT, now_seconds=NOW) for signer in signers]
    return format_note(CHECKPOINT, lines)


# Published vectors -------------------------------------------------------------------------------


@pytest.mark.parametrize(("vkey", "kind"), PUBLISHED_VKEYS.values(), ids=PUBLISHED_VKEYS)
def test_published_verifier_keys_are_read_and_written_back(vkey: str, kind: SignatureType) -> None:
    key = VerifierKey.parse(vkey)
    assert key.algorithm is kind
    assert str(key) == vkey


@pytest.mark.parametrize(("note", "vkey"), [(PETER_NOTE, PETER_VKEY), (EXAMPLE_NOTE, EXAMPLE_VKEY)])
def test_published_notes_verify(note: str, vkey: str) -> None:
    (key,) = keys_of(vkey)
    (line,) = verify_note(parse_note(note), [key])
    assert (line.key, line.timestamp) == (key, 0)


def test_signing_the_published_note_gives_the_published_line() -> None:
    private = Ed25519PrivateKey.from_private_bytes(decode_base64(PETER_SEED)[1:])
    signer = Ed25519NoteSigner("PeterNeumann", private)
    assert signer.vkey == PETER_VKEY
    assert signer.sign_note(PETER_TEXT, now_seconds=NOW) == PETER_LINE
    assert format_note(PETER_TEXT, [PETER_LINE]) == PETER_NOTE


def test_the_last_blank_line_separates_text_and_signatures() -> None:
    note = parse_note(QUASIMODO_NOTE)
    assert note.text.endswith("sole:\n\ned è subito sera.\n")
    assert [line.name for line in note.signatures] == ["quasimodo.example/salvatore"]
    assert str(note) == QUASIMODO_NOTE
    assert parse_note(QUASIMODO_NOTE.encode()) == note


def test_a_real_checkpoint_verifies_with_the_keys_of_log_and_witnesses() -> None:
    lines = verify_note(parse_note(ARCHE_NOTE), keys_of(ARCHE_VKEY, *ARCHE_WITNESSES))
    assert {str(line.key) for line in lines} == {ARCHE_VKEY, *ARCHE_WITNESSES}
    assert [line.timestamp for line in lines] == [0, *[1779573024] * 4]


def test_a_real_post_quantum_cosignature_verifies_beside_the_classic_one() -> None:
    keys = keys_of(NAVIGLI_ED25519, NAVIGLI_ML_DSA)
    lines = verify_note(parse_note(COACH_NOTE), keys)
    assert [line.key for line in lines] == keys
    assert [line.timestamp for line in lines] == [1785704691] * 2


@pytest.mark.parametrize("vkey", [NAVIGLI_ED25519, NAVIGLI_ML_DSA])
def test_a_real_checkpoint_with_another_size_is_rejected(vkey: str) -> None:
    with pytest.raises(NoteError, match="rejected"):
        verify_note(parse_note(COACH_NOTE.replace("185550722", "42")), keys_of(vkey))


# The format --------------------------------------------------------------------------------------

MALFORMED = {
    "no blank line": PETER_TEXT + PETER_LINE,
    "no signatures": PETER_TEXT + "\n",
    "no text": "\n" + PETER_LINE,
    "nothing at all": "",
    "the final newline is missing": PETER_NOTE[:-1],
    "a blank line at the end": PETER_NOTE + "\n",
    "a tab in the text": PETER_NOTE.replace("think ", "think\t"),
    "a carriage return": PETER_NOTE.replace("\n", "\r\n"),
    "a NUL": PETER_NOTE.replace("think ", "think\0"),
    "an escape character": PETER_NOTE.replace("think ", "think\x1b"),
    "a lone surrogate": PETER_NOTE.replace("think", "think\ud800"),
    "a hyphen for the em dash": PETER_NOTE.replace("—", "-"),
    "an en dash for the em dash": PETER_NOTE.replace("—", "\u2013"),
    "no space after the dash": PETER_NOTE.replace("— ", "—"),
    "two spaces after the dash": PETER_NOTE.replace("— ", "—  "),
    "two spaces after the name": PETER_NOTE.replace("Neumann ", "Neumann  "),
    "a space at the end of the line": PETER_NOTE[:-1] + " \n",
    "a plus sign in the name": PETER_NOTE.replace("PeterN", "Peter+N"),
    "a no-break space in the name": PETER_NOTE.replace("PeterN", "Peter\u00a0N"),
    "an ideographic space in the name": PETER_NOTE.replace("PeterN", "Peter\u3000N"),
    "a next-line character in the name": PETER_NOTE.replace("PeterN", "Peter\u0085N"),
    "no base64": PETER_NOTE.replace(PETER_LINE, "— PeterNeumann\n"),
    "base64 without padding": PETER_NOTE.replace("AM=", "AM"),
    "base64 with stray trailing bits": PETER_NOTE.replace("AM=", "AN="),
    "URL-safe base64": PETER_NOTE.replace("x08go/", "x08go_"),
    "a key id without a signature": PETER_NOTE.replace(PETER_LINE, "— PeterNeumann x08gow==\n"),
    "an unrelated line among the signatures": PETER_NOTE + "hello\n",
    "more than a hundred signatures": PETER_NOTE + PETER_LINE * 100,
    "more than a megabyte": "a" * 1_000_000 + PETER_NOTE,
}


@pytest.mark.parametrize("note", MALFORMED.values(), ids=MALFORMED)
def test_malformed_notes_are_refused(note: str) -> None:
    with pytest.raises(NoteError):
        parse_note(note)


def test_bytes_that_are_not_utf_8_are_refused() -> None:
    with pytest.raises(NoteError, match="UTF-8"):
        parse_note(PETER_NOTE.encode().replace(b"think", b"th\xffnk"))


def test_a_hundred_signatures_are_read() -> None:
    assert len(parse_note(PETER_NOTE + PETER_LINE * 99).signatures) == 100


def test_delete_and_characters_above_ascii_may_stand_in_a_text() -> None:
    assert parse_note(f"\x7f\u0085\n\n{PETER_LINE}").text == "\x7f\u0085\n"


UNWRITABLE = {
    "the text has no final newline": ("text", [PETER_LINE]),
    "the text is empty": ("", [PETER_LINE]),
    "there is no signature": ("text\n", []),
    "a line has no newline": ("text\n", [PETER_LINE[:-1]]),
    "a line is two lines": ("text\n", [PETER_LINE * 2]),
    "a line holds the end of another text": ("text\n", [f"more\n\n{PETER_LINE}"]),
}


@pytest.mark.parametrize(("text", "lines"), UNWRITABLE.values(), ids=UNWRITABLE)
def test_what_would_not_read_back_is_not_written(text: str, lines: list[str]) -> None:
    with pytest.raises(NoteError):
        format_note(text, lines)


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Z"]), min_size=1).filter(
    lambda name: "+" not in name
)
texts = st.text(st.characters(codec="utf-8", min_codepoint=0x20) | st.just("\n"), max_size=80).map(
    lambda text: text + "\n"
)
lines = st.builds(
    SignatureLine, names, st.binary(min_size=4, max_size=4), st.binary(min_size=1, max_size=99)
)


@given(texts, st.lists(lines, min_size=1, max_size=17))
def test_any_note_reads_back_as_it_was_written(text: str, written: list[SignatureLine]) -> None:
    note = parse_note(format_note(text, [str(line) for line in written]))
    assert note == SignedNote(text, tuple(written))
    assert [parse_signature_line(str(line)) for line in written] == written


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_refused_with_our_error(noise: bytes) -> None:
    with pytest.raises(NoteError):
        parse_note(noise)


# Verifier keys -----------------------------------------------------------------------------------

BAD_VKEYS = {
    "nothing": "",
    "two parts": "PeterNeumann+c74f20a3",
    "another key id": PETER_VKEY.replace("c74f20a3", "c74f20a4"),
    "a short key id": PETER_VKEY.replace("c74f20a3", "c74f20a"),
    "a key id that is not hexadecimal": PETER_VKEY.replace("c74f20a3", "c74f20ag"),
    "another name": PETER_VKEY.replace("Peter", "Petra"),
    "no name": PETER_VKEY.removeprefix("PeterNeumann"),
    "a space in the name": PETER_VKEY.replace("PeterN", "Peter N"),
    "a surrogate in the name": PETER_VKEY.replace("PeterN", "Peter\udcffN"),
    "a newline at the end": PETER_VKEY + "\n",
    "not base64": PETER_VKEY + "!",
    # golang.org/x/mod/sumdb/note, note_test.go: key ids adjusted to the fault
    "a key that is too long": (
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY=="
    ),
    "an unknown type": "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    "no type": "PeterNeumann+00000000+",
}


@pytest.mark.parametrize("vkey", BAD_VKEYS.values(), ids=BAD_VKEYS)
def test_bad_verifier_keys_are_refused(vkey: str) -> None:
    with pytest.raises(NoteError):
        VerifierKey.parse(vkey)


def test_no_piece_of_a_verifier_key_is_one() -> None:
    pieces = {PETER_VKEY[:end] for end in range(len(PETER_VKEY))}
    pieces |= {PETER_VKEY[start:] for start in range(1, len(PETER_VKEY))}
    for piece in pieces:
        with pytest.raises(NoteError):
            VerifierKey.parse(piece)


# Verifying ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("signer", "timestamp"), SIGNERS.values(), ids=SIGNERS)
def test_every_signer_verifies_with_its_verifier_key(
    signer: Ed25519NoteSigner | Ed25519CosignatureSigner | MlDsa44NoteSigner, timestamp: int
) -> None:
    note = parse_note(signed(signer))
    (key,) = keys_of(signer.vkey)
    assert [(line.key, line.timestamp) for line in verify_note(note, [key])] == [(key, timestamp)]
    assert key.verify(note.text, note.signatures[0]) == timestamp


def test_lines_of_unknown_keys_are_ignored_even_with_a_known_name_or_key_id() -> None:
    (key,) = keys_of(LOG.vkey)
    forged = [
        str(SignatureLine(key.name, b"\0\0\0\0", bytes(64))),
        str(SignatureLine("other.example", key.key_id, bytes(64))),
    ]
    note = format_note(CHECKPOINT, [*forged, LOG.sign_note(CHECKPOINT, now_seconds=NOW)])
    assert len(verify_note(parse_note(note), [key])) == 1
    with pytest.raises(NoteError, match="No trusted key"):
        verify_note(parse_note(format_note(CHECKPOINT, forged)), [key])


def test_one_bad_line_of_a_known_key_rejects_a_note_that_others_signed() -> None:
    (key,) = keys_of(WITNESS.vkey)
    bad = str(SignatureLine(key.name, key.key_id, bytes(72)))
    lines = [LOG.sign_note(CHECKPOINT, now_seconds=NOW), bad]
    note = parse_note(format_note(CHECKPOINT, lines))
    assert len(verify_note(note, keys_of(LOG.vkey))) == 1
    with pytest.raises(NoteError, match=r"witness\.example/w1"):
        verify_note(note, keys_of(LOG.vkey, WITNESS.vkey))


def test_a_bad_line_of_a_key_rejects_although_a_good_one_of_it_stands_there_too() -> None:
    (key,) = keys_of(LOG.vkey)
    good = LOG.sign_note(CHECKPOINT, now_seconds=NOW)
    bad = str(SignatureLine(key.name, key.key_id, bytes(64)))
    for order in ([good, bad], [bad, good]):
        with pytest.raises(NoteError, match="rejected"):
            verify_note(parse_note(format_note(CHECKPOINT, order)), [key])


def test_a_key_counts_once_with_its_newest_time() -> None:
    times = [NOW, NOW + 5, NOW, NOW + 2]
    lines = [WITNESS.sign_note(CHECKPOINT, now_seconds=time) for time in times]
    (line,) = verify_note(
        parse_note(format_note(CHECKPOINT, lines)), keys_of(WITNESS.vkey, WITNESS.vkey)
    )
    assert line.timestamp == NOW + 5


def test_a_note_verified_without_keys_is_rejected() -> None:
    with pytest.raises(NoteError, match="No trusted key"):
        verify_note(parse_note(PETER_NOTE), [])


def test_two_known_keys_that_share_name_and_key_id_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(VerifierKey, "key_id", b"same")
    keys = [VerifierKey("log", SignatureType.ED25519, bytes((n,)) * 32) for n in (1, 2)]
    with pytest.raises(NoteError, match="share the name"):
        verify_note(parse_note(PETER_NOTE), keys)


def test_a_line_of_another_key_is_not_verified() -> None:
    (key,) = keys_of(PETER_VKEY)
    line = parse_signature_line(LOG.sign_note(PETER_TEXT, now_seconds=NOW))
    with pytest.raises(SignatureError, match="is not one of"):
        key.verify(PETER_TEXT, line)


def test_a_witness_signature_is_not_a_log_signature_of_the_same_key() -> None:
    (log,) = keys_of(LOG.vkey)
    stolen = WITNESS._private.sign(CHECKPOINT.encode())
    witness = VerifierKey("witness.example/w1", SignatureType.COSIGNATURE_V1, log.public)
    line = SignatureLine(witness.name, witness.key_id, NOW.to_bytes(8, "big") + stolen)
    with pytest.raises(SignatureError):
        witness.verify(CHECKPOINT, line)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 71, 73])
@pytest.mark.parametrize("signer", [WITNESS, WITNESS_PQ])
def test_timestamped_signatures_of_another_length_are_refused(
    signer: Ed25519CosignatureSigner | MlDsa44NoteSigner, size: int
) -> None:
    (key,) = keys_of(signer.vkey)
    with pytest.raises(SignatureError):
        key.verify(CHECKPOINT, SignatureLine(key.name, key.key_id, bytes(size)))


# Every byte counts -------------------------------------------------------------------------------

ALL_KEYS = keys_of(LOG.vkey, WITNESS.vkey, LOG_PQ.vkey)
ALL_SIGNED = signed(LOG, WITNESS, LOG_PQ).encode()
PLACES = st.integers(0, len(ALL_SIGNED) - 1)


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(place=st.integers(0, len(CHECKPOINT) - 1) | PLACES, flip=st.integers(1, 255))
def test_no_byte_of_a_note_can_change(place: int, flip: int) -> None:
    changed = bytearray(ALL_SIGNED)
    changed[place] ^= flip
    try:
        lines = verify_note(parse_note(bytes(changed)), ALL_KEYS)
    except NoteError:
        return
    # A changed name or key id turns a line into an unknown key's: it must no longer count.
    assert bytes(changed).startswith(CHECKPOINT.encode() + b"\n")
    assert len(lines) == len(ALL_KEYS) - 1


@given(place=st.integers(0, 75), flip=st.integers(1, 255))
def test_no_byte_of_a_signature_line_can_change(place: int, flip: int) -> None:
    for signer in (LOG, WITNESS):
        (key,) = keys_of(signer.vkey)
        line = parse_signature_line(signer.sign_note(CHECKPOINT, now_seconds=NOW))
        value = bytearray(line.key_id + line.signature)
        value[place % len(value)] ^= flip
        with pytest.raises(SignatureError):
            key.verify(CHECKPOINT, SignatureLine(key.name, bytes(value[:4]), bytes(value[4:])))

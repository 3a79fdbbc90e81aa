"""Signed notes and verifier keys against c2sp.org/signed-note and published notes."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
from reference_notes import COSIGNATURE_V1, ED25519, ML_DSA_44, Key, Signer, signature_line
from vectors_of import load

from deploymark.crypto.note import SignatureType, VerifierKey, parse_note, verify_note
from deploymark.errors import DeploymarkError, NoteError, RefusedError

FACTS = load("notes")
TEXT: str = FACTS["text"]
PETER: str = FACTS["lines"]["PeterNeumann"]
ENOCH: str = FACTS["lines"]["EnochRoot"]
PETER_KEY, ENOCH_KEY = (VerifierKey.parse(fact["vkey"]) for fact in FACTS["keys"][:2])
ROOT = base64.b64encode(bytes(range(32))).decode()
CHECKPOINT = f"example.com/log\n42\n{ROOT}\n"


# Keys ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fact", FACTS["keys"], ids=lambda fact: fact["vkey"].split("+")[0])
def test_a_published_key_is_read_with_its_key_id_and_written_back(fact: dict[str, Any]) -> None:
    key = VerifierKey.parse(fact["vkey"])
    name, key_id, _ = fact["vkey"].split("+", 2)
    assert (key.name, key.key_id.hex(), int(key.algorithm)) == (name, key_id, fact["type"])
    assert str(key) == fact["vkey"]


def test_a_published_ml_dsa_44_key_is_read_with_its_key_id_and_written_back() -> None:
    facts = load("mldsa")
    key = VerifierKey.parse(facts["vkey"])
    assert (key.name, key.algorithm) == ("witness.example/w1", SignatureType.ML_DSA_44)
    assert key.key_id.hex() == "7118e8f9"
    assert len(key.public) == 1312
    assert str(key) == facts["vkey"]


@pytest.mark.parametrize("kind", [ED25519, COSIGNATURE_V1, ML_DSA_44])
def test_the_key_id_covers_name_type_and_key(kind: int) -> None:
    for name in ("example.com/log", "w", "zürich.example/log", "a/b"):
        key = Signer.of("any", kind, name=name).key
        ours = VerifierKey(name, SignatureType(kind), key.public)
        assert ours.key_id == key.key_id
        assert str(ours) == key.vkey


@pytest.mark.parametrize("vkey", FACTS["bad_keys"].values(), ids=FACTS["bad_keys"])
def test_a_published_bad_key_is_refused(vkey: str) -> None:
    with pytest.raises(RefusedError):
        VerifierKey.parse(vkey)


def test_no_part_of_a_key_is_a_key() -> None:
    vkey = FACTS["keys"][0]["vkey"]
    for start in range(len(vkey)):
        for end in range(start + 1, len(vkey) + 1):
            if (start, end) != (0, len(vkey)):
                with pytest.raises(RefusedError):
                    VerifierKey.parse(vkey[start:end])


def test_a_key_with_one_character_changed_is_refused() -> None:
    vkey = FACTS["keys"][0]["vkey"]
    for at, letter in enumerate(vkey):
        with pytest.raises(RefusedError):
            VerifierKey.parse(vkey[:at] + chr(ord(letter) + 1) + vkey[at + 1 :])


def rewritten(name: str, kind: int, public: bytes) -> str:
    """A key that is right about its own key id, whatever it holds."""
    return Key(name, kind, public).vkey


BAD_KEYS = {
    "an empty name": rewritten("", ED25519, bytes(32)),
    "a space in the name": rewritten("a b", ED25519, bytes(32)),
    "a no-break space in the name": rewritten("a\u00a0b", ED25519, bytes(32)),
    "an ideographic space in the name": rewritten("a\u3000b", ED25519, bytes(32)),
    "a newline in the name": rewritten("a\nb", ED25519, bytes(32)),
    "a short Ed25519 key": rewritten("a", ED25519, bytes(31)),
    "a long Ed25519 key": rewritten("a", ED25519, bytes(33)),
    "no key": rewritten("a", ED25519, b""),
    "a short cosignature key": rewritten("a", COSIGNATURE_V1, bytes(31)),
    "a short ML-DSA-44 key": rewritten("a", ML_DSA_44, bytes(1311)),
    "an Ed25519 key called ML-DSA-44": rewritten("a", ML_DSA_44, bytes(32)),
    "a type that is not assigned": rewritten("a", 0x63, bytes(32)),
    "a key id of three octets": "a+" + rewritten("a", 1, bytes(32)).split("+", 1)[1][2:],
    "base64 without padding": rewritten("a", ML_DSA_44, bytes(1312)).rstrip("="),
    "a newline at the end": rewritten("a", ED25519, bytes(32)) + "\n",
    "a space in front": " " + rewritten("a", ED25519, bytes(32)),
}


@pytest.mark.parametrize("vkey", BAD_KEYS.values(), ids=BAD_KEYS)
def test_a_malformed_key_is_refused(vkey: str) -> None:
    with pytest.raises(RefusedError):
        VerifierKey.parse(vkey)


# The form of a note -------------------------------------------------------------------------------


def line(name: str, raw: bytes) -> str:
    return f"\N{EM DASH} {name} {base64.b64encode(raw).decode()}\n"


GOOD_NOTES: dict[str, tuple[str, str, int]] = {
    "one line": (TEXT + "\n" + PETER, TEXT, 1),
    "two lines": (TEXT + "\n" + PETER + ENOCH, TEXT, 2),
    "sixteen lines": (TEXT + "\n" + line("a", bytes(68)) * 16, TEXT, 16),
    "sixteen post-quantum lines": (TEXT + "\n" + line("a", bytes(5000)) * 16, TEXT, 16),
    "empty lines in the text": ("a\n\nb\n\n\nc\n\n" + PETER, "a\n\nb\n\n\nc\n", 1),
    "a signature line in the text": (TEXT + "\n" + PETER + "\n" + ENOCH, TEXT + "\n" + PETER, 1),
    "a line separator in the text": ("a\u2028b\u0085c\n\n" + PETER, "a\u2028b\u0085c\n", 1),
    "letters of any script": ("ed è subito sera.\n\n" + PETER, "ed è subito sera.\n", 1),
    "a name of any script": (TEXT + "\n" + line("ключ.example/日本", bytes(68)), TEXT, 1),
    "a signature of one octet": (TEXT + "\n" + line("a", bytes(5)), TEXT, 1),
    "a signature of an unknown type": (TEXT + "\n" + line("a", bytes(7)), TEXT, 1),
}


@pytest.mark.parametrize("case", GOOD_NOTES.values(), ids=GOOD_NOTES)
def test_a_well_formed_note_is_taken_apart(case: tuple[str, str, int]) -> None:
    note, text, count = case
    parsed = parse_note(note)
    assert parsed.text == text
    assert len(parsed.signatures) == count


def test_the_example_of_the_specification_is_taken_apart() -> None:
    facts = load("checkpoint")
    parsed = parse_note(facts["text"] + "\n" + "".join(facts["lines"]))
    assert parsed.text == facts["text"]
    assert [one.name for one in parsed.signatures] == [facts["origin"], "witness.example.com/w1"]
    assert parsed.signatures[0].key_id.hex() == facts["log_key_id"]
    assert len(parsed.signatures[0].signature) == 64
    cosignature = parsed.signatures[1].signature
    assert int.from_bytes(cosignature[:8], "big") == facts["cosigned_at_seconds"]


BAD_NOTES = {
    "no signature": TEXT,
    "no signature after the blank line": TEXT + "\n",
    "no blank line": TEXT + PETER,
    "no newline at the end": TEXT + "\n" + PETER[:-1],
    "a blank line at the end": TEXT + "\n" + PETER + "\n",
    "a line that is no signature": TEXT + "\n" + PETER + "Unexpected line.\n",
    "a line that is no signature in front": TEXT + "\n" + "Unexpected line.\n" + PETER,
    "a hyphen for the dash": TEXT + "\n" + PETER.replace("\N{EM DASH}", "-"),
    "an en dash for the dash": TEXT + "\n" + PETER.replace("\N{EM DASH}", "\N{EN DASH}"),
    "no space after the dash": TEXT + "\n" + PETER.replace("\N{EM DASH} ", "\N{EM DASH}"),
    "a no-break space after the dash": TEXT + "\n" + PETER.replace(" ", "\u00a0", 1),
    "two spaces before the signature": TEXT + "\n" + PETER.replace("n x", "n  x"),
    "a space in the name": TEXT + "\n" + line("Bad Name", bytes(68)),
    "a no-break space in the name": TEXT + "\n" + line("Bad\u00a0Name", bytes(68)),
    "a plus in the name": TEXT + "\n" + line("a+b", bytes(68)),
    "no name": TEXT + "\n" + line("", bytes(68)),
    "no signature bytes": TEXT + "\n" + "\N{EM DASH} PeterNeumann\n",
    "an empty signature": TEXT + "\n" + "\N{EM DASH} PeterNeumann \n",
    "a signature shorter than a key id": TEXT + "\n" + line("a", bytes(3)),
    "base64 that is none": TEXT + "\n" + "\N{EM DASH} a !!!!\n",
    "base64 without padding": TEXT + "\n" + PETER.replace("=", ""),
    "base64 for URLs": TEXT + "\n" + PETER.replace("/", "_"),
    "a space behind the signature": TEXT + "\n" + PETER.replace("=\n", "= \n"),
    "a comment behind the signature": TEXT + "\n" + PETER.replace("=\n", "= x\n"),
    "a control character in the text": "\x01" + TEXT + "\n" + PETER,
    "a tab in the text": "\t" + TEXT + "\n" + PETER,
    "a null in the text": "a\x00b\n\n" + PETER,
    "an escape in the text": "a\x1bb\n\n" + PETER,
    "a carriage return in the text": TEXT.replace("\n", "\r\n") + "\n" + PETER,
    "a carriage return behind a signature": TEXT + "\n" + PETER.replace("\n", "\r\n"),
    "carriage returns on every line": (TEXT + "\n" + PETER).replace("\n", "\r\n"),
    "an unpaired surrogate": "a\ud800b\n\n" + PETER,
    "nothing": "",
    "a newline": "\n",
    "two newlines": "\n\n",
}


@pytest.mark.parametrize("note", BAD_NOTES.values(), ids=BAD_NOTES)
def test_a_malformed_note_is_refused(note: str) -> None:
    with pytest.raises(NoteError):
        parse_note(note)


def test_octets_that_are_not_utf_8_are_refused() -> None:
    with pytest.raises(NoteError):
        parse_note(b"\xff" + (TEXT + "\n" + PETER).encode())


# Signatures ---------------------------------------------------------------------------------------


def names(note: str, keys: list[VerifierKey]) -> list[str]:
    return [signed.key.name for signed in verify_note(parse_note(note), keys)]


def test_published_signatures_verify_and_unknown_ones_are_ignored() -> None:
    both = TEXT + "\n" + PETER + ENOCH
    assert names(both, [PETER_KEY, ENOCH_KEY]) == ["PeterNeumann", "EnochRoot"]
    assert names(both, [PETER_KEY]) == ["PeterNeumann"]
    assert names(both, [ENOCH_KEY]) == ["EnochRoot"]


def test_a_published_tree_head_of_the_go_checksum_database_verifies() -> None:
    facts = FACTS["go_checksum_database"]
    assert names(facts["note"], [VerifierKey.parse(facts["vkey"])]) == ["sum.golang.org"]


REFUSED: dict[str, Callable[[], str]] = {
    "no known key": lambda: TEXT + "\n" + ENOCH,
    "a changed text": lambda: "X" + TEXT[1:] + "\n" + PETER,
    "another final line": lambda: TEXT + "more\n\n" + PETER,
    "a newline more": lambda: TEXT + "\n\n" + PETER,
    "a signature with one character changed": lambda: TEXT + "\n" + PETER.replace("JkuBS", "JkuBT"),
    "four characters put into the signature": lambda: (
        TEXT + "\n" + PETER[:60] + "ABCD" + PETER[60:]
    ),
    "a signature cut short": lambda: TEXT + "\n" + line("PeterNeumann", raw_of(PETER)[:-1]),
    "a key id and nothing else": lambda: TEXT + "\n" + line("PeterNeumann", raw_of(PETER)[:5]),
    "another name for the key": lambda: TEXT + "\n" + PETER.replace("PeterNeumann", "PeterNewman"),
    "another key id": lambda: TEXT + "\n" + PETER.replace("x08g", "xxxx"),
    "the other's signature": lambda: TEXT + "\n" + line("PeterNeumann", raw_of(ENOCH)),
    "a good line and a bad one of the known key": lambda: (
        TEXT + "\n" + PETER + line("PeterNeumann", raw_of(PETER)[:-1] + b"\x00")
    ),
}


def raw_of(signature: str) -> bytes:
    return base64.b64decode(signature.split(" ")[2])


@pytest.mark.parametrize("note", REFUSED.values(), ids=REFUSED)
def test_a_note_that_its_known_key_did_not_sign_is_refused(note: Callable[[], str]) -> None:
    with pytest.raises(RefusedError):
        verify_note(parse_note(note()), [PETER_KEY])


def test_a_bad_line_of_an_unknown_key_is_ignored() -> None:
    bad = line("EnochRoot", raw_of(ENOCH)[:-1] + b"\x00")
    assert names(TEXT + "\n" + PETER + bad, [PETER_KEY]) == ["PeterNeumann"]
    with pytest.raises(RefusedError):
        verify_note(parse_note(TEXT + "\n" + PETER + bad), [PETER_KEY, ENOCH_KEY])


def test_a_line_that_shares_only_name_or_key_id_with_a_known_key_is_ignored() -> None:
    same_name = line("PeterNeumann", bytes(4) + bytes(64))
    same_id = line("SomeoneElse", PETER_KEY.key_id + bytes(64))
    assert names(TEXT + "\n" + same_name + PETER + same_id, [PETER_KEY]) == ["PeterNeumann"]
    with pytest.raises(RefusedError):
        verify_note(parse_note(TEXT + "\n" + same_name + same_id), [PETER_KEY])


def test_without_keys_no_note_verifies() -> None:
    with pytest.raises(RefusedError):
        verify_note(parse_note(TEXT + "\n" + PETER), [])


# Each signature type over a checkpoint ------------------------------------------------------------


@pytest.mark.parametrize("kind", [ED25519, COSIGNATURE_V1, ML_DSA_44])
@pytest.mark.parametrize("seconds", [1, 1_679_315_147, 2**63 - 1])
def test_signatures_made_from_the_text_of_the_specification_verify(kind: int, seconds: int) -> None:
    signer = Signer.of("witness.example/w", kind)
    note = CHECKPOINT + "\n" + signer.line(CHECKPOINT, seconds=seconds)
    key = VerifierKey.parse(signer.vkey)
    [signed] = verify_note(parse_note(note), [key])
    assert signed.timestamp == (0 if kind == ED25519 else seconds)


def test_an_ml_dsa_44_cosignature_may_state_no_time() -> None:
    signer = Signer.of("witness.example/w", ML_DSA_44)
    note = parse_note(CHECKPOINT + "\n" + signer.line(CHECKPOINT, seconds=0))
    [signed] = verify_note(note, [VerifierKey.parse(signer.vkey)])
    assert signed.timestamp == 0


@pytest.mark.parametrize("kind", [COSIGNATURE_V1, ML_DSA_44])
def test_a_cosignature_moved_in_time_is_refused(kind: int) -> None:
    signer = Signer.of("witness.example/w", kind)
    raw = bytearray(raw_of(signer.line(CHECKPOINT)))
    raw[11] ^= 1
    note = CHECKPOINT + "\n" + line("witness.example/w", bytes(raw))
    with pytest.raises(RefusedError):
        verify_note(parse_note(note), [VerifierKey.parse(signer.vkey)])


@pytest.mark.parametrize("kind", [COSIGNATURE_V1, ML_DSA_44])
def test_a_cosignature_beyond_the_largest_timestamp_is_refused(kind: int) -> None:
    signer = Signer.of("witness.example/w", kind)
    note = CHECKPOINT + "\n" + signer.line(CHECKPOINT, seconds=2**63)
    with pytest.raises(RefusedError):
        verify_note(parse_note(note), [VerifierKey.parse(signer.vkey)])


CHANGED_TEXTS = {
    "another origin": CHECKPOINT.replace("example.com", "example.org"),
    "another size": CHECKPOINT.replace("42", "43"),
    "another root": CHECKPOINT.replace("AAEC", "AAED"),
}


@pytest.mark.parametrize("kind", [ED25519, COSIGNATURE_V1, ML_DSA_44])
@pytest.mark.parametrize("text", CHANGED_TEXTS.values(), ids=CHANGED_TEXTS)
def test_a_signature_under_another_checkpoint_is_refused(kind: int, text: str) -> None:
    signer = Signer.of("witness.example/w", kind)
    note = text + "\n" + signer.line(CHECKPOINT)
    with pytest.raises(RefusedError):
        verify_note(parse_note(note), [VerifierKey.parse(signer.vkey)])


EXTENDED = CHECKPOINT + "extension\n"


@pytest.mark.parametrize("kind", [ED25519, COSIGNATURE_V1])
def test_ed25519_signatures_cover_extension_lines(kind: int) -> None:
    signer = Signer.of("witness.example/w", kind)
    keys = [VerifierKey.parse(signer.vkey)]
    assert verify_note(parse_note(EXTENDED + "\n" + signer.line(EXTENDED)), keys)
    with pytest.raises(RefusedError):
        verify_note(parse_note(EXTENDED + "\n" + signer.line(CHECKPOINT)), keys)


def test_ml_dsa_44_signatures_do_not_cover_extension_lines() -> None:
    signer = Signer.of("witness.example/w", ML_DSA_44)
    keys = [VerifierKey.parse(signer.vkey)]
    assert verify_note(parse_note(EXTENDED + "\n" + signer.line(EXTENDED)), keys)
    assert verify_note(parse_note(EXTENDED + "\n" + signer.line(CHECKPOINT)), keys)


def test_an_ml_dsa_44_cosignature_names_its_cosigner() -> None:
    signer = Signer.of("same key", ML_DSA_44, name="witness.example/a")
    other = Signer.of("same key", ML_DSA_44, name="witness.example/b")
    raw = raw_of(signer.line(CHECKPOINT))[4:]
    note = parse_note(CHECKPOINT + "\n" + signature_line(other.key, raw))
    with pytest.raises(RefusedError):
        verify_note(note, [VerifierKey.parse(other.vkey)])


def test_a_published_ml_dsa_44_line_over_another_message_is_refused() -> None:
    facts = load("mldsa")
    text = f"{facts['origin']}\n{facts['end']}\n{facts['root']}\n"
    with pytest.raises(RefusedError):
        verify_note(parse_note(text + "\n" + facts["line"]), [VerifierKey.parse(facts["vkey"])])


def test_a_plain_signature_is_no_cosignature_and_the_other_way_round() -> None:
    plain = Signer.of("one key", ED25519, name="w")
    timed = Signer.of("one key", COSIGNATURE_V1, name="w")
    swapped = signature_line(timed.key, raw_of(plain.line(CHECKPOINT))[4:])
    with pytest.raises(DeploymarkError):
        verify_note(parse_note(CHECKPOINT + "\n" + swapped), [VerifierKey.parse(timed.vkey)])
    swapped = signature_line(plain.key, raw_of(timed.line(CHECKPOINT))[4:])
    with pytest.raises(DeploymarkError):
        verify_note(parse_note(CHECKPOINT + "\n" + swapped), [VerifierKey.parse(plain.vkey)])

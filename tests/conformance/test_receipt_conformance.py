"""Receipts against c2sp.org/tlog-proof, in both directions."""

import base64
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_notes import (
    COSIGNATURE_V1,
    ED25519,
    ML_DSA_44,
    Signer,
    b64,
    receipt_of,
    receipt_shows,
)
from reference_tree import ReferenceTree
from vectors_of import load

from deploymark.crypto.note import VerifierKey, parse_note, verify_note
from deploymark.errors import DeploymarkError, ProofError, RefusedError
from deploymark.log.checkpoint import Checkpoint, parse_checkpoint
from deploymark.log.proof import inclusion_proof, verify_inclusion
from deploymark.log.receipt import Receipt, format_receipt, parse_receipt

HEADER = "c2sp.org/tlog-proof@v1\n"
FACTS = load("checkpoint")
LINES = "".join(line + "\n" for line in FACTS["proof_lines"])
NOTE = FACTS["text"] + "\n" + "".join(FACTS["lines"])
HASHES = tuple(base64.b64decode(line) for line in FACTS["proof_lines"])
EXTRA = b"extra information"
EXTRA_LINE = "extra ZXh0cmEgaW5mb3JtYXRpb24=\n"

GOOD: dict[str, tuple[str, Receipt]] = {
    "the form of the specification": (
        f"{HEADER}{EXTRA_LINE}index 73894\n{LINES}\n{NOTE}",
        Receipt(73894, HASHES, NOTE, EXTRA),
    ),
    "no extra data": (f"{HEADER}index 73894\n{LINES}\n{NOTE}", Receipt(73894, HASHES, NOTE, None)),
    "no hashes": (f"{HEADER}index 0\n\n{NOTE}", Receipt(0, (), NOTE, None)),
    "extra data and no hashes": (
        f"{HEADER}{EXTRA_LINE}index 0\n\n{NOTE}",
        Receipt(0, (), NOTE, EXTRA),
    ),
    "extra data of one octet": (
        f"{HEADER}extra AA==\nindex 0\n\n{NOTE}",
        Receipt(0, (), NOTE, b"\x00"),
    ),
    "extra data that looks like a line": (
        f"{HEADER}extra aW5kZXggMQo=\nindex 0\n\n{NOTE}",
        Receipt(0, (), NOTE, b"index 1\n"),
    ),
    "a large index": (
        f"{HEADER}index {2**62}\n{LINES}\n{NOTE}",
        Receipt(2**62, HASHES, NOTE, None),
    ),
}


@pytest.mark.parametrize("case", GOOD.values(), ids=GOOD)
def test_a_well_formed_receipt_is_read_and_written_back(case: tuple[str, Receipt]) -> None:
    text, expected = case
    found = parse_receipt(text)
    assert (found.index, tuple(found.proof), found.note, found.extra) == (
        expected.index,
        expected.proof,
        expected.note,
        expected.extra,
    )
    assert format_receipt(expected) == text


def test_the_checkpoint_is_kept_verbatim() -> None:
    odd = FACTS["text"] + "extension\n\n" + FACTS["lines"][1] + FACTS["lines"][0] * 2
    assert parse_receipt(f"{HEADER}index 0\n\n{odd}").note == odd
    assert format_receipt(Receipt(0, (), odd, None)) == f"{HEADER}index 0\n\n{odd}"


def test_a_receipt_without_extra_data_has_no_extra_line() -> None:
    for extra in (None, b""):
        assert "extra" not in format_receipt(Receipt(0, (), NOTE, extra))


def good(
    *,
    header: str = HEADER,
    extra: str = EXTRA_LINE,
    index: str = "index 5\n",
    lines: str = LINES,
    blank: str = "\n",
    note: str = NOTE,
) -> str:
    return header + extra + index + lines + blank + note


HASH = FACTS["proof_lines"][0] + "\n"

BAD = {
    "nothing": "",
    "only the first line": HEADER,
    "no first line": good(header=""),
    "a blank line in front": "\n" + good(),
    "a byte order mark in front": "\ufeff" + good(),
    "a space behind the first line": good(header="c2sp.org/tlog-proof@v1 \n"),
    "another version": good(header="c2sp.org/tlog-proof@v2\n"),
    "no version": good(header="c2sp.org/tlog-proof\n"),
    "the first line in capitals": good(header=HEADER.upper()),
    "the first line twice": good(header=HEADER * 2),
    "an extra line that is not base64": good(extra="extra !!notbase64!!\n"),
    "an extra line without padding": good(extra="extra ZXh0cmEgaW5mb3JtYXRpb24\n"),
    "an extra line in base64 for URLs": good(extra="extra _-8=\n"),
    "an extra line with stray bits": good(extra="extra AB==\n"),
    "an extra line with a space inside": good(extra="extra ZXh0 cmE=\n"),
    "an extra line with two spaces": good(extra="extra  ZXh0cmE=\n"),
    "an extra line with a space behind": good(extra="extra ZXh0cmE= \n"),
    "an extra line with a tab": good(extra="extra\tZXh0cmE=\n"),
    "an extra line that only says so": good(extra="extra\n"),
    "two extra lines": good(extra=EXTRA_LINE * 2),
    "the extra line behind the index": good(extra="", index="index 5\n" + EXTRA_LINE),
    "the extra line behind the hashes": good(extra="", lines=LINES + EXTRA_LINE),
    "an unknown line before the index": good(extra="other ZXh0cmE=\n"),
    "no index": good(index=""),
    "an empty index": good(index="index \n"),
    "an index that only says so": good(index="index\n"),
    "an index with a leading zero": good(index="index 05\n"),
    "an index of two zeroes": good(index="index 00\n"),
    "an index with a plus": good(index="index +5\n"),
    "a negative index": good(index="index -5\n"),
    "a negative zero": good(index="index -0\n"),
    "an index in words": good(index="index notanumber\n"),
    "an index in hexadecimal": good(index="index 0x5\n"),
    "an index with an underscore": good(index="index 1_0\n"),
    "an index in other digits": good(index="index \u0665\n"),
    "an index with two spaces": good(index="index  5\n"),
    "an index with a space behind": good(index="index 5 \n"),
    "an index with a tab": good(index="index\t5\n"),
    "an index with a space in front": good(index=" index 5\n"),
    "an index in capitals": good(index="INDEX 5\n"),
    "an index of five thousand digits": good(index=f"index {'9' * 5000}\n"),
    "two indexes": good(index="index 5\nindex 5\n"),
    "a hash that is not base64": good(lines="!!notbase64!!\n"),
    "a hash in hexadecimal": good(lines=HASHES[0].hex() + "\n"),
    "a hash of 31 octets": good(lines=b64(HASHES[0][:-1]) + "\n"),
    "a hash of 33 octets": good(lines=b64(HASHES[0] + b"x") + "\n"),
    "a hash of 64 octets": good(lines=b64(HASHES[0] + HASHES[1]) + "\n"),
    "a hash without padding": good(lines=HASH.replace("=", "")),
    "a hash in base64 for URLs": good(lines=base64.urlsafe_b64encode(b"\xff" * 32).decode() + "\n"),
    "a hash with stray bits": good(lines=HASH.replace("Q=", "R=")),
    "a hash with a space behind": good(lines=HASH.replace("\n", " \n")),
    "a hash with a space in front": good(lines=" " + HASH),
    "two hashes on a line": good(lines=HASH.strip() + HASH),
    "no blank line": good(blank=""),
    "no blank line and no hashes": good(blank="", lines=""),
    "a blank line of a space": good(blank=" \n"),
    "carriage returns": good().replace("\n", "\r\n"),
    "a carriage return on the first line": good(header="c2sp.org/tlog-proof@v1\r\n"),
    "a carriage return behind the index": good(index="index 5\r\n"),
    "a carriage return behind a hash": good(lines=HASH.replace("\n", "\r\n")),
    "lines parted by line separators": good(header="c2sp.org/tlog-proof@v1\u2028"),
    "a form feed for a newline": good(index="index 5\x0c"),
}


BAD_CHECKPOINTS = {
    "a blank line before the hashes": good(index="index 5\n\n"),
    "a hash after the blank line": good(blank="\n" + HASH),
    "two blank lines": good(blank="\n\n"),
    "no checkpoint": good(note=""),
    "a checkpoint without signatures": good(note=FACTS["text"]),
    "a checkpoint without its signature lines": good(note=FACTS["text"] + "\n"),
    "a checkpoint without its final newline": good(note=NOTE[:-1]),
    "a checkpoint with a bad size": good(note=NOTE.replace("20852163", "020852163")),
    "a checkpoint of two lines": good(note="o\n5\n\n" + FACTS["lines"][0]),
    "something behind the checkpoint": good(note=NOTE + "more\n"),
    "a blank line at the end": good(note=NOTE + "\n"),
    "a carriage return in the checkpoint": good(note=NOTE.replace("\n", "\r\n", 1)),
}


def take_apart(text: str) -> tuple[Receipt, Checkpoint]:
    """Read a receipt and the checkpoint in it; the parser of either may be the one to refuse."""
    receipt = parse_receipt(text)
    return receipt, parse_checkpoint(parse_note(receipt.note).text)


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_a_malformed_receipt_is_refused(text: str) -> None:
    with pytest.raises(ProofError):
        parse_receipt(text)
    with pytest.raises(ValueError, match=r"."):
        receipt_of(text.encode())


@pytest.mark.parametrize("text", BAD_CHECKPOINTS.values(), ids=BAD_CHECKPOINTS)
def test_a_receipt_with_a_malformed_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(RefusedError):
        take_apart(text)
    with pytest.raises(ValueError, match=r"."):
        receipt_of(text.encode())


UNWRITABLE = {
    "a negative index": Receipt(-1, (), NOTE, None),
    "a hash of one octet": Receipt(0, (b"x",), NOTE, None),
    "an empty hash": Receipt(0, (b"",), NOTE, None),
}


@pytest.mark.parametrize("receipt", UNWRITABLE.values(), ids=UNWRITABLE)
def test_a_receipt_that_could_not_be_read_is_not_written(receipt: Receipt) -> None:
    with pytest.raises(DeploymarkError):
        format_receipt(receipt)


def test_the_base_of_the_bad_receipts_is_good() -> None:
    assert parse_receipt(good()).index == 5
    assert receipt_of(good().encode()).index == 5


# End to end ---------------------------------------------------------------------------------------

LOG = Signer.of("example.com/log", ED25519)
LOG_ML_DSA = Signer.of("example.com/log", ML_DSA_44)
WITNESS = Signer.of("witness.example/w", COSIGNATURE_V1)
TREE = ReferenceTree.numbered(700)


def signed_note(size: int, *signers: Signer) -> str:
    text = f"example.com/log\n{size}\n{b64(TREE.root(size))}\n"
    return text + "\n" + "".join(signer.line(text) for signer in signers)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_our_receipts_convince_the_reference_and_only_of_the_right_leaf(
    data: st.DataObject,
) -> None:
    size = data.draw(st.integers(1, TREE.length))
    index = data.draw(st.integers(0, size - 1))
    extra = data.draw(st.one_of(st.none(), st.binary(min_size=1, max_size=200)))
    proof = tuple(inclusion_proof(index, size, TREE.reader(size)))
    note = signed_note(size, LOG, WITNESS)
    written = format_receipt(Receipt(index, proof, note, extra)).encode()
    parsed = receipt_of(written)
    assert (parsed.index, tuple(parsed.path), parsed.note) == (index, proof, note.encode())
    assert parsed.extra == extra
    assert receipt_shows(written, TREE.leaf(index), [LOG.key])
    assert not receipt_shows(written, sha256(b"another leaf").digest(), [LOG.key])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_receipts_of_the_reference_convince_us(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, TREE.length))
    index = data.draw(st.integers(0, size - 1))
    lines = "".join(b64(value) + "\n" for value in TREE.path(index, size))
    note = signed_note(size, WITNESS, LOG_ML_DSA, LOG)
    receipt = parse_receipt(f"{HEADER}index {index}\n{lines}\n{note}")
    keys = [VerifierKey.parse(signer.vkey) for signer in (LOG, LOG_ML_DSA, WITNESS)]
    assert len(verify_note(parse_note(receipt.note), keys)) == len(keys)
    checkpoint = parse_checkpoint(parse_note(receipt.note).text)
    assert checkpoint == Checkpoint("example.com/log", size, TREE.root(size))
    verify_inclusion(
        receipt.index, checkpoint.size, TREE.leaf(index), list(receipt.proof), checkpoint.root
    )


def test_every_changed_octet_of_a_receipt_is_noticed() -> None:
    size, index = 11, 4
    note = signed_note(size, LOG)
    proof = tuple(inclusion_proof(index, size, TREE.reader(size)))
    written = format_receipt(Receipt(index, proof, note, None))
    key = VerifierKey.parse(LOG.vkey)
    for at in range(len(written)):
        changed = written[:at] + chr(ord(written[at]) ^ 1) + written[at + 1 :]
        with pytest.raises(RefusedError):
            convince(changed, key, TREE.leaf(index))


def convince(text: str, key: VerifierKey, leaf: bytes) -> None:
    """What any verifier does with a receipt, step by step."""
    receipt = parse_receipt(text)
    note = parse_note(receipt.note)
    verify_note(note, [key])
    checkpoint = parse_checkpoint(note.text)
    verify_inclusion(receipt.index, checkpoint.size, leaf, list(receipt.proof), checkpoint.root)

"""Checkpoint texts against c2sp.org/tlog-checkpoint."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_notes import checkpoint_of
from vectors_of import load

from deploymark.crypto.note import parse_note
from deploymark.errors import DeploymarkError, NoteError
from deploymark.log.checkpoint import Checkpoint, parse_checkpoint

RAW = bytes(range(224, 256))
ROOT = base64.b64encode(RAW).decode()


def test_the_example_of_the_specification_is_read_and_written_back() -> None:
    facts = load("checkpoint")
    checkpoint = parse_checkpoint(facts["text"])
    assert checkpoint.origin == facts["origin"]
    assert checkpoint.size == facts["size"]
    assert checkpoint.root == base64.b64decode(facts["root"])
    assert checkpoint.text() == facts["text"]


GOOD: dict[str, tuple[str, Checkpoint]] = {
    "the empty tree": (f"o\n0\n{ROOT}\n", Checkpoint("o", 0, RAW)),
    "one entry": (f"o\n1\n{ROOT}\n", Checkpoint("o", 1, RAW)),
    "a large tree": (f"o\n{2**63 - 1}\n{ROOT}\n", Checkpoint("o", 2**63 - 1, RAW)),
    "an origin with spaces": (f"go.sum tree\n7\n{ROOT}\n", Checkpoint("go.sum tree", 7, RAW)),
    "an origin with a plus": (f"a+b\n7\n{ROOT}\n", Checkpoint("a+b", 7, RAW)),
    "an origin that is a number": (f"7\n7\n{ROOT}\n", Checkpoint("7", 7, RAW)),
    "an origin of any script": (f"журнал/日\n7\n{ROOT}\n", Checkpoint("журнал/日", 7, RAW)),
    "an origin with separators": (
        f"a\u2028b\u0085c\n7\n{ROOT}\n",
        Checkpoint("a\u2028b\u0085c", 7, RAW),
    ),
}


@pytest.mark.parametrize("case", GOOD.values(), ids=GOOD)
def test_a_well_formed_checkpoint_is_read_and_written_back(case: tuple[str, Checkpoint]) -> None:
    text, expected = case
    assert parse_checkpoint(text) == expected
    assert expected.text() == text


EXTENDED = {
    "one extension line": f"o\n7\n{ROOT}\nmore\n",
    "three extension lines": f"o\n7\n{ROOT}\nmore\nand\nmore\n",
    "an extension line that looks like a size": f"o\n7\n{ROOT}\n8\n",
}


@pytest.mark.parametrize("text", EXTENDED.values(), ids=EXTENDED)
def test_extension_lines_are_opaque_and_allowed(text: str) -> None:
    checkpoint = parse_checkpoint(text)
    assert (checkpoint.origin, checkpoint.size, checkpoint.root) == ("o", 7, RAW)


BAD = {
    "nothing": "",
    "one line": "o\n",
    "two lines": "o\n7\n",
    "no final newline": f"o\n7\n{ROOT}",
    "an empty origin": f"\n7\n{ROOT}\n",
    "an empty size": f"o\n\n{ROOT}\n",
    "an empty root": "o\n7\n\n",
    "a blank line in front": f"\no\n7\n{ROOT}\n",
    "a blank line at the end": f"o\n7\n{ROOT}\n\n",
    "an empty extension line": f"o\n7\n{ROOT}\nmore\n\nmore\n",
    "a size with a leading zero": f"o\n07\n{ROOT}\n",
    "a size of two zeroes": f"o\n00\n{ROOT}\n",
    "a size with a plus": f"o\n+7\n{ROOT}\n",
    "a negative size": f"o\n-7\n{ROOT}\n",
    "a negative zero": f"o\n-0\n{ROOT}\n",
    "a size with a space in front": f"o\n 7\n{ROOT}\n",
    "a size with a space behind": f"o\n7 \n{ROOT}\n",
    "a size with an underscore": f"o\n1_000\n{ROOT}\n",
    "a size with a comma": f"o\n1,000\n{ROOT}\n",
    "a size with a fraction": f"o\n7.0\n{ROOT}\n",
    "a size in hexadecimal": f"o\n0x7\n{ROOT}\n",
    "a size with an exponent": f"o\n1e3\n{ROOT}\n",
    "a size in Arabic digits": f"o\n\u0667\n{ROOT}\n",
    "a size in full-width digits": f"o\n\uff17\n{ROOT}\n",
    "a size in superscript": f"o\n\u00b2\n{ROOT}\n",
    "a size in words": f"o\nbananas\n{ROOT}\n",
    "a size beyond 64 bits": f"o\n3438945738945739845734895735\n{ROOT}\n",
    "a size of five thousand digits": f"o\n{'9' * 5000}\n{ROOT}\n",
    "a root of 31 octets": f"o\n7\n{base64.b64encode(RAW[:-1]).decode()}\n",
    "a root of 33 octets": f"o\n7\n{base64.b64encode(RAW + b'x').decode()}\n",
    "a root that is not base64": "o\n7\nThisIsn'tBase64\n",
    "a root in hexadecimal": f"o\n7\n{RAW.hex()}\n",
    "a root without padding": f"o\n7\n{ROOT.rstrip('=')}\n",
    "a root with too much padding": f"o\n7\n{ROOT}====\n",
    "a root in base64 for URLs": f"o\n7\n{base64.urlsafe_b64encode(RAW).decode()}\n",
    "a root with a space in front": f"o\n7\n {ROOT}\n",
    "a root with a space behind": f"o\n7\n{ROOT} \n",
    "a root with stray bits in its last character": f"o\n7\n{ROOT[:-2]}9=\n",
    "a root cut over two lines": f"o\n7\n{ROOT[:20]}\n{ROOT[20:]}\n",
    "carriage returns": f"o\r\n7\r\n{ROOT}\r\n",
    "lines parted by carriage returns": f"o\r7\r{ROOT}\r",
    "lines parted by line separators": f"o\u20287\u2028{ROOT}\u2028\n",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_a_malformed_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        parse_checkpoint(text)


CONTROLS = {
    "a carriage return in the origin": f"o\r\n7\n{ROOT}\n",
    "a tab in the origin": f"o\to\n7\n{ROOT}\n",
    "a null in the origin": f"o\x00\n7\n{ROOT}\n",
    "a control character in an extension line": f"o\n7\n{ROOT}\nmo\x1fre\n",
}


@pytest.mark.parametrize("text", CONTROLS.values(), ids=CONTROLS)
def test_control_characters_are_refused_with_the_note_or_with_the_text(text: str) -> None:
    with pytest.raises(NoteError):
        parse_checkpoint(parse_note(text + "\n\N{EM DASH} o " + "A" * 88 + "\n").text)


UNWRITABLE = {
    "an empty origin": Checkpoint("", 7, RAW),
    "an origin of two lines": Checkpoint("o\n8", 7, RAW),
    "a negative size": Checkpoint("o", -7, RAW),
    "a root of 31 octets": Checkpoint("o", 7, RAW[:-1]),
}


@pytest.mark.parametrize("checkpoint", UNWRITABLE.values(), ids=UNWRITABLE)
def test_a_checkpoint_that_could_not_be_read_is_not_written(checkpoint: Checkpoint) -> None:
    with pytest.raises(DeploymarkError):
        checkpoint.text()


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40),
    st.integers(0, 2**63 - 1),
    st.binary(min_size=32, max_size=32),
)
def test_any_checkpoint_is_written_as_the_reference_reads_it(
    origin: str, size: int, root: bytes
) -> None:
    text = Checkpoint(origin, size, root).text()
    assert checkpoint_of(text.encode()) == (origin, size, root)
    assert parse_checkpoint(text) == Checkpoint(origin, size, root)

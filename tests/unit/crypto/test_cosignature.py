"""The signed messages of cosignatures, byte by byte."""

import pytest

from deploymark.crypto.base64text import encode_base64
from deploymark.crypto.cosignature import (
    MAX_TIMESTAMP,
    cosignature_message,
    subtree_message,
    timestamped_signature,
)
from deploymark.errors import NoteError

# The example of c2sp.org/tlog-cosignature.
TEXT = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
ROOT = bytes.fromhex("0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62")
EMPTY_NAME = f"\n1\n{encode_base64(ROOT)}\n"


def test_the_ed25519_message_is_the_example_of_the_specification() -> None:
    assert cosignature_message(TEXT, 1679315147) == (
        b"cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n"
        b"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    )


def test_the_ml_dsa_message_is_the_structure_of_the_specification() -> None:
    message = subtree_message("witness.example.com/w1", TEXT, 1679315147)
    assert message == (
        b"subtree/v1\n\0"
        b"\x16witness.example.com/w1"
        b"\0\0\0\0\x64\x18\x50\xcb"
        b"\x1bexample.com/behind-the-sofa"
        b"\0\0\0\0\0\0\0\0"
        b"\0\0\0\0\x01\x3e\x2d\xc3" + ROOT
    )


def test_names_are_counted_in_bytes_up_to_255() -> None:
    message = subtree_message("é" * 127, TEXT, 1)
    assert message[12] == 254
    with pytest.raises(NoteError, match="256"):
        subtree_message("é" * 128, TEXT, 1)


def test_the_ml_dsa_message_leaves_extension_lines_out() -> None:
    assert subtree_message("w", TEXT + "extension\n", 1) == subtree_message("w", TEXT, 1)


BAD_CHECKPOINTS = {
    "an empty extension line": TEXT + "\nextension\n",
    "two lines": "example.com/log\n1\n",
    "no final newline": TEXT[:-1],
    "an empty origin": EMPTY_NAME,
    "a leading zero": TEXT.replace("2085", "02085"),
    "a sign": TEXT.replace("2085", "+2085"),
    "digits that are not ASCII": TEXT.replace("20852163", "١٢٣"),
    "a size beyond 2**63 - 1": TEXT.replace("20852163", str(2**63)),
    "a root that is not base64": TEXT.replace("CsUY", "!sUY"),
    "a root with stray bits": TEXT.replace("q2I=", "q2J="),
    "a short root": TEXT.replace("q2I=", ""),
}


@pytest.mark.parametrize("text", BAD_CHECKPOINTS.values(), ids=BAD_CHECKPOINTS)
def test_only_checkpoints_have_an_ml_dsa_message(text: str) -> None:
    with pytest.raises(NoteError):
        subtree_message("witness.example.com/w1", text, 1)


@pytest.mark.parametrize("timestamp", [-1, MAX_TIMESTAMP + 1, 2**64 - 1])
def test_times_out_of_range_are_refused(timestamp: int) -> None:
    with pytest.raises(NoteError, match="2\\*\\*63"):
        cosignature_message(TEXT, timestamp)
    with pytest.raises(NoteError, match="2\\*\\*63"):
        subtree_message("w", TEXT, timestamp)
    with pytest.raises(NoteError, match="2\\*\\*63"):
        timestamped_signature(timestamp, b"")


def test_a_timestamped_signature_is_time_and_signature() -> None:
    assert timestamped_signature(MAX_TIMESTAMP, b"sig") == b"\x7f" + b"\xff" * 7 + b"sig"
    assert timestamped_signature(0, b"sig") == bytes(8) + b"sig"

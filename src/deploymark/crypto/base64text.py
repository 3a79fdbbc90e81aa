"""Standard base64 with one spelling per value.

`base64.b64decode` forgives stray bits in the last character, so one signature could be written
in several ways; what is signed or hashed as text must have exactly one. Standard library only.
"""

import base64
import binascii


def decode_base64(text: str) -> bytes:
    """Return the bytes of RFC 4648 section 4 base64, with padding and nothing else around it.

    Raises:
        ValueError: Another alphabet, missing padding, white space, or stray trailing bits. The
            callers know what the text was and raise their own error.
    """
    try:
        value = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError(f"not standard base64: {error}") from None
    if encode_base64(value) != text:
        raise ValueError("not the canonical base64 of its bytes")
    return value


def encode_base64(value: bytes) -> str:
    """Return standard base64 text with padding."""
    return base64.b64encode(value).decode("ascii")

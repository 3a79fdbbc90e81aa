"""What AWS says of the code of a function. Pure.

`CodeSha256` is the SHA-256 of the package that was uploaded, in base64; of a function that is a
container image it is that of the image, in hexadecimal.
"""

import base64
import binascii
import re
from typing import Final

_HEXADECIMAL: Final = re.compile(r"[0-9a-f]{64}")
_BYTES: Final = 32
LATEST: Final = "$LATEST"


def code_digest(version: str, told: str) -> tuple[str, str]:
    """Return what a version of a function runs.

    Args:
        version: Of the function.
        told: `CodeSha256`.

    Returns:
        `sha256:…` and "", or "" and a sentence that says why it cannot be known.
    """
    if version == LATEST:
        return "", f"{LATEST} may be other code at any moment; publish a version."
    if _HEXADECIMAL.fullmatch(told):
        return f"sha256:{told}", ""
    try:
        content = base64.b64decode(told, validate=True)
    except binascii.Error:
        content = b""
    if len(content) != _BYTES:
        return "", f"AWS says {told!r} of the code, which is no SHA-256."
    return f"sha256:{content.hex()}", ""

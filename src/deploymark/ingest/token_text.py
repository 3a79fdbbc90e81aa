"""The text of a token: its two shapes, and how it is taken apart. Pure.

`dmk_<id>_<secret>` is what deploymark makes: the id is 60 random bits as 12 characters of
lower-case Crockford base32, the secret 32 random bytes as 43 characters of base64url. The prefix
lets scanners of source code find a token that was checked in. A token that an operator brings
(`DEPLOYMARK_ADMIN_TOKEN`) may have another shape: it is a secret as a whole, and its id follows.
"""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

PREFIX: Final = "dmk_"
SECRET_BYTES: Final = 32
BROUGHT_CHARACTERS: Final = (32, 256)
"""The least and most characters of a token that an operator brings."""

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_ID_CHARACTERS = 12
_ID_BYTES = 8  # of which the last four bits are left out
_OURS = re.compile(rf"{PREFIX}([{_CROCKFORD}]{{{_ID_CHARACTERS}}})_([A-Za-z0-9_-]{{43}})")
# What may stand after "Bearer" (RFC 6750, section 2.1).
_BROUGHT = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_BROUGHT_DOMAIN = b"deploymark brought token\0"
_ONCE_DOMAIN = b"deploymark exchanged once\0"


@dataclass(frozen=True, slots=True)
class TokenText:
    """The parts of a token's text; its `repr` shows the id only.

    Attributes:
        id: Under which the token is kept.
        secret: What only its bearer has.
    """

    id: str
    secret: str = field(repr=False)

    @property
    def secret_hash(self) -> bytes:
        """SHA-256 of the secret's characters: what is kept."""
        return sha256(self.secret.encode("ascii")).digest()


def new_token_text(random_bytes: Callable[[int], bytes], once: str = "") -> str:
    """Return the text of a new token.

    Args:
        random_bytes: Returns as many unpredictable bytes as asked, as `secrets.token_bytes`.
        once: What the id follows from instead of chance, so that there can be one token of it.
    """
    secret = base64.urlsafe_b64encode(random_bytes(SECRET_BYTES)).rstrip(b"=").decode("ascii")
    chance = sha256(_ONCE_DOMAIN + once.encode()).digest() if once else random_bytes(_ID_BYTES)
    return f"{PREFIX}{_id_of(chance)}_{secret}"


def parse_token(text: str) -> TokenText | None:
    """Return the parts of a token's text, None when it has neither shape.

    There is one spelling: upper-case ids, white space and padding are not forgiven.
    """
    if ours := _OURS.fullmatch(text):
        return TokenText(ours[1], ours[2])
    least, most = BROUGHT_CHARACTERS
    if text.startswith(PREFIX) or not least <= len(text) <= most or not _BROUGHT.fullmatch(text):
        return None
    return TokenText(_id_of(sha256(_BROUGHT_DOMAIN + text.encode("ascii")).digest()), text)


def _id_of(value: bytes) -> str:
    number = int.from_bytes(value[:_ID_BYTES], "big") >> 4
    shifts = range(5 * (_ID_CHARACTERS - 1), -1, -5)
    return "".join(_CROCKFORD[number >> shift & 31] for shift in shifts)

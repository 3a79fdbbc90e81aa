"""Ed25519 verification with one verdict, whichever library does the arithmetic.

Signatures are the hot path of the log, so PyNaCl (libsodium) is used when it is installed: about
two thirds of the time of `cryptography` (OpenSSL). Both release the interpreter lock.

Libraries disagree on signatures that honest signers never make ("Taming the many EdDSAs",
Chalkias, Garillot, Nikolaenko, 2020), and a verdict must not depend on an optional package. The
rule kept here is RFC 8032 section 5.1.7 in its strict reading, with libsodium's refusals on top:

1. The key has 32 bytes, the signature 64, and S is below the group order.
2. Neither the key nor R is a point of small order, and both are in canonical encoding.
3. [S]B = R + [k]A holds without multiplying by the cofactor.

Rules 1 and 2 are checked here, before either library. Rule 3 is what OpenSSL does and what the
libsodium in PyNaCl's wheels does; a libsodium that multiplies by the cofactor is noticed at
import by a signature on which the two equations differ, and not used.
"""

from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PUBLIC_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

_P: Final = 2**255 - 19
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_SIGN_BIT: Final = 1 << 255
# The y coordinates of the eight points of small order; the sign of x does not matter.
_SMALL_ORDER_Y: Final = frozenset(
    {
        0,
        1,
        _P - 1,
        int.from_bytes(
            bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
            "little",
        ),
        int.from_bytes(
            bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
            "little",
        ),
    }
)
# Holds only when both sides are multiplied by the cofactor: case 4 of ed25519-speccheck.
_COFACTORED_ONLY: Final = (
    bytes.fromhex("cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d"),
    bytes.fromhex("e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c"),
    bytes.fromhex(
        "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed512"
        "5ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09"
    ),
)

Equation = Callable[[bytes, bytes, bytes], bool]


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Say whether a signature over a message is the key's, by the rule of this module.

    Args:
        public: The raw public key, 32 bytes.
        message: The signed bytes.
        signature: R and S, 64 bytes.
    """
    return _is_well_formed(public, signature) and _equation(public, message, signature)


def _is_well_formed(public: bytes, signature: bytes) -> bool:
    return (
        len(public) == PUBLIC_BYTES
        and len(signature) == SIGNATURE_BYTES
        and int.from_bytes(signature[32:], "little") < _ORDER
        and _is_strict_point(public)
        and _is_strict_point(signature[:32])
    )


def _is_strict_point(encoded: bytes) -> bool:
    y = int.from_bytes(encoded, "little") & (_SIGN_BIT - 1)
    return y < _P and y not in _SMALL_ORDER_Y


def _equation_cryptography(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):  # ValueError: not a point of the curve
        return False
    return True


def _load_pynacl() -> Equation | None:
    try:
        from nacl.bindings import crypto_sign_open  # noqa: PLC0415 - an optional package
        from nacl.exceptions import CryptoError  # noqa: PLC0415 - the same
    except ImportError:
        return None

    def equation(public: bytes, message: bytes, signature: bytes) -> bool:
        try:
            crypto_sign_open(signature + message, public)
        except CryptoError:
            return False
        return True

    return None if equation(*_COFACTORED_ONLY) else equation


_equation_pynacl: Final = _load_pynacl()
_equation: Final = _equation_pynacl or _equation_cryptography
BACKEND: Final[str] = "cryptography" if _equation_pynacl is None else "pynacl"
"""The library in use: "pynacl" or "cryptography"."""

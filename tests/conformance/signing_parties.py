"""The logs and witnesses that the tests let sign, always with the same keys."""

import base64

from reference_notes import COSIGNATURE_V1, ED25519, ML_DSA_44, Key, Signer

ORIGIN = "example.com/log"
LOG = Signer.of(ORIGIN, ED25519)
LOG_ML_DSA = Signer.of(ORIGIN, ML_DSA_44)
OTHER_LOG = Signer.of("example.org/other", ED25519)
WITNESSES = [Signer.of(f"witness.example/{number}", COSIGNATURE_V1) for number in range(6)]
WITNESS_ML_DSA = Signer.of("witness.example/pq", ML_DSA_44)
ROOT = bytes(range(32))

# The example of c2sp.org/tlog-policy with keys put in.
EXAMPLE_POLICY = """\
log {log}

witness X1 {keys[0]}
witness X2 {keys[1]}
witness X3 {keys[2]}
group X-witnesses 2 X1 X2 X3

witness Y1 {keys[3]}
witness Y2 {keys[4]}
witness Y3 {keys[5]}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
""".format(log=LOG.vkey, keys=[signer.vkey for signer in WITNESSES])


def text_of(origin: str, size: int = 42) -> str:
    """The text of a checkpoint."""
    return f"{origin}\n{size}\n{base64.b64encode(ROOT).decode()}\n"


def note(*signers: Signer, origin: str = ORIGIN, also: str = "") -> str:
    """A checkpoint with a line of each signer, and other lines."""
    text = text_of(origin)
    return text + "\n" + "".join(signer.line(text) for signer in signers) + also


def same_key_as(signer: Signer, name: str, kind: int | None = None) -> str:
    """Another verifier key around the same public key."""
    return Key(name, signer.key.kind if kind is None else kind, signer.key.public).vkey

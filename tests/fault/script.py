"""The entries that the fault tests write: signed once, before anything is forked."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploymark.crypto.dsse import sign_envelope
from deploymark.crypto.signer import Ed25519EnvelopeSigner
from deploymark.ingest.key_entries import registration, revocation
from deploymark.model.canonical import encode
from deploymark.model.entries import Scope
from deploymark.model.envelope import Envelope
from deploymark.model.statement import statement_of
from deploymark.model.vocabulary import DETAIL, IN_TOTO, KEY
from deploymark.ports import Blob
from deploymark.runtime.compose import expect, init_log, open_log, platform_signer
from deploymark.runtime.data_directory import DataDirectory

ORIGIN = "deploymark.local/fault"
NOW_MS = 1_795_000_000_000
_TIME = "2026-11-23T00:00:00.000Z"
PERSONAL = "a name and a telephone number that somebody wants forgotten"
# So that the workload completes the first subtree of 256 entries.
_TEMPLATE_ENTRIES = 245


def marker(name: str, number: int) -> bytes:
    """Return the payload of a marker that nobody else has."""
    one = hashlib.sha256(f"{name}/{number}".encode()).hexdigest()
    return statement_of(
        {
            "artifact": {"digest": f"sha256:{one}"},
            "commit_hash": one[:40],
            "environment": "prod",
            "phase": "applied",
            "service": f"s{number % 7}",
            "timestamp": _TIME,
        }
    )


def sign_markers(name: str, count: int, signer: Ed25519EnvelopeSigner) -> list[Envelope]:
    """Return `count` signed markers."""
    return [sign_envelope(IN_TOTO, marker(name, number), [signer]) for number in range(count)]


def make_template(path: Path) -> None:
    """Create the log from which every run starts as a copy."""
    init_log(path, ORIGIN)
    with open_log(path) as log:
        signer = platform_signer(log.data, None)
        expect(log.receiver.receive(sign_markers("template", _TEMPLATE_ENTRIES, signer)))
        log.publisher.publish()


@dataclass(frozen=True, slots=True)
class Step:
    """One call of the workload.

    Attributes:
        name: What it does.
        envelopes: What is handed in; none means: publish.
        refused: Which of them must be refused, by position.
        blob: Content that goes with the only envelope.
        erases: Content that is to be gone when the step is acknowledged.
    """

    name: str
    envelopes: Sequence[Envelope] = ()
    refused: frozenset[int] = frozenset()
    blob: Blob | None = None
    erases: str = ""


@dataclass(frozen=True, slots=True)
class Script:
    """The workload, signed.

    Attributes:
        steps: What happens when all is well, in order.
        extra: More markers, each to be used once, for attempts while a fault lasts.
        signer: The platform's key.
    """

    steps: tuple[Step, ...]
    extra: tuple[Envelope, ...]
    signer: Ed25519EnvelopeSigner


def write_script(template: Path) -> Script:
    """Sign the workload with the keys of a template."""
    admin = platform_signer(DataDirectory(template), None)
    producer = Ed25519EnvelopeSigner(Ed25519PrivateKey.generate())
    first = sign_markers("first", 3, admin)
    produced = sign_markers("producer", 3, producer)
    scope = Scope(services=("*",), environments=("prod",))
    registered = registration(producer.public, "producer", scope, NOW_MS)
    salt = b"s" * 32
    digest = hashlib.sha256(salt + PERSONAL.encode()).digest()

    def key(payload: bytes) -> list[Envelope]:
        return [sign_envelope(KEY, payload, [admin])]

    def detail(action: str, **more: object) -> list[Envelope]:
        said = {"action": action, "digest": f"sha256:{digest.hex()}", "timestamp": _TIME, **more}
        return [sign_envelope(DETAIL, encode(said), [admin])]

    steps = (
        Step("three markers", first),
        Step("register a key", key(registered)),
        Step("new ones and a duplicate", [*produced[:2], first[1], *sign_markers("b", 1, admin)]),
        Step("publish"),
        Step(
            "keep a detail",
            detail("stored", size=len(PERSONAL), erasable=True),
            blob=Blob(digest, salt, PERSONAL.encode()),
        ),
        Step("complete a subtree", sign_markers("c", 5, admin)),
        Step("erase the detail", detail("erased", reason="asked for"), erases=PERSONAL),
        Step("revoke the key", key(revocation(producer.key_id, NOW_MS))),
        Step(
            "the revoked key speaks",
            [produced[2], *sign_markers("d", 1, admin)],
            refused=frozenset({0}),
        ),
        Step("publish again"),
    )
    return Script(steps, tuple(sign_markers("extra", 12, admin)), admin)

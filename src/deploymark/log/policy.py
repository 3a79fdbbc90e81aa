"""Whom a verifier trusts: logs, witnesses and a quorum (c2sp.org/tlog-policy).

A policy file is the only thing a verifier needs besides the evidence. Names in it are opaque
bytes; they are decoded with surrogate escapes so that every octet survives. Pure: no I/O.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from deploymark.crypto.note import (
    SignatureType,
    SignedNote,
    VerifiedLine,
    VerifierKey,
    parse_note,
    verify_note,
)
from deploymark.errors import NoteError, PolicyError
from deploymark.log.checkpoint import CHECKPOINT_LINES, Checkpoint, parse_checkpoint

NONE = "none"
LOG_TYPES = frozenset({SignatureType.ED25519, SignatureType.ML_DSA_44})
WITNESS_TYPES = frozenset({SignatureType.COSIGNATURE_V1, SignatureType.ML_DSA_44})
_CONTROL = frozenset(range(0x20)) - {0x09, 0x0A} | {0x7F}
_MIN_GROUP_WORDS = 2
_DIGITS = 10


@dataclass(frozen=True, slots=True)
class LogLine:
    """One trusted log key; its name is the log's origin."""

    key: VerifierKey
    url: str = ""


@dataclass(frozen=True, slots=True)
class WitnessLine:
    """One known witness."""

    name: str
    key: VerifierKey
    url: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Witnesses when at least `threshold` of its members do."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckedCheckpoint:
    """A checkpoint that a policy accepts, and who signed it.

    Attributes:
        checkpoint: The verified text.
        log_keys: Log keys whose lines verified.
        witnesses: Witness name to the POSIX seconds of its newest cosignature.
    """

    checkpoint: Checkpoint
    log_keys: tuple[VerifierKey, ...]
    witnesses: dict[str, int]


@dataclass(frozen=True, slots=True)
class Policy:
    """A parsed policy file.

    Attributes:
        logs: Accepted logs, any one of which must have signed.
        witnesses: Known witnesses by name.
        groups: Groups by name.
        quorum: Name of the witness or group that must have cosigned, or "none".
    """

    logs: tuple[LogLine, ...]
    witnesses: dict[str, WitnessLine]
    groups: dict[str, Group]
    quorum: str

    def satisfied_by(self, cosigned: frozenset[str]) -> bool:
        """Tell whether these witness names reach the quorum."""
        return self.quorum == NONE or self._witnessed(self.quorum, cosigned)

    def _witnessed(self, name: str, cosigned: frozenset[str]) -> bool:
        group = self.groups.get(name)
        if group is None:
            return name in cosigned
        return sum(self._witnessed(m, cosigned) for m in group.members) >= group.threshold

    def check(self, note: SignedNote | str) -> CheckedCheckpoint:
        """Accept or refuse a signed checkpoint.

        Raises:
            NoteError: It is malformed, or a line of a known key does not verify.
            PolicyError: No listed log signed it, its origin is another log's, or the quorum of
                witnesses is not reached.
        """
        signed = parse_note(note) if isinstance(note, str) else note
        checkpoint = parse_checkpoint(signed.text)
        log_keys = [line.key for line in self.logs if line.key.name == checkpoint.origin]
        if not log_keys:
            raise PolicyError(f"The policy lists no log {checkpoint.origin!r}.")
        known = {line.key: line.name for line in self.witnesses.values()}
        try:
            verified = verify_note(signed, [*log_keys, *known])
        except NoteError as error:
            raise NoteError(f"The checkpoint's signatures do not hold: {error.message}") from error
        by_log = tuple(line.key for line in verified if line.key in log_keys)
        if not by_log:
            raise PolicyError(f"No key of the log {checkpoint.origin!r} signed this checkpoint.")
        if not covers_all(signed.text, by_log):
            raise PolicyError(
                "The checkpoint has lines beyond the third, which an ML-DSA-44 signature does not "
                "cover, and no Ed25519 signature of the log."
            )
        witnesses = _newest(verified, known)
        if not self.satisfied_by(frozenset(witnesses)):
            raise PolicyError(
                f"The quorum {self.quorum!r} is not reached: cosigned by "
                f"{', '.join(sorted(witnesses)) or 'no known witness'}.",
                hint="Fetch the receipt again after the next published checkpoint.",
            )
        return CheckedCheckpoint(checkpoint, by_log, witnesses)


def covers_all(text: str, by_log: Sequence[VerifierKey]) -> bool:
    """Tell whether the log's signatures cover the whole text of a checkpoint."""
    extended = text.count("\n") > CHECKPOINT_LINES
    return not extended or any(key.algorithm is SignatureType.ED25519 for key in by_log)


def _newest(verified: Sequence[VerifiedLine], known: dict[VerifierKey, str]) -> dict[str, int]:
    newest: dict[str, int] = {}
    for line in verified:
        # A zero timestamp makes no statement about the newest tree, so it is no witness to it.
        if line.key in known and line.timestamp > 0:
            name = known[line.key]
            newest[name] = max(newest.get(name, 0), line.timestamp)
    return newest


@dataclass(slots=True)
class _Draft:
    """A policy while its lines are read."""

    logs: list[LogLine] = field(default_factory=list)
    witnesses: dict[str, WitnessLine] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    members: set[str] = field(default_factory=set)
    quorum: str = ""

    def defined(self, name: str) -> bool:
        return name in self.witnesses or name in self.groups


def parse_policy(text: str | bytes) -> Policy:
    """Read a tlog-policy file.

    Raises:
        PolicyError: The message names the line number and what is wrong with it.
    """
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    bad = next((byte for byte in raw if byte in _CONTROL), None)
    if bad is not None:
        raise PolicyError(f"A policy file has no control character 0x{bad:02x}.")
    draft = _Draft()
    for number, line in enumerate(raw.decode("utf-8", "surrogateescape").split("\n"), 1):
        words = line.replace("\t", " ").split(" ")
        words = [word for word in words if word]
        if not words or words[0].startswith("#"):
            continue
        read = _READERS.get(words[0])
        if read is None:
            raise PolicyError(f"Line {number} starts with the unknown word {words[0]!r}.")
        try:
            read(draft, words[1:])
        except (PolicyError, NoteError) as error:
            raise PolicyError(f"Line {number}: {error.message}") from error
    if not draft.quorum:
        raise PolicyError("A policy has exactly one quorum line; this one has none.")
    return Policy(tuple(draft.logs), draft.witnesses, draft.groups, draft.quorum)


def _read_log(draft: _Draft, words: list[str]) -> None:
    if len(words) not in (1, 2):
        raise PolicyError("a log line is `log <vkey> [<url>]`.")
    key = VerifierKey.parse(words[0])
    if key.algorithm not in LOG_TYPES:
        raise PolicyError("a log key has signature type 0x01 or 0x06.")
    if any(line.key.public == key.public for line in draft.logs):
        raise PolicyError("this log key is already listed.")
    draft.logs.append(LogLine(key, *words[1:]))


def _read_witness(draft: _Draft, words: list[str]) -> None:
    if len(words) not in (2, 3):
        raise PolicyError("a witness line is `witness <name> <vkey> [<url>]`.")
    name = _new_name(draft, words[0])
    key = VerifierKey.parse(words[1])
    if key.algorithm not in WITNESS_TYPES:
        raise PolicyError("a witness key has signature type 0x04 or 0x06.")
    if any(line.key.public == key.public for line in draft.witnesses.values()):
        raise PolicyError("this witness key is already listed.")
    draft.witnesses[name] = WitnessLine(name, key, *words[2:])


def _read_group(draft: _Draft, words: list[str]) -> None:
    if len(words) <= _MIN_GROUP_WORDS:
        raise PolicyError("a group line is `group <name> all|any|<k> <name>...`.")
    name, rule, *members = words
    for member in members:
        if member == NONE or not draft.defined(member):
            raise PolicyError(f"{member!r} is not defined on a line before.")
        if member in draft.members:
            raise PolicyError(f"{member!r} is a member of a group already.")
        draft.members.add(member)
    draft.groups[_new_name(draft, name)] = Group(
        name, _threshold(rule, len(members)), tuple(members)
    )


def _threshold(rule: str, count: int) -> int:
    if rule in ("all", "any"):
        return count if rule == "all" else 1
    number = int(rule) if rule.isascii() and rule.isdigit() and len(rule) < _DIGITS else 0
    if not 1 <= number <= count:
        raise PolicyError(f"the threshold {rule!r} is not all, any or 1 to {count}.")
    return number


def _read_quorum(draft: _Draft, words: list[str]) -> None:
    if len(words) != 1:
        raise PolicyError("a quorum line is `quorum <name>`.")
    if draft.quorum:
        raise PolicyError("a policy has exactly one quorum line.")
    if words[0] != NONE and not draft.defined(words[0]):
        raise PolicyError(f"{words[0]!r} is not defined on a line before.")
    draft.quorum = words[0]


def _new_name(draft: _Draft, name: str) -> str:
    if name == NONE or draft.defined(name):
        raise PolicyError(f"the name {name!r} is taken.")
    return name


_READERS: dict[str, Callable[[_Draft, list[str]], None]] = {
    "log": _read_log,
    "witness": _read_witness,
    "group": _read_group,
    "quorum": _read_quorum,
}


def format_policy(policy: Policy) -> str:
    """Return a policy file that parses back to an equal policy."""
    logs = (f"log {line.key} {line.url}" for line in policy.logs)
    witnesses = (f"witness {w.name} {w.key} {w.url}" for w in policy.witnesses.values())
    groups = (f"group {g.name} {g.threshold} {' '.join(g.members)}" for g in policy.groups.values())
    lines = (*logs, *witnesses, *groups, f"quorum {policy.quorum}")
    return "".join(f"{line.rstrip()}\n" for line in lines)

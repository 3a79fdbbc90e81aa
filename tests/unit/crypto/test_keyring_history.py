"""Any history of key entries gives the validity that re-reading all of them gives."""

from collections.abc import Iterable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from deploymark.crypto.base64text import encode_base64
from deploymark.crypto.dsse import sign_envelope
from deploymark.crypto.keyring import KeyRing
from deploymark.crypto.signer import Ed25519EnvelopeSigner
from deploymark.errors import KeyUntrustedError
from deploymark.model.canonical import encode
from deploymark.model.leaf import Leaf
from deploymark.model.vocabulary import KEY, Assurance

FAR = 10**9
WHEN = "2026-11-23T00:00:00.000Z"
POOL = [
    Ed25519EnvelopeSigner(Ed25519PrivateKey.from_private_bytes(bytes((n,)) * 32))
    for n in range(1, 6)
]
EVERYWHERE = {"services": ["*"], "environments": ["*"]}
ADMIN_SCOPE = {**EVERYWHERE, "entries": ["key"]}
FIRST = ("registered", 0, 0, 0, True, None)

Step = tuple[str, int, int, int, bool, int | None]
"""Action, signer, subject, new key of a rotation, administrator's scope given, distrust_from."""

steps: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(
        st.sampled_from(["registered", "registered", "rotated", "revoked"]),
        st.sampled_from([0, 0, 1, 2, 3, 4]),
        st.integers(0, 4),
        st.integers(0, 4),
        st.booleans(),
        st.none() | st.integers(0, 40),
    ),
    max_size=12,
)


class NaiveModel:
    """Keeps the accepted entries and answers every question by reading all of them again."""

    def __init__(self) -> None:
        self.accepted: list[tuple[int, Step]] = [(0, FIRST)]

    def start(self, key: int) -> int | None:
        for index, (action, _, subject, new, _, _) in self.accepted:
            if key == (new if action == "rotated" else subject) and action != "revoked":
                return index
        return None

    def is_administrator(self, key: int) -> bool:
        for _, (action, _, subject, new, admin, _) in self.accepted:
            if action == "registered" and subject == key:
                return admin
            if action == "rotated" and new == key:
                return admin or self.is_administrator(subject)
        return False

    def is_valid(self, key: int, index: int) -> bool:
        start = self.start(key)
        if start is None or index <= start:
            return False
        for when, (action, _, subject, _, _, distrust) in self.accepted:
            if action != "registered" and subject == key:
                if index >= when:
                    return False
                if action == "revoked" and distrust is not None and index >= distrust:
                    return False
        return True

    def ends_later(self, index: int, step: Step) -> bool:
        """A revocation must take something away: the key stood where it is to end."""
        ends = index if step[5] is None else min(index, step[5])
        start = self.start(step[2])
        return start is None or ends <= start or self.is_valid(step[2], ends)

    def accepts(self, index: int, step: Step) -> bool:
        """Authority, and some administrator's key must be left for ever after."""
        if not self._has_authority(index, step):
            return False
        after = NaiveModel()
        after.accepted = [*self.accepted, (index, step)]
        return any(
            after.is_administrator(key) and after.is_valid(key, FAR) for key in range(len(POOL))
        )

    def _has_authority(self, index: int, step: Step) -> bool:
        action, signer, subject, new, admin, _ = step
        if not self.is_valid(signer, index):
            return False
        authority = self.is_administrator(signer)
        if action == "registered":
            return authority and self.start(subject) is None
        if action == "revoked":
            return authority and self.start(subject) is not None and self.ends_later(index, step)
        if not self.is_valid(subject, index) or self.start(new) is not None:
            return False
        return authority or (signer == subject and not admin)


def step_leaf(step: Step) -> Leaf:
    action, signer, subject, new, admin, distrust = step
    fields: dict[str, Any] = {"action": action, "timestamp": WHEN}
    if action == "revoked":
        fields |= {"key_id": POOL[subject].key_id}
        fields |= {} if distrust is None else {"distrust_from": distrust}
    else:
        key = POOL[new if action == "rotated" else subject]
        fields |= {"key_id": key.key_id, "public_key": encode_base64(key.public)}
        if action == "rotated":
            fields |= {"successor_of": POOL[subject].key_id}
        if admin or action == "registered":
            fields |= {"scope": ADMIN_SCOPE if admin else EVERYWHERE}
    return Leaf(
        assurance=Assurance.SIGNED,
        dsse=sign_envelope(KEY, encode(fields), [POOL[signer]]),
        ids={"entry_id": "e-x"},
        occurrence=0,
        principal="admin",
        received_at=WHEN,
    )


def first_ring() -> KeyRing:
    ring = KeyRing()
    ring.apply(0, step_leaf(FIRST))
    return ring


def is_applied(ring: KeyRing, index: int, leaf: Leaf) -> bool:
    try:
        ring.apply(index, leaf)
    except KeyUntrustedError:
        return False
    return True


def validity(ring: KeyRing, indexes: Iterable[int]) -> list[list[bool]]:
    keys = ring.keys()
    known = {key.key_id: key for key in keys}
    return [
        [key.key_id in known and known[key.key_id].is_valid_at(index) for index in indexes]
        for key in POOL
    ]


@settings(max_examples=150, deadline=None)
@given(steps=steps, gap=st.integers(1, 3))
def test_any_history_gives_the_validity_of_the_naive_model(steps: list[Step], gap: int) -> None:
    ring, model = first_ring(), NaiveModel()
    for number, step in enumerate(steps, start=1):
        index = number * gap
        accepted = is_applied(ring, index, step_leaf(step))
        assert accepted is model.accepts(index, step)
        if accepted:
            model.accepted.append((index, step))
    indexes = range(len(steps) * gap + 3)
    expected = [[model.is_valid(key, index) for index in indexes] for key in range(len(POOL))]
    assert validity(ring, indexes) == expected
    assert validity(KeyRing.load(ring.export()), indexes) == expected


@settings(max_examples=50, deadline=None)
@given(steps=steps)
def test_a_replay_of_the_accepted_entries_gives_the_same_ring(steps: list[Step]) -> None:
    ring, replayed = first_ring(), first_ring()
    for index, step in enumerate(steps, start=1):
        leaf = step_leaf(step)
        if is_applied(ring, index, leaf):
            replayed.apply(index, leaf)
    assert replayed.export() == ring.export()

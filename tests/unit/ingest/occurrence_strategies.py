"""Random stories about occurrences: who said what, when, and in which order it arrived."""

import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from hypothesis import strategies as st
from occurrence_reference import Said

from deploymark.model.instants import format_instant
from deploymark.testing.clock import START_MS

_PHASES = (
    "planned",
    "applying",
    "applied",
    "applied",
    "applied",
    "promoted",
    "running",
    "failed",
    "rolling_back",
    "rolled_back",
    "removed",
)
_STEPS_S = (1, 20, 90, 600)
_DELAYS_S = (0, 0, 0, 0, 30, 300, 7_200)
_EMITTERS = {"pipeline": "ci", "watcher": "orchestrator"}


@dataclass(frozen=True)
class Delivery:
    """One marker on its way in.

    Attributes:
        said: What it says, for the reference.
        body: The same, as it is sent.
        received_ms: When it arrives.
    """

    said: Said
    body: bytes = field(repr=False)
    received_ms: int


@dataclass(frozen=True)
class Manner:
    """How all markers of one story are made.

    Attributes:
        releases: How many deployments there are.
        places: Where they go; None is no place.
        numbered: The emitters that number their markers.
        attempts: Whether the pipeline says its attempt.
        disorder: Whether deliveries are late, doubled, or told by a wrong clock.
    """

    releases: int
    places: tuple[str | None, ...]
    numbered: tuple[str, ...]
    attempts: bool
    disorder: bool


def manners(*, mixed_places: bool = True, all_numbered: bool = False) -> st.SearchStrategy[Manner]:
    """Draw a manner.

    Args:
        mixed_places: Whether some markers name their place and some do not.
        all_numbered: Whether everybody numbers.
    """
    places: list[tuple[str | None, ...]] = [(None,), ("eu",), ("eu", "us"), ("eu", "us", "ap")]
    if mixed_places:
        places += [(None, "eu"), (None, "eu", "us")]
    numbered = [tuple(_EMITTERS)] if all_numbered else [(), ("pipeline",), tuple(_EMITTERS)]
    return st.builds(
        Manner,
        releases=st.integers(1, 3),
        places=st.sampled_from(places),
        numbered=st.sampled_from(numbered),
        attempts=st.booleans(),
        disorder=st.booleans(),
    )


@st.composite
def stories(
    draw: st.DrawFn, manner: st.SearchStrategy[Manner] | None = None, service: str = "checkout"
) -> list[Delivery]:
    """Draw deliveries in the order in which they arrive."""
    how = draw(manners() if manner is None else manner)
    now_ms = START_MS
    sequences = dict.fromkeys(_EMITTERS, 0)
    attempts = [1] * how.releases
    deliveries: list[Delivery] = []
    for order in range(draw(st.integers(2, 12))):
        now_ms += draw(st.sampled_from(_STEPS_S)) * 1_000
        by = draw(st.sampled_from(tuple(_EMITTERS)))
        release = draw(st.integers(0, how.releases - 1))
        attempts[release] += draw(st.sampled_from((0, 0, 0, 1)))
        emission = (by, "one", sequences[by]) if by in how.numbered else None
        sequences[by] += 1
        said, fields = _marker(
            draw(st.sampled_from(_PHASES)),
            draw(st.sampled_from(how.places)),
            draw(st.sampled_from((None, None, 5, 100))),
            by=by,
            release=release,
            attempt=attempts[release] if how.attempts and by == "pipeline" else None,
            emission=emission,
            claimed_ms=now_ms + _skew_ms(draw, how),
            service=service,
        )
        body = json.dumps(fields).encode()
        delays = [draw(st.sampled_from(_DELAYS_S)) if how.disorder else 0]
        if how.disorder and emission is not None and draw(st.booleans()):
            delays.append(draw(st.sampled_from(_DELAYS_S)))
        # No two arrive in the same millisecond, and none when another was made.
        for copy, delay_s in enumerate(delays):
            deliveries.append(Delivery(said, body, now_ms + delay_s * 1_000 + 2 * order + copy + 1))
    return sorted(deliveries, key=lambda delivery: delivery.received_ms)


def _skew_ms(draw: st.DrawFn, how: Manner) -> int:
    return draw(st.sampled_from((0, 0, 0, 0, 0, 600_000))) if how.disorder else 0


def _marker(  # noqa: PLR0913 - what markers differ in
    phase: str,
    place: str | None,
    weight: int | None,
    *,
    by: str,
    release: int,
    attempt: int | None,
    emission: tuple[str, str, int] | None,
    claimed_ms: int,
    service: str,
) -> tuple[Said, dict[str, Any]]:
    emitter: dict[str, Any] = {"kind": _EMITTERS[by]}
    if emission is not None:
        emitter |= {"id": emission[0], "epoch": emission[1], "sequence": emission[2]}
    if phase == "running":
        identity = [phase, emitter["kind"], "uid-1"]
    else:
        identity = [phase, emitter["kind"], place, weight]
    fields = {
        "service": service,
        "environment": "prod",
        "phase": phase,
        "artifact": {"digest": f"sha256:{sha256(b'release %d' % release).hexdigest()}"},
        "timestamp": format_instant(claimed_ms),
        "emitter": emitter,
        "rollout": None if weight is None else {"weight": weight},
        "attempt": attempt,
        "target": {"cluster": place, "instance_uid": "uid-1" if phase == "running" else None},
    }
    said = Said(
        release=release,
        identity=repr(identity),
        phase=phase,
        place=place or "",
        weight=weight,
        claimed_ms=claimed_ms,
        attempt=attempt,
        emission=emission,
    )
    return said, fields

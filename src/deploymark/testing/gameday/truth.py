"""What the records of a server must say once everything was said: deployments and instances.

Pure. The comparison with what a server answers stands in `records`.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from deploymark.testing.gameday.deploy import Deploy
from deploymark.testing.gameday.message import Message
from deploymark.testing.gameday.witnesses import identify

LIVE = frozenset({"running", "verified", "complete"})
"""States of what stands; which of them depends on verification, which a game day does not drive."""

OVER = frozenset({"superseded", "rolled_back"})
OPEN = frozenset({"planned", "applying"})
FAILED = frozenset({"failed"})


@dataclass(frozen=True, slots=True)
class Record:
    """What a deployment's record must say at the end of the day.

    Attributes:
        id: Under which it is asked for; an alias will do.
        states: One of them.
        digest, commit, version: None where they are not compared.
        sources: Kinds of witness that spoke; None compares nothing.
        missing: Kinds of witness that must be named as missing; None compares nothing.
        most: How many markers of each kind of witness there are at most: none is counted twice.
        unplanned: None compares nothing.
        opened: The simulated second at which it opened; None compares nothing.
        instances: How many are expected and confirmed at the end; None compares nothing.
    """

    id: str
    deploy: Deploy
    occurrence: int | None
    states: frozenset[str]
    digest: str | None = None
    commit: str | None = None
    version: str | None = None
    sources: frozenset[str] | None = None
    missing: frozenset[str] | None = None
    most: tuple[tuple[str, int], ...] = ()
    unplanned: bool | None = False
    opened: float | None = None
    instances: int | None = None


def record_of(deploy: Deploy, messages: Iterable[Message]) -> Record:
    """Return the record of a deploy of which everything was said, before anything follows it."""
    release = deploy.release
    is_code = deploy.line.key is None
    sources = Counter(message.emitter.kind.value for message in messages)
    return Record(
        id=identify(deploy),
        deploy=deploy,
        occurrence=deploy.occurrence,
        states=FAILED if deploy.fails else LIVE,
        digest=release.digest if is_code else None,
        commit=release.commit if is_code else None,
        version=release.version if is_code else None,
        sources=frozenset(sources),
        missing=frozenset() if is_code and not deploy.fails else None,
        most=tuple(sorted(sources.items())),
        opened=deploy.starts,
        instances=deploy.lane.instances if is_code and not deploy.fails else None,
    )

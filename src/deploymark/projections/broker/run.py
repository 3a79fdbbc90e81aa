"""One occurrence of one deployment, and everything that was heard of it. Pure.

Its places are a `DeploymentRecord` of one occurrence: the same functions that decide occurrences in
the append say here where it is open, live or ended.
"""

from bisect import insort
from copy import copy
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from deploymark.ingest.occurrences import DeploymentRecord, Occurrence, Spot, SpotState, fold
from deploymark.ingest.registry_facts import kind_of
from deploymark.ingest.sighting import Line, Place
from deploymark.model.vocabulary import OPENING, Assurance, Basis, EmitterKind, Phase
from deploymark.projections.broker.witness import INTENT, Witness

MAX_JOINS: Final = 64
"""Joins of a run that are listed one by one; all are counted."""

MAX_TOLD: Final = 128
"""Witnesses of an unplanned run that wait for an intent to explain them."""

MAX_NAMED: Final = 256
"""Tickets of a run, and links, by which evidence finds it: the first that are named."""

MAX_UNSIGNED: Final = 16
"""Unsigned markers of intent that are listed."""

MAX_UIDS: Final = 64
"""Instances that confirmed a value other than an artifact, the newest."""

MAX_GROUPS: Final = 256
"""Groups of confirmations of a run that are compared with its digest again and again."""

_LISTS: Final = (
    "aliases",
    "digests",
    "joins",
    "told",
    "links",
    "tickets",
    "colours",
    "ambiguous",
    "unsigned",
)
_MAPPINGS: Final = (
    "said",
    "hinted",
    "platforms",
    "phases",
    "proofs",
    "rules",
    "groups",
    "uids",
    "findings",
)
_PROVEN: Final = (Phase.FAILED, Phase.ROLLING_BACK, Phase.ROLLED_BACK)
_ENDINGS: Final = (Phase.FAILED, Phase.ROLLED_BACK, Phase.REMOVED)
_OWN: Final = 1


class Source(Struct, array_like=True):
    """How one kind of witness spoke of a run: first, last, and how many markers."""

    first_ms: int
    last_ms: int
    markers: int


class Group(Struct, frozen=True, array_like=True):
    """Confirmations that were joined to a run.

    Attributes:
        index: Of the group.
        lead: Of its earliest marker.
        rule: By which they were joined.
        basis: How their digest is known.
        digest: It, None when they say none.
        about: The instance that stands for all.
        label: They name a deployment by a label that a digest contradicts.
    """

    index: int
    lead: int
    rule: str
    basis: str
    digest: str | None
    about: str
    label: str = ""


class Trace(Struct, frozen=True, array_like=True):
    """A finding about a run, from when until when.

    Attributes:
        code: Of the finding.
        about: The instance, digest or place in question; "" for the whole run.
        detail: What the message names.
        indexes: The entries that it rests on.
        closed_ms: None while it is open.
    """

    code: str
    about: str
    detail: str
    indexes: list[int]
    opened_ms: int
    closed_ms: int | None = None


class Run(Struct):
    """One occurrence of one deployment.

    Attributes:
        id: The deployment that it is known as.
        number: Of the occurrence; 0 while evidence alone reopened a deployment, which then is
            numbered behind those that were said (`sweep.name_runs`).
        record: Its places.
        own: Only evidence opened it, which no intent explained.
        base: The deployment that evidence reopened, "" for none.
        aliases: Other ids that it is known by.
        by_digest: The id follows from a digest, and not only from a commit or a version.
        said: What intent says; it wins over `hinted`.
        hinted: What evidence says.
        digests: Of its artifact, the index first, then its platforms.
        platforms: Digests by platform.
        learned: A digest that only evidence knows.
        phases: The first time of each phase.
        proofs: The entry that says so, of the phases that end it badly.
        sources: By kind of emitter.
        joins: The first `MAX_JOINS` as (index, rule).
        rules: How many witnesses each rule joined.
        groups: Of confirmations, by index.
        confirmed: Whether anything was confirmed at all.
        labelled: Whether a group of it named a deployment by a label that a digest contradicts.
        told: Witnesses that an intent can still take over.
        links: Builds, releases and correlation ids that are named with it.
        tickets: Its change tickets.
        colours: Blue or green, as far as said.
        ambiguous: Runs that evidence fitted as well, as (id, number).
        unsigned: The first markers of intent that nobody signed.
        uids: When each instance confirmed it last, for other kinds than deployments.
        ended_by: The phase that ended it last, `superseded` when another run took its place.
        replaced: The deployment that it took the place of, as `id~number`.
        rollback_of: That one, when this returned to what ran before it.
        went_live_ms: When it first did somewhere.
        live_index: The entry by which it did.
        rolling_back_ms: Since when it is being rolled back.
        promoted: It was said to be promoted, and not to go back or end since.
        findings: By code and about.
        last_ms: The latest time that was said.
        last_index: Of its newest entry.
    """

    id: str
    number: int
    record: DeploymentRecord
    own: bool = False
    base: str = ""
    aliases: list[str] = []
    by_digest: bool = False
    said: dict[str, Any] = {}
    hinted: dict[str, Any] = {}
    digests: list[str] = []
    platforms: dict[str, str] = {}
    learned: str | None = None
    phases: dict[str, int] = {}
    proofs: dict[str, int] = {}
    sources: dict[str, Source] = {}
    joins: list[tuple[int, str]] = []
    rules: dict[str, int] = {}
    groups: dict[int, Group] = {}
    confirmed: bool = False
    labelled: bool = False
    told: list[Witness] = []
    links: list[str] = []
    tickets: list[str] = []
    colours: list[str] = []
    ambiguous: list[tuple[str, int]] = []
    unsigned: list[int] = []
    uids: dict[str, int] = {}
    ended_by: str = ""
    replaced: str | None = None
    rollback_of: str | None = None
    went_live_ms: int | None = None
    live_index: int | None = None
    rolling_back_ms: int | None = None
    promoted: bool = False
    findings: dict[str, Trace] = {}
    last_ms: int = 0
    last_index: int = -1

    @property
    def line(self) -> Line:
        """The changes that supersede each other."""
        return self.record.line

    @property
    def kind_key(self) -> str:
        """What tells runs under one id and number apart: "" for a deployment."""
        return kind_of(self.line)

    @property
    def occurrence(self) -> Occurrence:
        """Its places and when it began and ended."""
        return self.record.occurrences[0]

    @property
    def spots(self) -> tuple[Spot, ...]:
        """Its places."""
        return self.record.occurrences[0].spots

    @property
    def opened_ms(self) -> int:
        """The earliest time said of it."""
        return self.record.occurrences[0].opened_ms

    @property
    def ended_ms(self) -> int | None:
        """When it ended in its last place, None while it stands somewhere."""
        closing = self.record.occurrences[0].closing
        return None if closing is None else closing.at_ms

    @property
    def over(self) -> bool:
        """It has ended in every place that it opened."""
        return self.record.occurrences[0].closing is not None

    @property
    def is_live(self) -> bool:
        """It is live somewhere."""
        return any(spot.state is SpotState.LIVE for spot in self.spots)

    @property
    def begun(self) -> bool:
        """More than an intent is known of it."""
        return self.confirmed or any(phase != Phase.PLANNED for phase in self.phases)

    @property
    def digest(self) -> str | None:
        """Of its artifact: as it was said, else as evidence knows it."""
        return self.digests[0] if self.digests else self.learned

    @property
    def intended(self) -> bool:
        """Somebody said that they want it; that deploymark gave it up says nothing of that."""
        meant = [kind for kind in self.sources if kind in INTENT]
        if meant == [EmitterKind.PLATFORM]:
            return not OPENING.isdisjoint(self.phases)
        return bool(meant)

    def fact(self, name: str) -> Any:  # noqa: ANN401 - any JSON value
        """Return what is known under a name: as intent says it, else as evidence does."""
        return self.said.get(name, self.hinted.get(name))

    def matches(self, digest: str) -> bool:
        """Tell whether a digest is one of its artifact."""
        return digest in self.digests or digest == self.learned


def open_run(witness: Witness, *, own: bool, base: str = "") -> Run:
    """Return a run of which nothing is known yet but its name."""
    said = witness.sighting
    record = DeploymentRecord(said.deployment_id, said.line, said.action)
    number = 0 if base else witness.occurrence
    return Run(base or said.deployment_id, number, record, own=own, base=base)


def copy_run(run: Run) -> Run:
    """Return a run that can be changed while the first one stays as it is."""
    copied = copy(run)
    for name in _LISTS:
        setattr(copied, name, [*getattr(run, name)])
    for name in _MAPPINGS:
        setattr(copied, name, {**getattr(run, name)})
    copied.sources = {kind: copy(source) for kind, source in run.sources.items()}
    return copied


def take(run: Run, witness: Witness, rule: str) -> None:
    """Let a run hear a witness; the places of other runs are `sweep`'s business.

    Args:
        run: Changed in place.
        witness: Of it.
        rule: By which it was joined.
    """
    said = witness.sighting
    if said.deployment_id != run.record.id:
        said = replace(said, deployment_id=run.record.id)
    run.record = fold(run.record, said, _OWN, witness.index)
    if run.went_live_ms is None:
        run.went_live_ms = min(
            (s.live_ms for s in run.spots if s.live_ms is not None), default=None
        )
        run.live_index = None if run.went_live_ms is None else witness.index
    _describe(run, witness)
    source = run.sources.get(witness.source)
    if source is None:
        run.sources[witness.source] = Source(said.at_ms, witness.last_ms, witness.count)
    else:
        source.first_ms = min(source.first_ms, said.at_ms)
        source.last_ms = max(source.last_ms, witness.last_ms)
        source.markers += witness.count
    _note_phase(run, said.phase, said.at_ms, witness.index)
    for index in (witness.index, *witness.others):
        note_join(run, index, rule)
    run.rules[rule] = run.rules.get(rule, 0) + witness.count
    _note_value(run, witness)
    if run.own and len(run.told) < MAX_TOLD:
        run.told.append(witness)
    run.last_ms = max(run.last_ms, witness.last_ms)
    run.last_index = max(run.last_index, witness.last_index)


def _note_phase(run: Run, phase: str, at_ms: int, index: int) -> None:
    if phase in _PROVEN and at_ms < run.phases.get(phase, at_ms + 1):
        run.proofs[phase] = index
    run.phases[phase] = min(run.phases.get(phase, at_ms), at_ms)
    if phase == Phase.PROMOTED:
        run.promoted = True
    elif phase in _ENDINGS or phase == Phase.ROLLING_BACK:
        run.promoted = False
    if phase in _ENDINGS:
        run.ended_by = phase
    elif phase == Phase.ROLLING_BACK:
        run.rolling_back_ms = at_ms
    elif phase in (Phase.APPLYING, Phase.APPLIED, Phase.PROMOTED):
        run.rolling_back_ms = None


def _note_value(run: Run, witness: Witness) -> None:
    """Note which instance confirmed a change that is no deployment."""
    said, uid = witness.sighting, witness.uid
    if said.phase != Phase.RUNNING or witness.confirms or uid is None:
        return
    run.uids[uid] = max(run.uids.pop(uid, 0), said.at_ms)
    if len(run.uids) > MAX_UIDS:
        del run.uids[next(iter(run.uids))]


def note_join(run: Run, index: int, rule: str) -> None:
    """List by which rule a marker was joined: of too many, the first in the log."""
    insort(run.joins, (index, rule))
    del run.joins[MAX_JOINS:]


def note_more(run: Run, before: int, index: int, rule: str) -> None:
    """List one more of a group behind the one of it that was the last."""
    for position in reversed(range(len(run.joins))):
        if run.joins[position][0] == before:
            run.joins.insert(position + 1, (index, rule))
            del run.joins[MAX_JOINS:]
            return


def _describe(run: Run, witness: Witness) -> None:
    said = witness.sighting
    intent = witness.source in INTENT
    facts = run.said if intent else run.hinted
    named = {"version": said.version, "commit_hash": said.commit, "action": said.action or None}
    for name, value in {**witness.facts, **named}.items():
        if value is not None:
            facts.setdefault(name, value)
    if witness.basis == Basis.OBSERVED and not run.digests and run.learned is None:
        run.learned = witness.seen
    _name_artifact(run, witness)
    for known, more in ((run.links, witness.links), (run.tickets, witness.tickets)):
        new = [each for each in more if each not in known]
        known.extend(new[: max(0, MAX_NAMED - len(known))])
    if said.colour is not None and said.colour not in run.colours:
        run.colours.append(said.colour)
    if intent and witness.assurance != Assurance.SIGNED and len(run.unsigned) < MAX_UNSIGNED:
        run.unsigned.append(witness.index)


def _name_artifact(run: Run, witness: Witness) -> None:
    """Take over which artifact a run is of, from whoever may say so."""
    digest = witness.sighting.digest
    if run.own:
        named = () if run.digests else (witness.digest, *witness.platforms.values())
    elif witness.is_evidence or witness.confirms:
        return
    else:
        named = (digest, *witness.platforms.values())
    for each in named:
        if each is not None and each not in run.digests:
            run.digests.append(each)
    if named:
        run.platforms |= witness.platforms
    if digest in run.digests[1:] and not run.own:
        # The index is what a deployment is named by; its platforms come after it.
        run.digests.remove(digest)
        run.digests.insert(0, digest)


def covers(run: Run, place: Place, colour: str | None) -> list[Spot]:
    """Return the places of a run that evidence about a place may mean."""
    if colour is not None and run.colours and colour not in run.colours:
        return []
    return [
        spot
        for spot in run.spots
        if all(
            mine is None or its is None or mine == its
            for mine, its in (
                (spot.place.cluster, place.cluster),
                (spot.place.namespace, place.namespace),
                (spot.place.workload, place.workload),
            )
        )
    ]


def missing_sources(run: Run) -> list[str]:
    """Return which witnesses of intent, change and process are silent."""
    missing = [] if run.intended else [EmitterKind.CI.value]
    seen = (EmitterKind.ORCHESTRATOR, EmitterKind.RUNTIME)
    return [*missing, *[each.value for each in seen if each not in run.sources]]

"""What admission remembers of earlier markers: which deployments there are, and how they stand.

A fold over the log, kept in a store that can be lost: at a start it folds what the store has not
seen. The append asks it for the occurrence of each marker and tells it what it wrote; within one
group of the append, changes are tentative until the group is on the disk.

One thread (the writer's) decides and folds; `flush`, `listed` and `get` may run on any.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from typing import Final

from msgspec.structs import replace

from deploymark.errors import ConflictError, NotFoundError, UnavailableError
from deploymark.ingest.occurrences import (
    MAX_ALIASES,
    DeploymentRecord,
    cut_over,
    fold,
    live_places,
    occurrence_for,
    repeats_of,
    same_subject,
    standing_in,
    superseded,
)
from deploymark.ingest.registry_facts import (
    MAX_RECORDS,
    NO_ONE,
    Fact,
    Owner,
    Standing,
    action_key,
    decode_fact,
    encode_fact,
    identity_of,
    is_own,
    keys_of,
    line_key,
    newest_colour,
    newest_live,
    still_open,
)
from deploymark.ingest.sighting import Place, Sighting
from deploymark.model.vocabulary import Phase
from deploymark.ports import ListedDeployment, Position, RegistryStore

CACHED_FACTS: Final = 65_536
_SPARE: Final = 8


class Registry:
    """Remembers deployments and their occurrences.

    Args:
        store: Where they are kept between starts.
        cached: How many facts stay in memory; more are read again when needed.
    """

    def __init__(self, store: RegistryStore, cached: int = CACHED_FACTS) -> None:
        self._store = store
        self._limit = cached
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Fact | None] = OrderedDict()
        self._flushing = threading.Lock()
        self._dirty: dict[str, Fact] = {}
        self._saving: dict[str, Fact] = {}
        self._tentative: dict[str, Fact] = {}
        self._asked: tuple[Sighting, DeploymentRecord | None] | None = None
        self._position: Position | None = store.position()

    @property
    def position(self) -> Position | None:
        """How much of which log is folded in; None for nothing."""
        return self._position

    # Deciding, in the writer's thread ------------------------------------------------------------

    def begin(self, sightings: Sequence[Sighting]) -> None:
        """Forget what an earlier group tried, and read at once what these markers will need."""
        self._tentative.clear()
        self._asked = None
        asked = [key for each in sightings for key in keys_of(each)]
        self._read(asked)
        owned = [(each, self._owner(each.deployment_id)) for each in sightings]
        self._read([f"r/{owner.record_of(each)}" for each, owner in owned if owner is not None])

    def place(self, sighting: Sighting) -> tuple[int, int]:
        """Return the occurrence of a marker, and how often this cutover has come before.

        Raises:
            ConflictError: Its deployment id belongs to another service or environment.
        """
        record = self._record_of(sighting)
        occurrence = occurrence_for(record, sighting)
        if record is None or occurrence > record.newest:
            occurrence = max(occurrence, self._highest_of_others(record, sighting) + 1)
        return occurrence, self._repeat_of(record, sighting)

    def filed(self, sighting: Sighting, limit: int) -> list[tuple[int, int]]:
        """Return the occurrences and repeats under which copies of a marker may stand.

        Args:
            sighting: The marker.
            limit: How many occurrences at most, and as many repeats; the newest.
        """
        record = self._record_of(sighting)
        if record is None:
            return []
        kept = [each.number for each in record.occurrences[-limit:]]
        before = range(max(1, kept[0] - limit + len(kept)), kept[0])  # not known in detail
        again = [
            (each.occurrence, each.repeat)
            for each in record.cutovers
            if each.marker_id == sighting.marker_id and each.repeat
        ]
        return [*again[-limit:], *[(number, 0) for number in (*before, *kept)]]

    def is_first(self, sighting: Sighting) -> bool:
        """Tell whether a marker's deployment has happened at most once, and no cutover returned."""
        record = self._record_of(sighting)
        return record is None or (
            len(record.occurrences) <= 1 and not any(each.repeat for each in record.cutovers)
        )

    def take(self, index: int, sighting: Sighting, occurrence: int, repeat: int) -> None:
        """Fold a marker in, tentatively until `commit`."""
        before = self._record_of(sighting)
        self._asked = None
        if before is not None and index <= before.last_index:
            # A flush was ahead of its position: this is in already, with all that followed from it.
            return
        record = fold(before, sighting, occurrence, index)
        owner = self._owner(sighting.deployment_id)
        if before is None and owner is not None and not owner.is_first(sighting.line):
            record = replace(record, guest=True)
        if sighting.phase == Phase.CUTOVER:
            record = cut_over(record, sighting.marker_id, occurrence, repeat)
        if before is None or before.aliases != record.aliases:
            self._name(record, sighting)
        self._own(record, sighting)
        self._settle_line(record, sighting, occurrence)

    def commit(self, position: Position) -> None:
        """Let what was taken since `begin` count: it is on the disk."""
        with self._lock:
            for key, fact in self._tentative.items():
                self._remember(key, fact)
                self._dirty[key] = fact
            self._position = position
        self._tentative.clear()

    # Storing, on any thread ----------------------------------------------------------------------

    def flush(self) -> None:
        """Write what changed into the store.

        Raises:
            StoreUnavailableError: The store refused; nothing is lost, the next flush tries again.
        """
        with self._flushing:
            with self._lock:
                if self._position is None or not self._dirty:
                    return
                saving, position = self._dirty, self._position
                self._saving, self._dirty = saving, {}
            try:
                facts = {key: encode_fact(fact) for key, fact in saving.items()}
                listed = [
                    _listed(k, f) for k, f in saving.items() if isinstance(f, DeploymentRecord)
                ]
                self._store.save(facts, listed, position)
            except BaseException:
                with self._lock:
                    self._dirty = {**saving, **self._dirty}
                raise
            finally:
                with self._lock:
                    self._saving = {}

    def clear(self) -> None:
        """Forget everything, also in the store."""
        self._store.clear()
        with self._lock:
            self._known.clear()
            self._dirty.clear()
            self._tentative.clear()
            self._position = None

    # Reading, on any thread ----------------------------------------------------------------------

    def get(self, deployment: str) -> list[DeploymentRecord]:
        """Return what is known under a deployment id: one record for each kind and key.

        Under an id of derived form also those of other services that gave it, the first first.

        Raises:
            NotFoundError: No marker of it was ever admitted.
        """
        owner = self._look_up(f"d/{deployment}")
        if not isinstance(owner, Owner):
            raise NotFoundError(
                f"No deployment {deployment!r} is known.",
                hint="`deploymark ls` lists the newest deployments.",
            )
        found = [self._look_up(f"r/{record}") for record in owner.records.values()]
        return [record for record in found if isinstance(record, DeploymentRecord)]

    def listed(
        self,
        service: str | None = None,
        environment: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[DeploymentRecord]:
        """Return deployments, the one with the newest entry first.

        Args:
            service: Only of this service.
            environment: Only of this environment.
            before: Only those whose newest entry is older than this index.
            limit: How many at most.
        """
        with suppress(UnavailableError):  # the list is then as of the last flush
            self.flush()
        rows = self._store.listed(service, environment, before, limit)
        found = [self._look_up(row.key) for row in rows]
        return [record for record in found if isinstance(record, DeploymentRecord)]

    # Facts ---------------------------------------------------------------------------------------

    def _get(self, key: str) -> Fact | None:
        """Return a fact as this group sees it; in the writer's thread."""
        found = self._tentative.get(key)
        if found is not None:
            return found
        if key not in self._known:
            self._read([key])
        return self._known.get(key)

    def _look_up(self, key: str) -> Fact | None:
        with self._lock:
            fact = self._dirty.get(key) or self._saving.get(key)
        if fact is not None:
            return fact
        raw = self._store.load([key]).get(key)
        return None if raw is None else decode_fact(key, raw)

    def _read(self, keys: Sequence[str]) -> None:
        missing = [key for key in dict.fromkeys(keys) if key not in self._known]
        if not missing:
            return
        # What is not in the store yet never leaves `_known`, so the store is right about the rest.
        found = self._store.load(missing)
        with self._lock:
            for key in missing:
                raw = found.get(key)
                self._remember(key, None if raw is None else decode_fact(key, raw))

    def _remember(self, key: str, fact: Fact | None) -> None:
        self._known[key] = fact
        self._known.move_to_end(key)
        if len(self._known) <= self._limit:
            return
        oldest = list(islice(self._known, len(self._known) - self._limit + _SPARE))
        for old in oldest:
            if old not in self._dirty and old not in self._saving and old != key:
                del self._known[old]

    # Rules ---------------------------------------------------------------------------------------

    def _record_of(self, sighting: Sighting) -> DeploymentRecord | None:
        """Return the deployment of a marker; asked several times for each."""
        if self._asked is None or self._asked[0] is not sighting:
            self._asked = (sighting, self._find_record(sighting))
        return self._asked[1]

    def _find_record(self, sighting: Sighting) -> DeploymentRecord | None:
        owner = self._owner(sighting.deployment_id)
        if owner is not None:
            if owner.refuses(sighting):
                service, environment = owner.proven or (owner.service, owner.environment)
                raise ConflictError(
                    f"The deployment id {sighting.deployment_id} belongs to {service} in "
                    f"{environment}.",
                    hint="Leave deployment_id out, or choose one that nobody uses; `release_id` "
                    "names what several deployments share.",
                    field="/deployment_id",
                )
            known = self._record(owner.record_of(sighting))
            # Under an id that others use, occurrences of another id would collide with theirs.
            if known is not None or owner.is_apart(sighting.line):
                return known
        # Several ids are one deployment when one action said them of subjects that agree.
        others = self._records_of_action(sighting)
        self._read([f"r/{each}" for each in others])
        for other in reversed(others):
            record = self._record(other)
            if (
                record is not None
                and same_subject(record, sighting)
                and len(record.aliases) < MAX_ALIASES
            ):
                return record
        return None

    def _owner(self, deployment: str) -> Owner | None:
        fact = self._get(f"d/{deployment}")
        return fact if isinstance(fact, Owner) else None

    def _record(self, identity: str) -> DeploymentRecord | None:
        fact = self._get(f"r/{identity}")
        return fact if isinstance(fact, DeploymentRecord) else None

    def _records_of_action(self, sighting: Sighting) -> tuple[str, ...]:
        key = action_key(sighting)
        found = self._get(key) if key else None
        return found if isinstance(found, tuple) else ()

    def _name(self, record: DeploymentRecord, sighting: Sighting) -> None:
        """File a record under the id that a marker names it by."""
        identity = identity_of(record)
        owner = self._owner(sighting.deployment_id) or Owner(*sighting.line[:2])
        named = owner.with_record(sighting.line, identity)
        self._tentative[f"d/{sighting.deployment_id}"] = named
        if action := action_key(sighting):
            others = [each for each in self._records_of_action(sighting) if each != identity]
            self._tentative[action] = (*others, identity)[-MAX_RECORDS:]

    def _own(self, record: DeploymentRecord, sighting: Sighting) -> None:
        """Note under all ids of a record which numbers are taken, and to whom its own belongs."""
        for deployment in (record.id, *record.aliases):
            owner = self._owner(deployment)
            if owner is None:
                continue
            proven = owner.proven
            if proven is None and deployment == sighting.deployment_id:
                proven = sighting.line[:2] if is_own(deployment, sighting) else None
            if owner.highest < record.newest or owner.proven != proven:
                highest = max(owner.highest, record.newest)
                after = replace(owner, highest=highest, proven=proven)
                self._tentative[f"d/{deployment}"] = after

    def _highest_of_others(self, record: DeploymentRecord | None, sighting: Sighting) -> int:
        """Return the highest number of an occurrence that is not ours, under all of our ids."""
        ids = {sighting.deployment_id}
        if record is not None:
            ids.update((record.id, *record.aliases))
        owners = [owner for each in ids if (owner := self._owner(each)) is not None]
        return max((each.highest for each in owners if each.is_apart(sighting.line)), default=0)

    def _repeat_of(self, record: DeploymentRecord | None, sighting: Sighting) -> int:
        if sighting.phase != Phase.CUTOVER or record is None:
            return 0
        last = repeats_of(record, sighting.marker_id)
        if last is None:
            return 0
        active = next(
            (each for each in self._standing(sighting).active if each.place == sighting.place), None
        )
        returns = (
            active is not None
            and active.colour != sighting.colour
            and sighting.at_ms > active.at_ms
        )
        return last + 1 if returns else last

    def _standing(self, sighting: Sighting) -> Standing:
        found = self._get(line_key(sighting.line))
        return found if isinstance(found, Standing) else NO_ONE

    def _settle_line(self, record: DeploymentRecord, sighting: Sighting, occurrence: int) -> None:
        """Let what went live end what stood there, in whichever order the news came."""
        standing = self._standing(sighting)
        identity = identity_of(record)
        places = live_places(record, occurrence, sighting.at_ms)
        later = [each for each in standing.live if each.follows(sighting)]
        around = standing_in(record) if later else set()
        for each in later:  # something that is live already may have come after this
            if each.record != identity and each.place in around and not each.spares(record):
                record = superseded(record, [each.place], each.at_ms, each.emission)
        if places:
            record = superseded(
                record, places, sighting.at_ms, sighting.emission, sparing=occurrence
            )
        records = {each: spots for each, spots in standing.records.items() if each != identity}
        if places:
            self._read([f"r/{each}" for each in records])
            records = {
                each: spots
                for each, spots in records.items()
                if self._outlives(each, places, sighting)
            }
        if not record.over:
            records[identity] = record.spots
        self._tentative[f"r/{identity}"] = record
        live = newest_live(standing.live, places, sighting, identity)
        after = Standing(still_open(records, live), live, newest_colour(standing.active, sighting))
        if after != standing:
            self._tentative[line_key(record.line)] = after

    def _outlives(self, identity: str, places: list[Place], by: Sighting) -> bool:
        other = self._record(identity)
        if other is None:
            return False
        if by.evidence and same_subject(other, by):
            return not other.over
        after = superseded(other, places, by.at_ms, by.emission)
        if after != other:
            self._tentative[f"r/{identity}"] = after
        return not after.over


def _listed(key: str, record: DeploymentRecord) -> ListedDeployment:
    return ListedDeployment(key, record.line.service, record.line.environment, record.last_index)

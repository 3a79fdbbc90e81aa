"""Deployments as admission knows them, for people and programs to read.

What each source said of a deployment, and whether it is true, is a projection's business. This
shows what decides occurrences: the ids, the places, and how far each occurrence has come there.
"""

from typing import Any

from deploymark.errors import NotFoundError, UsageError
from deploymark.ingest.occurrences import DeploymentRecord, Occurrence
from deploymark.ingest.registry import Registry
from deploymark.ingest.registry_facts import is_own
from deploymark.model.ids import parse_occurrence
from deploymark.model.instants import format_instant
from deploymark.model.vocabulary import Kind, Phase

_STANDING = frozenset({Phase.APPLIED, Phase.RUNNING, Phase.PROMOTED})


class Deployments:
    """Lists and shows what the registry knows.

    Args:
        registry: Where it is known.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def list(
        self, service: str | None, environment: str | None, cursor: str | None, limit: int
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Return deployments, the one with the newest entry first, and the cursor behind them.

        Args:
            service: Only of this service.
            environment: Only of this environment.
            cursor: What the page before returned; None for the first.
            limit: How many at most.

        Raises:
            UsageError: The cursor is none of ours.
        """
        if cursor is not None and not (cursor.isascii() and cursor.isdigit()):
            raise UsageError(
                "The cursor is not one that was returned here.",
                hint="Leave it out to begin with the newest.",
                field="/cursor",
            )
        before = None if cursor is None else min(int(cursor[:18]), 2**53)
        records = self._registry.listed(service, environment, before, limit)
        # A record may have moved to the front since the page was cut; the page did not.
        oldest = min((record.last_index for record in records), default=0)
        more = str(oldest) if len(records) == limit else None
        return [deployment_view(record) for record in records], more

    def get(self, name: str) -> dict[str, Any]:
        """Return one deployment, named by an id, an alias, or one occurrence of it (`id~2`).

        When several records are filed under the id, the one that it follows from comes first, else
        the oldest; the others stand under `changes`.

        Raises:
            IdError: The name is no id.
            NotFoundError: There is no such deployment or occurrence.
        """
        identifier, occurrence = parse_occurrence(name)
        records = self._registry.get(identifier)
        records.sort(
            key=lambda record: (
                occurrence not in (None, *[each.number for each in record.occurrences]),
                not is_own(identifier, record),
                record.line.kind != Kind.DEPLOYMENT,
            )
        )
        view = deployment_view(records[0])
        if len(records) > 1:  # one id that names changes of several kinds, or is given by others
            view["changes"] = [deployment_view(record) for record in records[1:]]
        if occurrence is not None:
            view["occurrences"] = [
                each for each in view["occurrences"] if each["occurrence"] == occurrence
            ]
            if not view["occurrences"]:
                raise NotFoundError(f"The deployment {identifier} has no occurrence {occurrence}.")
        return view


def deployment_view(record: DeploymentRecord) -> dict[str, Any]:
    """Return one deployment as plain JSON values; what is not known is null."""
    line = record.line
    return {
        "deployment_id": record.id,
        "aliases": list(record.aliases),
        "service": line.service,
        "environment": line.environment,
        "kind": line.kind,
        "key": line.key,
        "action": record.action or None,
        "digest": record.digest,
        "commit_hash": record.commit,
        "version": record.version,
        "phase": record.phase,
        "state": _state(record),
        "at": format_instant(record.at_ms),
        "last_index": record.last_index,
        "occurrence": record.occurrences[-1].number if record.occurrences else 1,
        "occurrences": [_occurrence_view(each) for each in record.occurrences],
    }


def _state(record: DeploymentRecord) -> str:
    """Return the newest phase, or `superseded` once another deployment took every place."""
    latest = record.occurrences[-1] if record.occurrences else None
    if record.phase in _STANDING and latest is not None and latest.closing is not None:
        return "superseded"
    return record.phase


def _occurrence_view(occurrence: Occurrence) -> dict[str, Any]:
    ended = occurrence.closing
    return {
        "occurrence": occurrence.number,
        "opened_at": format_instant(occurrence.opened_ms),
        "ended_at": None if ended is None else format_instant(ended.at_ms),
        "attempt": occurrence.attempt,
        "places": [
            {**spot.place._asdict(), "state": spot.state.value, "at": format_instant(spot.at_ms)}
            for spot in occurrence.spots
        ],
    }

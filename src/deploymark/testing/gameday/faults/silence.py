"""Places that should have markers and have none (F7, M10)."""

from dataclasses import replace
from typing import ClassVar

from deploymark.model.vocabulary import FindingCode
from deploymark.testing.gameday.deploy import Deploy, Shape
from deploymark.testing.gameday.fault import (
    Anywhere,
    Case,
    Degradation,
    Finding,
    Injection,
    Json,
)
from deploymark.testing.gameday.fleet import Lane

_SILENT = frozenset(
    {FindingCode.ROLLOUT_PARTIAL, FindingCode.MARKER_MISSING, FindingCode.INSTANCE_UNMARKED}
)
_SEVERAL = 2


def _is_incomplete(deployment: Json, instances: list[Json]) -> bool:
    del instances
    coverage = deployment.get("coverage") or {}
    return (coverage.get("confirmed") or 0) < (coverage.get("expected") or 0)


class SilentZone(Anywhere):
    """The instances of one zone run, and nobody says anything about them."""

    name: ClassVar[str] = "silent zone"

    def prepare(self, deploy: Deploy) -> None:
        """See `Fault.prepare`."""
        first = deploy.born[0]
        for each in deploy.born:
            each.silent = (each.site, each.zone) == (first.site, first.zone)

    def inject(self, case: Case) -> Injection:
        """See `Fault.inject`."""
        since, within = case.deploy.ends, case.timing.rollout_seconds
        return case.injected(
            self,
            case.messages,
            findings=(Finding(_SILENT, since, within),),
            degradations=(
                Degradation("fewer instances confirmed than expected", _is_incomplete, since, 0.0),
            ),
            tolerated=_SILENT,
            record=replace(case.record, instances=None),
        )


class SilentCluster(Anywhere):
    """One cluster of several is cut off and never heard of in this deploy."""

    name: ClassVar[str] = "silent cluster"
    shapes: ClassVar[frozenset[Shape]] = frozenset({Shape.MULTI_CLUSTER})

    def fits(self, lane: Lane) -> bool:
        """See `Fault.fits`."""
        return len(lane.sites) >= _SEVERAL

    def prepare(self, deploy: Deploy) -> None:
        """See `Fault.prepare`."""
        for each in deploy.born:
            each.silent = each.site == deploy.lane.sites[-1]

    def inject(self, case: Case) -> Injection:
        """See `Fault.inject`."""
        cluster = case.deploy.lane.sites[-1].cluster
        heard = [each for each in case.messages if each.cluster != cluster]
        since, within = case.deploy.ends, case.timing.rollout_seconds
        return case.injected(
            self,
            heard,
            findings=(Finding(_SILENT, since, within, names=(cluster,)),),
            degradations=(
                Degradation("fewer instances confirmed than expected", _is_incomplete, since, 0.0),
            ),
            tolerated=_SILENT,
            record=replace(case.record, instances=None),
        )

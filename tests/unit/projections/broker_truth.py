"""What is true of a fleet, and how near the broker's records come to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from broker_checks import DIGEST, EXPLICIT
from broker_fleet import Fleet, Told, uid_of
from broker_reading import Broker

# Scoring -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    """How well evidence was joined, over workload changes and instances that still run.

    precision = joined to the true deployment / joined to any
    recall    = joined to the true deployment / all that was heard and whose truth can be known
    """

    right: int
    joined: int
    knowable: int

    @property
    def precision(self) -> float:
        return self.right / self.joined if self.joined else 1.0

    @property
    def recall(self) -> float:
        return self.right / self.knowable if self.knowable else 1.0


def score(told: Told, broker: Broker) -> Score:
    """Compare where evidence was joined with where it belongs."""
    changes = joins(broker)
    running = {each["instance_uid"]: each["deployment_id"] for each in broker.instances()}
    ended = {each.uid for each in told.heard.values() if each.fields["phase"] == "removed"}
    right = joined = knowable = 0
    for index, statement in told.heard.items():
        truth = told.truth(statement)
        if not statement.joins or truth is None or statement.uid in ended:
            continue
        chosen = running.get(statement.uid) if statement.uid else changes.get(index)
        knowable += 1
        joined += chosen is not None
        right += chosen == truth
    return Score(right, joined, knowable)


def joins(broker: Broker) -> dict[int, str]:
    """Return to which deployment each entry was joined, over all occurrences.

    Of many instances that start together a record names only some; each of them names its own.
    """
    chosen: dict[int, str] = {}
    for record in broker.deployments():
        name = record["deployment_id"]
        for occurrence in record["occurrences"]:
            one = broker.deployment(f"{name}~{occurrence['occurrence']}")
            for each in one["joins"]:
                assert each["index"] not in chosen, "an entry was joined twice"
                chosen[each["index"]] = name
    return chosen


# Expecting ---------------------------------------------------------------------------------------


def complete_records(fleet: Fleet) -> dict[str, dict[str, Any]]:
    """Return what is known of each deployment when nothing is lost and digests are distinct."""
    known = {}
    for release in fleet.releases:
        line = fleet.live(release.service)
        running = not release.failed and release == line[-1]
        state = "failed" if release.failed else "running" if running else "superseded"
        pods = 0 if release.failed else fleet.size * len(fleet.clusters)
        witnesses = {"ci": 3 * len(fleet.clusters)}
        if not release.failed:
            witnesses["runtime"] = pods
        again = release.attempt > 1
        # What is run again later in the history takes the place of the first attempt.
        known[release.deployment] = {
            "service": release.service,
            "state": state,
            "occurrences": release.attempt,
            "unplanned": False,
            "redeploy": again,
            "rollback_of": line[-2].deployment if again else None,
            "aliases": [],
            "places": dict.fromkeys(fleet.clusters, "live" if running else "ended"),
            "spoke": witnesses,
            "orchestrator": not release.failed,
            "binding": "observed" if running else None,
            "missing": None if release.failed else [],
            "coverage": (pods, pods, 0) if running else None,
        }
    return known


def expected_instances(fleet: Fleet) -> dict[str, tuple[str, int, str, str]]:
    """Return where every instance that still runs belongs, by which rule, and whether proven."""
    rule = EXPLICIT if fleet.labelled else DIGEST
    return {
        uid_of(release, cluster, number): (release.deployment, release.attempt, rule, "confirmed")
        for service in fleet.services
        for release in fleet.live(service)[-1:]
        for cluster in fleet.clusters
        for number in range(fleet.size)
    }


def by_id(broker: Broker) -> Mapping[str, dict[str, Any]]:
    """Return every deployment by its id."""
    return {each["deployment_id"]: each for each in broker.deployments()}

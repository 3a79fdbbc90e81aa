"""How many different services, deployments and instances are told apart.

Names come from whoever sends, and each costs memory and rows for as long as it is heard. What a
limit keeps from being told apart is counted together as `OTHER`, so that totals stay right.
"""

from collections import Counter, OrderedDict
from typing import Final

from deploymark.ports import Place
from deploymark.telemetry.limits import (
    DEPLOYMENTS_PER_SERVICE,
    IDLE_SECONDS,
    INSTANCES_PER_DEPLOYMENT,
    OTHER,
    PLACES,
)

_EVERYTHING: Final = Place(OTHER, OTHER, OTHER, OTHER)


class Places:
    """Who was heard lately.

    Args:
        most: Instances that are told apart.
        deployments: Of one service in one environment.
        instances: Of one deployment.
    """

    def __init__(
        self,
        most: int = PLACES,
        deployments: int = DEPLOYMENTS_PER_SERVICE,
        instances: int = INSTANCES_PER_DEPLOYMENT,
    ) -> None:
        self._most = most
        self._most_deployments = deployments
        self._most_instances = instances
        self._heard_s: OrderedDict[Place, int] = OrderedDict()
        self._instances: dict[tuple[str, str], Counter[str]] = {}

    def __len__(self) -> int:
        return len(self._heard_s)

    def admit(self, place: Place, now_s: int) -> Place:
        """Return the place that something counts for: the same, or one with `OTHER` in it."""
        if place in self._heard_s:
            self._hear(place, now_s)
            return place
        self._forget_idle(now_s)
        of_service = self._instances.get(place[:2], Counter())
        if place.deployment not in of_service and len(of_service) >= self._most_deployments:
            return self._share(place._replace(deployment=OTHER, instance=OTHER), now_s)
        if of_service[place.deployment] >= self._most_instances:
            return self._share(place._replace(instance=OTHER), now_s)
        return self._share(place, now_s)

    def _share(self, place: Place, now_s: int) -> Place:
        if place not in self._heard_s:
            if len(self._heard_s) >= self._most:
                return _EVERYTHING
            self._instances.setdefault(place[:2], Counter())[place.deployment] += 1
        self._hear(place, now_s)
        return place

    def _hear(self, place: Place, now_s: int) -> None:
        self._heard_s[place] = now_s
        self._heard_s.move_to_end(place)

    def _forget_idle(self, now_s: int) -> None:
        while self._heard_s:
            place, heard_s = next(iter(self._heard_s.items()))
            if now_s - heard_s < IDLE_SECONDS:
                return
            del self._heard_s[place]
            of_service = self._instances[place[:2]]
            of_service[place.deployment] -= 1
            if not of_service[place.deployment]:
                del of_service[place.deployment]
            if not of_service:
                del self._instances[place[:2]]

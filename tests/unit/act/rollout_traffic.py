"""Requests as a source of counts tells them, and who sends them where: as a test wants them."""

from collections.abc import Callable, Mapping, Sequence
from random import Random

from deploymark.act.plan import Scope
from deploymark.errors import CountsUnavailableError, DeploymarkError
from deploymark.ports import Actuator, Cell, Cohort, CohortCounts, Deed, Found, MetricQuery, Order
from deploymark.testing.clock import ManualClock

Actuators = dict[Scope, Actuator]


class Traffic:
    """Requests as a source of counts tells them.

    Attributes:
        rates: Requests a second of each release, by its deployment id.
        errors: The share of them that fails.
        away: The source does not answer.
        refuses: What it says of every question.
        asked: Hears about whom it is asked, and may wait.
    """

    name = "telemetry"
    lag_ms = 1_000

    def __init__(self, clock: ManualClock, replicas: int = 4) -> None:
        self._clock = clock
        self._replicas = replicas
        self.errors: dict[str, float] = {}
        self.changes: list[tuple[int, dict[str, float]]] = []
        self.away = False
        self.refuses: DeploymarkError | None = None
        self.asked: Callable[[Cohort], None] = lambda _: None

    def share(self, rates: Mapping[str, float]) -> None:
        """Send requests from now on at these rates; what is not named goes on."""
        now = self.changes[-1][1] if self.changes else {}
        self.changes.append((self._clock.now_ms(), {**now, **rates}))

    def count(
        self,
        cohort: Cohort,
        metrics: Sequence[MetricQuery],
        since_ms: int,
        until_ms: int,
        bucket_ms: int,
    ) -> CohortCounts:
        self.asked(cohort)
        if self.refuses is not None:
            raise self.refuses
        if self.away:
            raise CountsUnavailableError("The source is away.")
        cells = []
        for at_ms in range(since_ms, until_ms, bucket_ms):
            for deployment, rate in self._rates(at_ms).items():
                if deployment not in cohort.deployments or not rate:
                    continue
                for replica in range(self._replicas):
                    draw = Random(f"{at_ms} {deployment} {replica}")
                    trials = round(rate * bucket_ms / 1_000 / self._replicas)
                    bad = self.errors.get(deployment, 0.01)
                    events = sum(draw.random() < bad for _ in range(trials))
                    cells.append(Cell(f"{deployment}-{replica}", at_ms, trials, events))
        return CohortCounts({metric.name: tuple(cells) for metric in metrics})

    def _rates(self, at_ms: int) -> dict[str, float]:
        found: dict[str, float] = {}
        for since_ms, rates in self.changes:
            if since_ms <= at_ms:
                found = rates
        return found


class Splitter:
    """An actuator that sends traffic, and does what a test wants to go wrong.

    Attributes:
        orders: That it carried out.
        rate: Requests a second in all.
        seen: What it finds when it looks; None: what is so.
        before: What it raises the next times, before it does anything.
        after: The same, when it has done it.
        blind: The same, when it looks.
        meanwhile: What happens the next times while it does it.
    """

    name = "splitter"

    def __init__(self, traffic: Traffic, rate: float = 200.0) -> None:
        self._traffic = traffic
        self.rate = rate
        self.orders: list[Order] = []
        self.seen: Found | None = None
        self.blind: list[DeploymarkError] = []
        self.before: list[Exception] = []
        self.after: list[DeploymarkError] = []
        self.meanwhile: list[Callable[[], None]] = []

    def look(self, order: Order) -> Found:
        if self.seen is not None:
            return self.seen
        if self.blind:
            raise self.blind.pop()
        done = [each.key for each in self.orders if each.service == order.service]
        return Found.DONE if done[-1:] == [order.key] else Found.NOT_DONE

    def carry_out(self, order: Order) -> str:
        if self.before:
            raise self.before.pop()
        self.orders.append(order)
        canary, stable = order.canary.deployment.split("~")[0], ""
        if order.stable is not None:
            stable = order.stable.deployment.split("~")[0]
        rates = {
            canary: self.rate * order.weight / 100,
            stable: self.rate * (1 - order.weight / 100),
        }
        self._traffic.share({name: rate for name, rate in rates.items() if name})
        if self.meanwhile:
            self.meanwhile.pop()()
        if self.after:
            raise self.after.pop()
        return f"The canary gets {order.weight:g} %."

    @property
    def deeds(self) -> list[Deed]:
        return [order.deed for order in self.orders]

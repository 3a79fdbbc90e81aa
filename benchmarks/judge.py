"""How often the judge is wrong, how soon it is right, and what a look costs.

Run alone: `python benchmarks/judge.py [--quick] [--json]`. Rollouts are simulated with fixed seeds:
identical arms (A/A) under nine kinds of traffic, and regressions (A/B). Placebo history is
24 hours, simulated too. Beside it stand the judges that others use, on the very same counts: a
fixed threshold each minute (as Flagger's), Mann-Whitney at one look and at each, and a z-test at
each. The bare limit of a rate of mistakes is none; that of a look's cost is reading its counts into
an array.

Real gauges are read from the folder that DEPLOYMARK_GAUGES names: CSV files, a column for each
replica, a row for each scrape; without it they are left out, and the table says so.
"""

import csv
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from judge_rivals import RIVALS, Rival
from measuring import Row, options, report

from deploymark.judge import evidence
from deploymark.judge.assessment import Assessment
from deploymark.judge.book import MEMORY, SEED_TRIALS
from deploymark.judge.counts import Events, Latencies, Look, Observation, Tally
from deploymark.judge.dispersion import COLD, of_counts, of_signs
from deploymark.judge.evidence import EFFECTS
from deploymark.judge.gauge import log_e_signs
from deploymark.judge.placebo import CLUMP_CAP, CLUMPED, Placebo, Watch, learn
from deploymark.judge.plan import Kind, Metric, Plan
from deploymark.judge.proportion import LEAST_RATE, log_e_within, log_e_worse, shifted

Array = npt.NDArray[np.float64]

LOOKS: Final = 60
BUCKETS: Final = 6
BASE: Final = 0.005
MIXED: Final = 10
_PAUSE, _ROLL_BACK, _PASS = math.log(100), math.log(1_000), math.log(20)
_MOST_MINUTES: Final = 999


class Traffic(NamedTuple):
    """How requests and errors come.

    Attributes:
        rpm: Requests a minute of the canary.
        share: The canary's part of all; control has the rest.
        clump: The mean size of a clump of errors, geometric; 1 for none.
        drift: The spread of a common random walk of the log rate, for each minute.
        day: The size of a daily wave of traffic and rate.
        noise: The spread of a lasting difference between arms, and halves, in logs.
        moves: Whether the split changes during the rollout.
        replicas: Of the canary; each has counts of its own, and a clump stays within one. Control
            has as many as its share of the traffic asks for.
    """

    rpm: float
    share: float = 0.5
    clump: float = 1.0
    drift: float = 0.0
    day: float = 0.0
    noise: float = 0.0
    moves: bool = False
    replicas: int = 1

    @property
    def cells(self) -> tuple[int, int]:
        """How many cells the canary and control have in a look."""
        control = max(1, round(self.replicas * (1 - self.share) / self.share))
        return BUCKETS * self.replicas, BUCKETS * (control if self.replicas > 1 else 1)


class Counts(NamedTuple):
    """Trials and events of both arms; by episode, look and cell (bucket and replica)."""

    a: Array
    x: Array
    b: Array
    y: Array


KINDS: Final = {
    "iid": Traffic(2_000),
    "diurnal": Traffic(2_000, day=0.7),
    "shared drift": Traffic(2_000, drift=0.1),
    "varying split": Traffic(1_000, share=0.25, moves=True),
    "bursty": Traffic(2_000, clump=4, replicas=4),
    "bursty, arms as a whole": Traffic(2_000, clump=4),
    "arm noise": Traffic(2_000, noise=0.03),
    "low traffic": Traffic(10, share=0.25),
    "late onset": Traffic(2_000),
}


# Simulated counts --------------------------------------------------------------------------------


def simulate(  # noqa: PLR0913 - what an experiment has
    chance: np.random.Generator,
    traffic: Traffic,
    episodes: int,
    looks: int = LOOKS,
    *,
    ratio: float = 1.0,
    onset: int = 0,
    share: float | None = None,
) -> Counts:
    """Return the counts of rollouts of which the canary's rate is a multiple from a look on."""
    part = np.full((episodes, looks, 1), traffic.share if share is None else share)
    if traffic.moves and share is None:
        steps = chance.choice([0.05, 0.1, 0.25, 0.5], size=(episodes, (looks + 9) // 10, 1))
        part = np.repeat(steps, 10, axis=1)[:, :looks]
    minutes = np.arange(looks)[None, :, None] + chance.integers(0, 1_440, (episodes, 1, 1))
    wave = 1 + traffic.day * np.sin(2 * np.pi * minutes / 1_440)
    walk = np.cumsum(chance.normal(0, traffic.drift or 1e-12, (episodes, looks, 1)), axis=1)
    rate = np.minimum(BASE * wave * np.exp(walk), 0.2)
    effect = np.where(np.arange(looks) >= onset, ratio, 1.0)[None, :, None]
    apart = np.exp(chance.normal(0, traffic.noise or 1e-12, (2, episodes, 1, 1)))
    requests = traffic.rpm / traffic.share * wave
    ours, theirs = traffic.cells
    a = chance.poisson(np.repeat(requests * part / ours, ours, axis=2))
    b = chance.poisson(np.repeat(requests * (1 - part) / theirs, theirs, axis=2))
    x = _events(chance, a, np.minimum(rate * effect * apart[0], 0.9), traffic.clump)
    y = _events(chance, b, np.minimum(rate * apart[1], 0.9), traffic.clump)
    return Counts(*(np.asarray(each, dtype=np.float64) for each in (a, x, b, y)))


def _events(
    chance: np.random.Generator, requests: npt.NDArray[np.int64], rate: Array, clump: float
) -> npt.NDArray[np.int64]:
    if clump <= 1:
        return chance.binomial(requests, np.broadcast_to(rate, requests.shape))
    many = chance.poisson(requests * rate / clump)
    more = chance.negative_binomial(np.maximum(many, 1), 1 / clump)
    return np.minimum(np.where(many > 0, many + more, 0), requests)


class Learned(NamedTuple):
    """What placebos teach, by episode.

    Attributes:
        every, capped: The dispersions of all errors and of capped ones.
        clumped: Which has a row of clumps.
        rate, capped_rate: The rates of both.
    """

    every: Array
    capped: Array
    clumped: npt.NDArray[np.bool_]
    rate: Array
    capped_rate: Array


def learned(chance: np.random.Generator, traffic: Traffic, episodes: int) -> Learned:
    """Return what 24 hours of placebos teach; every history serves some episodes.

    The placebo compares halves of the stable fleet, which has what the canary leaves over.
    """
    histories = min(episodes, 24)
    control = traffic.rpm / traffic.share * (1 - traffic.share)
    replicas = max(1, traffic.cells[1] // BUCKETS // 2)
    stable = traffic._replace(rpm=control / 2, moves=False, share=0.5, replicas=replicas)
    found = simulate(chance, stable, histories, 1_440)
    # By counting bucket, of which each has a cell for each replica.
    a, x, b, y = (each.reshape(histories, 1_440 * BUCKETS, -1) for each in found)
    sizes = (6, 30, 60, 180)
    trials = (a + b).sum(axis=(1, 2))
    rate = (x + y).sum(axis=(1, 2)) / trials
    every = of_counts((a.sum(-1), x.sum(-1)), (b.sum(-1), y.sum(-1)), sizes)
    short = of_counts((a.sum(-1), x.sum(-1)), (b.sum(-1), y.sum(-1)), (1,))
    x, y = (np.minimum(each, CLUMP_CAP) for each in (x, y))
    capped = of_counts((a.sum(-1), x.sum(-1)), (b.sum(-1), y.sum(-1)), sizes)
    every, capped = (np.where(np.isnan(each), COLD, each) for each in (every, capped))
    times = -(-episodes // histories)
    rates = rate, (x + y).sum(axis=(1, 2)) / trials
    every, capped, rate, less, short = (
        np.tile(each, times)[:episodes] for each in (every, capped, *rates, short)
    )
    return Learned(every, capped, (short >= CLUMPED) & (capped < every), rate, less)


# The judge, many rollouts at once ----------------------------------------------------------------


def course(counts: Counts, spread: Learned, *, margin: float = 2.0) -> tuple[Array, Array]:
    """Return log evidence of failure and of a pass after each look; by episode and look."""
    a, b = counts.a.sum(-1), counts.b.sum(-1)
    rows = [(counts.x.sum(-1), counts.y.sum(-1), spread.every, spread.rate)]
    ours, theirs = counts.a.mean(-1, keepdims=True), counts.b.mean(-1, keepdims=True)
    # As `rows.clumps`: limits of the rate where canary's cells are the smaller ones.
    smaller = ours < theirs
    each = CLUMP_CAP / np.maximum(theirs, 1e-9)
    x = np.minimum(counts.x, np.where(smaller, each * counts.a, CLUMP_CAP)).sum(-1)
    y = np.minimum(counts.y, np.where(smaller, each * counts.b, CLUMP_CAP)).sum(-1)
    rows.append((x, y, spread.capped, spread.capped_rate))
    fails = []
    for x, y, dispersion, before in rows:
        fails.append(_fail(Counts(a, x, b, y), dispersion, before))
    both = np.logaddexp(fails[0], fails[1]) - math.log(2)
    fail = np.where(spread.clumped[:, None], both, fails[0])
    x, y, dispersion, before = rows[0]
    rate = _working_rate(y, b, before)
    within = log_e_within(x, a, y, b, rate=rate, margin=np.array(margin))
    return fail, np.cumsum(within / dispersion[:, None], axis=1)


def _working_rate(y: Array, b: Array, before: Array) -> Array:
    """Return the rate of control's earlier looks; before the first, that of the placebos."""
    events, trials = before * SEED_TRIALS, np.full(len(y), SEED_TRIALS)
    rates = []
    for look in range(y.shape[1]):
        rates.append(np.clip((events + 0.5) / (trials + 1), LEAST_RATE, 1 - LEAST_RATE))
        events, trials = events * MEMORY + y[:, look], trials * MEMORY + b[:, look]
    return np.stack(rates, axis=1)


def _fail(counts: Counts, dispersion: Array, before: Array) -> Array:
    rate = _working_rate(counts.y, counts.b, before)
    rows = evidence.new_rows(len(rate), 1)
    found = []
    for look in range(rate.shape[1]):
        q = rate[:, look, None, None]
        a, x, b, y = (each[:, look, None, None] for each in counts)
        log_e = log_e_worse(x, a, y, b, (shifted(q, EFFECTS), q)) / dispersion[:, None, None]
        rows = evidence.advance(rows, log_e, np.zeros_like(log_e), LOOKS)
        found.append(evidence.log_worse(rows, LOOKS)[:, 0])
    return np.stack(found, axis=1)


def first_minute(reached: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return the first look, from 1, at which something holds; a large number for never."""
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, _MOST_MINUTES)


def _rate_row(name: str, rate: float, goal: str, note: str, *, met: bool) -> Row:
    return Row(name, rate * 100, 0, "%", goal, met, note)


# Identical arms ----------------------------------------------------------------------------------


def identical(episodes: int) -> Iterator[Row]:
    """Measure false alarms of single metrics, and of rollouts with ten mixed ones."""
    chance = np.random.default_rng(1)
    kept: dict[str, tuple[Counts, Array]] = {}
    for name, traffic in KINDS.items():
        counts = simulate(chance, traffic, episodes)
        fail, _ = course(counts, learned(chance, traffic, episodes))
        kept[name] = counts, fail
        paused, returned = (float((fail >= at).any(axis=1).mean()) for at in (_PAUSE, _ROLL_BACK))
        rivals = ", ".join(
            f"{title} {alarms(counts).any(axis=1).mean():.1%}" for title, alarms in RIVALS.items()
        )
        note = f"{episodes:,} rollouts of {LOOKS} looks, one metric; others: {rivals}"
        yield _rate_row(f"A/A {name}, pause", paused, "<= 1 %", note, met=paused <= 0.01)
        note = "the same rollouts"
        yield _rate_row(f"A/A {name}, roll back", returned, "<= 0.1 %", note, met=returned <= 1e-3)
    yield from _mixed(kept)


def _mixed(kept: dict[str, tuple[Counts, Array]]) -> Iterator[Row]:
    """Rollouts of ten metrics: one of each kind, and one more with drift."""
    names = [*KINDS, "shared drift"]
    episodes = len(next(iter(kept.values()))[1])
    # The second of a kind is another episode's.
    turns = [0 if name not in names[:place] else 1 for place, name in enumerate(names)]
    fails = [np.roll(kept[name][1], turn, axis=0) for name, turn in zip(names, turns, strict=True)]
    whole = np.logaddexp.reduce(np.stack(fails)) - math.log(MIXED)
    paused, returned = (float((whole >= at).any(axis=1).mean()) for at in (_PAUSE, _ROLL_BACK))

    def any_of(rival: Rival) -> float:
        alarms = [
            np.roll(rival(kept[name][0]), turn, axis=0)
            for name, turn in zip(names, turns, strict=True)
        ]
        return float(np.any(np.stack(alarms), axis=(0, 2)).mean())

    rivals = ", ".join(f"{title} {any_of(rival):.1%}" for title, rival in RIVALS.items())
    note = f"{episodes:,} rollouts, {MIXED} metrics, {LOOKS} looks; others: {rivals}"
    yield _rate_row("A/A mixed, pause", paused, "<= 1 %", note, met=paused <= 0.01)
    yield _rate_row("A/A mixed, roll back", returned, "<= 0.1 %", note, met=returned <= 1e-3)


# Regressions -------------------------------------------------------------------------------------


class Case(NamedTuple):
    """A regression and what is asked of the judge."""

    name: str
    traffic: Traffic
    ratio: float
    within: int
    goal: str
    met: Callable[[float, float], bool]
    onset: int = 0


def _any(_power: float, _delay: float) -> bool:
    return True


CASES: Final = (
    Case("x4 at 100 rpm", Traffic(100), 4, 30, "minute <= 13", lambda _, d: d <= 13.5),
    Case("x2 at 2,000 rpm", Traffic(2_000), 2, 30, "minute <= 6", lambda _, d: d <= 6),
    Case("x10 at 10 of 200 rpm", Traffic(10, 0.05), 10, 30, ">= 90 %", lambda p, _: p >= 0.9),
    Case("x2 bursty at 2,000 rpm", KINDS["bursty"], 2, 30, ">= 59 %", lambda p, _: p >= 0.59),
    Case("x2 bursty, in an hour", KINDS["bursty"], 2, LOOKS, "none", _any),
    Case("x2 bursty, as a whole", KINDS["bursty, arms as a whole"], 2, 30, "none", _any),
    Case("x2 bursty, 25 % canary", Traffic(2_000, 0.25, 4, replicas=4), 2, 30, "none", _any),
    Case("x2 from minute 30", KINDS["late onset"], 2, LOOKS, "none", _any, onset=30),
    Case("x2 with shared drift", KINDS["shared drift"], 2, LOOKS, "none", _any),
    Case("x2 with arm noise", KINDS["arm noise"], 2, LOOKS, "none", _any),
    Case("x2, split varies", KINDS["varying split"], 2, LOOKS, "none", _any),
)


def regressions(episodes: int) -> Iterator[Row]:
    """Measure power and delay, and false passes."""
    chance = np.random.default_rng(2)
    for case in CASES:
        counts = simulate(chance, case.traffic, episodes, ratio=case.ratio, onset=case.onset)
        fail, _ = course(counts, learned(chance, case.traffic, episodes))
        minute = first_minute(fail >= _PAUSE)
        power = float((minute <= case.within).mean())
        delay = float(np.median(minute)) - case.onset
        rivals = ", ".join(
            f"{title} {(first_minute(alarms(counts)) <= case.within).mean():.0%}"
            for title, alarms in RIVALS.items()
        )
        said = f"minute {delay:.0f}" if delay < _MOST_MINUTES / 2 else "never in half of them"
        note = f"{episodes:,} rollouts; by minute {case.within}; median {said}; others: {rivals}"
        met = case.met(power, delay)
        yield _rate_row(f"A/B {case.name}, found", power, case.goal, note, met=met)
    for name in ("iid", "bursty", "shared drift"):
        counts = simulate(chance, KINDS[name], episodes, ratio=2.0)
        spread = learned(chance, KINDS[name], episodes)
        fail, ok = course(counts, spread)
        passed = first_minute(ok >= _PASS) < first_minute(fail >= _PAUSE)
        rate = float(passed.mean())
        at_all = float((ok >= _PASS).any(axis=1).mean())
        note = f"{episodes:,} rollouts with twice the errors; pass evidence alone {at_all:.1%}"
        yield _rate_row(f"false pass at margin 2, {name}", rate, "<= 5 %", note, met=at_all <= 0.05)
        counts = simulate(chance, KINDS[name], episodes)
        _, ok = course(counts, spread)
        minute = first_minute(ok >= _PASS)
        note = f"{episodes:,} rollouts of the same machine; median minute {np.median(minute):.0f}"
        right = float((minute <= LOOKS).mean())
        yield _rate_row(f"true pass, {name}", right, "none", note, met=True)


# Latencies and gauges, through the whole judge ---------------------------------------------------

BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_PLAN: Final = Plan((Metric("latency", Kind.LATENCY),))


def _buckets(chance: np.random.Generator, requests: int, slower: float) -> tuple[int, ...]:
    took = chance.lognormal(math.log(0.05), 0.7, requests)
    took += np.where(chance.random(requests) < slower, 1.0, 0.0)
    return tuple(np.bincount(np.searchsorted(BOUNDS, took), minlength=len(BOUNDS) + 1).tolist())


def _latency_look(chance: np.random.Generator, number: int, each: int, slower: float) -> Look:
    seen = Latencies(BOUNDS, _buckets(chance, each, slower), _buckets(chance, each, 0.0))
    return Look(number, number + 1, {"latency": seen})


def latencies(episodes: int) -> Iterator[Row]:
    """Measure how soon a slow tail is found, without choosing a percentile."""
    chance = np.random.default_rng(3)
    halves = [_latency_look(chance, number, 17, 0.0) for number in range(8_640)]
    placebo = learn(_PLAN, halves, Watch(86_400), 4)
    for name, slower, goal in (("2 % one second slower", 0.02, 5), ("same latencies", 0.0, 0)):
        minutes = []
        for _ in range(episodes):
            assessment = Assessment(_PLAN, placebo)
            minute = _MOST_MINUTES
            for number in range(LOOKS):
                verdict = assessment.take(_latency_look(chance, number, 200, slower))
                if verdict.log_e_fail >= _PAUSE:
                    minute = number + 1
                    break
            minutes.append(minute)
        found = float(np.mean(np.array(minutes) <= LOOKS))
        note = f"{episodes:,} rollouts at 200 rpm in each arm, {len(BOUNDS)} bounds"
        if slower:
            median = float(np.median(minutes))
            note += f"; found in {found:.0%}"
            yield Row(name, median, 0, "min", "<= 5", median <= goal, note)
        else:
            yield _rate_row(f"A/A {name}, pause", found, "<= 1 %", note, met=found <= 0.01)


def gauges(folder: str) -> Iterator[Row]:
    """Measure false alarms on real gauges: each pair of replicas runs the same."""
    files = sorted(Path(folder).glob("*.csv")) if folder else []
    name = "placebo on real gauges, pause"
    if not files:
        note = "not measured: DEPLOYMARK_GAUGES names no folder with CSV files"
        yield Row(name, math.nan, 0, "%", "<= 1", met=False, note=note)
        return
    paused = []
    for file in files:
        with file.open(encoding="utf-8", newline="") as lines:
            table = np.array([[float(cell) for cell in row] for row in csv.reader(lines)])
        half = len(table) // 2
        for one in range(table.shape[1] - 1):
            signs = np.sign(table[:, one] - table[:, one + 1])
            wins, losses = (signs[:half] > 0).astype(float), (signs[:half] < 0).astype(float)
            dispersion = of_signs(wins, losses, (4, 20, 40, 120))
            dispersion = COLD if math.isnan(dispersion) else dispersion
            begins = range(half, len(table) - 4 * LOOKS + 1, 4 * LOOKS)
            paused += [_gauge_pauses(signs[at : at + 4 * LOOKS], dispersion) for at in begins]
    note = f"{len(paused):,} stretches of {LOOKS} looks with four scrapes, from {len(files)} files"
    rate = float(np.mean(paused)) if paused else math.nan
    yield _rate_row(name, rate, "<= 1 %", note, met=rate <= 0.01)


def _gauge_pauses(signs: Array, dispersion: float) -> bool:
    rows = evidence.new_rows(1)
    for scrapes in signs.reshape(LOOKS, -1):
        log_e = log_e_signs(int((scrapes > 0).sum()), int((scrapes < 0).sum())) / dispersion
        rows = evidence.advance(rows, log_e[None, :], np.zeros((1, EFFECTS.size)), LOOKS)
        if evidence.log_worse(rows, LOOKS)[0] >= _PAUSE:
            return True
    return False


# Cost --------------------------------------------------------------------------------------------


def cost(looks: int) -> Iterator[Row]:
    """Measure the CPU of one look at fifty metrics."""
    chance = np.random.default_rng(4)
    kinds = [Kind.EVENTS, Kind.LATENCY]
    metrics = tuple(Metric(f"metric-{place}", kinds[place % 2]) for place in range(50))
    plan = Plan(metrics)

    def one(number: int) -> Look:
        seen: dict[str, Observation] = {}
        for metric in metrics:
            if metric.kind is Kind.EVENTS:
                x, y = chance.binomial(1_000, 0.01, 2).tolist()
                seen[metric.name] = Events(Tally(1_000, x), Tally(1_000, y))
            else:
                arms = (_buckets(chance, 500, 0.0) for _ in range(2))
                seen[metric.name] = Latencies(BOUNDS, *arms)
        return Look(number, number + 1, seen)

    every = [one(number) for number in range(looks)]
    assessment = Assessment(plan, Placebo({}, Watch(), 2))
    spent = []
    for look in every:
        begin = time.process_time()
        assessment.take(look)
        spent.append(time.process_time() - begin)
    bare = []
    for look in every:
        begin = time.process_time()
        np.array([_flat(each) for each in look.seen.values() if isinstance(each, Latencies)])
        bare.append(time.process_time() - begin)
    note = f"25 metrics of events, 25 of {len(BOUNDS)} bounds; limit: their counts into one array"
    ms, limit = float(np.median(spent)) * 1e3, float(np.median(bare)) * 1e3
    yield Row("50 metrics, one look, CPU", ms, limit, "ms", "<= 2", ms <= 2, note)


def _flat(seen: Latencies) -> tuple[int, ...]:
    return seen.canary + seen.control


def rows(*, quick: bool, folder: str) -> Iterator[Row]:
    """Measure everything."""
    yield from identical(400 if quick else 4_000)
    yield from regressions(200 if quick else 1_000)
    yield from latencies(10 if quick else 100)
    yield from gauges(folder)
    yield from cost(60 if quick else 200)


def main() -> None:
    """Run and report."""
    import os  # noqa: PLC0415

    chosen = options(__doc__ or "")
    folder = os.environ.get("DEPLOYMARK_GAUGES", "")  # noqa: TID251
    report(list(rows(quick=chosen.quick, folder=folder)), as_json=chosen.json)


if __name__ == "__main__":
    main()

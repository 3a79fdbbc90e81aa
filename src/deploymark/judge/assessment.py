"""The fold over the looks of one rollout step: counts in, a verdict out. Pure.

The same plan, placebos and looks give the same verdicts, so nothing of it has to be stored but
its inputs (`replay`). A look costs the same however many came before.

What each metric comes to: the evidence of failure is the average of its rows' e-values; pass
evidence is that of its worst *relevant* row. For events and gauges that is their only one. For
latencies, the null hypothesis of a pass is a union, "canary is at least the margin worse at some
relevant bound", so the least e-value counts. Relevant are bounds that between 1 % and 30 % of
control's *earlier* requests exceeded (and less than nine tenths of 1/margin): below, hours of
traffic would be needed; above, there is no room for a ratio. Canary's own counts never select a
bound. A pass therefore says nothing of tails rarer than 1 %: the evidence of failure watches those.
"""

from deploymark.errors import JudgeError
from deploymark.judge.book import Book
from deploymark.judge.counts import Gauges, Look, Observation, check_observation
from deploymark.judge.evidence import Array
from deploymark.judge.gauge import complete, log_e_signs, signs_within, signs_worse
from deploymark.judge.placebo import Placebo, check_placebo
from deploymark.judge.plan import Metric, Plan, check_plan
from deploymark.judge.rows import NOTHING, Key, Row, arms_of, check_kind, keys_of, rows_of
from deploymark.judge.verdict import Contribution, Judgement, Reason, Standing, judge, rounded


class _Record:
    """What is remembered of a metric beside its evidence."""

    def __init__(self, metric: Metric, number: int, clump_cap: float | None) -> None:
        self.metric = metric
        self.number = number
        self.clump_cap = clump_cap
        self.keys: tuple[Key, ...] = ()
        self.seen = (0, 0)
        self.present = False
        self.changed = False

    def rows(self, observation: Observation | None) -> list[Row]:
        """Take in one observation and return its rows."""
        self.present = False
        if observation is None:
            return [NOTHING] * len(self.keys)
        canary, control = arms_of(observation)
        self.present = canary > 0 and control > 0
        self.seen = (self.seen[0] + canary, self.seen[1] + control)
        if not self.present and self.keys:
            # An arm without requests compares nothing, and may not know its bounds.
            return self._control_only(observation)
        keys = keys_of(observation, self.clump_cap)
        self.changed = self.changed or bool(self.keys and keys != self.keys)
        self.keys = keys
        return rows_of(observation, self.clump_cap)

    def _control_only(self, observation: Observation) -> list[Row]:
        if keys_of(observation, self.clump_cap) != self.keys:
            return [NOTHING] * len(self.keys)
        return rows_of(observation, self.clump_cap)

    def signs(self, observation: Observation | None) -> tuple[Array, Array]:
        """Return the log e-values of a gauge against "no worse" and "the margin worse"."""
        pairs = complete(observation.pairs) if isinstance(observation, Gauges) else []
        bad, margin = self.metric.bad, self.metric.margin
        return (
            log_e_signs(*signs_worse(pairs, bad)),
            log_e_signs(*signs_within(pairs, bad, margin)),
        )


class Assessment:
    """The evidence on one step of a rollout.

    Args:
        plan: What it is judged by.
        placebo: What placebos taught before it began.

    Raises:
        JudgeError: The plan or what placebos taught makes no sense.
    """

    def __init__(self, plan: Plan, placebo: Placebo) -> None:
        check_plan(plan)
        check_placebo(placebo)
        self._plan = plan
        self._placebo = placebo
        self._records = [
            _Record(metric, number, placebo.clump_cap(metric.name))
            for number, metric in enumerate(plan.metrics)
        ]
        self._names = {metric.name for metric in plan.metrics}
        self._shadow = not placebo.is_watched(plan.history_seconds)
        self._looks = 0
        self._until_ms: int | None = None
        self._book = Book(plan.metrics, plan.most_looks, self._dispersion, placebo.rate)

    def take(self, look: Look) -> Judgement:
        """Take in one look and return the verdict as it now stands.

        Raises:
            JudgeError: As `learn`.
        """
        self.learn(look)
        return self.judgement()

    def learn(self, look: Look) -> None:
        """Take in one look, of which nobody asks what it leads to.

        Raises:
            JudgeError: The look comes again, out of order or overlaps the one before, or it holds
                what cannot be. Nothing of it was taken in.
        """
        self._check(look)
        self._looks += 1
        self._until_ms = look.until_ms
        rows: list[Row] = []
        signs = {}
        for record in self._records:
            observation = look.seen.get(record.metric.name)
            rows += record.rows(observation)
            if record.keys and isinstance(observation, Gauges):
                signs[record.number] = record.signs(observation)
        self._book.arrange(tuple(record.keys for record in self._records))
        self._book.take(rows, signs)

    def _check(self, look: Look) -> None:
        if look.until_ms <= look.since_ms:
            raise JudgeError("A look ends before it began.", field="/until_ms")
        if self._until_ms is not None and look.since_ms < self._until_ms:
            raise JudgeError(
                f"A look from {look.since_ms} comes after one to {self._until_ms}.",
                hint="Hand in looks once, in the order of time; windows must not overlap.",
                field="/since_ms",
            )
        unknown = sorted(look.seen.keys() - self._names)
        if unknown:
            raise JudgeError(f"The plan has no metric {unknown[0]}.", field=f"/seen/{unknown[0]}")
        for record in self._records:
            observation = look.seen.get(record.metric.name)
            if observation is not None:
                check_kind(record.metric, observation)
                check_observation(observation, record.metric.name)

    def _dispersion(self, name: str, key: Key) -> float:
        return self._placebo.dispersion(name, key, self._plan.history_seconds)

    def judgement(self) -> Judgement:
        """Return the verdict as it now stands; changes nothing."""
        fail, worst = self._book.log_fail()
        passing = self._book.log_pass()
        standings = []
        for record in self._records:
            number = record.number
            reasons, waits = self._reasons(record)
            place = record.keys[worst[number]] if record.keys else None
            shown = Contribution(
                name=record.metric.name,
                log_e_fail=rounded(fail[number]),
                log_e_pass=rounded(passing[number]),
                required=record.metric.required,
                share=0.0,
                worst=place if isinstance(place, float) else None,
                dispersion=self._book.dispersion(number),
                reasons=reasons,
                waits_for=waits,
            )
            warm = self._placebo.knows(record.metric.name)
            standings.append(Standing(shown, record.metric.weight, warm, record.present))
        return judge(self._looks, standings, self._plan.most_looks, shadow=self._shadow)

    def _reasons(self, record: _Record) -> tuple[tuple[Reason, ...], tuple[str, ...]]:
        found: list[tuple[Reason, str]] = []
        canary, control = record.seen
        if not canary:
            found.append((Reason.NO_DATA, "anything from the canary"))
        elif not control:
            found.append((Reason.NO_CONTROL, "a control that runs beside it"))
        elif not record.present:
            found.append((Reason.NO_DATA, "both arms in the newest look"))
        if not self._placebo.knows(record.metric.name):
            wanted = "placebo history" if self._placebo.has_halves else "a second stable replica"
            found.append((Reason.NO_PLACEBO, wanted))
        elif self._shadow:
            missing = self._plan.history_seconds - self._placebo.watch.seconds
            found.append((Reason.NO_PLACEBO, f"placebos watched for {missing} s more"))
        if record.changed:
            found.append((Reason.CHANGED_BOUNDS, "evidence on bounds that changed"))
        return tuple(reason for reason, _ in found), tuple(text for _, text in found)

"""A tiny world in which rollouts go wrong in every way at once, and that knows what is true.

Several services of one environment, two controllers that crash anywhere and whose clocks jump,
sources that go down, verdicts that flap, people who meddle. What is false in it is never told as
a fact: a fact is true or None. Promises are checked against the truth, not against the facts.
"""

from collections.abc import Iterator
from math import log
from random import Random

from episode_truth import CANARY, SERVERLESS, SERVICES, STALE, Service, Truth
from msgspec.structs import replace
from rollout_facts import FAIL, HELD, HOUR, MINUTE, OPEN, PASS, PAUSE

from deploymark.act.decide import decide
from deploymark.act.facts import (
    Act,
    Approval,
    Authority,
    Binding,
    BurnFacts,
    Exposure,
    Facts,
    Failure,
    Freeze,
    Lease,
    Pair,
    Recovered,
    Recovery,
    Request,
    Rollout,
    Shadow,
    Stage,
    Target,
    Trust,
    VerdictFacts,
    Wanted,
    steps_of,
)
from deploymark.act.intent import Intent, Move
from deploymark.judge.verdict import Result
from deploymark.model.vocabulary import Assurance
from deploymark.ports import Deed

_OPEN = (Stage.GOING, Stage.PAUSED)


class World(Truth):
    """Lets all of it happen."""

    def __init__(self, seed: int) -> None:
        """Begin an episode that follows from its number."""
        super().__init__()
        self.chance = Random(seed)
        self.index = 0
        self.head = 0
        self.lease: tuple[str, int, int] = ("", 0, 0)
        self.clocks = {"one": 0, "two": 0}
        self.down = False
        self.services = {name: self._born(name) for name in SERVICES}

    # What happens by itself -------------------------------------------------------------------

    def play(self, turns: int) -> None:
        """Let time pass, things happen, and controllers take their turns or crash."""
        running = {name: self._controller(name) for name in self.clocks}
        for _ in range(turns):
            self.now += self.chance.choice((MINUTE, 10 * MINUTE, 20 * MINUTE, 2 * HOUR))
            self._happen()
            for _ in range(self.chance.randint(4, 70)):
                name = self.chance.choice(("one", "two"))
                if self._maybe(0.03):
                    running[name] = self._controller(name)
                self.now += self.chance.randint(0, 5_000)
                next(running[name])

    def _happen(self) -> None:
        self.down = self._maybe(0.5 if self.down else 0.05)
        for name in self.clocks:
            if self._maybe(0.1):
                jump = self.chance.choice((-30 * HOUR, -HOUR, -20_000, 20_000, 25 * HOUR))
                self.clocks[name] = self.chance.choice((0, 0, jump))
        self.killed = self._maybe(0.5 if self.killed else 0.02)
        if self._maybe(0.02):
            self._freeze(Freeze(self.chance.choice(SERVICES), "prod", self.now + HOUR, "ann"))
        if self.freezes and self._maybe(0.2):
            self.freezes, self.thawed = [], self.now
            self._logged()
        if self._maybe(0.05):
            self.quarantine.clear()
        for service in self.services.values():
            self._live(service)

    def _live(self, service: Service) -> None:
        service.watched = 0 if self._maybe(0.03) else service.watched + 1_800
        service.alarmed = self._maybe(0.03)
        if service.rollout.stage not in _OPEN:
            self._after(service)
            return
        self._seen(service)
        self._judged(service)
        if self._maybe(0.15):
            self._meddled(service)

    def _after(self, service: Service) -> None:
        if service.recovery.state is Recovered.WAITING and self._maybe(0.6):
            well = self._maybe(0.85)
            state = Recovered.YES if well else Recovered.NO
            service.recovery = replace(service.recovery, state=state)
            self.acts = [
                replace(act, recovered=well)
                if act.service == service.name and act.recovered is None
                else act
                for act in self.acts
            ]
        elif service.recovery.state is Recovered.NO and self._maybe(0.3):
            service.recovery = replace(service.recovery, state=Recovered.YES)
        busy = any(act.service == service.name and not act.outcome for act in self.acts)
        if not busy and self._maybe(0.5):
            self._release(service)

    def _seen(self, service: Service) -> None:
        binding = service.binding
        if self._maybe(0.02):
            service.weight = 60.0  # somebody moved it by hand
        if self._maybe(0.1):
            other = self.chance.choice((0, 0, 0, 1))
            observed = self.chance.choice((10, 10, 10, 9, 4, 0))
            service.binding = replace(binding, observed=observed, other=other)
        if binding.control is False:
            service.binding = replace(service.binding, target_observed=self._maybe(0.9))

    def _judged(self, service: Service) -> None:
        rollout = service.rollout
        if self.down or rollout.step == 0 or self._maybe(0.1):
            return
        replayed = self.chance.choice((True, True, True, True, None, False))
        if service.binding.control:
            flaps = (PASS, PASS, PASS, OPEN, HELD, PAUSE, FAIL)
            good, bad = (PASS, PASS, PASS, OPEN), (FAIL, FAIL, OPEN, PAUSE)
            said = self.chance.choice((good, flaps, bad)[service.number % 3])
            index = self._logged()
            verdict = VerdictFacts(
                rollout.deployment, rollout.step, said, index, self.now, replayed
            )
            service.verdict = self.said[index] = verdict
            if said.result is Result.FAIL:
                self.failures.append(Failure(service.name, "prod", self.now))
            return
        index = self._logged()
        evidence = self.chance.choice((0.0, 0.0, log(200), log(5_000)))
        since = rollout.step_since_ms
        service.burn = BurnFacts(2.0, evidence, since, self.now, index, replayed)
        self.said[index] = service.burn

    def _meddled(self, service: Service) -> None:
        """A person approves, asks, or ends it without deploymark."""
        rollout, index = service.rollout, self._logged()
        if self._maybe(0.5):
            deed = self.chance.choice(tuple(Deed))
            service.approvals = (*service.approvals, Approval(rollout.step, deed, "ann", self.now))
        elif self._maybe(0.8):
            glass = self._maybe(0.3)
            wanted = self.chance.choice((Wanted.RESUME, *Wanted))
            service.request = Request(wanted, "ann", "because", index, break_glass=glass)
        else:
            service.rollout = replace(rollout, stage=Stage.OVER)

    # Releases ---------------------------------------------------------------------------------

    def _born(self, name: str) -> Service:
        first = Pair(f"{name}-0")
        nothing = Rollout(
            f"d-{name}-0", name, "prod", Stage.OVER, 0, self.now, first, returns=False
        )
        plan = self.chance.choice((CANARY, CANARY, SERVERLESS))
        return Service(name, plan, first, nothing, {first}, watched=self.chance.choice((0, 7_200)))

    def _release(self, service: Service) -> None:
        service.number += 1
        others = [Pair(f"{service.name}-{number}") for number in range(4)]
        pair = self.chance.choice([each for each in others if each != service.stable])
        alone = service.plan is SERVERLESS
        service.rollout = Rollout(
            f"d-{service.name}-{service.number}",
            service.name,
            "prod",
            Stage.GOING,
            0,
            self.now,
            pair,
            returns=pair in service.lived,
        )
        weakest = self.chance.choice((*Assurance, *(Assurance.SIGNED,) * 6))
        asked = self.chance.choice((Assurance.ATTRIBUTED, Assurance.SIGNED))
        service.authority = Authority(weakest, asked, in_scope=self._maybe(0.95))
        service.binding = Binding(
            10, 10, 0, control=not alone, target_observed=True if alone else None
        )
        service.target = Target(
            f"d-{service.name}-stable",
            service.stable,
            concurrent=self._maybe(0.97),
            signed=self._maybe(0.97),
            present=self._maybe(0.97),
            trust=self.chance.choice((*Trust, Trust.PASSED, None)),
            irreversible=self._maybe(0.05),
        )
        service.weight, service.verdict, service.burn = 0.0, None, None
        service.approvals, service.request = (), None

    # Controllers ------------------------------------------------------------------------------

    def _controller(self, name: str) -> Iterator[None]:
        """Look, decide, log, carry out, tell; it may end after any of these and begin anew."""
        while True:
            fence = self._take(name)
            yield
            for service in self.services.values():
                facts, head, since = self._facts(service, name, fence), self.head, self.now
                yield
                intent = decide(facts)
                assert decide(facts) == intent
                self.done[f"{intent.move} {intent.code}"] += 1
                yield
                if self.now - since > STALE or self.head != head:
                    continue  # facts of another time say nothing about now
                act = self._append(service, intent, facts)
                yield
                if act is not None:
                    self._carry_out(service, act)
                    yield
            yield from self._resumed(name, fence)

    def _resumed(self, name: str, fence: int) -> Iterator[None]:
        for act in self.acts:
            if not act.outcome and self._holds(name, fence):
                # What was ordered is looked at, or done; nothing is decided again.
                self._carry_out(self.services[act.service], act)
                yield

    def _take(self, name: str) -> int:
        holder, until, fence = self.lease
        now = self.now + self.clocks[name]
        if holder not in (name, "") and until > now:
            return 0
        self.lease = (name, now + 10 * MINUTE, fence + (holder != name))
        return self.lease[2]

    def _holds(self, name: str, fence: int) -> bool:
        return self.lease[0] == name and self.lease[2] == fence

    def _facts(self, service: Service, name: str, fence: int) -> Facts:
        """Return what is true, some of it unknown."""
        now = self.now + self.clocks[name]
        held = self.lease[1] if self._holds(name, fence) else None
        gone = self.down or self._maybe(0.02)
        exposure = Exposure(None if self._maybe(0.02) else service.weight, 2, 20)
        seen = service.binding
        return Facts(
            now_ms=now,
            clock_off_ms=None if self._maybe(0.02) else self.clocks[name],
            plan=service.plan,
            rollout=service.rollout,
            verdict=service.verdict,
            burn=service.burn,
            authority=service.authority,
            binding=replace(seen, started=None, control=None) if gone else seen,
            target=None if self._maybe(0.02) else service.target,
            history=None if self._maybe(0.02) else tuple(self.acts),
            failures=None if self._maybe(0.02) else tuple(self.failures[-20:]),
            quarantine=None if self._maybe(0.02) else frozenset(self.quarantine),
            freezes=None if self._maybe(0.02) else tuple(self.freezes),
            kill_switch=None if self._maybe(0.02) else self.killed,
            exposure=exposure,
            lease=Lease(held, fence, max((act.fence for act in self.acts), default=0)),
            shadow=Shadow(service.watched, service.alarmed),
            recovery=replace(service.recovery, verifiable=not self.down),
            thawed_ms=self.thawed,
            approvals=service.approvals,
            request=service.request,
        )

    def _append(self, service: Service, intent: Intent, facts: Facts) -> Act | None:
        """Log an intent; nothing else was logged since its facts were read."""
        if intent.request_index is not None:
            service.request = None
        rollout = service.rollout
        match intent.move:
            case Move.WAIT | Move.HOLD | Move.PAGE | Move.REFUSE:
                return None
            case Move.FREEZE:
                self._freeze(Freeze("*", "prod", None, "policy", intent.reason))
            case Move.PAUSE:
                # Twice is once: who paused first stays the one.
                assert rollout.stage in {Stage.GOING, Stage.PAUSED}
                if rollout.stage is Stage.GOING:
                    service.rollout = replace(rollout, stage=Stage.PAUSED, paused_by=intent.by)
            case Move.RESUME:
                stood = service.verdict.judgement if service.verdict else OPEN
                advice = str(stood.advice) if stood.result is Result.FAIL else ""
                service.rollout = replace(
                    rollout, stage=Stage.GOING, overruled=advice, resumed_index=self.index
                )
            case Move.SHIFT | Move.PROMOTE | Move.ROLL_BACK:
                return self._ordered(service, intent, facts)
        self.is_new(intent)
        self._logged()
        return None

    def _ordered(self, service: Service, intent: Intent, facts: Facts) -> Act:
        deed = intent.deed
        assert deed is not None
        self.is_new(intent)
        if intent.automatic:
            self.keeps_its_promises(service, intent, deed)
        act = Act(
            service=service.name,
            environment="prod",
            deployment=service.rollout.deployment,
            step=service.rollout.step,
            deed=deed,
            automatic=intent.automatic,
            at_ms=facts.now_ms,
            fence=facts.lease.fence,
            index=self._logged(),
        )
        self.acts.append(act)
        self.done[f"{deed} {'automatic' if intent.automatic else 'by a person'}"] += 1
        if intent.quarantine is not None:
            self.quarantine.add(intent.quarantine)
        return act

    def _carry_out(self, service: Service, act: Act) -> None:
        """Bring it about, or fail to, or lose track; twice changes nothing more."""
        place = next(n for n, each in enumerate(self.acts) if each.index == act.index)
        if self.acts[place].outcome:
            return
        outcome = self.chance.choice(("succeeded",) * 12 + ("failed", "unknown"))
        waits = act.deed is Deed.ROLL_BACK and outcome == "succeeded"
        self.acts[place] = replace(act, outcome=outcome, recovered=None if waits else True)
        if outcome == "unknown":
            self.services[act.service].rollout = replace(service.rollout, stage=Stage.OVER)
            # Somebody looks, and says what is so.
            self.acts[place] = replace(self.acts[place], outcome="succeeded")
        elif outcome == "succeeded":
            self._became(service, act)
        self._logged()

    def _became(self, service: Service, act: Act) -> None:
        rollout = service.rollout
        match act.deed:
            case Deed.SHIFT:
                service.weight = (
                    steps_of(service.plan)[min(act.step, 1)].weight
                    if (service.plan is CANARY)
                    else 100.0
                )
                service.rollout = replace(
                    rollout, step=act.step + 1, step_since_ms=self.now, overruled=""
                )
            case Deed.PROMOTE:
                assert rollout.pair is not None
                service.stable = rollout.pair
                service.lived.add(rollout.pair)
                service.rollout = replace(rollout, stage=Stage.PROMOTED)
            case Deed.ROLL_BACK:
                service.weight = 0.0
                service.rollout = replace(rollout, stage=Stage.ROLLED_BACK)
                service.recovery = Recovery(Recovered.WAITING, self.now, verifiable=True)

    # Chance and log ---------------------------------------------------------------------------

    def _freeze(self, freeze: Freeze) -> None:
        self.freezes.append(freeze)
        self._logged()

    def _logged(self) -> int:
        self.index += 1
        self.head = self.index
        return self.index

    def _maybe(self, share: float) -> bool:
        return self.chance.random() < share

"""What people see of rollouts and ask of them: lists, one rollout, evidence, and requests.

A request is an entry like everything else (`decision/v1`, stage `approved`, the person as actor).
The controller answers it with a decision that names it, or holds it against the guards that also
bind a person. What needs no controller (a freeze, a quarantine, an adoption) holds as soon as it
is written.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from deploymark.act.alerts import HORIZON_MS, Concern
from deploymark.act.concerns import Lately, Wanted, of_orders, of_rollout, of_wanted
from deploymark.act.course import Course, fold, is_news
from deploymark.act.facts import steps_of
from deploymark.act.gather import course_of
from deploymark.act.lane import NextLook
from deploymark.act.placing import remark_on
from deploymark.act.plan import RolloutPlan, Scope
from deploymark.act.repeats import Repeats
from deploymark.act.showing import freezes_since, shown_of, still_wanted
from deploymark.errors import (
    ActionRefusedError,
    ForbiddenError,
    NotFoundError,
    QueryError,
    RefusedError,
    StaleActionError,
)
from deploymark.log.steps import counted
from deploymark.model.entries import Decision, Verdict
from deploymark.model.ids import parse_occurrence
from deploymark.model.instants import format_instant, parse_instant
from deploymark.model.limits import DeploymentName, Name, Text, Value
from deploymark.ports import LogReader
from deploymark.projections.broker.rolling import Rolling, RollingQuery, Ruled
from deploymark.projections.logged import read_entry

MAX_TOLD: Final = 500
"""Deployments of the last two days that people are told of, the newest."""

MAX_LOOKS: Final = 100
"""Looks that are shown of one step, the newest."""

OF_A_ROLLOUT: Final = ("promote", "pause", "resume", "roll_back", "approve")
"""What is asked of a rollout, and answered by the controller."""

OF_A_RELEASE: Final = ("quarantine", "release", "adopt")
"""What is said of a deployment, and holds at once."""

OF_A_PLACE: Final = ("freeze", "unfreeze")
"""What is said of a service or a whole environment, and holds at once."""

OF_A_GATE: Final = "gate"
"""Breaks the glass of the gate for one occurrence of a deployment, and holds at once."""

ACTIONS: Final = (*OF_A_ROLLOUT, *OF_A_RELEASE, *OF_A_PLACE, OF_A_GATE)


class ActionRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a person asks for (`POST /v1/actions`).

    Attributes:
        action: One of `ACTIONS`.
        deployment_id: `d-…` or `d-…~2`; without a number the newest occurrence.
        service: Of a freeze; left out, it is about every service. Elsewhere whose deployment is
            meant, where several services have one of this id.
        environment: Of a freeze; elsewhere as `service`.
        reason: Why, for whoever reads the log.
        idempotency_key: The same key again by the same caller is the same request; no other
            request may bear it.
        expected_index: The newest entry about the rollout that the person had seen.
        step: Of an approval; the one that the rollout is at unless said.
        break_glass: Guards and policies are overridden, for that reason.
    """

    action: Name
    deployment_id: DeploymentName | None = None
    service: Name | None = None
    environment: Name | None = None
    reason: Text | None = None
    idempotency_key: Value | None = None
    expected_index: int | None = None
    step: int | None = None
    break_glass: bool = False


Tell = Callable[[Mapping[str, Any]], int]
"""Appends a decision and returns its index."""

Load = Callable[[str], bytes]
"""Returns evidence by its digest."""


class Rollouts:
    """Answers people; every method waits for the disk.

    Args:
        plans: By service and environment.
        query: Asks the views.
        reader: The log.
        load: Returns evidence.
        tell: Appends decisions.
        wanted: What the controller last wanted.
        next_looks: When it looks again.
        silence: Tells that the source of a plan does not answer.
        silent_ms: Tells for how long it has not.
    """

    def __init__(  # noqa: PLR0913 - one argument for each neighbour
        self,
        plans: Mapping[Scope, RolloutPlan],
        query: RollingQuery,
        reader: LogReader,
        load: Load,
        tell: Tell,
        wanted: Callable[[], Mapping[Scope, Wanted]],
        *,
        next_looks: Callable[[], Mapping[Scope, NextLook]],
        silence: Callable[[Scope], str],
        silent_ms: Callable[[Scope], int | None] = lambda _: None,
    ) -> None:
        self._plans = plans
        self._query = query
        self._reader = reader
        self._load = load
        self._tell = tell
        self._wanted = wanted
        self._lately = Lately()
        self._next_looks = next_looks
        self._silence = silence
        self._silent_ms = silent_ms
        self._repeats = Repeats()

    def newest(self, service: str | None = None, environment: str | None = None) -> list[Any]:
        """Return what is rolled out by a plan, or stands there, in the order of the plans.

        What something is wanted of although it is not the newest stands behind that.

        Raises:
            StoreUnavailableError: The views are being built, or their medium refuses.
        """
        found = []
        for scope in self._plans:
            if service in (None, scope[0]) and environment in (None, scope[1]):
                newest = self._query.newest(*scope)
                both = (newest, self._behind(scope, newest))
                found += [self._shown(each, looks=0) for each in both if each is not None]
        return found

    def _behind(self, scope: Scope, newest: Rolling | None) -> Rolling | None:
        """Return what something is wanted of although it is not the newest, None for nothing."""
        wanted = self._wanted().get(scope)
        name = "" if wanted is None else wanted.intent.key.partition(":")[0]
        if not name.startswith("d-") or (newest is not None and newest.canary.name == name):
            return None
        return self._query.named(*scope, name)

    def show(self, name: str) -> dict[str, Any]:
        """Return one rollout with its newest looks.

        Raises:
            NotFoundError: No service that has a plan has such a deployment.
            QueryError: The name is no id.
            StoreUnavailableError: As `newest`.
        """
        return self._shown(self._named(name), looks=MAX_LOOKS)

    def evidence(self, index: int) -> dict[str, Any]:
        """Return what a verdict rests on: its basis and its looks, as they were kept.

        Each look with the index of the verdict that was taken on it.

        Raises:
            NotFoundError: The entry is no verdict, or what it rests on is not there.
            StoreUnavailableError: As `newest`.
        """
        said = read_entry(self._reader.entry(index)).content
        if not isinstance(said, Verdict):
            raise NotFoundError(f"The entry {index} is no verdict.")
        rolling = self._query.named(said.service, said.environment, said.deployment_id)
        if rolling is None:
            raise NotFoundError(f"The deployment {said.deployment_id} is not known.")
        before = [each for each in rolling.ruled if each.idx <= index]
        course = _folded(rolling, before)
        return {
            "index": index,
            "verdict": msgspec.to_builtins(said),
            "basis": self._kept(said.plan_digest or ""),
            "looks": [{"index": each.index, **self._kept(each.digest)} for each in course.looks],
        }

    def concerns(self, now_ms: int) -> list[Concern]:
        """Return what people should know of rollouts: what lasts, and what was over lately.

        For the one thread that tells them.

        Raises:
            StoreUnavailableError: As `newest`.
        """
        found = list(of_orders(self._query.orders()))
        names: dict[tuple[str, str, str], None] = {}
        for each in self._query.deeds():
            said = each.said
            lately = now_ms - parse_instant(each.received_at) <= HORIZON_MS
            if lately and isinstance(said, Decision) and said.service and said.deployment_id:
                names[said.service, said.environment, said.deployment_id] = None
        for each in self._query.glasses():
            said = each.said
            if now_ms - parse_instant(each.received_at) <= HORIZON_MS:
                about = (said.service or "", said.environment, said.deployment_id or "")
                found += of_rollout(*about, [each])
        for service, environment, name in list(names)[-MAX_TOLD:]:
            rolling = self._query.named(service, environment, name)
            if rolling is not None:
                found += of_rollout(service, environment, rolling.canary.name, rolling.ruled)
        waits: list[Concern] = []
        for scope, wanted in self._wanted().items():
            deployment = wanted.intent.key.partition(":")[0]
            waits += of_wanted(wanted, *scope, deployment)
        return found + self._lately.after(waits, now_ms)

    def ask(self, asked: ActionRequest, actor: str, now_ms: int) -> int:
        """Write down what a person asks for, and return the index of that entry.

        Raises:
            NotFoundError: There is no such deployment, or no plan for it.
            StaleActionError: More is known of the rollout than the person had seen.
            ActionRefusedError: It makes no sense now.
            ForbiddenError: The plan lets others approve.
            QueryError: The request is not what it may be.
            UnavailableError, BrokenError: The log refuses.
        """
        fields: dict[str, Any] = {
            "action": asked.action,
            "stage": "approved" if asked.action in OF_A_ROLLOUT else "decided",
            "actor": actor,
            "timestamp": format_instant(now_ms),
            "reason": asked.reason,
            "idempotency_key": asked.idempotency_key,
            "break_glass": asked.break_glass or None,
        }
        if asked.break_glass and not (asked.reason or "").strip():
            raise QueryError("Who breaks the glass says why.", field="/reason")
        if asked.idempotency_key is not None and not asked.idempotency_key.strip():
            raise QueryError("An idempotency key is not empty.", field="/idempotency_key")
        with self._repeats.one_at_a_time:
            return self._ask(asked, fields)

    def _ask(self, asked: ActionRequest, fields: dict[str, Any]) -> int:
        if asked.action in OF_A_PLACE:
            if asked.environment is None:
                raise QueryError(
                    "A freeze names its environment, `*` for all.", field="/environment"
                )
            fields |= {"service": asked.service, "environment": asked.environment}
            ruled: Sequence[Ruled] = self._query.orders()
            again = self._repeats.find(fields, ruled)
        elif asked.action in ACTIONS:
            if asked.deployment_id is None:
                raise QueryError(f"{asked.action} names a deployment.", field="/deployment_id")
            rolling = self._named(asked.deployment_id, asked.service, asked.environment)
            ruled = rolling.ruled
            fields |= _whole_name(rolling)
            if asked.action == OF_A_GATE:
                if not asked.break_glass:
                    raise QueryError(
                        "The gate is opened by breaking its glass.", field="/break_glass"
                    )
                ruled = _glasses_of(rolling, self._query.glasses())
                fields["result"] = "pass"
            named = {} if asked.step is None else {"step": asked.step}
            again = self._repeats.find(fields | named, ruled)
            if again is None:
                fields |= self._about(rolling, asked, fields["actor"])
        else:
            raise QueryError(
                f"{asked.action[:64]!r} is no action.",
                hint=f"Actions are {', '.join(ACTIONS)}.",
                field="/action",
            )
        if again is not None:
            return again
        told = {name: value for name, value in fields.items() if value is not None}
        index = self._tell(told)
        self._repeats.keep(index, told)
        return index

    def remark(self, asked: ActionRequest) -> str:
        """Return what a person should know of what they ask for, "" when nothing; before `ask`.

        Raises:
            StoreUnavailableError: As `newest`.
        """
        if asked.action in OF_A_PLACE and asked.environment is not None:
            known = {*self._plans, *self._query.standing()}
            place = (asked.service, asked.environment)
            return remark_on(place, known, self._query.orders(), lifts=asked.action == "unfreeze")
        if asked.action == "approve" and asked.deployment_id is not None:
            rolling = self._named(asked.deployment_id, asked.service, asked.environment)
            if course_of(rolling).paused is not None:
                return "It is paused: this takes effect when it is resumed (`canary resume`)."
        return ""

    def refused(self, name: str, scope: Scope, actor: str) -> dict[str, str]:
        """Return which actions would be refused to somebody now, each with why.

        Raises:
            NotFoundError, QueryError, StoreUnavailableError: As `show`.
        """
        rolling, found = self._named(name, *scope), {}
        for action in OF_A_ROLLOUT:
            try:
                self._about(rolling, ActionRequest(action=action), actor)
            except RefusedError as error:
                found[action] = error.message
        return found

    def _about(self, rolling: Rolling, asked: ActionRequest, actor: str) -> dict[str, Any]:
        course = course_of(rolling)
        known = [(each.idx, each.said) for each in rolling.ruled]
        if asked.expected_index is not None and is_news(known, asked.expected_index):
            raise StaleActionError(
                f"You had seen {asked.expected_index}; the newest entry is {course.newest}.",
                field="/expected_index",
            )
        # Rules ask for approvals, whether or not there is a plan.
        needs_plan = asked.action in OF_A_ROLLOUT and asked.action != "approve"
        if needs_plan and (rolling.service, rolling.environment) not in self._plans:
            raise NotFoundError(
                f"{rolling.service} in {rolling.environment} has no rollout plan.",
                hint="Add one to the configuration: [rollouts.SERVICE.ENVIRONMENT].",
            )
        if asked.action in OF_A_ROLLOUT:
            self._check_answerable(rolling, course, asked.action)
        if asked.action == "approve":
            self._check_approver(rolling, actor)
            self._check_step(rolling, asked.step)
        about: dict[str, Any] = _whole_name(rolling)
        if asked.action == "approve" and (step := asked.step or course.step):
            about["step"] = step
        return about

    def _check_answerable(self, rolling: Rolling, course: Course, action: str) -> None:
        """Refuse what nobody would ever answer, because only the newest rollout goes on."""
        pending = course.pending
        if pending is not None and pending.decision.action == action:
            raise ActionRefusedError(
                f"To {action.replace('_', ' ')} it was decided in entry {pending.index}, and is "
                f"being carried out.",
                hint=f"`deploymark canary show {course.deployment}` shows what becomes of it.",
            )
        if course.ended and (action != "roll_back" or course.ended == "rolled_back"):
            raise ActionRefusedError(
                f"The rollout is {course.ended.replace('_', ' ')} already.",
                hint=f"`deploymark canary show {course.deployment}` shows what was decided.",
            )
        if action == "approve":
            return  # nobody answers it: it counts from where the deployment begins
        if action == "roll_back" and (course.weight or course.unknown is not None):
            return  # it was overtaken, and has traffic still
        newest = self._query.newest(rolling.service, rolling.environment)
        if newest is None or newest.canary.name != course.deployment:
            there = "nothing" if newest is None else newest.canary.name
            raise ActionRefusedError(
                f"{course.deployment} is not what is rolled out in {rolling.environment} now: "
                f"{there} is.",
                hint="`deploymark canary` lists what is.",
            )

    def _check_approver(self, rolling: Rolling, actor: str) -> None:
        """Refuse the word of somebody whom the plan does not ask: it would be passed over."""
        plan = self._plans.get((rolling.service, rolling.environment))
        named = () if plan is None else plan.approvers
        if named and actor not in named:
            raise ForbiddenError(
                f"{actor} may not approve rollouts of {rolling.service} in {rolling.environment}; "
                f"the plan names {', '.join(named)}.",
                hint="Let one of them approve; `approvers` of the plan says who may.",
            )

    def _check_step(self, rolling: Rolling, step: int | None) -> None:
        plan = self._plans.get((rolling.service, rolling.environment))
        if step is None or (plan is None and step >= 0):
            return
        steps = 0 if plan is None else len(steps_of(plan))
        if 0 <= step <= steps:
            return
        raise QueryError(
            f"There is no step {step}: {rolling.service} in {rolling.environment} is rolled out in "
            f"{counted(steps, 'step')}.",
            hint=f"Steps are 0 (before the first one) to {steps}.",
            field="/step",
        )

    def _named(self, name: str, of: str | None = None, within: str | None = None) -> Rolling:
        identity, number = parse_occurrence(name)
        for service, environment, known, newest in self._query.scopes(identity):
            if of not in (None, service) or within not in (None, environment):
                continue
            rolling = self._query.named(service, environment, f"{known}~{number or newest}")
            if rolling is not None:
                return rolling
        hint = "`deploymark ls` lists deployments, `deploymark canary` lists rollouts."
        raise NotFoundError(f"No deployment {name[:80]!r} is known.", hint=hint)

    def _kept(self, digest: str) -> dict[str, Any]:
        return {"digest": digest, "text": self._load(digest).decode("utf-8")}

    def _next_look_at(self, scope: Scope, course: Course) -> str | None:
        found = self._next_looks().get(scope)
        if found is None or found.deployment != course.deployment:
            return None
        return format_instant(found.due_ms)

    def _shown(self, rolling: Rolling, looks: int) -> dict[str, Any]:
        course, scope = course_of(rolling), (rolling.service, rolling.environment)
        orders = self._query.orders()
        return shown_of(
            rolling,
            course,
            plan=self._plans.get(scope),
            wanted=still_wanted(self._wanted().get(scope), course, orders),
            freezes=freezes_since(scope, orders),
            next_look_at=self._next_look_at(scope, course),
            silence=self._silence(scope),
            silent_ms=self._silent_ms(scope),
            looks=looks,
        )


def _glasses_of(rolling: Rolling, glasses: Sequence[Ruled]) -> list[Ruled]:
    return [each for each in glasses if each.said.deployment_id == rolling.canary.name]


def _folded(rolling: Rolling, ruled: Sequence[Ruled]) -> Course:
    began = Course(rolling.canary.name, rolling.service, rolling.environment)
    return fold(began, ((each.idx, each.received_at, each.said) for each in ruled))


def _whole_name(rolling: Rolling) -> dict[str, Any]:
    return {
        "service": rolling.service,
        "environment": rolling.environment,
        "deployment_id": rolling.canary.name,
    }

"""The gate for clients of other systems (`ports.DialectGate`): an answer is known by its entry."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from deploymark.act.gate_book import GateBook
from deploymark.act.gating import Told
from deploymark.errors import NotFoundError, ViewsBehindError
from deploymark.judge.policy import Answer
from deploymark.model.entries import Decision, decode_entry
from deploymark.model.leaf import decode_leaf
from deploymark.model.limits import VALUE_BYTES
from deploymark.model.tolerant import bounded
from deploymark.model.vocabulary import DECISION, Kind
from deploymark.ports import Gated, GateRule, GateState
from deploymark.projections.broker.questions import DeploymentQuery
from deploymark.server.parts import Parts

MAX_LOOKED_AT: Final = 100
"""Deployments of a service among which a version is looked for, the newest."""

_STATES: Final = {
    Answer.PASS: GateState.PASS,
    Answer.FAIL: GateState.FAIL,
    Answer.UNKNOWN: GateState.INCONCLUSIVE,
}


class CallersGate:
    """See `ports.DialectGate`.

    Args:
        book: Answers, and writes down.
        parts: The rooms of the server.
        principal: Who asks.
        size: How many entries the views must have seen.
    """

    def __init__(self, book: GateBook, parts: Parts, principal: str, size: int) -> None:
        self._book = book
        self._parts = parts
        self._principal = principal
        self._size = size

    def ask(self, service: str, environment: str, version: str | None) -> Gated:
        """See `DialectGate.ask`."""
        name = None if version is None else self._named(service, environment, version)
        return self._written(self._look(service, environment, name))

    def again(self, index: int) -> Gated:
        """See `DialectGate.again`."""
        said, result = self._logged(index)
        told = self._look(str(said.service), said.environment, said.deployment_id)
        if result == GateState.INCONCLUSIVE:
            return self._written(told)
        # What was answered once stays answered; the log holds no more of it than the reasons.
        same = result == told.answer.decision
        rules = _rules_of(told) if same else tuple(_rules_in(said.reasons or (), result))
        return Gated(
            index,
            GateState(result),
            told.service,
            told.environment,
            said.deployment_id,
            rules,
        )

    def _look(self, service: str, environment: str, name: str | None) -> Told:
        told = self._book.look(service, environment, name, self._size)
        if told.as_of < self._size:
            raise ViewsBehindError("The views have not seen the whole log yet.")
        return told

    def _written(self, told: Told) -> Gated:
        index = self._book.write(told, self._principal)
        if index is None:
            raise NotFoundError(
                f"Nothing is known of {told.service} in {told.environment}.",
                hint="Mark what shall be deployed, or give it a plan.",
            )
        state = GateState(told.answer.decision.value)
        return Gated(index, state, told.service, told.environment, told.name, _rules_of(told))

    def _named(self, service: str, environment: str, version: str) -> str:
        query = DeploymentQuery(
            service=(service,),
            environment=(environment,),
            kind=(Kind.DEPLOYMENT.value,),
            limit=MAX_LOOKED_AT,
        )
        for each in self._parts.broker.deployments(query).items:
            if version in _names(each):
                return f"{each['deployment_id']}~{each['occurrence']}"
        raise NotFoundError(
            f"Version {bounded(version, VALUE_BYTES)} of {service} is not known in {environment}.",
            hint="Mark what shall be deployed before you ask.",
        )

    def _logged(self, index: int) -> tuple[Decision, str]:
        absent = NotFoundError("There is no such evaluation.", hint="It begins with a POST.")
        if not 0 <= index < self._size:
            raise absent
        entry = self._parts.view.reader.entry(index)
        leaf = None if entry.leaf is None else decode_leaf(entry.leaf)
        if leaf is None or leaf.dsse.payloadType != DECISION:
            raise absent
        said = decode_entry(leaf.dsse.payload_bytes(), DECISION, strict=False)
        if not isinstance(said, Decision) or said.action != "gate" or said.result is None:
            raise absent
        return said, said.result


def _names(document: dict[str, Any]) -> tuple[object, ...]:
    identity = document["deployment_id"]
    return (
        document["version"],
        document["commit_hash"],
        document["digest"],
        identity,
        f"{identity}~{document['occurrence']}",
    )


def _rules_of(told: Told) -> tuple[GateRule, ...]:
    return tuple(
        GateRule(each.about, _STATES[each.answer], each.reason, each.counts)
        for each in told.answer.reasons
    )


def _rules_in(reasons: Sequence[str], result: str) -> Iterator[GateRule]:
    """Return what an entry says; which of its reasons decided it does not tell."""
    for each in reasons:
        about, _, reason = each.partition(": ")
        yield GateRule(about, GateState(result), reason)

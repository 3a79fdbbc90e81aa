"""What runs is not what was claimed, or nobody independent has seen it (F4)."""

from dataclasses import replace
from hashlib import sha256
from typing import ClassVar

from deploymark.model.vocabulary import Basis, EmitterKind, FindingCode, Phase
from deploymark.testing.gameday.deploy import Deploy
from deploymark.testing.gameday.fault import (
    AT_ONCE,
    Anywhere,
    Case,
    Degradation,
    Finding,
    Injection,
    Json,
)
from deploymark.testing.gameday.message import Message


def _with_evidence(message: Message, basis: Basis, digest: str | None = None) -> Message:
    evidence = {**message.fields["evidence"], "basis": basis.value}
    fields = {**message.fields, "evidence": evidence}
    if digest is not None:
        evidence["digest"] = digest
        if "artifact" in fields:
            fields["artifact"] = {"digest": digest}
    return replace(message, fields=fields)


class WrongDigest(Anywhere):
    """One instance repeats what it was told; an observer sees that it runs something else."""

    name: ClassVar[str] = "wrong digest"

    def inject(self, case: Case) -> Injection:
        """See `Fault.inject`."""
        wrong = case.chance.choice(case.deploy.born)
        digest = f"sha256:{sha256(f'not what was built: {wrong.uid}'.encode()).hexdigest()}"
        messages = [self._spoilt(each, wrong.uid, digest) for each in case.messages]
        since = next(e.at for e in messages if e.instance_uid == wrong.uid)

        def is_seen(deployment: Json, instances: list[Json]) -> bool:
            statuses = {each["instance_uid"]: each["status"] for each in instances}
            mismatched = (deployment.get("coverage") or {}).get("mismatched") or 0
            return statuses.get(wrong.uid) == "mismatched" and mismatched > 0

        return case.injected(
            self,
            messages,
            findings=(
                Finding(
                    frozenset({FindingCode.DIGEST_MISMATCH}),
                    since,
                    AT_ONCE,
                    names=(wrong.uid, wrong.name),
                ),
            ),
            degradations=(
                Degradation("the instance is shown as mismatched", is_seen, since, AT_ONCE),
            ),
            tolerated=frozenset({FindingCode.UNPLANNED_CHANGE}),
            record=replace(case.record, instances=None),
        )

    def _spoilt(self, message: Message, uid: str, digest: str) -> Message:
        if message.instance_uid != uid or message.phase != Phase.RUNNING:
            return message
        if message.emitter.kind is EmitterKind.ORCHESTRATOR:
            return _with_evidence(message, Basis.OBSERVED, digest)
        return _with_evidence(message, Basis.DECLARED)


class TagOnly(Anywhere):
    """CI names a tag and no digest; it is resolved once an observer sees what runs."""

    name: ClassVar[str] = "tag without digest"

    def prepare(self, deploy: Deploy) -> None:
        """See `Fault.prepare`."""
        deploy.tag_only = True

    def inject(self, case: Case) -> Injection:
        """See `Fault.inject`."""
        finding = Finding(
            frozenset({FindingCode.ARTIFACT_UNRESOLVED}), case.deploy.starts, AT_ONCE, closes=True
        )
        return case.injected(
            self,
            case.messages,
            findings=(finding,),
            record=replace(case.record, digest=None),
        )


class DeclaredOnly(Anywhere):
    """No observer has seen the digest: its instances only repeat what they were told."""

    name: ClassVar[str] = "declared only"

    def inject(self, case: Case) -> Injection:
        """See `Fault.inject`."""
        own = {id(each) for each in case.own()}
        messages = []
        for each in case.messages:
            if id(each) not in own or each.phase != Phase.RUNNING:
                messages.append(each)
            elif each.emitter.kind is EmitterKind.RUNTIME:
                messages.append(_with_evidence(each, Basis.DECLARED))
        since = case.deploy.ends
        within = case.timing.marker_seconds

        def is_unproven(deployment: Json, instances: list[Json]) -> bool:
            del instances
            return deployment.get("binding") == "unproven"

        return case.injected(
            self,
            messages,
            findings=(
                Finding(frozenset({FindingCode.BINDING_UNPROVEN}), since, within, severity="info"),
            ),
            degradations=(
                Degradation("the binding is shown as unproven", is_unproven, since, within),
            ),
            record=replace(case.record, instances=None),
        )

"""Turns what happens into what CI, orchestrators and processes say of it.

Written from the specification of markers, as an outsider would: CI through the SDK's own drafts,
the others as plain JSON. A fault-free fleet has all three witnesses, and observed digests, so that
nothing about it is unproven.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from deploymark.emit.draft import draft_marker
from deploymark.model.ids import ids_of_marker
from deploymark.model.vocabulary import Basis, EmitterKind, Kind, Phase, Strategy
from deploymark.testing.gameday.deploy import Deploy, Instance, Shape, Step, What, World
from deploymark.testing.gameday.fleet import NAMESPACE, Site
from deploymark.testing.gameday.message import Emitter, Fields, Message
from deploymark.testing.gameday.rollout import CANARY_WEIGHTS

_CI_SAYS: Final = {
    What.INTENDED: Phase.PLANNED,
    What.BEGUN: Phase.APPLYING,
    What.DONE: Phase.APPLIED,
    What.PROMOTED: Phase.PROMOTED,
    What.FAILED: Phase.FAILED,
}
_ORCHESTRATOR_SAYS: Final = {
    What.SITE_BEGUN: Phase.APPLYING,
    What.APPLIED: Phase.APPLIED,
    What.CUT_OVER: Phase.CUTOVER,
    What.FAILED_HERE: Phase.FAILED,
}
_STRATEGIES: Final = {Shape.CANARY: Strategy.CANARY, Shape.BLUE_GREEN: Strategy.BLUE_GREEN}
_OBSERVED_AFTER, _CONFIRMED_AFTER = 3.0, 5.0
_EPOCH_START: Final = 0
"""Drafts want a time to claim; the player claims another when it sends."""


def testimony(deploy: Deploy) -> list[Message]:
    """Return what honest and complete witnesses say of a deploy, in the order of time."""
    said = [message for step in deploy.steps for message in _said_of(deploy, step)]
    return sorted(said, key=lambda message: message.at)


def identify(deploy: Deploy) -> str:
    """Return the deployment id that CI gives it (spec: identity, "deployment_id")."""
    return ids_of_marker(_change(deploy, Phase.PLANNED))[0]


def identify_unannounced(deploy: Deploy) -> str:
    """Return the id that the orchestrator's own markers have where CI says nothing."""
    site = deploy.lane.sites[0]
    return ids_of_marker(_orchestrated(deploy, Phase.APPLIED, _target(deploy, site)))[0]


def farewell(day: str, world: World) -> Iterator[Message]:
    """Yield what says that every instance is gone, for the end of a day."""
    for instance in world.instances():
        if instance.ended is None and not instance.silent:
            deploy = instance.deploy
            fields = {**_evidence(instance, None), "phase": Phase.REMOVED.value}
            emitter = replace(controller(deploy, instance.site), epoch=f"{day}/farewell")
            yield Message(emitter, fields, 0.0, deploy.number)


def _said_of(deploy: Deploy, step: Step) -> Iterator[Message]:
    if deploy.shape is Shape.FLAG:
        if step.what is What.DONE:
            yield Message(_person(deploy), _change(deploy, Phase.APPLIED), step.at, deploy.number)
        return
    if step.what in _CI_SAYS:
        yield _ci(deploy, step)
    elif step.what in _ORCHESTRATOR_SAYS and step.site is not None:
        fields = _orchestrated(deploy, _ORCHESTRATOR_SAYS[step.what], _target(deploy, step.site))
        if step.weight is not None:
            fields["rollout"] = {"strategy": Strategy.CANARY.value, "weight": step.weight}
        yield Message(controller(deploy, step.site), fields, step.at, deploy.number)
    elif step.instance is not None and not step.instance.silent:
        yield from _of_instance(step)


def _ci(deploy: Deploy, step: Step) -> Message:
    said = {**_change(deploy, _CI_SAYS[step.what]), "attempt": deploy.attempt}
    emitter = _job(deploy)
    named = {"kind": emitter.kind.value, "id": emitter.id}
    draft = draft_marker(said, {}, named, _EPOCH_START)
    fields = {key: value for key, value in draft.fields.items() if key not in _PLAYERS_PART}
    return Message(emitter, fields, step.at, deploy.number)


_PLAYERS_PART: Final = frozenset({"emitter", "timestamp"})


def _of_instance(step: Step) -> Iterator[Message]:
    instance, site = step.instance, step.site
    if instance is None or site is None:
        return
    deploy = instance.deploy
    orchestrator = controller(deploy, site)
    if step.what is What.ENDED:
        fields = _evidence(instance, None)
        yield Message(
            orchestrator, {**fields, "phase": Phase.REMOVED.value}, step.at, deploy.number
        )
        return
    observed = _evidence(instance, Basis.OBSERVED, observer=orchestrator.id)
    confirmed = _evidence(instance, Basis.SELF_OBSERVED)
    yield Message(orchestrator, observed, step.at + _OBSERVED_AFTER, deploy.number)
    yield Message(_process(instance), confirmed, step.at + _CONFIRMED_AFTER, deploy.number)


# Emitters ----------------------------------------------------------------------------------------


def _job(deploy: Deploy) -> Emitter:
    name = deploy.lane.service.name
    epoch = f"{deploy.release.name}:{deploy.lane.environment}:{deploy.run}.{deploy.attempt}"
    return Emitter(EmitterKind.CI, f"https://ci.example.com/gameday/{name}/deploy.yml", epoch)


def _person(deploy: Deploy) -> Emitter:
    return Emitter(EmitterKind.HUMAN, f"flags/{deploy.lane.key}", deploy.release.name)


def controller(deploy: Deploy, site: Site) -> Emitter:
    """Return the orchestrator of a site, one for each lane so that faults stay on theirs."""
    day = deploy.release.name.partition("/")[0]
    return Emitter(EmitterKind.ORCHESTRATOR, f"orchestrator/{site.cluster}/{deploy.lane.key}", day)


def _process(instance: Instance) -> Emitter:
    name = instance.deploy.lane.service.name
    return Emitter(EmitterKind.RUNTIME, f"runtime/{name}", instance.uid)


# Markers -----------------------------------------------------------------------------------------


def _subject(deploy: Deploy) -> Fields:
    lane = deploy.lane
    return {
        "service": lane.service.name,
        "environment": lane.environment,
        "kind": deploy.line.kind.value,
    }


def _change(deploy: Deploy, phase: Phase) -> Fields:
    """Return what CI, or a person, says of a change."""
    lane, release = deploy.lane, deploy.release
    fields: Fields = {
        **_subject(deploy),
        "phase": phase.value,
        "action": f"ci.example.com/{release.name}/{deploy.run}",
        "owner": lane.service.owner,
        "change_tickets": [f"CHG{deploy.number:07}"],
    }
    if deploy.line.kind is not Kind.DEPLOYMENT:
        fields |= {"key": deploy.line.key, "revision": deploy.revision}
        if deploy.shape is Shape.MIGRATION:
            fields |= {"direction": "up"}
        return fields
    rollout: dict[str, Any] = {
        "strategy": _STRATEGIES.get(deploy.shape, Strategy.ROLLING).value,
    }
    if deploy.shape is Shape.CANARY:
        rollout["steps"] = list(CANARY_WEIGHTS)
    if deploy.rollback_of is not None:
        rollout["rollback_of"] = identify(deploy.rollback_of)
    artifact = {
        "name": f"registry.example.com/gameday/{lane.service.name}",
        "tag": release.version,
    }
    if not deploy.tag_only:
        artifact["digest"] = release.digest
    return {
        **fields,
        "artifact": artifact,
        "version": release.version,
        "commit_hash": release.commit,
        "repository": f"https://git.example.com/gameday/{lane.service.name}",
        "author": "alice",
        "build_id": str(deploy.run),
        "rollout": rollout,
    }


def _target(deploy: Deploy, site: Site) -> Fields:
    target = {
        "cluster": site.cluster,
        "region": site.region,
        "namespace": NAMESPACE,
        "workload": deploy.lane.service.workload,
    }
    return target if deploy.colour is None else {**target, "colour": deploy.colour}


def _orchestrated(deploy: Deploy, phase: Phase, target: Fields) -> Fields:
    """Return what an orchestrator says of a change on one site."""
    fields = {**_subject(deploy), "phase": phase.value, "target": target}
    release = deploy.release
    if deploy.line.kind is not Kind.DEPLOYMENT:
        # No rule joins such a change by what it sets, so it says its id (spec: "Correlation").
        id_ = identify(deploy)
        return {**fields, "deployment_id": id_, "key": deploy.line.key, "revision": deploy.revision}
    if deploy.lane.service.labelled:
        fields["deployment_id"] = identify(deploy)
    name = f"registry.example.com/gameday/{deploy.lane.service.name}"
    return {
        **fields,
        "artifact": {"name": name, "digest": release.digest},
        "version": release.version,
    }


def _evidence(instance: Instance, basis: Basis | None, observer: str | None = None) -> Fields:
    """Return what is said of one instance; without a basis, that it is gone."""
    deploy = instance.deploy
    release = deploy.release
    target = _target(deploy, instance.site) | {
        "zone": instance.zone,
        "node": instance.node,
        "instance": instance.name,
        "instance_uid": instance.uid,
    }
    fields: Fields = {
        **_subject(deploy),
        "phase": Phase.RUNNING.value,
        "target": target,
        "version": release.version,
    }
    if deploy.lane.service.labelled:
        fields["deployment_id"] = identify(deploy)
    else:
        fields["artifact"] = {"digest": release.digest}
    if instance.track is not None:
        fields["rollout"] = {"track": instance.track}
    if basis is not None:
        fields["evidence"] = {"basis": basis.value, "digest": release.digest}
        if observer is not None:
            fields["evidence"]["observer"] = observer
    return fields

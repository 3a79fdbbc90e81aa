"""The controllers behind the double of the Kubernetes API: Deployments, ReplicaSets, and their end.

They do what kube-controller-manager does, one change at a time: a Deployment makes one ReplicaSet
per template and moves pods from the old ones to the new one, a quarter at a time; a ReplicaSet
makes pods and counts those that are ready; what has lost its owner ends. No kubelet is here: pods
become ready, and get an image id, when somebody writes that into their status.
"""

import json
import math
from hashlib import sha256
from typing import Any, Final

from deploymark.testing.kubernetes_schema import KINDS, REVISION
from deploymark.testing.kubernetes_store import Content, Key, Store

HASH: Final = "pod-template-hash"
_WHO: Final = "kube-controller-manager"
_POD, _DEPLOYMENT, _REPLICA_SET, _ROLLOUT = KINDS
_QUARTER: Final = 0.25


def reconcile(store: Store) -> bool:
    """Do the next thing that is to be done; False when there is none."""
    return (
        any(_end_orphan(store, each) for each in _all(store, _REPLICA_SET))
        or any(_end_orphan(store, each) for each in _all(store, _POD))
        or any(_run_deployment(store, each) for each in _all(store, _DEPLOYMENT))
        or any(_run_replica_set(store, each) for each in _all(store, _REPLICA_SET))
    )


def _all(store: Store, kind: Any) -> list[Content]:  # noqa: ANN401 - a Kind
    return store.listed(kind, "", lambda _: True)[1]


def _owner(content: Content) -> Content | None:
    owners = content["metadata"].get("ownerReferences") or []
    return owners[0] if owners else None


def _owned(store: Store, kind: Any, owner: Content) -> list[Content]:  # noqa: ANN401 - a Kind
    uid = owner["metadata"]["uid"]
    return [each for each in _all(store, kind) if (_owner(each) or {}).get("uid") == uid]


def _key(kind: Any, content: Content) -> Key:  # noqa: ANN401 - a Kind
    return Key(kind.plural, content["metadata"]["namespace"], content["metadata"]["name"])


def _end_orphan(store: Store, content: Content) -> bool:
    owner = _owner(content)
    if owner is None or content["metadata"].get("deletionTimestamp"):
        return False
    kind = next(each for each in KINDS if each.kind == owner["kind"])
    if any(each["metadata"]["uid"] == owner["uid"] for each in _all(store, kind)):
        return False
    own = next(each for each in KINDS if each.kind == content["kind"])
    store.delete(own, _key(own, content), None)
    return True


# ReplicaSets -------------------------------------------------------------------------------------


def _run_replica_set(store: Store, content: Content) -> bool:
    pods = [
        each
        for each in _owned(store, _POD, content)
        if not each["metadata"].get("deletionTimestamp")
    ]
    missing = content["spec"]["replicas"] - len(pods)
    if missing > 0:
        _make_pod(store, content)
        return True
    if missing < 0:
        pods.sort(key=lambda each: (_is_ready(each), -int(each["metadata"]["resourceVersion"])))
        store.delete(_POD, _key(_POD, pods[0]), None)
        return True
    ready = sum(_is_ready(each) for each in pods)
    return _set_status(
        store,
        _REPLICA_SET,
        content,
        {
            "replicas": len(pods),
            "fullyLabeledReplicas": len(pods),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "observedGeneration": content["metadata"]["generation"],
        },
    )


def _make_pod(store: Store, content: Content) -> None:
    metadata, template = content["metadata"], content["spec"]["template"]
    pod = {
        "metadata": {
            **(template.get("metadata") or {}),
            "name": f"{metadata['name']}-{store.version}",
            "ownerReferences": [_reference(content)],
        },
        "spec": template["spec"],
    }
    namespace = metadata["namespace"]
    store.create(_POD, namespace, json.loads(json.dumps(pod)), _WHO)


def _is_ready(pod: Content) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


# Deployments -------------------------------------------------------------------------------------


def _run_deployment(store: Store, content: Content) -> bool:
    sets = _owned(store, _REPLICA_SET, content)
    spec = content["spec"]
    name = template_hash(spec["template"])
    new = next((each for each in sets if each["metadata"]["labels"][HASH] == name), None)
    paused = bool(spec.get("paused"))
    if not paused and _make_current(store, content, sets, new, name):
        return True
    if paused:
        new = new or max(sets, key=_revision, default=None)
    old = [each for each in sets if each is not new]
    if new is not None and (
        _grow(store, content, new, old) or (not paused and _shrink(store, content, new, old))
    ):
        return True
    return _tell_deployment(store, content, sets, new)


def _make_current(
    store: Store, content: Content, sets: list[Content], new: Content | None, name: str
) -> bool:
    """See that the template has a ReplicaSet, and that it carries the highest revision."""
    revision = max((_revision(each) for each in sets if each is not new), default=0) + 1
    if new is None:
        _make_replica_set(store, content, name, revision)
        return True
    if _revision(new) < revision:
        _annotate(store, _REPLICA_SET, new, revision)
        return True
    if _revision(content) != _revision(new):
        _annotate(store, _DEPLOYMENT, content, _revision(new))
        return True
    return False


def template_hash(template: Content) -> str:
    """Return what tells the ReplicaSets of a Deployment apart: of the template."""
    return sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]


def _make_replica_set(store: Store, content: Content, name: str, revision: int) -> None:
    spec, metadata = json.loads(json.dumps(content["spec"])), content["metadata"]
    template = spec["template"]
    template.setdefault("metadata", {}).setdefault("labels", {})[HASH] = name
    selector = spec["selector"]
    selector.setdefault("matchLabels", {})[HASH] = name
    made = {
        "metadata": {
            "name": f"{metadata['name']}-{name}",
            "labels": template["metadata"]["labels"],
            "annotations": {REVISION: str(revision)},
            "ownerReferences": [_reference(content)],
        },
        "spec": {"replicas": 0, "selector": selector, "template": template},
    }
    store.create(_REPLICA_SET, metadata["namespace"], made, _WHO)


def _grow(store: Store, content: Content, new: Content, old: list[Content]) -> bool:
    wanted = content["spec"]["replicas"]
    if not old or not any(each["spec"]["replicas"] for each in old):
        return _scale(store, new, wanted)
    total = sum(each["spec"]["replicas"] for each in (new, *old))
    room = wanted + math.ceil(wanted * _QUARTER) - total
    has = new["spec"]["replicas"]
    if has > wanted:
        return _scale(store, new, wanted)
    return room > 0 and _scale(store, new, min(wanted, has + room))


def _shrink(store: Store, content: Content, new: Content, old: list[Content]) -> bool:
    """Take pods of old templates away, the unready first, while enough serve."""
    wanted = content["spec"]["replicas"]
    total = sum(each["spec"]["replicas"] for each in (new, *old))
    least = wanted - math.floor(wanted * _QUARTER)
    unavailable = new["spec"]["replicas"] - _available(new)
    spare = total - least - unavailable
    for each in sorted(old, key=_available):
        has = each["spec"]["replicas"]
        if has and spare > 0:
            return _scale(store, each, max(0, has - spare))
    return False


def _tell_deployment(
    store: Store, content: Content, sets: list[Content], new: Content | None
) -> bool:
    def total(name: str) -> int:
        return sum((each.get("status") or {}).get(name) or 0 for each in sets)

    updated = 0 if new is None else (new.get("status") or {}).get("replicas") or 0
    wanted, available = content["spec"]["replicas"], total("availableReplicas")
    enough = available >= wanted - math.floor(wanted * _QUARTER)
    return _set_status(
        store,
        _DEPLOYMENT,
        content,
        {
            "observedGeneration": content["metadata"]["generation"],
            "replicas": total("replicas"),
            "updatedReplicas": updated,
            "readyReplicas": total("readyReplicas"),
            "availableReplicas": available,
            "unavailableReplicas": max(0, wanted - available),
            "conditions": [
                {"type": "Available", "status": "True" if enough else "False"},
                {"type": "Progressing", "status": "True"},
            ],
        },
    )


def _available(content: Content) -> int:
    found: int = (content.get("status") or {}).get("availableReplicas") or 0
    return found


def _revision(content: Content) -> int:
    return int((content["metadata"].get("annotations") or {}).get(REVISION, 0))


def _annotate(store: Store, kind: Any, content: Content, revision: int) -> None:  # noqa: ANN401 - a Kind
    def write(found: Content) -> Content:
        found["metadata"].setdefault("annotations", {})[REVISION] = str(revision)
        return found

    store.change(kind, _key(kind, content), write, manager=_WHO)


def _scale(store: Store, content: Content, replicas: int) -> bool:
    if content["spec"]["replicas"] == replicas:
        return False

    def write(found: Content) -> Content:
        found["spec"]["replicas"] = replicas
        return found

    store.change(_REPLICA_SET, _key(_REPLICA_SET, content), write, manager=_WHO)
    return True


def _set_status(store: Store, kind: Any, content: Content, status: Content) -> bool:  # noqa: ANN401 - a Kind
    before = content.get("status") or {}
    if all(before.get(name) == value for name, value in status.items()):
        return False

    def write(found: Content) -> Content:
        return {**found, "status": {**before, **status}}

    store.change(kind, _key(kind, content), write, manager=_WHO, status=True)
    return True


def _reference(content: Content) -> Content:
    return {
        "apiVersion": content["apiVersion"],
        "kind": content["kind"],
        "name": content["metadata"]["name"],
        "uid": content["metadata"]["uid"],
        "controller": True,
    }

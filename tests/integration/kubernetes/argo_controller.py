"""Stands in for the controller of Argo Rollouts: moves Rollouts through their steps, over the API.

As far as the documents and the kubectl plugin of Argo say it: a new template begins the steps anew,
a pause is left when its condition was taken away, `promoteFull` skips everything, `abort` goes back
to the stable ReplicaSet, and the template of that one skips the steps.
"""

import contextlib
import http.client
import json
import threading
from hashlib import sha256
from typing import Self

from control_plane import ControlPlane, Json

HASH = "rollouts-pod-template-hash"


def hash_of(template: Json) -> str:
    return sha256(json.dumps(template["spec"], sort_keys=True).encode()).hexdigest()[:10]


class ArgoController:
    """Moves the Rollouts of a namespace until the block ends."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(0.01):
            with contextlib.suppress(OSError, http.client.HTTPException, AssertionError):
                for each in self._plane.items("rollouts"):
                    self._move(each)

    def _move(self, found: Json) -> None:
        status = found.get("status") or {}
        wanted = moved(found, dict(status))
        if wanted == status:
            return
        self._make_replica_set(found, wanted["currentPodHash"])
        changes = {**dict.fromkeys(status), **wanted}
        version = found["metadata"]["resourceVersion"]
        path = f"rollouts/{found['metadata']['name']}/status"
        patch = {"metadata": {"resourceVersion": version}, "status": changes}
        self._plane.ask("PATCH", path, patch, "application/merge-patch+json")

    def _make_replica_set(self, found: Json, name: str) -> None:
        metadata, labels = found["metadata"], {HASH: name, "app": "shop"}
        template = json.loads(json.dumps(found["spec"]["template"]))
        template.setdefault("metadata", {})["labels"] = labels
        owner = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Rollout",
            "name": metadata["name"],
            "uid": metadata["uid"],
            "controller": True,
        }
        made = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": f"{metadata['name']}-{name}",
                "labels": labels,
                "ownerReferences": [owner],
            },
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
        }
        self._plane.ask("POST", "replicasets", made)


def moved(found: Json, status: Json) -> Json:
    """Return the status after the next thing that the controller does."""
    spec, generation = found["spec"], str(found["metadata"]["generation"])
    canary = spec["strategy"].get("canary")
    steps = (canary or {}).get("steps") or []
    now = hash_of(spec["template"])
    if not status.get("stableRS"):
        status["stableRS"] = now
    if status.get("currentPodHash") != now:
        kept = {"stableRS": status["stableRS"], "currentPodHash": now}
        step = len(steps) if now == status["stableRS"] else 0
        status = {**kept, "currentStepIndex": step, "phase": "Progressing"}
    status["observedGeneration"] = generation
    if status.get("promoteFull"):
        status = {"currentPodHash": now, "observedGeneration": generation, "stableRS": now}
        status["currentStepIndex"] = len(steps)
    if status["stableRS"] == now:
        status["phase"] = "Healthy"
        return weighted(canary, status, 0)
    if status.get("abort"):
        status |= {"currentStepIndex": 0, "phase": "Degraded", "abortedAt": "2026-11-23T00:00:00Z"}
        status.pop("pauseConditions", None)
        return weighted(canary, status, 0)
    if spec.get("paused") or canary is None:
        return {**status, "phase": "Paused"}
    return stepped(canary, steps, status)


def stepped(canary: Json, steps: list[Json], status: Json) -> Json:
    index = status.get("currentStepIndex") or 0
    if index >= len(steps):
        status["stableRS"] = status["currentPodHash"]
        return status
    step = steps[index]
    if "setWeight" in step:
        return weighted(canary, {**status, "currentStepIndex": index + 1}, step["setWeight"])
    if "pause" not in step:
        return {**status, "currentStepIndex": index + 1}
    if status.get("pauseConditions"):
        return status
    if status.get("controllerPause"):
        left = {name: each for name, each in status.items() if name != "controllerPause"}
        return {**left, "currentStepIndex": index + 1, "phase": "Progressing"}
    condition = {"reason": "CanaryPauseStep", "startTime": "2026-11-23T00:00:00Z"}
    paused = {"pauseConditions": [condition], "controllerPause": True, "phase": "Paused"}
    return {**status, **paused}


def weighted(canary: Json | None, status: Json, weight: int) -> Json:
    if canary is None:
        return status
    status["updatedReplicas"] = 1 if weight or status["stableRS"] == status["currentPodHash"] else 0
    if canary.get("trafficRouting"):
        weights = {"canary": {"weight": weight}, "stable": {"weight": 100 - weight}}
        status["canary"] = {"weights": weights}
    return status

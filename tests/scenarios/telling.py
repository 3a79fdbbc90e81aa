"""Markers handed in one by one, as anybody with a token can, where a story has no pipeline."""

from http import HTTPStatus

from team import ENVIRONMENT, SERVICE, Json, Team


def digest(letter: str) -> str:
    """Return the digest of a made-up artifact."""
    return f"sha256:{letter * 64}"


def say(team: Team, phase: str, release: str, witness: str, **more: object) -> Json:
    """Hand a marker in; gives the acknowledgement."""
    fields = {
        "service": SERVICE,
        "environment": ENVIRONMENT,
        "phase": phase,
        "artifact": {"digest": digest(release)},
        "emitter": {"kind": witness, "id": f"{witness}-1"},
        **more,
    }
    status, told = team.request("ci", "POST", "/v1/markers", fields)
    assert status == HTTPStatus.CREATED, told
    return told


def pod(team: Team, name: str, release: str, track: str, **more: object) -> Json:
    """Say that a pod runs a release, as an observer in its cluster sees it."""
    target = {"cluster": "eu-1", "namespace": "shop", "instance": name, "instance_uid": f"u-{name}"}
    return say(
        team,
        "running",
        release,
        "orchestrator",
        target=target,
        rollout={"track": track},
        evidence={"basis": "observed", "observer": "orchestrator-1"},
        **more,
    )

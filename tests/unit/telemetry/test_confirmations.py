"""A resource that says what runs becomes one ordinary marker, and contradicts nobody."""

from telemetry_samples import START_S, Room

from deploymark.errors import ForbiddenError, LogBusyError
from deploymark.testing.otlp import logs, metrics, resource, span, traces


def test_a_resource_confirms_what_runs_once(room: Room) -> None:
    said = resource(host__name="h1", k8s__cluster__name="eu-1", service__version="2.31.0")
    for number in range(3):
        room.send(traces(said, [span(number, START_S)]))
    (marker,) = room.intake.markers
    assert (marker["service"], marker["environment"]) == ("shop", "prod")
    assert (marker["phase"], marker["deployment_id"]) == ("running", "d-one")
    assert marker["version"] == "2.31.0"
    assert marker["emitter"] == {"kind": "runtime", "id": "otlp"}
    assert marker["evidence"]["basis"] == "declared"
    assert marker["target"] == {
        "cluster": "eu-1",
        "node": "h1",
        "instance": "h1",
        "instance_uid": "i-1",
    }
    assert "labels" not in marker


def test_a_derived_instance_says_from_what(room: Room) -> None:
    room.send(traces(resource(instance="", host__name="h1", process__pid=7), []))
    (marker,) = room.intake.markers
    assert marker["target"]["instance_uid"] == "h1/7"
    assert marker["labels"] == {"instance_from": "host.name, process.pid"}


def test_a_digest_is_declared_and_not_observed(room: Room) -> None:
    digest = f"sha256:{'a' * 64}"
    said = resource(deployment="", container__image__repo_digests=[f"reg/shop@{digest}"])
    room.send(logs(said, []))
    (marker,) = room.intake.markers
    assert "deployment_id" not in marker
    assert marker["artifact"] == {"digest": digest, "name": "reg/shop"}
    assert (marker["evidence"]["digest"], marker["evidence"]["basis"]) == (digest, "declared")


def test_a_resource_without_identity_is_only_counted(room: Room) -> None:
    room.send(traces(resource(deployment=""), [span(1, START_S)]))
    room.send(traces(resource(environment=""), [span(2, START_S)]))
    assert room.intake.markers == []
    assert len(room.red()) == 2
    counted = room.meter.counts
    assert counted["deploymark_telemetry_confirmations_total{outcome=no_environment}"] == 1


def test_each_instance_and_each_deployment_is_confirmed(room: Room) -> None:
    for instance in ("i-1", "i-2"):
        for deployment in ("d-one", "d-two"):
            room.send(traces(resource(deployment=deployment, instance=instance), []))
    assert len(room.intake.markers) == 4


def test_a_process_that_confirms_itself_is_not_confirmed_again(room: Room) -> None:
    room.send(traces(resource(deploymark__confirms_itself="true"), [span(1, START_S)]))
    assert room.intake.markers == []
    assert room.totals()["requests"] == 1


def test_a_digest_that_is_only_left_out_is_no_contradiction(room: Room) -> None:
    one, other = (f"sha256:{letter * 64}" for letter in "ab")
    for digest in (one, "", one):
        room.send(traces(resource(deploymark__artifact__digest=digest), []))
    room.send(logs(resource(instance="i-2"), []))
    room.send(metrics(resource(instance="i-2", deploymark__artifact__digest=one), []))
    assert len(room.intake.markers) == 2
    for _ in range(2):
        room.send(traces(resource(deploymark__artifact__digest=other), []))
    assert [marker.get("artifact") for marker in room.intake.markers] == [
        {"digest": one},
        None,
        {"digest": other},
    ]


def test_a_confirmation_that_could_not_be_admitted_is_sent_again(room: Room) -> None:
    room.intake.refusal = LogBusyError("Busy.")
    room.send(traces(resource(), []))
    room.intake.refusal = None
    room.send(traces(resource(), [span(1, START_S)]))
    assert room.intake.markers == []
    room.clock.advance(6)
    room.send(traces(resource(), [span(2, START_S)]))
    assert len(room.intake.markers) == 1


def test_a_refused_confirmation_does_not_keep_telemetry_out(room: Room) -> None:
    room.intake.refusal = ForbiddenError("No.")
    room.send(traces(resource(), [span(1, START_S)]))
    room.clock.advance(60)
    room.send(traces(resource(), [span(2, START_S)]))
    assert room.totals()["requests"] == 2
    assert room.meter.counts["deploymark_telemetry_confirmations_total{outcome=forbidden}"] == 1

"""OpenTelemetry finds deploymark by its entry points: a resource, a propagator, a start-up span."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from deploymark.testing.receiving_server import receiving_server

VARIABLES = {
    "DEPLOYMARK_SERVICE": "shop",
    "DEPLOYMARK_ENVIRONMENT": "prod",
    "DEPLOYMARK_DEPLOYMENT_ID": "d-own",
    "DEPLOYMARK_VERSION": "7",
}


def run(program: str, folder: Path, **variables: str) -> str:
    """Run a program and return what it wrote to stdout."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={
            **VARIABLES,
            "DEPLOYMARK_SPOOL": str(folder / "spool"),
            "PYTHONPATH": os.pathsep.join(sys.path),
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_resource_carries_the_deployment_and_says_nothing_to_the_log(tmp_path: Path) -> None:
    program = """
    import json
    from opentelemetry.sdk.resources import Resource
    print(json.dumps(dict(Resource.create().attributes)))
    """
    detectors = {"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "otel,deploymark"}
    attributes = json.loads(run(program, tmp_path, **detectors))
    assert attributes["deployment.id"] == "d-own"
    assert attributes["service.name"] == "shop"
    assert attributes["service.version"] == "7"
    assert attributes["deployment.environment.name"] == "prod"
    assert attributes["service.instance.id"].count(":") == 2
    assert not (tmp_path / "spool").exists()


def test_a_forked_worker_is_another_instance_in_its_resource_too(tmp_path: Path) -> None:
    program = """
    import os
    from opentelemetry.sdk.trace import TracerProvider
    provider = TracerProvider()  # as instrumentation from outside does in the parent
    import deploymark
    parent = deploymark.startup()
    said = lambda: provider.resource.attributes["service.instance.id"]
    assert said() == parent.instance_uid, said()
    before = said()
    child = os.fork()
    if child == 0:
        assert said() == parent.instance_uid != before, said()
        assert parent.wait(30)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    """
    detectors = {"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "otel,deploymark"}
    run(program, tmp_path, **detectors)


CALLS = """
from opentelemetry.propagate import extract, inject
sent = {}
inject(sent, extract({"baggage": "a=1,deploymark.upstream=d-caller"}))
print(sent.get("baggage"))
sent = {}
inject(sent, extract({"baggage": "deploymark.upstream=d-caller"}))
print(sent.get("baggage"))
sent = {}
inject(sent)
print(sent.get("baggage"))
"""
PROPAGATORS = {"OTEL_PROPAGATORS": "tracecontext,baggage,deploymark"}


def test_an_instrumented_call_names_us_and_not_who_called_us(tmp_path: Path) -> None:
    both, one, none = run(CALLS, tmp_path, **PROPAGATORS).splitlines()
    assert sorted(both.split(",")) == ["a=1", "deploymark.upstream=d-own"]
    assert one == none == "deploymark.upstream=d-own"


def test_who_does_not_know_itself_names_nobody(tmp_path: Path) -> None:
    both, one, none = run(CALLS, tmp_path, **PROPAGATORS, DEPLOYMARK_DEPLOYMENT_ID="").splitlines()
    assert (both, one, none) == ("a=1", "", "None")


def test_the_start_is_a_span_although_tracing_is_set_up_later(tmp_path: Path) -> None:
    program = """
    import time
    from opentelemetry import trace
    import deploymark
    started = deploymark.startup()
    assert started.wait(30)

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(provider)
    for _ in range(100):
        if spans.get_finished_spans():
            break
        time.sleep(0.05)
    (span,) = spans.get_finished_spans()
    assert span.start_time <= span.end_time
    print(span.name, span.attributes["deploymark.marker.id"] == started.marker_id)
    """
    with receiving_server() as server:
        assert run(program, tmp_path, DEPLOYMARK_URL=server.url) == "deploymark.startup True\n"
        assert [each["phase"] for each in server.markers()] == ["running", "removed"]


def test_an_application_that_never_traces_is_not_held_up_at_its_end(tmp_path: Path) -> None:
    program = """
    from opentelemetry import trace
    import deploymark
    assert deploymark.startup().wait(30)
    """
    with receiving_server() as server:
        run(program, tmp_path, DEPLOYMARK_URL=server.url)
        assert [each["phase"] for each in server.markers()] == ["running", "removed"]

"""What it costs to speak another system's dialect: requests a second, and CPU, by dialect.

Run alone: `python benchmarks/dialects.py [--quick] [--json]`. Every request says a deployment that
is new. The bare limit is the native interface, `POST /v1/markers`, asked by the same load in the
same run. `datadog_gate` asks and says nothing, so it is not here.
"""

import asyncio
import contextlib
import hmac
import http.client
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from ingest import COMMAND, server_of
from loading import Load, press, request
from measuring import Row, options, report

from deploymark.runtime.dialects import NAMES

TOKEN: Final = "dm_admin_" + "d" * 40
SECRET: Final = "a secret of a webhook"  # noqa: S105 - of this run
CONNECTIONS: Final = 32
ASKING: Final = frozenset({"datadog_gate"})

_FOLDERS: Final = Path(__file__).parent.parent / "src" / "deploymark" / "integrations"
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}
_BEARER: Final = {"Authorization": f"Bearer {TOKEN}"}
_AT: Final = "2026-11-23T10:00:00Z"
_REPOSITORY: Final = "https://github.com/acme/checkout"

# By dialect: path, headers, and the body in which V is the version and C the commit.
REQUESTS: Final[dict[str, tuple[str, dict[str, str], Any]]] = {
    "grafana_annotations": (
        "/api/annotations", _BEARER,
        {"text": "Deployed", "tags": ["service:checkout", "env:prod", "version:V"]},
    ),
    "sentry_releases": (
        "/api/0/organizations/acme/releases/web@V/deploys/", _BEARER,
        {"environment": "prod", "dateFinished": _AT},
    ),
    "github_webhooks": (
        "/hooks/github", {"X-GitHub-Event": "deployment"},
        {
            "action": "created",
            "deployment": {"sha": "C", "ref": "main", "environment": "prod", "created_at": _AT},
            "repository": {"name": "shop", "full_name": "acme/shop", "html_url": _REPOSITORY},
        },
    ),
    "gitlab_deployments": (
        "/api/v4/projects/acme%2Fshop/deployments", {"PRIVATE-TOKEN": TOKEN},
        {"environment": "prod", "sha": "C", "ref": "main", "tag": "false", "status": "success"},
    ),
    "flux_events": (
        "/hooks/flux", _BEARER,
        {
            "involvedObject": {"kind": "Kustomization", "namespace": "apps", "name": "webapp"},
            "severity": "info", "timestamp": _AT, "message": "Reconciled",
            "reason": "ReconciliationSucceeded",
            "metadata": {"kustomize.toolkit.fluxcd.io/revision": "main@sha1:C", "env": "prod"},
        },
    ),
    "argocd_notifications": (
        "/hooks/argocd", _BEARER,
        {
            "application": "shop", "environment": "prod", "phase": "Succeeded", "revision": "C",
            "finished_at": _AT,
        },
    ),
    "cloudevents": (
        "/events", {**_BEARER, "Content-Type": "application/cloudevents+json"},
        {
            "specversion": "1.0", "id": "C", "source": "/bench", "type": "org.example.deployed",
            "data": {"service": "checkout", "environment": "prod", "version": "V"},
        },
    ),
    "datadog": (
        "/api/v2/dora/deployment", {"DD-API-KEY": TOKEN},
        {"data": {"attributes": {"service": "checkout", "env": "prod", "version": "V"}}},
    ),
    "pagerduty_changes": (
        "/v2/change/enqueue", {},
        {
            "routing_key": TOKEN,
            "payload": {
                "summary": "Deployed", "timestamp": _AT,
                "custom_details": {"service": "checkout", "env": "prod", "version": "V"},
            },
        },
    ),
    "honeycomb_markers": (
        "/1/markers/checkout", {"X-Honeycomb-Team": TOKEN},
        {"message": "env:prod version:V", "type": "deploy"},
    ),
    "newrelic_deployments": (
        "/v2/applications/7/deployments.json", {"X-Api-Key": TOKEN},
        {"deployment": {"revision": "V", "user": "ann", "timestamp": _AT}},
    ),
    "newrelic_graphql": (
        "/graphql", {"Api-Key": TOKEN},
        {
            "query": 'mutation { changeTrackingCreateDeployment(deployment: {version: "V", '
            'entityGuid: "checkout", customAttributes: {env: "prod"}}) { deploymentId } }'
        },
    ),
    "devlake_webhook": (
        "/api/rest/plugins/webhook/connections/1/deployments", _BEARER,
        {
            "id": "C", "startedDate": _AT, "finishedDate": _AT, "environment": "PRODUCTION",
            "deploymentCommits": [{"repoUrl": _REPOSITORY, "commitSha": "C"}],
        },
    ),
    "rollbar_deploys": (
        "/api/1/deploy/", {"X-Rollbar-Access-Token": TOKEN},
        {"environment": "prod", "revision": "C", "local_username": "ann"},
    ),
    "airbrake_deploys": (
        f"/api/v4/projects/7/deploys?key={TOKEN}", {},
        {"environment": "prod", "repository": _REPOSITORY, "revision": "C", "version": "V"},
    ),
    "honeybadger_deploys": (
        "/v1/deploys", {**_FORM, "X-Api-Key": TOKEN},
        {"deploy[environment]": "prod", "deploy[revision]": "C", "deploy[repository]": _REPOSITORY},
    ),
    "bigpanda_deployments": (
        "/data/events/deployments/end", _BEARER,
        {"component": "checkout", "version": "V", "env": "prod", "status": "success"},
    ),
}  # fmt: skip
_NATIVE: Final = {"service": "checkout", "environment": "prod", "phase": "applied", "version": "V"}


def written(path: str, headers: dict[str, str], body: Any, number: int) -> bytes:  # noqa: ANN401
    """Return one request, of a version and a commit that nobody else has."""
    form = "form" in headers.get("Content-Type", "")
    text = urlencode(body, safe="[]/:") if form else json.dumps(body)
    commit = f"{number:039x}a"
    for mark, value in (("web@V", f"web@2.{number}"), ("V", f"2.{number}"), ("C", commit)):
        # Only whole values: letters of words stay.
        for left, right in (('"', '"'), ("=", "&"), (":", '"'), ('\\"', '\\"'), ("/", "/")):
            text = text.replace(f"{left}{mark}{right}", f"{left}{value}{right}")
        path = path.replace(f"/{mark}/", f"/{value}/")
    sent = text.encode()
    more = {"Content-Type": "application/json", **headers}
    if path == "/hooks/github":
        more["X-Hub-Signature-256"] = "sha256=" + hmac.digest(SECRET.encode(), sent, "sha256").hex()
    return request(path, sent, more)


def smallest_folder() -> tuple[str, int]:
    """Return the smallest vendor's folder, and its lines."""
    lines = {
        name: sum(
            len(file.read_text(encoding="utf-8").splitlines())
            for file in (_FOLDERS / name).glob("*.py")
        )
        for name in NAMES
    }
    name = min(lines, key=lambda each: lines[each])
    return name, lines[name]


def size_of(port: int, number: int) -> int:
    """Return where a new marker of our own stands, as a measure of the log."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    body = json.dumps({**_NATIVE, "service": "measure", "version": f"1.{number}"})
    head = {**_BEARER, "Content-Type": "application/json"}
    connection.request("POST", "/v1/markers", body, head)
    index = int(json.loads(connection.getresponse().read())["index"])
    connection.close()
    return index


def check(name: str, load: Load) -> None:
    """Stop when anything was not taken: what is refused is quick."""
    if any(status >= 300 for status in load.statuses):
        raise SystemExit(f"{name}: not everything was taken: {load.statuses}")


def rows(folder: Path, *, quick: bool) -> Iterator[Row]:
    """Ask one server in every dialect."""
    count = 512 if quick else 4_096
    with _server(folder) as (port, pid):
        head = {**_BEARER, "Content-Type": "application/json"}

        def asked(name: str, first: int, many: int) -> Load:
            path, headers, body = REQUESTS.get(name, ("/v1/markers", head, _NATIVE))
            numbers = range(first, first + many)
            requests = [written(path, headers, body, number) for number in numbers]
            before = size_of(port, first)
            load = asyncio.run(press(port, pid, requests, CONNECTIONS))
            check(name, load)
            if size_of(port, first + many) - before <= many:
                raise SystemExit(f"{name}: not every request was a deployment of its own")
            return load

        asked("native", 0, 256)  # warm up
        native = asked("native", 1_000, count)
        goal, met = "none", True
        note = f"{CONNECTIONS} connections; server CPU {native.cpu_us:.0f} us a request"
        yield Row("native, POST /v1/markers", native.per_second, 0.0, "/s", goal, met, note)
        for place, name in enumerate(each for each in NAMES if each not in ASKING):
            load = asked(name, (place + 2) * 10_000, count)
            note = f"server CPU {load.cpu_us:.0f} us a request; limit: the native interface"
            rate, limit = load.per_second, native.per_second
            yield Row(name, rate, limit, "/s", goal, met, note)
    name, lines = smallest_folder()
    yield Row("smallest vendor folder", lines, 0.0, "lines", goal, met, name)


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[tuple[int, int]]:
    data, secret, config = folder / "data", folder / "secret", folder / "config.toml"
    secret.touch(0o600)
    secret.write_text(f"{SECRET}\n", encoding="utf-8")
    config.write_text(
        "[auth]\nrequests_per_second = 1000000\nrequests_burst = 1000000\n"
        f'[dialects.github_webhooks]\nsecret_file = "{secret}"\n',
        encoding="utf-8",
    )
    up: list[str | Path] = [
        COMMAND, "up", "--data", data, "--listen", "127.0.0.1:0", "--config", config, "--json",
    ]  # fmt: skip
    environment = {"DEPLOYMARK_ADMIN_TOKEN": TOKEN, "PATH": str(COMMAND.parent)}
    with server_of(up, environment) as real:
        assert real.stdout is not None  # noqa: S101
        url = json.loads(real.stdout.readline())["url"]
        yield int(url.rpartition(":")[2]), real.pid


def main() -> None:
    """Run and report."""
    chosen = options(__doc__ or "")
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        measured = list(rows(Path(folder), quick=chosen.quick))
    report(measured, as_json=chosen.json)


if __name__ == "__main__":
    main()

"""Every operation of the HTTP interface, in one table.

Routes, authentication, authorisation, OpenAPI and docs/reference/http.md are made from it; no
address is answered that does not stand here. Add freely; do not rename (spec: api).
"""

from typing import Annotated, Final

from msgspec import Meta

from deploymark.model.limits import Digest
from deploymark.model.vocabulary import Role
from deploymark.projections.broker.documents import STATES
from deploymark.projections.broker.questions import (
    CoverageQuery,
    DeploymentQuery,
    FindingQuery,
    InstanceQuery,
)
from deploymark.projections.search_query import EntryQuery, MarkerQuery
from deploymark.projections.timeline import EVENT_TYPES
from deploymark.projections.timeline_query import TimelineQuery
from deploymark.server import admission, broker, log_site, otlp, probes, reading
from deploymark.server.access_operations import ACCESS
from deploymark.server.answer import BYTES, EVENTS, JSON, TEXT
from deploymark.server.answer import PROBLEM as PROBLEM_TYPE
from deploymark.server.body import MARKER_TYPES, NDJSON
from deploymark.server.gate_operations import GATE
from deploymark.server.metrics import MEDIA_TYPE as METRICS
from deploymark.server.operation import (
    ADMIN,
    ALL_ITEMS,
    BODY_PROBLEMS,
    EMITTER,
    PUBLIC,
    READER,
    Access,
    Media,
    Operation,
    Parameter,
    Reply,
    in_json,
)
from deploymark.server.page_operations import SHOWN
from deploymark.server.parameters import (
    AFTER,
    BY,
    CURSOR,
    INDEX,
    PREFER,
    SLI,
    SLI_FILTERS,
    STEP,
    STREAM_FILTERS,
    TELEMETRY_FILTERS,
    filters_of,
    limit_of,
)
from deploymark.server.request import Request
from deploymark.server.rollout_operations import ROLLOUTS
from deploymark.server.settings import LogAccess, MetricsAccess, Settings
from deploymark.server.shapes import (
    ABOUT,
    ACKNOWLEDGEMENT,
    BATCH,
    DETAIL,
    EMITTERS,
    ENTRY,
    FOUND,
    ITEMS,
    PAGE,
    PROBLEM,
    SCHEMA,
)
from deploymark.telemetry.replies import ENCODINGS

# Whose word counts without a token, a producer's signature say, is admission's to decide.
HANDS_IN: Final = Access(
    (Role.EMITTER,), anonymous=True, described="without a token as admission allows"
)


def _hashes_are_open(settings: Settings, _: Request) -> bool:
    return settings.log_access is not LogAccess.PRIVATE


def _bundles_are_open(settings: Settings, _: Request) -> bool:
    return settings.log_access is LogAccess.PUBLIC


def _metrics_are_open(settings: Settings, request: Request) -> bool:
    return settings.metrics_access is MetricsAccess.LOOPBACK and request.is_local


_HASHES = Access(
    (Role.READER,), open_when=_hashes_are_open, described="anyone unless log.access is private"
)
_BUNDLES = Access(
    (Role.READER,), open_when=_bundles_are_open, described="anyone if log.access is public"
)
_METRICS = Access(
    (Role.READER,),
    open_when=_metrics_are_open,
    described="anyone on this host if server.metrics is loopback",
)


_TEXT = Reply("Text.", (Media(TEXT),))
_HANDED_IN = tuple(Media(kind, None if kind == NDJSON else "handed_in") for kind in MARKER_TYPES)
_BATCH = Media(JSON, BATCH)
_ADMITTED = {
    201: in_json(
        "It stands in the log; of a batch, all are new.", {"anyOf": [ACKNOWLEDGEMENT, BATCH]}
    ),
    200: in_json(
        "It stood there already; of a batch, all did.", {"anyOf": [ACKNOWLEDGEMENT, BATCH]}
    ),
    207: in_json("A batch of which some were admitted; each result has its status.", BATCH),
    **{
        status: Reply("Refused; of a batch, all of it.", (Media(PROBLEM_TYPE, PROBLEM), _BATCH))
        for status in (400, 401, 403, 409, 413, 422, 429)
    },
}
_ADMISSION_PROBLEMS = (408, 415, 503)
_OTLP = tuple(Media(kind) for kind in ENCODINGS)
_TAKEN = {
    200: Reply("Taken; `partial_success` tells how many items were refused, and why.", _OTLP),
    **{
        status: Reply("Refused: `google.rpc.Status` in the encoding of the request.", _OTLP)
        for status in (400, 401, 403, 404, 408, 413, 415, 429, 500, 503)
    },
}
_TAKES = (
    "OTLP over HTTP, protobuf or JSON, gzip unpacked; gRPC is not spoken. What one resource may "
    "not say, and an item that cannot be read, is refused alone. 503 with Retry-After when the "
    "store cannot follow."
)
_DIGEST = Parameter("digest", Digest, "As POST /v1/details answered.", "path")
_CODE = Parameter("code", Annotated[str, Meta(max_length=64)], "As in a problem.", "path")
_TILE = Parameter("index", str, "As tlog-tiles spells it, `x001/x234/067` or `067.p/12`.", "path")

OPERATIONS: Final = (
    Operation(
        "POST", "/v1/markers", "admit_markers", "Hand in one marker or a batch.", "markers",
        HANDS_IN, admission.admit, _ADMITTED,
        parameters=(PREFER,), body=_HANDED_IN, problems=_ADMISSION_PROBLEMS,
        description=(
            "A flat marker, an in-toto Statement or a DSSE envelope; a JSON array of them, or one "
            "a line as NDJSON, makes a batch of at most 1,000 and 4 MB, or 512 KB without a token. "
            "gzip is unpacked. A batch is "
            "answered item by item in its order; when all were refused its status is theirs, or "
            "422 when they differ. A 5xx acknowledges nothing."
        ),
    ),
    Operation(
        "GET", "/v1/markers", "list_markers", "Find markers by what they say.", "markers",
        READER, reading.list_markers, {200: in_json("One page.", PAGE)},
        parameters=(*filters_of(MarkerQuery), AFTER), problems=(503,),
    ),
    Operation(
        "GET", "/v1/markers/{index}", "show_marker", "Show one marker.", "markers",
        READER, reading.show_marker, {200: in_json("The marker.", ENTRY)},
        parameters=(INDEX,), problems=(404,),
    ),
    Operation(
        "GET", "/v1/markers/{index}/receipt", "show_receipt",
        "Show the receipt of an entry, to be verified offline.", "markers",
        Access((Role.READER, Role.EMITTER), described="an emitter only its own"),
        reading.show_receipt, {200: Reply("A proof (c2sp.org/tlog-proof).", (Media(TEXT),))},
        parameters=(INDEX,), problems=(404,),
    ),
    Operation(
        "POST", "/v1/entries", "admit_entries", "Hand in signed entries of any type.", "entries",
        HANDS_IN, admission.admit, _ADMITTED,
        parameters=(PREFER,), body=_HANDED_IN, problems=_ADMISSION_PROBLEMS,
        description="DSSE envelopes, alone or as a batch, answered as POST /v1/markers does.",
    ),
    Operation(
        "GET", "/v1/entries", "list_entries", "Find entries of any type.", "entries",
        READER, reading.list_entries, {200: in_json("One page.", PAGE)},
        parameters=(*filters_of(EntryQuery), AFTER), problems=(503,),
    ),
    Operation(
        "GET", "/v1/entries/{index}", "show_entry", "Show one entry.", "entries",
        READER, reading.show_entry, {200: in_json("The entry.", ENTRY)},
        parameters=(INDEX,), problems=(404,),
    ),
    Operation(
        "GET", "/v1/stream", "follow", "Follow the log as it grows.", "entries",
        READER, reading.stream,
        {200: Reply("Server-sent events; the id is the index.", (Media(EVENTS),))},
        parameters=STREAM_FILTERS, problems=(503,),
        description=(
            "Begins now, or behind `after` or `Last-Event-ID`. An event `reset` tells a client "
            "that is too far behind, or ahead, to read the state afresh."
        ),
    ),
    Operation(
        "POST", "/v1/details", "keep_detail", "Keep longer or personal text, erasable.", "details",
        EMITTER, admission.keep_detail, {201: in_json("Its digest, for a marker to name.", DETAIL)},
        body=tuple(Media(kind) for kind in admission.DETAIL_TYPES), problems=(*BODY_PROBLEMS, 503),
    ),
    Operation(
        "GET", "/v1/details/{digest}", "show_detail", "Show kept content.", "details",
        READER, reading.show_detail, {200: Reply("The content.", (Media(BYTES),))},
        parameters=(_DIGEST,), problems=(404,),
    ),
    Operation(
        "DELETE", "/v1/details/{digest}", "erase_detail", "Erase kept content.", "details",
        ADMIN, admission.erase_detail, {200: in_json("The entry that says so.", ACKNOWLEDGEMENT)},
        parameters=(
            _DIGEST,
            Parameter(
                "reason", Annotated[str, Meta(min_length=1, max_length=2_048)],
                "Why, for the auditor.", required=True,
            ),
        ),
        problems=(404, 422),
    ),
    Operation(
        "GET", "/v1/deployments", "list_deployments",
        "List deployments, each with its latest occurrence.", "deployments",
        READER, broker.list_deployments, {200: in_json("One page.", FOUND)},
        parameters=(
            *filters_of(
                DeploymentQuery,
                state=f"One of `{'`, `'.join(STATES)}`.",
                since="Opened then or later (RFC 3339).",
                until="Opened before then (RFC 3339).",
            ),
            AFTER,
        ),
        problems=(503,),
    ),
    Operation(
        "GET", "/v1/deployments/{id}", "show_deployment", "Show one deployment.", "deployments",
        READER, broker.show_deployment, {200: in_json("The deployment.", {"type": "object"})},
        parameters=(
            Parameter("id", Annotated[str, Meta(max_length=80)], "`d-…`, or `d-…~2`.", "path"),
            AFTER,
        ),
        problems=(404, 503),
    ),
    Operation(
        "GET", "/v1/instances", "list_instances", "List instances that run.", "deployments",
        READER, broker.list_instances, {200: in_json("One page.", FOUND)},
        parameters=(*filters_of(InstanceQuery), AFTER), problems=(503,),
    ),
    Operation(
        "GET", "/v1/findings", "list_findings", "List what is wrong, and what to do.",
        "deployments", READER, broker.list_findings, {200: in_json("One page.", FOUND)},
        parameters=(*filters_of(FindingQuery), AFTER), problems=(503,),
    ),
    Operation(
        "GET", "/v1/coverage", "show_coverage", "Count the instances that run what they should.",
        "deployments", READER, broker.show_coverage, {200: in_json("One page.", FOUND)},
        parameters=(*filters_of(CoverageQuery), AFTER), problems=(503,),
    ),
    Operation(
        "GET", "/v1/timeline", "list_timeline", "List what happened, the last first.",
        "deployments", READER, broker.list_timeline, {200: in_json("One page.", FOUND)},
        parameters=(
            *filters_of(
                TimelineQuery,
                type=f"Type of event: {', '.join(EVENT_TYPES)}.",
                deployment_id="Deployment that it belongs to, `d-…`; `d-…~2` for one occurrence.",
                since="Happened then or later (RFC 3339).",
                until="Happened before then (RFC 3339).",
            ),
            AFTER,
        ),
        problems=(503,),
    ),
    Operation(
        "GET", "/v1/emitters", "list_emitters",
        "List emitters, what is missing of each, how late they are and how far off.",
        "markers", READER, reading.list_emitters, {200: in_json("All of them.", EMITTERS)},
    ),
    *SHOWN,
    *ROLLOUTS,
    *GATE,
    Operation(
        "GET", "/v1/slis", "list_slis", "List the measures that the server takes of itself.",
        "operation", READER, reading.list_slis, {200: ALL_ITEMS},
        parameters=(*SLI_FILTERS[:3], AFTER), problems=(503,),
        description=(
            "Each with numerator, denominator, interval, formula and window. Environment and times "
            "choose for those that count deployments, canaries, rollbacks and promotions."
        ),
    ),
    Operation(
        "GET", "/v1/slis/{measure}/items", "list_sli_items",
        "List what a measure counts, the latest first, each with the entries that say so.",
        "operation", READER, reading.list_sli_items, {200: in_json("One page.", FOUND)},
        parameters=(SLI, *SLI_FILTERS, AFTER), problems=(404, 503),
        description="In the same window, numerators and denominators add up to the measure's.",
    ),
    Operation(
        "POST", "/v1/traces", "take_traces", "Take spans from an OpenTelemetry exporter.",
        "telemetry", HANDS_IN, otlp.take_traces, _TAKEN, body=_OTLP, description=_TAKES,
        retell=otlp.as_status,
    ),
    Operation(
        "POST", "/v1/metrics", "take_metrics", "Take metrics from an OpenTelemetry exporter.",
        "telemetry", HANDS_IN, otlp.take_metrics, _TAKEN, body=_OTLP, description=_TAKES,
        retell=otlp.as_status,
    ),
    Operation(
        "POST", "/v1/logs", "take_logs", "Take log records from an OpenTelemetry exporter.",
        "telemetry", HANDS_IN, otlp.take_logs, _TAKEN, body=_OTLP, description=_TAKES,
        retell=otlp.as_status,
    ),
    Operation(
        "GET", "/v1/telemetry/red", "show_red",
        "Show requests, errors and latencies, by deployment and instance.", "telemetry",
        READER, otlp.show_red, {200: in_json("One page.", ITEMS)},
        parameters=(*TELEMETRY_FILTERS, STEP, BY), problems=(404,),
        description=(
            "Counts stand in the bucket in which their interval ended; `since` says when it began. "
            "`from` is `metric` or `span`; a request is counted from one of them only. Latency "
            "bounds are in seconds and inclusive, the last count is above all of them."
        ),
    ),
    Operation(
        "GET", "/v1/telemetry/marked", "show_marked",
        "Show how many spans carry a deployment id (M8).", "telemetry",
        READER, otlp.show_marked, {200: in_json("All of them.", ITEMS)},
        parameters=(*TELEMETRY_FILTERS[:4], CURSOR, STEP), problems=(404,),
    ),
    Operation(
        "GET", "/v1/telemetry/traces", "show_traces", "Show slow and failing traces.", "telemetry",
        READER, otlp.show_traces, {200: in_json("The newest.", ITEMS)},
        parameters=(*TELEMETRY_FILTERS[:6], limit_of(otlp.ITEMS)), problems=(404,),
    ),
    Operation(
        "GET", "/v1/telemetry/logs", "show_logs", "Show excerpts of logs, errors first.",
        "telemetry", READER, otlp.show_logs, {200: in_json("The newest.", ITEMS)},
        parameters=(*TELEMETRY_FILTERS[:6], limit_of(otlp.ITEMS)), problems=(404,),
    ),
    Operation(
        "GET", "/v1/schema", "list_schemas", "List the formats.", "formats",
        PUBLIC, reading.list_schemas, {200: ALL_ITEMS},
    ),
    Operation(
        "GET", "/v1/schema/{name}/{version}", "show_schema", "Show a format's JSON Schema.",
        "formats", PUBLIC, reading.show_schema, {200: Reply("JSON Schema.", (Media(SCHEMA),))},
        parameters=(
            Parameter("name", Annotated[str, Meta(max_length=64)], "Such as `marker`.", "path"),
            Parameter("version", Annotated[int, Meta(ge=1, le=999)], "From 1.", "path"),
        ),
        problems=(404, 422),
    ),
    *ACCESS,
    Operation(
        "GET", "/log/checkpoint", "show_checkpoint", "Show the newest published checkpoint.", "log",
        _HASHES, log_site.show_checkpoint, {200: _TEXT}, problems=(404,),
    ),
    Operation(
        "GET", "/log/tile/entries/{index:path}", "show_bundle", "Show an entry bundle.", "log",
        _BUNDLES, log_site.show_bundle, {200: Reply("The bundle.", (Media(BYTES),))},
        parameters=(_TILE,), problems=(404,),
    ),
    Operation(
        "GET", "/log/tile/{level}/{index:path}", "show_tile", "Show a tile of hashes.", "log",
        _HASHES, log_site.show_tile, {200: Reply("The tile.", (Media(BYTES),))},
        parameters=(Parameter("level", str, "0 to 63.", "path"), _TILE), problems=(404,),
    ),
    Operation(
        "GET", "/log/policy", "show_policy", "Show the policy that verifiers trust.", "log",
        PUBLIC, log_site.show_policy, {200: _TEXT}, problems=(404,),
    ),
    Operation(
        "GET", "/metrics", "metrics", "Show the metrics for Prometheus.", "operation",
        _METRICS, probes.metrics, {200: Reply("Metrics.", (Media(METRICS),))},
    ),
    Operation(
        "GET", "/healthz", "healthz", "Say that the process answers.", "operation",
        PUBLIC, probes.healthz, {200: _TEXT}, any_host=True,
    ),
    Operation(
        "GET", "/readyz", "readyz", "Say that the log can be read.", "operation",
        PUBLIC, probes.readyz, {200: _TEXT}, problems=(503,), any_host=True,
    ),
    Operation(
        "GET", "/openapi.json", "openapi", "Show this interface as OpenAPI 3.1.", "operation",
        PUBLIC, probes.openapi, {200: in_json("The document.", {"type": "object"})},
    ),
    Operation(
        "GET", "/problems/{code}", "show_problem", "Explain a kind of problem.", "operation",
        PUBLIC, probes.show_problem, {200: _TEXT},
        parameters=(_CODE,), problems=(404,),
    ),
    Operation(
        "GET", "/", "about", "Say what this is.", "operation",
        PUBLIC, probes.about,
        {
            200: Reply("Text or JSON.", (Media(TEXT), Media(JSON, ABOUT))),
            303: Reply("A browser goes to the page.", (Media("text/html"),)),
        },
    ),
)  # fmt: skip
"""The table."""

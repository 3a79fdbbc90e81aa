"""The closed sets of words that markers and entries use, and the names on the wire.

One place, because API, signed statement, command line, SDK and database share one vocabulary
(spec: docs/formats, "Flat marker" and "OpenTelemetry names"). Standard library only.
"""

from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What changed."""

    DEPLOYMENT = "deployment"
    CONFIG = "config"
    SECRET_VERSION = "secret_version"  # noqa: S105 - a kind of change, not a password
    FEATURE_FLAG = "feature_flag"
    SCHEMA_MIGRATION = "schema_migration"
    NETWORK_POLICY = "network_policy"
    INFRASTRUCTURE = "infrastructure"


class Phase(StrEnum):
    """How far the change has come."""

    PLANNED = "planned"
    APPLYING = "applying"
    APPLIED = "applied"
    RUNNING = "running"
    CUTOVER = "cutover"
    PROMOTED = "promoted"
    FAILED = "failed"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    REMOVED = "removed"


OPENING: Final = frozenset({Phase.PLANNED, Phase.APPLYING, Phase.APPLIED})
"""Phases that say what is to run; only these begin an occurrence behind one that is over."""


class EmitterKind(StrEnum):
    """Who speaks: `gateway` translates a foreign dialect, `platform` is deploymark itself."""

    CI = "ci"
    ORCHESTRATOR = "orchestrator"
    RUNTIME = "runtime"
    PROXY = "proxy"
    GATEWAY = "gateway"
    PLATFORM = "platform"
    HUMAN = "human"


class Strategy(StrEnum):
    """How a rollout replaces what runs."""

    RECREATE = "recreate"
    ROLLING = "rolling"
    CANARY = "canary"
    BLUE_GREEN = "blue_green"
    SHADOW = "shadow"
    OTHER = "other"


class Track(StrEnum):
    """The cohort of a rollout that an instance belongs to."""

    STABLE = "stable"
    CANARY = "canary"
    BASELINE = "baseline"
    BLUE = "blue"
    GREEN = "green"


class Basis(StrEnum):
    """How a running digest is known; only `observed` proves a binding."""

    DECLARED = "declared"
    SELF_OBSERVED = "self_observed"
    OBSERVED = "observed"


class Assurance(StrEnum):
    """Who stands behind the words of an entry; recorded in the leaf."""

    ANONYMOUS = "anonymous"
    ATTRIBUTED = "attributed"
    SIGNED = "signed"


class Role(StrEnum):
    """What a caller may do; `admin` includes all, `operator` includes `reader`."""

    READER = "reader"
    EMITTER = "emitter"
    OPERATOR = "operator"
    ADMIN = "admin"


class FindingCode(StrEnum):
    """What deploymark notices by itself; each closes when the log no longer supports it."""

    MARKER_MISSING = "marker_missing"
    MARKER_STALE = "marker_stale"
    CLOCK_SKEW = "clock_skew"
    MARKER_CONFLICT = "marker_conflict"
    MARKER_FORGED = "marker_forged"
    MARKER_UNAUTHORISED = "marker_unauthorised"
    MARKER_UNSIGNED = "marker_unsigned"
    DIGEST_MISMATCH = "digest_mismatch"
    ARTIFACT_UNRESOLVED = "artifact_unresolved"
    ROLLOUT_PARTIAL = "rollout_partial"
    INTENT_UNCONFIRMED = "intent_unconfirmed"
    CORRELATION_AMBIGUOUS = "correlation_ambiguous"
    BINDING_UNPROVEN = "binding_unproven"
    LARGE_CHANGE_SET = "large_change_set"
    CONFIG_DRIFT = "config_drift"
    UNPLANNED_CHANGE = "unplanned_change"
    INSTANCE_UNMARKED = "instance_unmarked"
    MIGRATION_OUT_OF_ORDER = "migration_out_of_order"
    FLAG_STALE = "flag_stale"
    SECRET_REFUSED = "secret_refused"  # noqa: S105 - a finding, not a password
    EMITTER_OVER_BUDGET = "emitter_over_budget"


# Payload types (DSSE) and statement types (in-toto) ----------------------------------------------

IN_TOTO = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://deploymark.dev/marker/v1"

MARKER = "application/vnd.deploymark.marker.v1+json"
VERDICT = "application/vnd.deploymark.verdict.v1+json"
DECISION = "application/vnd.deploymark.decision.v1+json"
INCIDENT = "application/vnd.deploymark.incident.v1+json"
FINDING = "application/vnd.deploymark.finding.v1+json"
KEY = "application/vnd.deploymark.key.v1+json"
AMENDMENT = "application/vnd.deploymark.amendment.v1+json"
RETRACTION = "application/vnd.deploymark.retraction.v1+json"
DETAIL = "application/vnd.deploymark.detail.v1+json"

# OpenTelemetry attributes and what travels in requests -------------------------------------------

DEPLOYMENT_ID = "deployment.id"  # still "development" in the semantic conventions
DEPLOYMENT_ENVIRONMENT = "deployment.environment.name"
DEPLOYMENT_ENVIRONMENT_DEPRECATED = "deployment.environment"
SERVICE_NAME = "service.name"
SERVICE_VERSION = "service.version"
SERVICE_INSTANCE_ID = "service.instance.id"
VCS_REVISION = "vcs.ref.head.revision"
ARTIFACT_DIGEST = "deploymark.artifact.digest"
CONTAINER_REPO_DIGESTS = "container.image.repo_digests"
CONFIRMS_ITSELF = "deploymark.confirms_itself"  # its process sends its own `running` marker
STARTUP_SPAN = "deploymark.startup"
UPSTREAM_BAGGAGE = "deploymark.upstream"
RESPONSE_HEADER = "x-deployment-id"

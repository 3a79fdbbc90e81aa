"""Every plug-in point of deploymark, and the plain values that cross it.

A port is a Protocol small enough to memorise. Adapters (`storage`, `integrations`) see this room,
`emit`, `crypto`, `model`, `durable` and `errors`, nothing else; the server's are picked in
`runtime`. A port that promises more than its types say has an `exercise_*` suite in
`deploymark.testing` that every adapter must pass.

Ports say what must hold, never how. They raise errors of `deploymark.errors` only.
"""

from deploymark.ports.acting import (
    Actuator,
    Deed,
    Found,
    LeaseStore,
    Order,
    Release,
)
from deploymark.ports.admission import (
    ListedDeployment,
    Position,
    RegistryStore,
)
from deploymark.ports.clock import Clock
from deploymark.ports.counts import (
    Cell,
    Cohort,
    CohortCounts,
    CountsSource,
    MetricQuery,
)
from deploymark.ports.log import (
    SALT_BYTES,
    Batch,
    Blob,
    Head,
    LogReader,
    LogStore,
    Node,
    PublishedCheckpoint,
    RollbackGuard,
    StoredEntry,
    Witness,
    Witnessed,
    WitnessState,
)
from deploymark.ports.meter import Meter
from deploymark.ports.notifying import (
    Alert,
    Notifier,
    Urgency,
)
from deploymark.ports.operation import (
    OIDC,
    Grant,
    LedgerStore,
    SessionRecord,
    TokenRecord,
    TokenStore,
)
from deploymark.ports.running import (
    ObservedInstance,
    Observer,
)
from deploymark.ports.signing import (
    EnvelopeSigner,
    NoteSigner,
)
from deploymark.ports.telemetry import (
    EXCERPTS_KEPT,
    TRACES_KEPT,
    Counted,
    CountKey,
    Excerpt,
    Gauged,
    GaugeKey,
    Marked,
    MarkedKey,
    Measured,
    Place,
    Telemetry,
    TelemetryQuery,
    TelemetryStore,
    TraceNote,
)
from deploymark.ports.told_order import encode_order, order_fields

__all__ = [
    "EXCERPTS_KEPT",
    "OIDC",
    "SALT_BYTES",
    "TRACES_KEPT",
    "Actuator",
    "Alert",
    "Batch",
    "Blob",
    "Cell",
    "Clock",
    "Cohort",
    "CohortCounts",
    "CountKey",
    "Counted",
    "CountsSource",
    "Deed",
    "EnvelopeSigner",
    "Excerpt",
    "Found",
    "GaugeKey",
    "Gauged",
    "Grant",
    "Head",
    "LeaseStore",
    "LedgerStore",
    "ListedDeployment",
    "LogReader",
    "LogStore",
    "Marked",
    "MarkedKey",
    "Measured",
    "Meter",
    "MetricQuery",
    "Node",
    "NoteSigner",
    "Notifier",
    "ObservedInstance",
    "Observer",
    "Order",
    "Place",
    "Position",
    "PublishedCheckpoint",
    "RegistryStore",
    "Release",
    "RollbackGuard",
    "SessionRecord",
    "StoredEntry",
    "Telemetry",
    "TelemetryQuery",
    "TelemetryStore",
    "TokenRecord",
    "TokenStore",
    "TraceNote",
    "Urgency",
    "Witness",
    "WitnessState",
    "Witnessed",
    "encode_order",
    "order_fields",
]

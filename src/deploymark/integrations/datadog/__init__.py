"""datadog-ci, dog and Datadog's SDKs: DORA deployments, events, and what pipelines tell.

`routes` is the table; `translation` says what deployments mean, `events` and `pipelines` the rest.
Source: docs.datadoghq.com/api/latest/dora-metrics and /events, and datadog-ci 5.25.
"""

from deploymark.integrations.datadog.routes import DIALECT

__all__ = ["DIALECT"]

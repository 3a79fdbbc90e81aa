"""CloudEvents over HTTP, and the CDEvents of services, environments and incidents in them.

`routes` is the table, `envelope` reads events from requests, `translation` says what they mean,
`cdevents` what those of CDEvents mean.
Source: github.com/cloudevents/spec (1.0.2, HTTP binding and webhooks) and github.com/cdevents/spec
(0.3 to 0.5).
"""

from deploymark.integrations.cloudevents.routes import DIALECT

__all__ = ["DIALECT"]

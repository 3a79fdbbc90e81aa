"""Events of Flux's notification-controller, sent by a provider of the type `generic-hmac`.

`routes` is the table, `translation` says what they mean.
Source: fluxcd.io/flux/components/notification/providers and .../events.
"""

from deploymark.integrations.flux_events.routes import DIALECT

__all__ = ["DIALECT"]

"""GitHub's webhooks of the events `deployment` and `deployment_status`.

`routes` is the table, `translation` says what they mean.
Source: docs.github.com/en/webhooks/webhook-events-and-payloads.
"""

from deploymark.integrations.github_webhooks.routes import DIALECT

__all__ = ["DIALECT"]

"""Senders to Apache DevLake's webhook. Source: devlake.apache.org/docs/Plugins/webhook.

`routes` is the table, `translation` says what a deployment means.
"""

from deploymark.integrations.devlake_webhook.routes import DIALECT

__all__ = ["DIALECT"]

"""Senders of Honeybadger deploys. Source: docs.honeybadger.io/api/reporting-deployments.

`routes` is the table, `translation` says what a deploy means.
"""

from deploymark.integrations.honeybadger_deploys.routes import DIALECT

__all__ = ["DIALECT"]

"""Senders of BigPanda deployments. Source: docs.bigpanda.io, "Deployments API".

`routes` is the table, `translation` says what start and end of a deployment mean.
"""

from deploymark.integrations.bigpanda_deployments.routes import DIALECT

__all__ = ["DIALECT"]

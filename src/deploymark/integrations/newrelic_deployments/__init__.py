"""New Relic's agents and scripts that record deployments over REST v2.

`routes` is the table, `translation` says what a deployment means and how one is shown.
Source: docs.newrelic.com, "Record deployments with REST API v2".
"""

from deploymark.integrations.newrelic_deployments.routes import DIALECT

__all__ = ["DIALECT"]

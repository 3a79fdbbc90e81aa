"""Senders of Airbrake deploys. Source: docs.airbrake.io/docs/devops-tools/api, "Deploys".

`routes` is the table, `translation` says what a deploy means.
"""

from deploymark.integrations.airbrake_deploys.routes import DIALECT

__all__ = ["DIALECT"]

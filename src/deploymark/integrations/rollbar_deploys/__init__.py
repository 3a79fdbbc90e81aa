"""Senders of Rollbar deploys. Source: docs.rollbar.com/reference/post-deploy.

`routes` is the table, `translation` says what a deploy means.
"""

from deploymark.integrations.rollbar_deploys.routes import DIALECT

__all__ = ["DIALECT"]

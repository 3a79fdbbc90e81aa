"""sentry-cli, Sentry's plugins for bundlers, and its actions: releases and deploys.

`routes` is the table, `translation` says what they mean, `showing` how they are shown.
Source: docs.sentry.io/api/releases.
"""

from deploymark.integrations.sentry_releases.routes import DIALECT

__all__ = ["DIALECT"]

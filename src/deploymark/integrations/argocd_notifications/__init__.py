"""Argo CD's notifications, by the template of the guide (docs/howto/argocd.md).

`routes` is the table, `translation` says what they mean.
Source: argo-cd.readthedocs.io/en/stable/operator-manual/notifications/services/webhook.
"""

from deploymark.integrations.argocd_notifications.routes import DIALECT

__all__ = ["DIALECT"]

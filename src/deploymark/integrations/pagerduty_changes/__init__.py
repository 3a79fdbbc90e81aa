"""Senders of PagerDuty change events. Source: developer.pagerduty.com/docs/send-change-event.

`routes` is the table, `translation` says what a change event means.
"""

from deploymark.integrations.pagerduty_changes.routes import DIALECT

__all__ = ["DIALECT"]

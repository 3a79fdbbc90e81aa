"""Lets every log line say which deployment wrote it: for `logging` of Python and for structlog.

The fields are plain text under the names of the flat marker (`deployment_id`, `service`,
`environment`, `version`, `instance_uid`), so that a formatter that writes JSON takes them as they
are. A line that says one of them itself keeps its own.
"""

import logging
from collections.abc import MutableMapping
from typing import Any

from deploymark.emit.startup import Startup, startup


class LogFields(logging.Filter):
    """Adds the fields to each record; for one handler or logger. Lets every record through.

    Args:
        started: What `deploymark.startup` returned; it is called when left out.
    """

    def __init__(self, started: Startup | None = None) -> None:
        super().__init__()
        self._started = started if started is not None else startup()

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields."""
        own = record.__dict__
        for name, value in self._started.log_fields.items():
            own.setdefault(name, value)
        return True


def add_log_fields(logger: logging.Logger | None = None, started: Startup | None = None) -> None:
    """Add the fields to what the handlers of a logger write; call it when logging is set up.

    On handlers and not in a record factory: `logging` refuses an `extra` that names what a record
    has already, and so an application that logs its own `service` would fail.

    Args:
        logger: Whose handlers; those of the root logger when left out.
        started: What `deploymark.startup` returned; it is called when left out.
    """
    fields = LogFields(started)
    for handler in (logger or logging.getLogger()).handlers:
        if not any(isinstance(each, LogFields) for each in handler.filters):
            handler.addFilter(fields)


def structlog_processor(
    logger: object,  # noqa: ARG001 - the signature is structlog's
    method: str,  # noqa: ARG001 - as above
    event: MutableMapping[str, Any],
) -> MutableMapping[str, Any]:
    """Add the fields to an event of structlog; stands anywhere before the renderer."""
    for name, value in startup().log_fields.items():
        event.setdefault(name, value)
    return event

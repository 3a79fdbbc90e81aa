"""Deployment markers that are true.

    import deploymark

    with deploymark.deploying(service="checkout", environment="prod", artifact="sha256:…"):
        ...  # your own deploy

    deploymark.startup()  # in the service: confirms what runs
    app = deploymark.AsgiMiddleware(app)

What stands here is loaded when it is first used, so that no command pays for another.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deploymark.emit.asgi import AsgiMiddleware
    from deploymark.emit.log_fields import LogFields, add_log_fields, structlog_processor
    from deploymark.emit.process import deploying, mark
    from deploymark.emit.startup import Startup, startup
    from deploymark.emit.upstream import outgoing_baggage, upstream
    from deploymark.emit.wsgi import WsgiMiddleware

__all__ = [
    "AsgiMiddleware",
    "LogFields",
    "Startup",
    "WsgiMiddleware",
    "add_log_fields",
    "deploying",
    "mark",
    "outgoing_baggage",
    "startup",
    "structlog_processor",
    "upstream",
]

_HOMES = {
    "AsgiMiddleware": "asgi",
    "LogFields": "log_fields",
    "Startup": "startup",
    "WsgiMiddleware": "wsgi",
    "add_log_fields": "log_fields",
    "deploying": "process",
    "mark": "process",
    "outgoing_baggage": "upstream",
    "startup": "startup",
    "structlog_processor": "log_fields",
    "upstream": "upstream",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - as everything here

    value: object = getattr(import_module(f"deploymark.emit.{home}"), name)
    globals()[name] = value
    return value

"""Deployment markers that are true.

    import deploymark

    with deploymark.deploying(service="checkout", environment="prod", artifact="sha256:…"):
        ...  # your own deploy

What stands here is loaded when it is first used, so that no command pays for another.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deploymark.emit.process import deploying, mark

__all__ = ["deploying", "mark"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - as everything here

    value: object = getattr(import_module("deploymark.emit.process"), name)
    globals()[name] = value
    return value

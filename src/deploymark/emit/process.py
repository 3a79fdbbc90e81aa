"""The emitter that this process uses when nobody names another: `deploymark.mark` and friends."""

from typing import Any

from deploymark.emit.deploying import Deploying
from deploymark.emit.emitter import Emitter, Marked

_default: list[Emitter] = []


def default_emitter() -> Emitter:
    """Return the emitter of this process, made from the environment on first use."""
    if not _default:
        # Without a lock, which a fork could leave locked: of two, the second opens nothing.
        _default.append(Emitter())
    return _default[0]


def mark(phase: str, /, **fields: Any) -> Marked:  # noqa: ANN401 - JSON values
    """Say that a deployment has reached a phase; never raises, never waits.

    Args:
        phase: `planned`, `applying`, `applied`, `running`, `cutover`, `promoted`, `failed`,
            `rolling_back`, `rolled_back` or `removed`.
        fields: Fields of the flat marker, `service` and `environment` at least.

    Returns:
        Its ids and number, and whether it was kept.
    """
    return default_emitter().mark(phase, **fields)


def deploying(**fields: Any) -> Deploying:  # noqa: ANN401 - JSON values
    """Mark a deploy around the code that does it.

    On entry it is `planned` and `applying`; on success `applied`; on an exception, an interrupt or
    an exit with an error `failed`, with the exception as reason, and the exception goes on.

    Args:
        fields: Fields of the flat marker, `service` and `environment` at least.
    """
    return Deploying(default_emitter(), fields)

"""The actuator `command`: an `Actuator` that lets a program of the operator's carry out orders.

How a program is told and what its exit codes mean is a contract: docs/howto/actuators.md.
"""

import errno
import os
from collections.abc import Sequence
from typing import Annotated, Final

from msgspec import Meta, Struct

from deploymark.emit.host import Host, SystemHost
from deploymark.errors import (
    ActuatorRefusedError,
    ActuatorUnavailableError,
    DeploymarkError,
    OutcomeUnknownError,
)
from deploymark.integrations.command.running import Ended, run
from deploymark.ports import Deed, Found, Order, encode_order

DONE: Final = 0
REFUSED: Final = os.EX_DATAERR
UNAVAILABLE: Final = os.EX_TEMPFAIL
NOT_DONE: Final = 1
"""Only of a program that looks."""

PASSED_ON: Final = ("PATH", "HOME", "LANG", "TZ")
"""Variables of the server that every program gets: none of them holds a secret."""

_SHOWN: Final = 200
_BUSY: Final = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY})

Seconds = Annotated[float, Meta(gt=0, le=3_600)]
Words = Annotated[list[str], Meta(min_length=1)]


class CommandOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the actuator `command` needs to know.

    Attributes:
        run: The program that carries out an order, by its path or found on PATH, and its
            arguments; no shell reads them.
        look: The program that tells whether an order is carried out; without one it is unknown.
        timeout_seconds: How long each may take.
        pass_on: Variables of the server's environment that the programs get as well.
        environment: More variables, as they stand; no secrets.
    """

    run: Words
    look: list[str] = []
    timeout_seconds: Seconds = 60.0
    pass_on: list[str] = []
    environment: dict[str, str] = {}


class CommandActuator:
    """Carries out orders by a program.

    Args:
        options: Which program.
        host: The outside; tests give another.
    """

    def __init__(self, options: CommandOptions, host: Host | None = None) -> None:
        self._options = options
        self._host = host or SystemHost()

    @property
    def name(self) -> str:
        """See `Actuator.name`."""
        return f"command:{os.path.basename(self._options.run[0])}"  # noqa: PTH119 - text

    def look(self, order: Order) -> Found:
        """See `Actuator.look`."""
        if not self._options.look:
            return Found.UNKNOWN
        try:
            ended = self._run(self._options.look, order)
        except (OSError, ValueError) as error:
            raise ActuatorUnavailableError(_not_started(self.name, error)) from error
        return {DONE: Found.DONE, NOT_DONE: Found.NOT_DONE}.get(
            -1 if ended.code is None else ended.code, Found.UNKNOWN
        )

    def carry_out(self, order: Order) -> str:
        """See `Actuator.carry_out`."""
        if order.deed is Deed.ROLL_BACK and order.stable is None:
            raise ActuatorRefusedError("There is no release to return to.")
        try:
            ended = self._run(self._options.run, order)
        except (OSError, ValueError) as error:
            said = _not_started(self.name, error)
            if isinstance(error, OSError) and error.errno in _BUSY:
                raise ActuatorUnavailableError(said) from error
            raise ActuatorRefusedError(said) from error
        if ended.code == DONE:
            return _last_line(ended) or f"{self.name} has done it."
        raise self._problem(ended)

    def _run(self, words: Sequence[str], order: Order) -> Ended:
        ours = self._host.environment()
        named = (*PASSED_ON, *self._options.pass_on)
        environment = {name: ours[name] for name in named if name in ours}
        environment |= self._options.environment | variables_of(order)
        given = encode_order(order) + b"\n"
        return run(words, environment, given, self._options.timeout_seconds, self._host)

    def _problem(self, ended: Ended) -> DeploymarkError:
        words = _last_line(ended)
        said = f": {words}" if words else "."
        match ended.code:
            case None:
                seconds = self._options.timeout_seconds
                return OutcomeUnknownError(
                    f"{self.name} was ended because it took more than {seconds:g} seconds{said}"
                )
            case code if code == UNAVAILABLE:
                return ActuatorUnavailableError(f"{self.name} could do nothing now{said}")
            case code if code == REFUSED:
                return ActuatorRefusedError(f"{self.name} refuses{said}")
            case code if code < 0:
                return OutcomeUnknownError(f"{self.name} was ended by signal {-code}{said}")
            case code:
                return OutcomeUnknownError(f"{self.name} ended with {code}{said}")


def variables_of(order: Order) -> dict[str, str]:
    """Return an order as environment variables.

    Returns:
        `DEPLOYMARK_ACTION`, `_KEY`, `_SERVICE`, `_ENVIRONMENT`, `_WEIGHT` (percent, such as
        `12.5`), `_REASON`, `_DECISION_INDEX`, `_FENCE`; `_CANARY` and `_STABLE` with the
        deployment, and the same with `_VERSION`, `_DIGEST` and `_NAME` behind it. What is not
        known, or not there, is empty.
    """
    told = {
        "ACTION": order.deed.value,
        "KEY": order.key,
        "SERVICE": order.service,
        "ENVIRONMENT": order.environment,
        "WEIGHT": f"{order.weight:g}",
        "REASON": order.reason,
        "DECISION_INDEX": str(order.decision_index),
        "FENCE": str(order.fence),
    }
    for which, release in (("CANARY", order.canary), ("STABLE", order.stable)):
        for part in ("deployment", "version", "digest", "name"):
            behind = "" if part == "deployment" else f"_{part.upper()}"
            told[which + behind] = "" if release is None else getattr(release, part)
    return {f"DEPLOYMARK_{name}": value for name, value in told.items()}


def _last_line(ended: Ended) -> str:
    """Return the last line that says something, as text that may be logged."""
    lines = ended.written.decode(errors="replace").splitlines()
    line = next((each for each in reversed(lines) if each.strip()), "").strip()
    return "".join(each if each.isprintable() else "?" for each in line)[:_SHOWN]


def _not_started(name: str, error: OSError | ValueError) -> str:
    why = (error.strerror if isinstance(error, OSError) else "") or str(error)
    return f"{name} could not be started: {why}."

"""The actuator `local_fleet`: an `Actuator` that asks the keeper of a local fleet."""

from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from deploymark.decoding import decode_json
from deploymark.emit.guarded import Exchange, GuardedClient, parse_networks, parse_target
from deploymark.emit.host import Host, SystemHost
from deploymark.errors import (
    ActuatorRefusedError,
    ActuatorUnavailableError,
    DeploymarkError,
    OutcomeUnknownError,
    UsageError,
)
from deploymark.ports import Found, Order, encode_order

_LOOPBACK: Final = ("127.0.0.0/8",)
_OK, _NONE, _REFUSED = 200, 401, 409

Seconds = Annotated[float, Meta(gt=0, le=600)]


class LocalFleetOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the actuator `local_fleet` needs to know.

    Attributes:
        control: The control file of the fleet, which says where it is and lets the reader in.
        timeout_seconds: How long an order may take: processes start and end.
    """

    control: str
    timeout_seconds: Seconds = 60.0


class _Control(Struct, frozen=True):
    url: str
    token: str


class _Answer(Struct, frozen=True):
    said: str = ""
    found: Found = Found.UNKNOWN
    problem: str = ""


class LocalFleetActuator:
    """Carries out orders by the processes and the splitter of a local fleet.

    Args:
        options: Which fleet; its control file is read anew each time, because a fleet that is
            started again is another one.
        host: Tells the time.
    """

    def __init__(self, options: LocalFleetOptions, host: Host | None = None) -> None:
        self._options = options
        self._host = host or SystemHost()

    @property
    def name(self) -> str:
        """See `Actuator.name`."""
        return "local_fleet"

    def look(self, order: Order) -> Found:
        """See `Actuator.look`."""
        exchange = self._ask("/looks", order)
        response = exchange.response
        if response is None or response.status != _OK:
            raise ActuatorUnavailableError(exchange.problem or _answer(exchange).problem)
        return _answer(exchange).found

    def carry_out(self, order: Order) -> str:
        """See `Actuator.carry_out`."""
        exchange = self._ask("/orders", order)
        response = exchange.response
        if response is None:
            if exchange.sent:
                raise OutcomeUnknownError(exchange.problem)
            raise ActuatorUnavailableError(exchange.problem)
        answer = _answer(exchange)
        if response.status == _OK:
            return answer.said
        kinds: dict[int, type[DeploymarkError]] = {
            _NONE: ActuatorUnavailableError,  # the fleet behind this file is another one by now
            _REFUSED: ActuatorRefusedError,
        }
        problem = answer.problem or f"The fleet answers with status {response.status}."
        raise kinds.get(response.status, OutcomeUnknownError)(problem)

    def _ask(self, path: str, order: Order) -> Exchange:
        try:
            content = Path(self._options.control).read_bytes()
            control = decode_json(content, _Control)
            target = parse_target(control.url)._replace(path=path)
        except (OSError, msgspec.MsgspecError, UsageError) as error:
            raise ActuatorUnavailableError(
                f"There is no fleet behind {self._options.control}: {error}."
            ) from error
        client = GuardedClient(
            target, self._host, self._options.timeout_seconds, parse_networks(_LOOPBACK)
        )
        headers = {"Authorization": f"Bearer {control.token}", "Content-Type": "application/json"}
        try:
            return client.ask("POST", headers, encode_order(order))
        except UsageError as error:
            raise ActuatorUnavailableError(error.message) from error


def _answer(exchange: Exchange) -> _Answer:
    body = b"{}" if exchange.response is None else exchange.response.body
    try:
        return decode_json(body, _Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _Answer()

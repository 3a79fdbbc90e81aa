"""The actuator `webhook`: an `Actuator` that posts orders and believes statuses."""

import os
import stat
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlencode

import msgspec
from msgspec import Meta, Struct

from deploymark.crypto.standard_webhooks import (
    ID_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    message_id_of,
    parse_secret,
    sign,
)
from deploymark.decoding import decode_json
from deploymark.emit.guarded import Exchange, GuardedClient, parse_networks, parse_target
from deploymark.emit.host import Host, SystemHost
from deploymark.errors import (
    ActuatorRefusedError,
    ActuatorUnavailableError,
    OutcomeUnknownError,
    UsageError,
)
from deploymark.ports import Deed, Found, Order, encode_order

UNAVAILABLE: Final = frozenset({429, 503})
"""The receiver did nothing and can be asked again, after Retry-After."""

REFUSED: Final = frozenset({400, 401, 403, 404, 405, 409, 410, 413, 414, 415, 421, 422, 431})
"""The receiver did nothing and would not do it; so says who redirects."""

_SUCCESS, _REDIRECT = 2, 3
_OK: Final = 200
_SHOWN: Final = 200

Seconds = Annotated[float, Meta(gt=0, le=3_600)]


class WebhookOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the actuator `webhook` needs to know.

    Attributes:
        url: Where orders are posted to.
        secret_file: The file with the secret, `whsec_…`, readable by its owner only.
        look_url: Where is asked whether an order is carried out; without one it is unknown.
        timeout_seconds: How long a request may take in all.
        private_networks: Networks and addresses that may be reached although they are not public.
        allow_plain_http: Also http to other hosts.
        authorities_file: Certificates of the authorities to trust, where they are private.
    """

    url: str
    secret_file: str
    look_url: str = ""
    timeout_seconds: Seconds = 30.0
    private_networks: list[str] = []
    allow_plain_http: bool = False
    authorities_file: str = ""


class _Look(Struct, frozen=True):
    found: Found


class WebhookActuator:
    """Carries out orders by posting them.

    Args:
        options: Where to.
        host: Tells the time.

    Raises:
        UsageError: A URL, a network or the secret is none, or the secret is open to others.
    """

    def __init__(self, options: WebhookOptions, host: Host | None = None) -> None:
        self._host = host or SystemHost()
        self._secret = _read_secret(options.secret_file)
        target = parse_target(options.url, allow_plain_http=options.allow_plain_http)
        self._shown = target.shown
        allowed = parse_networks(options.private_networks)
        self._posting = GuardedClient(
            target, self._host, options.timeout_seconds, allowed, options.authorities_file
        )
        self._looking: GuardedClient | None = None
        if options.look_url:
            there = parse_target(options.look_url, allow_plain_http=options.allow_plain_http)
            self._looking = GuardedClient(
                there, self._host, options.timeout_seconds, allowed, options.authorities_file
            )

    @property
    def name(self) -> str:
        """See `Actuator.name`."""
        return f"webhook:{self._shown}"

    def look(self, order: Order) -> Found:
        """See `Actuator.look`."""
        if self._looking is None:
            return Found.UNKNOWN
        headers = self._signed(order, b"") | {"Accept": "application/json"}
        try:
            exchange = self._looking.ask("GET", headers, query=query_of(order))
        except UsageError as error:
            raise ActuatorUnavailableError(error.message, hint=error.hint) from error
        response = exchange.response
        if response is None or response.status != _OK:
            raise self._unavailable(exchange)
        try:
            return decode_json(response.body, _Look).found
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return Found.UNKNOWN

    def carry_out(self, order: Order) -> str:
        """See `Actuator.carry_out`."""
        if order.deed is Deed.ROLL_BACK and order.stable is None:
            raise ActuatorRefusedError("There is no release to return to.")
        body = encode_order(order)
        headers = self._signed(order, body) | {"Content-Type": "application/json"}
        try:
            exchange = self._posting.ask("POST", headers, body)
        except UsageError as error:
            raise ActuatorRefusedError(error.message, hint=error.hint) from error
        response = exchange.response
        if response is None:
            if exchange.sent:
                raise OutcomeUnknownError(f"The order was posted. {exchange.problem}")
            raise ActuatorUnavailableError(exchange.problem)
        said = f"{self._shown} answers with status {response.status}{_quoted(response.body)}"
        if response.status // 100 == _SUCCESS:
            return f"{self._shown} has done it{_quoted(response.body)}"
        if response.status in UNAVAILABLE:
            raise self._unavailable(exchange)
        if response.status in REFUSED or response.status // 100 == _REDIRECT:
            raise ActuatorRefusedError(said)
        raise OutcomeUnknownError(said)

    def _signed(self, order: Order, body: bytes) -> dict[str, str]:
        message_id = message_id_of(order.key)
        now_s = self._host.now_ms() // 1_000
        return {
            ID_HEADER: message_id,
            TIMESTAMP_HEADER: str(now_s),
            SIGNATURE_HEADER: sign(self._secret, message_id, now_s, body),
        }

    def _unavailable(self, exchange: Exchange) -> ActuatorUnavailableError:
        response = exchange.response
        if response is None:
            return ActuatorUnavailableError(exchange.problem)
        return ActuatorUnavailableError(
            f"{self._shown} answers with status {response.status}{_quoted(response.body)}",
            wait_seconds=exchange.wait_seconds(self._host.now_ms()),
        )


def query_of(order: Order) -> str:
    """Return what a look asks about, as the query of a URL."""
    return urlencode(
        {
            "key": order.key,
            "action": order.deed.value,
            "service": order.service,
            "environment": order.environment,
            "canary": order.canary.deployment,
            "stable": "" if order.stable is None else order.stable.deployment,
            "weight": f"{order.weight:g}",
        }
    )


def _read_secret(file: str) -> bytes:
    try:
        with Path(file).open(encoding="ascii") as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            text = opened.read(1_000)
    except (OSError, ValueError) as error:
        raise UsageError(f"The secret file {file} cannot be read.", hint=str(error)) from None
    if mode & 0o077:
        raise UsageError(
            f"The secret file {file} is open to others.", hint=f"Close it: chmod 600 {file}"
        )
    return parse_secret(text)


def _quoted(body: bytes) -> str:
    """Return the first line of an answer behind a colon, as text that may be logged."""
    line = body[: 4 * _SHOWN].decode(errors="replace").strip().partition("\n")[0]
    text = "".join(each if each.isprintable() else "?" for each in line)[:_SHOWN].strip()
    return f": {text}" if text else "."

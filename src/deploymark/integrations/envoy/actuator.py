"""The actuator `envoy_weights`: an `Actuator` over Envoys that read one file of routes."""

import threading
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct

from deploymark.emit.host import Host, SystemHost
from deploymark.errors import (
    ActuatorRefusedError,
    ActuatorUnavailableError,
    OutcomeUnknownError,
)
from deploymark.integrations.envoy.admin import Admin
from deploymark.integrations.envoy.routes import (
    Pair,
    RoutesFile,
    is_weighted,
    opened,
    version_of,
    weighted,
)
from deploymark.ports import Found, Order

_POLL_SECONDS: Final = 0.05

Seconds = Annotated[float, Meta(gt=0, le=600)]


class EnvoyOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the actuator `envoy_weights` needs to know.

    Attributes:
        file: The file of routes that the Envoys watch (`path_config_source`), in JSON.
        route_config: Name of the RouteConfiguration in it.
        admin: The admin interfaces of all Envoys that watch it, on this host.
        canary, stable: The clusters, where the releases of an order do not name them.
        timeout_seconds: How long a question may take, and how long Envoy may take to follow.
    """

    file: str
    route_config: str
    admin: Annotated[list[str], Meta(min_length=1)]
    canary: str = ""
    stable: str = ""
    timeout_seconds: Seconds = 10.0


class EnvoyActuator:
    """Carries out orders by the weights of two clusters.

    Args:
        options: Which Envoys.
        host: Tells the time.

    Raises:
        UsageError: An admin interface is none of this host.
    """

    def __init__(self, options: EnvoyOptions, host: Host | None = None) -> None:
        self._options = options
        self._host = host or SystemHost()
        seconds = options.timeout_seconds
        self._admins = [Admin(url, self._host, seconds) for url in options.admin]

    @property
    def name(self) -> str:
        """See `Actuator.name`."""
        return f"envoy_weights:{self._options.route_config}"

    def look(self, order: Order) -> Found:
        """See `Actuator.look`."""
        pair = self._pair(order)
        if pair is None:
            return Found.UNKNOWN
        configs = [each.route_configs(self._options.route_config) for each in self._admins]
        if [] in configs:
            return Found.UNKNOWN
        done = all(is_weighted(each, pair, order.weight) for each in chain(*configs))
        return Found.DONE if done else Found.NOT_DONE

    def carry_out(self, order: Order) -> str:
        """See `Actuator.carry_out`.

        If we stop before the file is moved, nothing is done; after it, Envoy follows, and
        `look` says so.
        """
        pair = self._pair(order)
        if pair is None:
            raise ActuatorRefusedError("The order does not say between which two clusters.")
        rejected = self._check(pair)
        path = Path(self._options.file)
        try:
            with opened(path) as file:
                return self._replace(file, order, pair, rejected)
        except FileNotFoundError as error:
            raise ActuatorRefusedError(f"There is no file {path}.") from error
        except OSError as error:
            raise ActuatorUnavailableError(f"{path} was not replaced: {error.strerror}.") from error

    def _pair(self, order: Order) -> Pair | None:
        if order.stable is None:
            return None
        canary = order.canary.name or self._options.canary
        stable = order.stable.name or self._options.stable
        return Pair(canary, stable) if canary and stable and canary != stable else None

    def _check(self, pair: Pair) -> list[int]:
        """See that all Envoys can do it; returns how often each has refused a file."""
        rejected = []
        for admin in self._admins:
            # Envoy takes routes to a cluster that it does not know, and answers 503 there.
            unknown = sorted(set(pair) - admin.clusters())
            if unknown:
                raise ActuatorRefusedError(
                    f"{admin.shown} knows no cluster {' or '.join(unknown)}."
                )
            if not admin.route_configs(self._options.route_config):
                raise ActuatorRefusedError(
                    f"{admin.shown} has no routes {self._options.route_config} from a file."
                )
            rejected.append(admin.rejected(self._options.route_config))
        return rejected

    def _replace(self, file: RoutesFile, order: Order, pair: Pair, rejected: Sequence[int]) -> str:
        if order.fence < file.fence:
            raise ActuatorRefusedError(
                f"A later holder of the lease has acted: {file.fence}, not {order.fence}."
            )
        version = version_of(order.fence, order.decision_index)
        name = self._options.route_config
        content = weighted(file.read, name, pair, order.weight, version)
        if content != file.content:
            file.replace(content)
        if self._follows(pair, order, rejected):
            return f"Envoy gives {pair.canary} {order.weight:g} % of the requests of {name}."
        # A refused file changes nothing; the older one comes back for whoever starts anew.
        with suppress(OSError):
            file.replace(file.content)
        raise ActuatorRefusedError(
            f"Envoy refuses the file {self._options.file}.",
            hint="Its log says what is wrong in it.",
        )

    def _follows(self, pair: Pair, order: Order, rejected: Sequence[int]) -> bool:
        """Wait until every Envoy does it; False when one refuses the file."""
        name = self._options.route_config
        seconds = self._options.timeout_seconds
        until = self._host.elapsed_seconds() + seconds
        problem = (
            f"Envoy has not taken up the file {self._options.file} within {seconds:g} seconds."
        )
        while self._host.elapsed_seconds() < until:
            try:
                configs = [each.route_configs(name) for each in self._admins]
                shown = all(is_weighted(each, pair, order.weight) for each in chain(*configs))
                if shown and [] not in configs:
                    return True
                if [each.rejected(name) for each in self._admins] != rejected:
                    return False
            except ActuatorUnavailableError as error:
                problem = f"The file {self._options.file} was replaced. {error.message}"
            threading.Event().wait(_POLL_SECONDS)
        raise OutcomeUnknownError(problem)

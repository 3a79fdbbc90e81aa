"""What Envoy says of itself, through its admin interface on this host."""

import re
from typing import Any, Final

import msgspec

from deploymark.decoding import decode_json
from deploymark.emit.guarded import GuardedClient, parse_networks, parse_target
from deploymark.emit.host import Host
from deploymark.errors import ActuatorUnavailableError, UsageError

_LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
_OK: Final = 200


class Admin:
    """One Envoy.

    Args:
        url: Of its admin interface, such as `http://127.0.0.1:9901`; on this host only, because
            whoever reaches it can do everything.
        host: Tells the time.
        seconds: How long a question may take.

    Raises:
        UsageError: The URL is none, or not of this host.
    """

    def __init__(self, url: str, host: Host, seconds: float) -> None:
        target = parse_target(url)
        if target.secure or target.path != "/":
            raise UsageError(f"{target.shown} is not the admin interface of an Envoy on this host.")
        self.shown = target.shown
        self._clients = {
            path: GuardedClient(
                target._replace(path=path), host, seconds, parse_networks(_LOOPBACK)
            )
            for path in ("/config_dump", "/clusters", "/stats")
        }

    def route_configs(self, name: str) -> list[Any]:
        """Return the RouteConfigurations of a name that are in force: one for each source.

        Raises:
            ActuatorUnavailableError: Envoy cannot be asked.
        """
        dump = self._ask("/config_dump", "resource=dynamic_route_configs")
        found = (each.get("route_config") for each in dump.get("configs") or [])
        return [each for each in found if each and each.get("name") == name]

    def clusters(self) -> set[str]:
        """Return the names of the clusters that it knows; raises as `route_configs`."""
        said = self._ask("/clusters", "format=json")
        return {str(each.get("name")) for each in said.get("cluster_statuses") or []}

    def rejected(self, route_config: str) -> int:
        """Return how many updates of a RouteConfiguration it has refused; raises likewise."""
        pattern = f"rds.{re.sub('[^A-Za-z0-9_]', '.', route_config)}.update_rejected"
        said = self._ask("/stats", f"format=json&filter={pattern}")
        return sum(int(each.get("value") or 0) for each in said.get("stats") or [])

    def _ask(self, path: str, query: str) -> Any:  # noqa: ANN401 - JSON
        try:
            exchange = self._clients[path].ask("GET", {}, query=query)
        except UsageError as error:
            raise ActuatorUnavailableError(error.message) from error
        response = exchange.response
        if response is None:
            raise ActuatorUnavailableError(exchange.problem)
        if response.status != _OK:
            raise ActuatorUnavailableError(f"{self.shown} answers with status {response.status}.")
        try:
            said = decode_json(response.body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            said = None
        if not isinstance(said, dict):
            raise ActuatorUnavailableError(f"{self.shown} does not answer as Envoy does.")
        return said

"""Which names in `Host` are answered.

A page of a stranger can point its own name at 127.0.0.1 and so reach a server on the visitor's
machine as if it were its own (DNS rebinding). Such a request carries the stranger's name.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address

from deploymark.errors import HostError, RequestError

_LOCAL = ("localhost", "127.0.0.1", "[::1]")
_SHOWN = 64


def answered_hosts(listen: str, names: Iterable[str]) -> frozenset[str] | None:
    """Return the names that a server answers to; None for any.

    Args:
        listen: The address it listens on.
        names: Names from the configuration; once there are some, only they and this host's own
            count.
    """
    named = {name.lower().rstrip(".") for name in names}
    if not named and not _is_loopback(listen):
        return None
    shown = f"[{listen}]" if ":" in listen else listen.lower()
    return frozenset({*_LOCAL, shown, *named})


def _is_loopback(listen: str) -> bool:
    try:
        return ip_address(listen).is_loopback
    except ValueError:
        return listen.lower() == "localhost"


def check_host(host: bytes | None, answered: frozenset[str] | None) -> None:
    """Let a request pass whose `Host` is one of ours.

    Raises:
        RequestError: There is none.
        HostError: Another name.
    """
    if host is None:
        raise RequestError("The request has no Host header.")
    if answered is not None and _name_of(host) not in answered:
        raise HostError(f"This server does not answer to the name {_name_of(host)[:_SHOWN]!r}.")


@lru_cache(maxsize=64)
def _name_of(host: bytes) -> str:
    text = host.decode("latin-1").lower()
    name, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or (text.startswith("[") and not name.endswith("]")):
        name = text
    return name.rstrip(".")

"""Tells a name that nobody knows from one of which nothing is listed.

For commands that list: an empty listing of a misspelt name must not read like good news.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import quote

from deploymark.cli.client import Client
from deploymark.errors import NotFoundError

_KNOWN_BY: Final = ("service", "environment")
_LOOKED_AT: Final = 200


def unknown(client: Client, filters: Mapping[str, Any]) -> str:
    """Return what no deployment has of what was asked for, as a sentence; "" when all is known.

    Args:
        client: Asks the server.
        filters: `service`, `environment` and `deployment_id`, each None or its values.
    """
    for name in _KNOWN_BY:
        for value in filters[name] or ():
            if not client.listed("/v1/deployments", {name: [value]}, 1, 1):
                said = f"No deployment of the {name} {value!r} is known."
                return said + _meant(client, name, value)
    for value in filters["deployment_id"] or ():
        try:
            client.get(f"/v1/deployments/{quote(value, safe='~')}")
        except NotFoundError as error:
            return error.message
    return ""


def _meant(client: Client, name: str, value: str) -> str:
    """Ask for what is meant instead, by the newest deployments; "" when nothing is near."""
    newest = client.listed("/v1/deployments", {}, _LOOKED_AT, _LOOKED_AT)
    near = get_close_matches(value, sorted({each[name] for each in newest if each[name]}), n=1)
    return f" Did you mean {near[0]}?" if near else ""

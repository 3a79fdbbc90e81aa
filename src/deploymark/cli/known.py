"""Tells a name that nobody knows from one of which nothing is listed.

For commands that list: an empty listing of a misspelt name must not read like good news.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from deploymark.cli.client import Client
from deploymark.errors import NotFoundError

_KNOWN_BY: Final = ("service", "environment")


def unknown(client: Client, filters: Mapping[str, Any]) -> str:
    """Return what no deployment has of what was asked for, as a sentence; "" when all is known.

    Args:
        client: Asks the server.
        filters: `service`, `environment` and `deployment_id`, each None or its values.
    """
    for name in _KNOWN_BY:
        for value in filters[name] or ():
            if not client.listed("/v1/deployments", {name: [value]}, 1, 1):
                return f"No deployment of the {name} {value!r} is known."
    for value in filters["deployment_id"] or ():
        try:
            client.get(f"/v1/deployments/{quote(value, safe='~')}")
        except NotFoundError as error:
            return error.message
    return ""

"""Makes the page about two deployments."""

from typing import Any

from deploymark.errors import NotFoundError
from deploymark.server.pages.asked import Asked


def compare(asked: Asked) -> Any:
    raise NotFoundError("Not served yet.")

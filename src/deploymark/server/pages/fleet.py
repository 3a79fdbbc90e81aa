"""Makes the page about the fleet."""

from typing import Any

from deploymark.errors import NotFoundError
from deploymark.server.pages.asked import Asked


def fleet(asked: Asked) -> Any:
    raise NotFoundError("Not served yet.")

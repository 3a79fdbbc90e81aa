"""Makes the page about depths."""

from typing import Any

from deploymark.errors import NotFoundError
from deploymark.server.pages.asked import Asked


def debug(asked: Asked) -> Any:
    raise NotFoundError("Not served yet.")

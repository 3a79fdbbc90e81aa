"""Makes the page about one deployment."""

from typing import Any

from deploymark.errors import NotFoundError
from deploymark.server.pages.asked import Asked


def deployment(asked: Asked) -> Any:
    raise NotFoundError("Not served yet.")

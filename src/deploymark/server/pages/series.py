"""Makes the page about series."""

from typing import Any

from deploymark.errors import NotFoundError
from deploymark.server.pages.asked import Asked


def series(asked: Asked) -> Any:
    raise NotFoundError("Not served yet.")

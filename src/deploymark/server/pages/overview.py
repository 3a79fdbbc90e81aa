"""Makes the page about services."""

from typing import Any

from deploymark.errors import NotFoundError
from deploymark.server.pages.asked import Asked


def services(asked: Asked) -> Any:
    raise NotFoundError("Not served yet.")


def service(asked: Asked) -> Any:
    raise NotFoundError("Not served yet.")

"""Makes the page about a list."""

from typing import Any

from deploymark.errors import NotFoundError
from deploymark.server.pages.asked import Asked


def deployments(asked: Asked) -> Any:
    raise NotFoundError("Not served yet.")

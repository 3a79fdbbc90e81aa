"""Makes the page about numbers."""

from typing import Any

from deploymark.errors import NotFoundError
from deploymark.server.pages.asked import Asked


def executive(asked: Asked) -> Any:
    raise NotFoundError("Not served yet.")

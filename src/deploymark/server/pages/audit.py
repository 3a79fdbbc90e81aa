"""Makes the page about what an auditor sees."""

from typing import Any

from deploymark.errors import NotFoundError
from deploymark.server.pages.asked import Asked


def audit(asked: Asked) -> Any:
    raise NotFoundError("Not served yet.")


def entry(asked: Asked) -> Any:
    raise NotFoundError("Not served yet.")

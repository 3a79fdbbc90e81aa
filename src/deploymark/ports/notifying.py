"""Who tells people: pages, tickets, messages."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from msgspec import Struct


class Urgency(StrEnum):
    """Whether somebody is to be woken."""

    PAGE = "page"
    TICKET = "ticket"


class Alert(Struct, frozen=True):
    """Something that a person should know.

    Attributes:
        key: What it is about, the same text for as long as it lasts: repeated, it is one alert.
        code: What kind, such as `canary_failed`.
        urgency: Whether to wake somebody.
        service, environment: Where; "" for the platform itself.
        deployment: `d-…~1`, "" without one.
        owner: Whom to tell, "" where nobody is known.
        summary: One sentence.
        detail: More, with what to do.
        began_ms: When.
        ended_ms: When it was over, None while it lasts.
        indexes: The entries of the log that it rests on.
    """

    key: str
    code: str
    urgency: Urgency
    service: str
    environment: str
    deployment: str
    owner: str
    summary: str
    detail: str
    began_ms: int
    ended_ms: int | None = None
    indexes: tuple[int, ...] = ()


class Notifier(Protocol):
    """Hands alerts to whoever wakes people; may wait, and is asked by one thread at a time."""

    @property
    def name(self) -> str:
        """Which one this is, for people."""
        ...

    def notify(self, alerts: Sequence[Alert]) -> None:
        """Hand alerts over; what was handed over before changes nothing.

        Alerts that last are handed over again and again by the caller, because receivers forget.

        Raises:
            NotifierUnavailableError: Not all of them may have come; try all of them again.
            NotifierRefusedError: They would be refused again.
        """
        ...

"""What every handler of an operation may reach: the rooms behind the door, and the door's own."""

from dataclasses import dataclass

from deploymark.server.budget import BodyBudget
from deploymark.server.landing import Landing
from deploymark.server.metrics import RequestMeter
from deploymark.server.parts import Parts
from deploymark.server.settings import Settings
from deploymark.server.stream import Feed
from deploymark.server.waiting import WaitingRoom


@dataclass(frozen=True, slots=True)
class Desk:
    """Where handlers work.

    Attributes:
        parts: The rooms behind the door.
        settings: How the door is set up.
        feed: The live stream.
        landing: Brings what other threads have finished to the event loop.
        requests: What was asked, for the metrics.
        document: The OpenAPI document, encoded.
        bodies: The room that all bodies have together.
        waiting: Where requests wait for something to change.
    """

    parts: Parts
    settings: Settings
    feed: Feed
    landing: Landing
    requests: RequestMeter
    document: bytes
    bodies: BodyBudget
    waiting: WaitingRoom

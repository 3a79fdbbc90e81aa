"""How much memory the bodies of all requests may take at once.

Each body has a limit of its own; thousands of connections that send one slowly do not. Strangers
have a part of the room only, so that the bodies of those with a token always find some.
"""

from deploymark.errors import OverloadedError
from deploymark.ingest.callers import Caller
from deploymark.server.request import Request

MEGABYTE = 1_024 * 1_024


class BodyBudget:
    """Counts what requests hold; used on the event loop only, so it needs no lock.

    Args:
        all_bytes: What all requests hold at most.
        stranger_bytes: What those of callers without a token hold at most, of the same bytes.
    """

    def __init__(
        self, all_bytes: int = 128 * MEGABYTE, stranger_bytes: int = 32 * MEGABYTE
    ) -> None:
        self._all_bytes = all_bytes
        self._stranger_bytes = stranger_bytes
        self.held_bytes = 0
        self._strangers_hold_bytes = 0

    def take(self, request: Request, size: int) -> None:
        """Hold more for a request, whose caller is known by now.

        Raises:
            OverloadedError: There is no room; nothing was taken.
        """
        is_stranger = not request.caller.principal
        if self.held_bytes + size > self._all_bytes or (
            is_stranger and self._strangers_hold_bytes + size > self._stranger_bytes
        ):
            raise OverloadedError("Too many bodies are being received.")
        request.held_bytes += size
        self.held_bytes += size
        if is_stranger:
            self._strangers_hold_bytes += size

    def hand_over(self, request: Request, caller: Caller) -> None:
        """Say who calls; what was read to find that out now counts as theirs.

        Raises:
            OverloadedError: There is no room for it.
        """
        held = request.held_bytes
        self.free(request)
        request.caller = caller
        if held:
            self.take(request, held)

    def free(self, request: Request) -> None:
        """Forget what a request held, once it was handled."""
        self.held_bytes -= request.held_bytes
        if not request.caller.principal:
            self._strangers_hold_bytes -= request.held_bytes
        request.held_bytes = 0

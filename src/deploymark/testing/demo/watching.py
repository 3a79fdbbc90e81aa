"""Follows one rollout through the HTTP interface, and tells every step that the log gets.

It sees what any reader sees, and changes nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from deploymark.errors import ServerUnavailableError
from deploymark.testing.demo import story
from deploymark.testing.demo.story import Told
from deploymark.testing.gameday.door import Door, segment

POLL_SECONDS: Final = 0.25

Tell = Callable[[Told], None]
Pause = Callable[[float], None]


class Watcher:
    """Looks at rollouts.

    Args:
        door: To the server, as a reader.
        tell: Told each step.
        pause: How to wait.

    Attributes:
        tell: The same.
    """

    def __init__(self, door: Door, tell: Tell, pause: Pause) -> None:
        self._door = door
        self.tell = tell
        self._pause = pause

    def wait_observed(self, deployment: str, instances: int, seconds: float) -> int:
        """Wait until so many instances were observed with the digest of the marker.

        Returns:
            How many are.

        Raises:
            ServerUnavailableError: They are not in time.
        """
        for _ in self._polls(seconds):
            bound = self._show(deployment).get("instances") or {}
            if bound.get("observed", 0) >= instances:
                return int(bound["observed"])
        raise ServerUnavailableError(
            f"Nobody observed {instances} instances of {deployment} in {seconds:g} s."
        )

    def follow(self, deployment: str, seconds: float) -> tuple[str, int | None]:
        """Tell a rollout until it has ended.

        Returns:
            How it ended (`promoted`, `rolled_back`; when nothing ended it in time `paused` or
            `undecided`), and the entry of the verdict that it ended on.

        Raises:
            ServerUnavailableError: The server gives no answer.
        """
        told, looks, verdict, stands = -1, -1, None, "undecided"
        for _ in self._polls(seconds):
            shown = self._show(deployment)
            last = shown.get("verdict")
            if last is not None and last["index"] > looks:
                looks = last["index"]
                self._say(story.looked(last))
            for each in shown.get("decisions", ()):
                if each["index"] > told:
                    told = each["index"]
                    self._say(story.decided(told, each))
                    verdict = each.get("verdict_index") or verdict
            if shown.get("ended") and _is_marked(shown):
                return str(shown["ended"]), verdict
            stands = "paused" if shown.get("paused_by") else "undecided"
        return stands, verdict

    def _polls(self, seconds: float) -> Any:  # noqa: ANN401 - a range
        for number in range(int(seconds / POLL_SECONDS)):
            if number:
                self._pause(POLL_SECONDS)
            yield number

    def _show(self, deployment: str) -> dict[str, Any]:
        reply = self._door.get(f"/v1/rollouts/{segment(deployment)}")
        return reply.content if reply.status == 200 else {}

    def _say(self, told: Told | None) -> None:
        if told is not None:
            self.tell(told)


def _is_marked(shown: Mapping[str, Any]) -> bool:
    """Tell whether the marker that says how a rollout ended stands beside the decision."""
    if shown["ended"] == "rolled_back":
        return bool(shown["state"] == "rolled_back")
    return shown["live_at"] is not None

"""What follows from the facts of a rollout: one intent, with its reason. Pure values.

An intent says what shall be. Whether it was already done, the log knows: the controller logs each
`key` once, and carries out what it logged.
"""

from enum import StrEnum

from msgspec import Struct

from deploymark.act.facts import POLICY, Pair
from deploymark.model.entries import GuardResult
from deploymark.ports import Deed, Urgency


class Move(StrEnum):
    """What shall happen.

    `shift`, `promote` and `roll_back` change what runs, through an actuator. `pause`, `resume` and
    `freeze` are decisions that change nothing that runs. `hold` asks a person, `page` tells one
    that something is not as it should be, `refuse` answers a person's request, `wait` looks again.
    """

    WAIT = "wait"
    SHIFT = "shift"
    PROMOTE = "promote"
    PAUSE = "pause"
    RESUME = "resume"
    ROLL_BACK = "roll_back"
    FREEZE = "freeze"
    HOLD = "hold"
    PAGE = "page"
    REFUSE = "refuse"


class Intent(Struct, frozen=True, kw_only=True):
    """What shall happen next to a rollout; the same facts give the same one.

    Attributes:
        move: What.
        code: Why, as a stable word for alerts and metrics, such as `canary_failed`.
        reason: Why, for the person on call.
        key: `id~occurrence:move:step`; with `:index` of the request behind it where a person asked,
            of the last resumption in a pause after it; `environment:freeze:time of the last thaw`
            of a freeze.
        urgency: Whom to tell; None for nobody.
        step: Which the rollout is at; a shift leads to the next.
        weight: Percent of the traffic that the canary shall get; None where that stays.
        guards: What every guard said, of moves that change what runs, held back or not.
        by: A handle, or `policy`.
        break_glass: A person overrode guards that did not hold.
        verdict_index: The entry that it rests on.
        request_index: The entry of the person's request that it answers.
        quarantine: What is put away with a rollback.
        older: The deployment whose canary is in the way of this one, "" for none.
    """

    move: Move
    code: str
    reason: str
    key: str
    step: int
    urgency: Urgency | None = None
    weight: float | None = None
    guards: tuple[GuardResult, ...] = ()
    by: str = POLICY
    break_glass: bool = False
    verdict_index: int | None = None
    request_index: int | None = None
    quarantine: Pair | None = None
    older: str = ""

    @property
    def deed(self) -> Deed | None:
        """What an actuator is ordered to do, None when it is not asked."""
        return _DEEDS.get(self.move)

    @property
    def automatic(self) -> bool:
        """No person asked for it."""
        return self.by == POLICY


MOVES = {Deed.SHIFT: Move.SHIFT, Deed.PROMOTE: Move.PROMOTE, Deed.ROLL_BACK: Move.ROLL_BACK}
"""The moves that change what runs, by what an actuator is ordered to do."""

_DEEDS = {move: deed for deed, move in MOVES.items()}

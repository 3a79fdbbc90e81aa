"""Rolls out what has a plan: holds the lease, and says whose turn it is.

Level-triggered. Every turn reads from the views of the log where rollouts stand, and names the
services and environments (scopes) in which there is something to do. Each is then taken one stage
further in a lane of its own (`lane`), on whatever thread the caller has for it: what was decided
and not finished is finished, the look that is due is taken, what follows is asked, and that is
written down before anything is touched. Nothing is remembered that a restart could lose; a lane
that fails is tried again, and finds what it had already written.

**Why lanes hold up nobody.** A lane waits for an actuator or a source of counts outside every
lock. What the turn itself does (the lease, the views) is local, so a new turn comes however many
lanes hang, and each prolongs the lease. A running actuation is therefore never another
controller's, as long as this process lives. When it does not, or could not reach the lease for
longer than its term, another one takes over: its fence is higher, it looks at what runs before it
carries out anything that was decided, and the lane that comes back late finds that its own fence
no longer holds (`Holding.holds`), says at most what it did, and touches nothing more.

**Why two lanes never act at once in an environment** (guard 6). Whoever decides has the one lock
of the environment from before the facts are read until the decision stands in the log, and reads
them only from views that have seen all that this controller said of the environment (`Echo`). So
of two that decide at the same moment the second either does not see the first one's entry yet,
and waits for a later turn, or sees a deed that is under way, and guard `blast_radius` holds it
back. Verdicts are said under the same lock: the one that makes three failures of two is seen by
every decision after it. What a source has to be asked for a decision is asked before the lock is
taken. Carrying out happens outside of it, because a deed without an outcome is itself what keeps
the others back. One lock for each environment is enough: nothing that a guard asks reaches across,
but quarantine, which only ever forbids, and decisions anywhere are waited for (`Echo`).

**Why nothing is done twice.** A scope is given to one thread at a time by whoever has the threads
(`runtime.crew`). The lane takes a deed only from the log, and carries it out unseen only when this
very holding of the lease decided it.
"""

from collections.abc import Mapping

from deploymark.act.concerns import Wanted
from deploymark.act.hands import Footing, Hands
from deploymark.act.lane import Lane, NextLook
from deploymark.act.plan import RolloutPlan, Scope
from deploymark.act.scene import Terms


class Controller:
    """Takes rollouts further, a turn at a time.

    Args:
        plans: By service and environment.
        terms: What the configuration says of actions.
        hands: What it works with.
    """

    def __init__(self, plans: Mapping[Scope, RolloutPlan], terms: Terms, hands: Hands) -> None:
        self._hands = hands
        self._footing = Footing(hands, terms)
        self._lanes = {
            scope: Lane(scope, plan, hands, self._footing) for scope, plan in plans.items()
        }

    @property
    def wanted(self) -> Mapping[Scope, Wanted]:
        """What was last wanted of each rollout; for people who ask why it waits."""
        found = {scope: lane.wanted for scope, lane in self._lanes.items()}
        return {scope: wanted for scope, wanted in found.items() if wanted is not None}

    @property
    def next_looks(self) -> Mapping[Scope, NextLook]:
        """When each rollout that is looked at is looked at again."""
        found = {scope: lane.next_look for scope, lane in self._lanes.items()}
        return {scope: each for scope, each in found.items() if each is not None}

    def due(self) -> list[Scope]:
        """Begin a turn: take or prolong the lease, and return where there is something to do.

        One thread at a time, and it waits for nobody but the disk.

        Raises:
            StoreUnavailableError: The views or the lease refuse now.
            BrokenError: The log does not add up.
        """
        holding = self._footing.holding
        fence = holding.fence
        if not self._lanes or not holding.take(self._hands.clock.now_ms()):
            return []
        # Under another fence somebody else may have acted until now.
        self._footing.echo.settle(doubtful=holding.fence != fence)
        scene, standing = self._footing.scene(), self._hands.query.standing()
        return [
            scope
            for scope, lane in self._lanes.items()
            if lane.has_work(scene.unfinished(*scope), standing.get(scope))
        ]

    def take(self, scope: Scope) -> None:
        """Take one scope one stage further; any thread, one for each scope at a time.

        It may wait for as long as an actuator or a source does.

        Raises:
            UnavailableError: The views refuse now.
            BrokenError: The log does not add up.
        """
        self._lanes[scope].take()

    def turn(self) -> int:
        """Take every scope further, one after the other; return how many entries were appended.

        For who has one thread only; raises as `due` and `take`.
        """
        before = self._hands.size()
        for scope in self.due():
            self.take(scope)
        return self._hands.size() - before

    def let_go(self) -> None:
        """Decide and begin nothing more, for good."""
        self._footing.holding.let_go()

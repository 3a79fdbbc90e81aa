"""Processes that write as fast as they can are killed at random, again and again.

One data directory goes through several kills in a row, some of them followed by a power loss, so
that what recovered is itself recovered. After each, everything ever promised is checked.
"""

import itertools
import random

import pytest
from machine import Machine

pytestmark = pytest.mark.fault

_KILLS = 10
_MOST_KILLS = 100
_LEAST_SECONDS, _MOST_SECONDS = 0.03, 0.16


def kill_again_and_again(place: Machine, seed: int) -> None:
    """Kill one log `_KILLS` times and check it after each.

    On a busy machine one may be killed before it promised anything, so there are more of them
    until there were more promises than kills are asked for.
    """
    chance = random.Random(seed)
    promises: list[list[object]] = []
    with place.copy_of_template() as data:
        place.ask("forget", fresh=True, power_loss=True)
        for kill in itertools.count():
            after = chance.uniform(_LEAST_SECONDS, _MOST_SECONDS)
            power_loss = chance.random() < 0.5
            run = place.ask(
                "load",
                args={"path": str(data), "seed": seed * 1000 + kill},
                below=str(data.parent),
                kill_after=after,
                power_loss=power_loss,
            )
            where = f"seed {seed}, kill {kill} after {after:.3f} s, power loss {power_loss}"
            assert not run.faults(may_die=True), f"{where}: {run.faults(may_die=True)}"
            assert run.exit < 0, f"{where}: it ended by itself"
            known = len(promises)
            promises += run.promises
            # In the end every receipt there ever was; until then those of this round.
            last = kill + 1 >= _KILLS and len(promises) > _KILLS
            first = 0 if last else known
            found = place.check(data, promises, receipts_from=first)
            assert not found, f"{where}, {len(promises)} promises: {found[:5]}"
            if last:
                return
            # The kills are meant to come while something is going on.
            assert kill < _MOST_KILLS, f"{where}: too little was acknowledged to prove anything"


@pytest.mark.parametrize("seed", range(10))
def test_no_promise_breaks_in_a_hundred_kills(place: Machine, seed: int) -> None:
    kill_again_and_again(place, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 1100))
def test_no_promise_breaks_in_a_thousand_kills(place: Machine, seed: int) -> None:
    kill_again_and_again(place, seed)

"""Whatever goes wrong at once, what the machine changes by itself it may change.

The world knows the truth and checks each promise when something is decided: see `episode_world`.
"""

from collections import Counter
from functools import partial

import pytest
from episode_world import World
from msgspec.structs import replace

from deploymark.act import guards
from deploymark.act.facts import Facts
from deploymark.model.entries import GuardResult
from deploymark.ports import Deed

TURNS = 100


def _played(seeds: range) -> Counter[str]:
    done: Counter[str] = Counter()
    for seed in seeds:
        world = World(seed)
        world.play(TURNS)
        done += world.done
    return done


def test_no_promise_is_broken_in_any_episode() -> None:
    done = _played(range(100))
    # The promises would hold in a world in which nothing ever happens, too.
    for what in ("shift", "promote", "roll_back"):
        assert done[f"{what} automatic"] > 10, done
        assert done[f"{what} by a person"] > 10, done
    for what in ("pause canary_failed", "freeze shared_cause", "page recovery_failed"):
        assert done[what] > 10, done


@pytest.mark.soak
def test_no_promise_is_broken_in_ten_thousand_episodes() -> None:
    assert _played(range(10_000))["roll_back automatic"] > 1_000


BROKEN = {
    "replay": "it does not replay",
    "authority": "below its assurance",
    "binding": "nobody observed it|another digest runs",
    "target": "no target|an untrusted target|a migration that cannot be undone",
    "no_loops": "two automatic rollbacks|a rollback was rolled back",
    "blast_radius": "two services at once|switched off",
    "exposure": "too much traffic",
    "once": "decided twice",
    "recovery": "the last rollback has not helped",
    "shadow": "still in the shadow|a placebo alarms",
}


@pytest.mark.parametrize("missing", BROKEN)
def test_without_one_of_the_guards_its_promise_is_broken(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(guard: guards.Guard, facts: Facts, deed: Deed) -> GuardResult:
        result = guard(facts, deed)
        return replace(result, held=True) if result.name == missing else result

    monkeypatch.setattr(guards, "GUARDS", tuple(partial(without, each) for each in guards.GUARDS))
    with pytest.raises(AssertionError, match=BROKEN[missing]):
        _played(range(200))

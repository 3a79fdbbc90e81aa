"""What policies say of checkpoints, against c2sp.org/tlog-policy."""

from collections.abc import Callable, Iterable
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_notes import ED25519, Signer
from signing_parties import (
    EXAMPLE_POLICY,
    LOG,
    LOG_ML_DSA,
    ORIGIN,
    OTHER_LOG,
    ROOT,
    WITNESS_ML_DSA,
    note,
    text_of,
)
from signing_parties import WITNESSES as W

from deploymark.crypto.note import parse_note
from deploymark.errors import RefusedError
from deploymark.log.checkpoint import Checkpoint
from deploymark.log.policy import Policy, parse_policy

V = [signer.vkey for signer in W]
L = LOG.vkey
TWO = f"witness a {V[0]}\nwitness b {V[1]}\n"
Rule = Callable[[set[int]], bool]


def satisfies(policy: Policy, checkpoint: str) -> bool:
    try:
        policy.check(parse_note(checkpoint))
    except RefusedError:
        return False
    return True


def subsets(signers: list[Signer]) -> Iterable[tuple[Signer, ...]]:
    for count in range(len(signers) + 1):
        yield from combinations(signers, count)


def holds_for_all_subsets(text: str, rule: Rule) -> None:
    """Compare with a rule over the numbers of the witnesses that cosigned."""
    policy = parse_policy(f"log {L}\n" + text)
    for signers in subsets(W):
        numbers = {W.index(signer) for signer in signers}
        assert satisfies(policy, note(LOG, *signers)) == rule(numbers), f"{numbers} for {text}"


def test_the_example_of_the_specification_accepts_what_it_says() -> None:
    holds_for_all_subsets(
        EXAMPLE_POLICY.split("\n", 1)[1],
        lambda who: len(who & {0, 1, 2}) >= 2 and len(who & {3, 4, 5}) >= 1,
    )


def test_groups_of_any_all_and_each_threshold_accept_what_they_say() -> None:
    lines = "".join(f"witness w{number} {vkey}\n" for number, vkey in enumerate(V))
    members = " ".join(f"w{number}" for number in range(len(V)))
    for rule, threshold in [("any", 1), ("all", 6), *((str(k), k) for k in range(1, 7))]:
        policy = parse_policy(f"log {L}\n{lines}group g {rule} {members}\nquorum g\n")
        for count in range(len(W) + 1):
            assert satisfies(policy, note(LOG, *W[:count])) == (count >= threshold)
            assert satisfies(policy, note(*W[-count:], LOG)) == (count >= threshold) or not count


def test_a_single_witness_as_quorum_is_the_one_that_counts() -> None:
    holds_for_all_subsets(f"witness a {V[0]}\nwitness b {V[1]}\nquorum b\n", lambda who: 1 in who)


def test_quorum_none_asks_for_the_log_alone() -> None:
    policy = parse_policy(f"log {L}\nquorum none\n")
    checked = policy.check(parse_note(note(LOG)))
    assert checked.checkpoint == Checkpoint(ORIGIN, 42, ROOT)
    assert not satisfies(policy, note(W[0]))
    assert satisfies(policy, note(W[0], LOG, W[1]))


def test_what_was_checked_names_the_witnesses_and_their_times() -> None:
    policy = parse_policy(
        f"log {L}\nwitness a {V[0]}\nwitness b {WITNESS_ML_DSA.vkey}\nquorum none\n"
    )
    text = text_of(ORIGIN)
    lines = LOG.line(text) + W[0].line(text, seconds=1234) + WITNESS_ML_DSA.line(text, seconds=5678)
    checked = policy.check(parse_note(text + "\n" + lines))
    assert checked.witnesses == {"a": 1234, "b": 5678}
    assert [str(key) for key in checked.log_keys] == [L]


def cosigned(number: int) -> Rule:
    return lambda who: number in who


def at_least(threshold: int, members: list[Rule]) -> Rule:
    return lambda who: sum(member(who) for member in members) >= threshold


@st.composite
def nested(draw: st.DrawFn) -> tuple[str, Rule]:
    """A random tree of groups over the six witnesses, and the same tree as a function."""
    lines = [f"witness w{number} {vkey}" for number, vkey in enumerate(V)]
    free = [(f"w{number}", cosigned(number)) for number in range(len(V))]
    for serial in range(draw(st.integers(1, 5))):
        count = draw(st.integers(1, len(free)))
        order = draw(st.permutations(free))
        members, free = order[:count], order[count:]
        threshold = draw(st.integers(1, count))
        words = [str(threshold)] + ["any"] * (threshold == 1) + ["all"] * (threshold == count)
        names = " ".join(name for name, _ in members)
        lines.append(f"group g{serial} {draw(st.sampled_from(words))} {names}")
        free.append((f"g{serial}", at_least(threshold, [rule for _, rule in members])))
    name, rule = draw(st.sampled_from(free))
    return "\n".join([*lines, f"quorum {name}"]) + "\n", rule


ALL_LINES = [signer.line(text_of(ORIGIN)) for signer in W]


@settings(max_examples=60, deadline=None)
@given(nested(), st.sets(st.integers(0, 5)))
def test_any_tree_of_groups_accepts_what_it_says(policy: tuple[str, Rule], who: set[int]) -> None:
    text, rule = policy
    checkpoint = note(LOG, also="".join(ALL_LINES[number] for number in sorted(who)))
    assert satisfies(parse_policy(f"log {L}\n" + text), checkpoint) == rule(who)


ANY_TWO = f"log {L}\n{TWO}group g 2 a b\nquorum g\n"

REFUSED: dict[str, tuple[str, Callable[[], str]]] = {
    "no signature of the log": (ANY_TWO, lambda: note(W[0], W[1])),
    "a log that is not listed": (ANY_TWO, lambda: note(OTHER_LOG, W[0], W[1])),
    "no log listed": (f"{TWO}quorum a\n", lambda: note(LOG, W[0])),
    "a listed log's key under another origin": (
        ANY_TWO,
        lambda: note(LOG, W[0], W[1], origin="example.com/log2"),
    ),
    "the origin of one listed log signed by another": (
        f"log {L}\nlog {OTHER_LOG.vkey}\nquorum none\n",
        lambda: note(OTHER_LOG),
    ),
    "one witness twice": (ANY_TWO, lambda: note(LOG, W[0], W[0])),
    "one witness twice, at two times": (
        ANY_TWO,
        lambda: note(LOG, W[0], also=W[0].line(text_of(ORIGIN), seconds=99)),
    ),
    "a witness that is not listed": (ANY_TWO, lambda: note(LOG, W[0], W[2])),
    "a cosignature over another size": (
        ANY_TWO,
        lambda: note(LOG, W[0], also=W[1].line(text_of(ORIGIN, 43))),
    ),
    "a cosignature over another origin": (
        ANY_TWO,
        lambda: note(LOG, W[0], also=W[1].line(text_of("example.org/log"))),
    ),
    "a signature of the log over another size": (
        ANY_TWO,
        lambda: note(W[0], W[1], also=LOG.line(text_of(ORIGIN, 43))),
    ),
    "a witness key that signed as if it were a log": (
        ANY_TWO,
        lambda: note(LOG, W[0], Signer.of("witness.example/1", ED25519)),
    ),
    "a text that is no checkpoint": (
        ANY_TWO,
        lambda: "example.com/log\n\n" + LOG.line("example.com/log\n"),
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_a_checkpoint_that_does_not_satisfy_the_policy_is_refused(
    case: tuple[str, Callable[[], str]],
) -> None:
    policy, checkpoint = parse_policy(case[0]), parse_note(case[1]())
    with pytest.raises(RefusedError):
        policy.check(checkpoint)


def test_any_listed_log_is_accepted_under_its_own_origin() -> None:
    policy = parse_policy(f"log {L}\nlog {OTHER_LOG.vkey}\nquorum none\n")
    assert satisfies(policy, note(LOG))
    assert satisfies(policy, note(OTHER_LOG, origin="example.org/other"))


def test_either_key_of_a_log_is_enough() -> None:
    policy = parse_policy(f"log {L}\nlog {LOG_ML_DSA.vkey}\nquorum none\n")
    for signers in ((LOG,), (LOG_ML_DSA,), (LOG, LOG_ML_DSA)):
        assert satisfies(policy, note(*signers))


def test_signatures_of_unknown_keys_do_no_harm() -> None:
    policy = parse_policy(ANY_TWO)
    strangers = [Signer.of(f"stranger.example/{number}") for number in range(10)]
    assert satisfies(policy, note(*strangers, LOG, W[5], W[0], WITNESS_ML_DSA, W[1]))

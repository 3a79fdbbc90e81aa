"""Who may say what: every caller with everything that can be handed in, as one table."""

import json
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from receive_samples import ADMIN, CI, STRANGER, entry_of

from deploymark.errors import DeploymarkError, UnsignedRefusedError
from deploymark.ingest.admission import AdmissionRules, check_authority
from deploymark.ingest.callers import ANONYMOUS, LOCAL, Caller
from deploymark.log.sequencer import Acknowledgement
from deploymark.model.entries import Scope
from deploymark.model.envelope import Envelope, Signature
from deploymark.model.leaf import decode_leaf
from deploymark.model.statement import statement_of
from deploymark.model.vocabulary import FINDING, Role
from deploymark.storage.memory import MemoryLogStore
from deploymark.testing.whole_log import WholeLog, envelope_json, sample_marker, sign

RULES = {
    "default": AdmissionRules(),
    "sandboxes": AdmissionRules(anonymous_environments=("sandbox-*", "play")),
    "tokens": AdmissionRules(signed_without_token=False),
}
_HERE = Scope(("service-*",), ("prod", "sandbox-*"))
_ELSEWHERE = Scope(("billing",), ("prod", "sandbox-*"))
CALLERS = {
    "anonymous": ANONYMOUS,
    "reader": Caller("token:reader", frozenset({Role.READER})),
    "operator": Caller("token:operator", frozenset({Role.OPERATOR})),
    "emitter": Caller("token:ci", frozenset({Role.EMITTER}), _HERE),
    "elsewhere": Caller("token:billing", frozenset({Role.EMITTER}), _ELSEWHERE),
    "idle": Caller("token:idle", frozenset()),
    "admin": Caller("token:admin", frozenset({Role.ADMIN})),
    "local": LOCAL,
}
_numbers = count(100)


def _fields(environment: str = "prod") -> dict[str, object]:
    return sample_marker(next(_numbers), environment=environment)


def _forged() -> bytes:
    envelope = sign(_fields(), CI)
    wrong = sign(_fields(), CI).signatures[0].sig
    signature = Signature(envelope.signatures[0].keyid, wrong)
    return envelope_json(Envelope(envelope.payload, envelope.payloadType, [signature]))


def _finding(*signers: object) -> bytes:
    signer = CI if CI in signers else ADMIN
    envelope = entry_of(FINDING, signer, message=f"The {next(_numbers)}th.")
    if not signers:
        envelope = Envelope(envelope.payload, envelope.payloadType, [])
    return envelope_json(envelope)


SUBMISSIONS: dict[str, Callable[[], bytes]] = {
    "flat": lambda: json.dumps(_fields()).encode(),
    "sandbox": lambda: json.dumps(_fields("sandbox-7")).encode(),
    "statement": lambda: statement_of(_fields()),
    "signed": lambda: envelope_json(sign(_fields(), CI)),
    "stranger": lambda: envelope_json(sign(_fields(), STRANGER)),
    "forged": _forged,
    "finding": lambda: _finding(ADMIN),  # by a key that may say it
    "finding*": lambda: _finding(CI),  # by one that may not
    "unsigned": _finding,
}

# Who stands behind it, or why it was refused: no one "-", forbidden "x", an untrusted key "k",
# a wrong signature "s", no signature at all where only a signature would do "e".
TABLE = """
rules      caller      flat sandbox statement signed stranger forged finding finding* unsigned
default    anonymous   -    -       -         SIG    k        s      SIG     k        e
default    reader      x    x       x         x      x        x      x       x        e
default    operator    x    x       x         x      x        x      x       x        e
default    idle        x    x       x         x      x        x      x       x        e
default    emitter     ATT  ATT     ATT       SIG    k        s      SIG     k        e
default    elsewhere   x    x       x         x      x        x      SIG     k        e
default    admin       ATT  ATT     ATT       SIG    k        s      SIG     k        e
default    local       ATT  ATT     ATT       SIG    k        s      SIG     k        e
sandboxes  anonymous   -    ANY     -         SIG    k        s      SIG     k        e
sandboxes  reader      x    x       x         x      x        x      x       x        e
sandboxes  elsewhere   x    x       x         x      x        x      SIG     k        e
sandboxes  emitter     ATT  ATT     ATT       SIG    k        s      SIG     k        e
tokens     anonymous   -    -       -         -      -        -      -       -        e
tokens     emitter     ATT  ATT     ATT       SIG    k        s      SIG     k        e
tokens     elsewhere   x    x       x         x      x        x      SIG     k        e
tokens     local       ATT  ATT     ATT       SIG    k        s      SIG     k        e
"""
_WORDS = {
    "SIG": "signed",
    "ATT": "attributed",
    "ANY": "anonymous",
    "-": "marker_unsigned",
    "x": "forbidden",
    "k": "key_untrusted",
    "s": "bad_signature",
    "e": "bad_envelope",
}
_HEAD, *_ROWS = [line.split() for line in TABLE.split("\n") if line]


@pytest.fixture(scope="module", params=RULES)
def log(request: pytest.FixtureRequest) -> Iterator[tuple[str, WholeLog]]:
    """A log under each of the rules, with a key that may only say markers."""
    with WholeLog(MemoryLogStore(), rules=RULES[request.param]) as log:
        log.register(CI, "ci")
        yield request.param, log
        assert log.faults() == []


@pytest.mark.parametrize("column", SUBMISSIONS)
def test_who_stands_behind_an_entry_follows_from_caller_signature_and_rules(
    log: tuple[str, WholeLog], column: str
) -> None:
    rules, whole = log
    place = _HEAD.index(column)
    for row in _ROWS:
        if row[0] != rules:
            continue
        caller = CALLERS[row[1]]
        (outcome,) = whole.receiver.receive([SUBMISSIONS[column]()], caller)
        if isinstance(outcome, Acknowledgement):
            leaf = decode_leaf(outcome.leaf)
            became = leaf.assurance.value
            assert leaf.principal == caller.principal
        else:
            became = outcome.code
            assert outcome.hint
        assert became == _WORDS[row[place]], row[1]


def test_the_table_knows_every_caller_submission_and_rule() -> None:
    assert _HEAD[2:] == list(SUBMISSIONS)
    assert {row[0] for row in _ROWS} == RULES.keys()
    assert {row[1] for row in _ROWS if row[0] == "default"} == CALLERS.keys()
    assert all(len(row) == len(_HEAD) for row in _ROWS)


@pytest.mark.parametrize("caller", ["anonymous", "emitter", "admin", "local"])
def test_the_platform_signs_nothing_for_a_caller_but_markers(caller: str) -> None:
    with pytest.raises(UnsignedRefusedError):
        check_authority(RULES["sandboxes"], CALLERS[caller], None, signed=False)


@pytest.mark.parametrize("environment", ["sandbox", "prod", "xsandbox-1", "Sandbox-1", ""])
def test_a_rule_opens_the_environments_that_it_names_and_no_others(environment: str) -> None:
    with pytest.raises(DeploymarkError) as caught:
        check_authority(RULES["sandboxes"], ANONYMOUS, {"environment": environment}, signed=False)
    assert caught.value.code == "marker_unsigned"
    for said in ("sandbox-", "sandbox-1", "play"):
        check_authority(RULES["sandboxes"], ANONYMOUS, {"environment": said}, signed=False)

"""What was answered reaches the books: numbers the ledger, refusals the findings."""

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from privacy_samples import SECRETS
from receive_samples import CI, STRANGER, faulty_store, sound_log

from deploymark.errors import RateLimitedError, UnauthenticatedError
from deploymark.ingest.accounting import Accounting
from deploymark.ingest.callers import LOCAL, Caller
from deploymark.ingest.intake import Answer, Intake
from deploymark.ingest.ledger import Ledger
from deploymark.ingest.refusals import Refusals
from deploymark.ingest.submission import Submission
from deploymark.model.statement import statement_of
from deploymark.model.vocabulary import FINDING, Role
from deploymark.storage.memory_ledger import MemoryLedgerStore
from deploymark.testing.meter import ListMeter
from deploymark.testing.whole_log import WholeLog, envelope_json, sample_marker, sign

EMITTER = Caller("token:ci", frozenset({Role.EMITTER}), network="192.0.2.0/24")
READER = Caller("token:reader", frozenset({Role.READER}), network="198.51.100.0/24")
NOBODY = Caller("", frozenset(), network="203.0.113.0/24")

store = pytest.fixture(faulty_store)
log = pytest.fixture(sound_log)


class House:
    """An intake whose answers are accounted for before the next thing happens."""

    def __init__(self, log: WholeLog) -> None:
        self.log = log
        self.meter = ListMeter()
        self.ledger = Ledger(MemoryLedgerStore(), log.store, self.meter)
        self.refusals = Refusals(self.meter)
        self.accounting = Accounting(self.ledger, self.refusals, log.clock, self.meter)
        self.intake = Intake(log.receiver, log.admin, log.clock, bytes, lambda *_: None)

    def hand_in(self, *bodies: bytes, caller: Caller = EMITTER) -> list[Answer]:
        submissions = [Submission(body, caller) for body in bodies]
        answers = self.intake.submit(submissions).result(30)
        self.accounting.answered(submissions, answers)
        return answers

    def findings(self) -> list[dict[str, Any]]:
        return [json.loads(each) for each in self.refusals.due(None)]

    def emitter(self) -> dict[str, Any]:
        self.ledger.catch_up()
        (row,) = self.ledger.emitters(self.log.clock.now_ms())
        return row


@pytest.fixture
def house(log: WholeLog) -> Iterator[House]:
    house = House(log)
    yield house
    house.intake.close()


def numbered(sequence: int, number: int | None = None, **changes: object) -> dict[str, Any]:
    emitter = {"id": "ci-1", "epoch": "e1", "sequence": sequence}
    return sample_marker(sequence if number is None else number, emitter=emitter, **changes)


def forms(fields: dict[str, Any], key: Any = CI) -> dict[str, bytes]:  # noqa: ANN401 - a signer
    return {
        "flat": json.dumps(fields).encode(),
        "statement": statement_of(fields),
        "signed": envelope_json(sign(fields, key)),
    }


# The ledger ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["flat", "statement", "signed"])
def test_a_repetition_is_counted_beside_what_was_accepted(house: House, form: str) -> None:
    body = forms(numbered(0))[form]
    house.hand_in(body, body)
    house.hand_in(body)
    row = house.emitter()
    assert (row["accepted"], row["duplicates"], row["refused"]) == (1, 2, 0)
    assert row["missing"]["count"] == 0
    assert house.meter.counts["deploymark_entries_total{outcome=accepted}"] == 1
    assert house.meter.counts["deploymark_entries_total{outcome=duplicate}"] == 2


@pytest.mark.parametrize("form", ["flat", "statement", "signed"])
def test_a_refused_number_has_come_and_is_not_missing(house: House, form: str) -> None:
    secret, _ = SECRETS["an AWS key"]
    house.hand_in(*(forms(numbered(n, owner=secret if n == 1 else "me"))[form] for n in range(3)))
    house.log.clock.advance(3600)
    row = house.emitter()
    assert (row["accepted"], row["refused"], row["highest"]) == (2, 1, 2)
    assert row["missing"]["count"] == 0
    assert house.meter.counts["deploymark_entries_total{outcome=refused}"] == 1


MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "bytes": b"\xff\xfe",
    "no number": b"{}",
    "a number that is none": b'{"emitter":{"id":"a","epoch":"b","sequence":-1}}',
    "a number of another type": b'{"emitter":{"id":"a","epoch":"b","sequence":"1"}}',
    "a Statement without a predicate": b'{"_type":"x"}',
    "an envelope of nothing": b'{"payloadType":"x"}',
    "a service that is no text": b'{"service":[1],"emitter":7}',
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_malformed_is_counted_and_becomes_neither_number_nor_finding(
    house: House, case: str
) -> None:
    house.hand_in(MALFORMED[case])
    assert house.meter.counts["deploymark_entries_total{outcome=refused}"] == 1
    assert sum(house.refusals.counts().values()) == 1
    assert house.findings() == []
    assert house.ledger.emitters(house.log.clock.now_ms()) == []


# Findings -----------------------------------------------------------------------------------------


def test_a_conflict_names_both_contents_and_the_entry_that_stands(house: House) -> None:
    first, other = numbered(0), numbered(1, number=0, version="2")
    house.hand_in(forms(first)["signed"])
    (refusal,) = house.hand_in(forms(other)["flat"])
    assert not hasattr(refusal, "index") or getattr(refusal, "code", "") == "marker_conflict"
    (finding,) = house.findings()
    assert (finding["code"], finding["about"]) == ("marker_conflict", "token:ci")
    assert finding["indexes"] == [2]
    signed = sign(first, CI).payload_bytes()
    platform = statement_of({**other, "kind": "deployment"})
    assert finding["digests"] == [
        f"sha256:{sha256(each).hexdigest()}" for each in (signed, platform)
    ]


REFUSED: dict[str, tuple[bytes, Caller, str, str]] = {
    "a stranger's signature": (
        forms(numbered(0), STRANGER)["signed"],
        EMITTER,
        "marker_unauthorised",
        "token:ci",
    ),
    "a reader that writes": (
        forms(numbered(0))["flat"],
        READER,
        "marker_unauthorised",
        "token:reader",
    ),
    "nobody's word": (forms(numbered(0))["flat"], NOBODY, "marker_unsigned", "203.0.113.0/24"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_becomes_a_finding_about_who_tried_and_what(house: House, case: str) -> None:
    body, caller, code, about = REFUSED[case]
    house.hand_in(body, caller=caller)
    (finding,) = house.findings()
    assert (finding["code"], finding["about"], finding["count"]) == (code, about, 1)
    assert (finding["service"], finding["environment"]) == ("service-0", "prod")


def test_what_the_log_would_refuse_is_left_out_of_a_finding_so_that_the_log_takes_it(
    house: House,
) -> None:
    secret, _ = SECRETS["an AWS key"]
    fields = numbered(0, service=secret, environment="prod", deployment_id=secret)
    house.hand_in(json.dumps(fields).encode(), caller=NOBODY)
    (payload,) = house.refusals.due(None)
    assert secret not in payload.decode()
    assert b'"environment":"prod"' in payload
    assert house.intake.say_payload(FINDING, payload, LOCAL).index == 2


def test_a_request_that_was_turned_away_becomes_a_finding_about_its_network(house: House) -> None:
    house.accounting.turned_away(UnauthenticatedError("The token is not valid."), NOBODY)
    house.accounting.turned_away(RateLimitedError("Too many.", retry_after_s=1), READER)
    told = {(each["code"], each["about"]) for each in house.findings()}
    assert told == {
        ("marker_unauthorised", "203.0.113.0/24"),
        ("emitter_over_budget", "token:reader"),
    }


def test_every_finding_is_one_that_the_log_takes(house: House) -> None:
    for body, caller, _, _ in REFUSED.values():
        house.hand_in(body, caller=caller)
    payloads = house.refusals.due(None)
    assert len(payloads) == len(REFUSED)
    for payload in payloads:
        assert msgspec.json.decode(payload)["state"] == "counted"
        house.intake.say_payload(FINDING, payload, LOCAL)

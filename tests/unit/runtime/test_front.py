"""The front door over a real log: its parts work together, stop cleanly and come up again."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploymark.errors import (
    DeploymarkError,
    LogBrokenError,
    SignatureError,
    StateBrokenError,
    StoreUnavailableError,
    UnauthenticatedError,
    UsageError,
    WitnessRefusedError,
)
from deploymark.ingest.callers import LOCAL, Caller
from deploymark.ingest.intake import Admitted, Intake
from deploymark.ingest.refusals import Refusals
from deploymark.ingest.submission import Submission
from deploymark.model.leaf import decode_leaf
from deploymark.model.vocabulary import FINDING, Role
from deploymark.projections.broker.questions import DeploymentQuery
from deploymark.projections.search_query import MarkerQuery
from deploymark.runtime.compose import OpenLog, init_log, log_keys, open_log, platform_signer
from deploymark.runtime.config import Configuration, parse_configuration
from deploymark.runtime.front import _Findings, admission_rules, open_front
from deploymark.server.parts import Parts
from deploymark.testing.clock import START_MS, ManualClock
from deploymark.testing.meter import ListMeter
from deploymark.testing.whole_log import faults_of, sample_marker

ORIGIN = "log.example/front"
QUICK = parse_configuration({"log": {"publish_seconds": 0.02}})
EMITTER = Caller("token:ci", frozenset({Role.EMITTER}), network="192.0.2.0/24")
NOBODY = Caller("", frozenset(), network="203.0.113.0/24")
BROUGHT = "an-administrators-token-of-enough-length"

_PATIENCE_SECONDS = 30


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a new data directory and its guard."""
    folder = tmp_path_factory.mktemp("front")
    init_log(folder / "data", ORIGIN)
    return folder


@pytest.fixture
def path(template: Path, tmp_path: Path) -> Path:
    """A data directory of one's own."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return tmp_path / "data"


class House:
    """A log with its front door, and what stands behind it."""

    def __init__(self, log: OpenLog, parts: Parts, admin_token: str | None) -> None:
        self.log = log
        self.parts = parts
        self.admin_token = admin_token

    def hand_in(self, *fields: object, caller: Caller = EMITTER) -> list[str]:
        """Return "new", "again" or the code of a refusal for each."""
        submissions = [Submission(json.dumps(each).encode(), caller) for each in fields]
        answers = self.parts.intake.submit(submissions).result(_PATIENCE_SECONDS)
        return [
            ("again" if each.duplicate else "new") if isinstance(each, Admitted) else each.code
            for each in answers
        ]

    def findings(self) -> list[dict[str, object]]:
        return findings_of(self.log)


def findings_of(log: OpenLog) -> list[dict[str, object]]:
    """Return every finding in a log."""
    leaves = [decode_leaf(each.leaf or b"") for each in log.store.entries(0, log.store.head().size)]
    return [
        json.loads(leaf.dsse.payload_bytes()) for leaf in leaves if leaf.dsse.payloadType == FINDING
    ]


@contextmanager
def house(
    path: Path, configuration: Configuration = QUICK, admin_token: str | None = None
) -> Iterator[House]:
    with (
        open_log(path, rules=admission_rules(configuration)) as log,
        open_front(log, configuration, listen_host="127.0.0.1", admin_token=admin_token) as front,
    ):
        yield House(log, front.app._desk.parts, front.admin_token)


def eventually(happened: Callable[[], bool]) -> None:
    """Return once something has happened that another thread does by the clock."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def numbered(number: int, **changes: object) -> dict[str, object]:
    emitter = {"id": "ci-1", "epoch": "e1", "sequence": number}
    return sample_marker(number, emitter=emitter, **changes)


# Its parts are wired ------------------------------------------------------------------------------


def deployments(front: House) -> list[dict[str, Any]]:
    eventually(lambda: front.parts.runner.position() == front.log.store.head().size)
    return front.parts.broker.deployments(DeploymentQuery(limit=100)).items


def test_what_is_handed_in_is_published_searched_listed_and_counted(path: Path) -> None:
    with house(path) as front:
        assert front.hand_in(numbered(0), numbered(1)) == ["new", "new"]
        assert front.hand_in(numbered(0)) == ["again"]
        eventually(lambda: front.log.store.head().published_size == 3)
        eventually(lambda: front.parts.runner.position() == 3)
        page = front.parts.search.markers(MarkerQuery(service=("service-1",)))
        assert list(page.indexes) == [2]
        assert {each["service"] for each in deployments(front)} == {"service-1", "service-0"}
        eventually(lambda: front.parts.emitters.list()[0]["accepted"] == 2)
        assert front.parts.emitters.list()[0]["duplicates"] == 1
        assert [key["name"] for key in front.parts.keys.list()] == ["platform"]
        counted = {name for name, _ in front.parts.meter.read()}
        assert "deploymark_entries_total" in counted
        assert front.parts.policy_text == front.log.data.policy.read_text()


def test_the_platform_signs_for_callers_and_the_log_adds_up(path: Path) -> None:
    with house(path) as front:
        front.hand_in(numbered(0))
        leaf = decode_leaf(front.log.store.entry(1).leaf or b"")
        assert (leaf.assurance, leaf.principal) == ("attributed", "token:ci")
        assert front.log.ring.check(1, leaf).name == "platform"
        assert faults_of(front.log.store.snapshot(), log_keys(front.log.policy)) == []


def test_the_rules_of_the_configuration_are_those_of_admission(path: Path) -> None:
    configuration = parse_configuration({"policy": {"anonymous_environments": ["play"]}})
    with house(path, configuration) as front:
        marker = sample_marker(0, environment="play")
        assert front.hand_in(marker, sample_marker(1), caller=NOBODY) == ["new", "marker_unsigned"]


# Findings -----------------------------------------------------------------------------------------


def test_what_was_refused_is_in_the_log_once_the_server_has_stopped(path: Path) -> None:
    with house(path) as front:
        front.hand_in(numbered(0), numbered(1), caller=NOBODY)
        front.parts.turned_away(UnauthenticatedError("The token is not valid."), NOBODY)
        assert front.findings() == []
    with open_log(path) as log:
        away, finding = sorted(findings_of(log), key=lambda each: str(each["code"]))
        assert (away["code"], away["count"]) == ("marker_unauthorised", 1)
        assert (finding["code"], finding["about"]) == ("marker_unsigned", "203.0.113.0/24")
        assert finding["count"] == 2
        assert log.store.head().published_size == log.store.head().size == 3


def _findings(log: OpenLog) -> tuple[_Findings, Refusals, Intake, ListMeter]:
    meter = ListMeter()
    refusals = Refusals(meter)
    intake = Intake(log.receiver, platform_signer(log.data, None), ManualClock(), bytes)
    return _Findings(refusals, intake, meter), refusals, intake, meter


def test_findings_arrive_when_their_minute_is_over_and_not_before(path: Path) -> None:
    with open_log(path) as log:
        findings, refusals, intake, _ = _findings(log)
        refusals.refused(SignatureError("It does not verify."), NOBODY, START_MS)
        findings.tell(START_MS + 1_000)
        assert findings_of(log) == []
        findings.tell(START_MS + 60_000)
        (finding,) = findings_of(log)
        assert finding["code"] == "marker_forged"
        findings.tell(START_MS + 120_000)
        assert len(findings_of(log)) == 1
        intake.close()


@pytest.mark.parametrize("name", ["nightly-1a2083a2897-forger-3", "prod-deployer-9f86d081884c7d65"])
def test_a_token_whose_name_looks_like_a_secret_is_named(path: Path, name: str) -> None:
    with open_log(path) as log:
        findings, refusals, intake, _ = _findings(log)
        caller = Caller(f"token:{name}", frozenset({Role.EMITTER}))
        refusals.refused(SignatureError("It does not verify."), caller, START_MS)
        findings.tell(None)
        (finding,) = findings_of(log)
        assert finding["about"] == f"token:{name}"
        intake.close()


def test_a_finding_that_the_log_cannot_take_now_waits(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_log(path) as log:
        findings, refusals, intake, _ = _findings(log)
        refusals.refused(SignatureError("It does not verify."), NOBODY, START_MS)

        def away(*_: object) -> None:
            raise StoreUnavailableError("No space is left.")

        with monkeypatch.context() as patched:
            patched.setattr(log.receiver, "receive", away)
            for _ in range(2):
                with pytest.raises(StoreUnavailableError):
                    findings.tell(None)
        findings.tell(START_MS)
        assert len(findings_of(log)) == 1
        intake.close()


def test_a_finding_that_the_log_never_takes_does_not_hold_up_the_others(path: Path) -> None:
    with open_log(path) as log:
        findings, refusals, intake, meter = _findings(log)
        findings._waiting.append(b'{"code":"no such code"}')
        refusals.refused(SignatureError("It does not verify."), NOBODY, START_MS)
        findings.tell(None)
        assert len(findings_of(log)) == 1
        assert meter.counts["deploymark_findings_dropped_total{code=bad_marker}"] == 1
        intake.close()


# Stopping and starting again ----------------------------------------------------------------------


def test_what_waits_when_the_server_stops_is_finished(path: Path) -> None:
    with house(path) as front:
        futures = [
            front.parts.intake.submit([Submission(json.dumps(numbered(n)).encode(), EMITTER)])
            for n in range(50)
        ]
    assert all(isinstance(future.result(0)[0], Admitted) for future in futures)
    with open_log(path) as log:
        assert log.store.head().size == log.store.head().published_size == 51


def test_a_front_offers_a_way_in_for_the_administrator_once(path: Path) -> None:
    with (
        open_log(path) as log,
        open_front(log, QUICK, listen_host="127.0.0.1") as front,
    ):
        page, _, link = (front.sign_in or "").partition("?token=")
        sessions = front.app._desk.parts.sessions
        caller = sessions.authenticate(sessions.open_once(link).cookie)
        assert (page, caller.principal) == ("/oncall", "token:admin")
        with pytest.raises(UnauthenticatedError):
            sessions.open_once(link)


def test_a_restart_keeps_tokens_numbers_and_deployments(path: Path) -> None:
    with house(path) as front:
        assert front.admin_token is not None
        admin = front.admin_token
        front.hand_in(numbered(0), numbered(1))
        front.hand_in(numbered(0), {"service": "nothing else"})
        listed = deployments(front)
    with house(path) as front:
        assert front.admin_token is None, "one lives already"
        assert front.parts.tokens.authenticate(admin).principal == "token:admin"
        assert deployments(front) == listed
        (row,) = front.parts.emitters.list()
        assert (row["accepted"], row["duplicates"]) == (2, 1)
        assert front.hand_in(numbered(1)) == ["again"]


_ADMIT_AND_WAIT = """
import json, sys
from pathlib import Path
from typing import Any
from deploymark.ingest.submission import Submission
from deploymark.runtime.compose import open_log
from deploymark.runtime.config import Configuration
from deploymark.runtime.front import open_front
with open_log(Path(sys.argv[1])) as log:
    with open_front(log, Configuration(), listen_host="127.0.0.1") as front:
        bodies = json.load(open(sys.argv[2]))
        submissions = [Submission(json.dumps(each).encode()) for each in bodies]
        front.app._desk.parts.intake.submit(submissions).result(30)
        print(front.admin_token, flush=True)
        sys.stdin.read()
"""


def test_a_server_that_was_killed_has_all_that_it_acknowledged(path: Path, tmp_path: Path) -> None:
    bodies = tmp_path / "bodies.json"
    bodies.write_text(json.dumps([numbered(n) for n in range(20)]))
    with subprocess.Popen(
        [sys.executable, "-c", _ADMIT_AND_WAIT, str(path), str(bodies)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        admin = server.stdout.readline().strip()
        server.kill()
    with house(path) as front:
        assert front.log.store.head().size == 21
        assert front.parts.tokens.authenticate(admin).has(Role.ADMIN)
        assert len(deployments(front)) == 20
        again = front.hand_in(*(numbered(n) for n in range(20)), caller=LOCAL)
        assert again == ["again"] * 20
        eventually(lambda: front.parts.runner.position() == 21)
        eventually(lambda: [row["accepted"] for row in front.parts.emitters.list()] == [20])
    with open_log(path) as log:
        assert faults_of(log.store.snapshot(), log_keys(log.policy)) == []


def test_a_lost_state_file_costs_the_tokens_and_nothing_that_the_log_says(path: Path) -> None:
    with house(path) as front:
        old = front.admin_token or ""
        front.hand_in(numbered(0), numbered(1))
        listed = deployments(front)
    for file in path.glob("state.db*"):
        file.unlink()
    with house(path) as front:
        assert front.admin_token not in (None, old)
        with pytest.raises(UnauthenticatedError):
            front.parts.tokens.authenticate(old)
        assert front.parts.tokens.authenticate(front.admin_token or "").has(Role.ADMIN)
        assert deployments(front) == listed
        assert front.hand_in(numbered(0)) == ["again"]
        eventually(lambda: [row["accepted"] for row in front.parts.emitters.list()] == [2])


def _overwrite(file: Path) -> None:
    for each in file.parent.glob(f"{file.name}-*"):
        each.unlink()
    file.write_bytes(b"SQLite format 3\0" + b"\xde\xad\xbe\xef" * 2_000)


def test_a_damaged_state_file_stops_the_start_and_says_what_to_do(path: Path) -> None:
    with house(path) as front:
        front.hand_in(numbered(0))
    _overwrite(path / "state.db")
    with pytest.raises(StateBrokenError) as caught, house(path):
        pass
    assert "state.db" in caught.value.message
    assert "backup" in caught.value.hint
    assert "move it away" in caught.value.hint
    (path / "state.db").rename(path / "away.db")
    with house(path) as front:
        assert front.hand_in(numbered(0)) == ["again"]


@pytest.mark.parametrize("lost", ["damaged", "deleted"])
def test_the_views_are_built_again(path: Path, lost: str) -> None:
    with house(path) as front:
        front.hand_in(numbered(0), numbered(1))
        eventually(lambda: front.parts.runner.position() == 3)
    if lost == "damaged":
        _overwrite(path / "views.db")
    else:
        for file in path.glob("views.db*"):
            file.unlink()
    with house(path) as front:
        eventually(lambda: front.parts.runner.position() == 3)
        page = front.parts.search.markers(MarkerQuery(service=("service-1",)))
        assert list(page.indexes) == [2]


# Tokens -------------------------------------------------------------------------------------------


def test_a_token_that_the_operator_brought_works_and_is_not_shown(path: Path) -> None:
    for _ in range(2):
        with house(path, admin_token=BROUGHT) as front:
            assert front.admin_token is None
            assert front.parts.tokens.authenticate(BROUGHT).has(Role.ADMIN)


def test_a_start_that_fails_half_way_leaves_nothing_open(path: Path) -> None:
    for _ in range(2):
        with pytest.raises(UsageError, match="token"), house(path, admin_token="short"):  # noqa: S106
            pass
    with house(path) as front:
        assert front.hand_in(numbered(0)) == ["new"]


# When the log breaks ------------------------------------------------------------------------------


def test_a_log_that_breaks_refuses_writing_tells_once_and_is_read_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[DeploymarkError] = []
    with (
        open_log(path, on_broken=told.append) as log,
        open_front(log, QUICK, listen_host="127.0.0.1") as front,
    ):
        behind = House(log, front.app._desk.parts, None)
        assert behind.hand_in(numbered(0)) == ["new"]
        behind.parts.check_writing()

        def broken(_: object) -> None:
            raise LogBrokenError("It does not add up.")

        monkeypatch.setattr(log.store, "append", broken)
        for number in (1, 2):
            with pytest.raises(LogBrokenError):
                behind.hand_in(numbered(number))
        with pytest.raises(LogBrokenError):
            behind.parts.intake.keep_detail(b"content", LOCAL)
        assert [error.code for error in told] == ["log_broken"]
        with pytest.raises(LogBrokenError, match="does not add up"):
            behind.parts.check_writing()
        eventually(lambda: behind.parts.runner.position() == 2)
        assert behind.parts.broker.deployments(DeploymentQuery()).items


def test_a_witness_that_saw_another_history_ends_writing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[DeploymarkError] = []

    def refused() -> None:
        raise WitnessRefusedError("It has seen another tree of this size.")

    with (
        open_log(path, on_broken=told.append) as log,
        open_front(log, QUICK, listen_host="127.0.0.1") as front,
    ):
        behind = House(log, front.app._desk.parts, None)
        monkeypatch.setattr(type(log.publisher), "publish", lambda _: refused())
        assert behind.hand_in(numbered(0)) == ["new"]
        eventually(lambda: bool(told))
        with pytest.raises(WitnessRefusedError):
            behind.hand_in(numbered(1))
        with pytest.raises(WitnessRefusedError):
            behind.parts.check_writing()
    assert [error.code for error in told] == ["witness_refused"]

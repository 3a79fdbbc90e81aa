"""Scenario S2, serverless: an alias is flipped to a new version and back, and the log can prove it.

The check of the service-level objective belongs to the controller; here a test decides that it was
missed, gives the actuator its orders, and says so as the controller would.
"""

import json
from collections.abc import Iterator

import pytest
from account import Account, account, keep_from_aws, running_moto
from serving import await_instances
from team import ENVIRONMENT, SERVICE, Json, Team

from deploymark.emit.emitter import Emitter
from deploymark.emit.host import SystemHost
from deploymark.emit.settings import Settings
from deploymark.integrations.aws_lambda.alias import AliasOptions, LambdaAlias
from deploymark.integrations.aws_lambda.functions import FunctionsOptions, LambdaFunctions
from deploymark.model.vocabulary import EmitterKind
from deploymark.ports import Deed, Order, Release
from deploymark.runtime.observing import Reporter

REASON = "burned the error budget 14 times too fast for 15 minutes"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    keep_from_aws(monkeypatch)
    with running_moto() as behind, account(behind) as found:
        yield found


def marked(team: Team, run: int, phase: str, digest: str, *more: str) -> Json:
    """Say something as the job of a CI run does: signed, with digest and alias."""
    words = (
        *("mark", phase, "--service", SERVICE, "--environment", ENVIRONMENT),
        *("--artifact", digest, "--workload", f"{SERVICE}:{ENVIRONMENT}", "--action", f"run-{run}"),
        *("--sign", "ci.pem", "--require", "--json", *more),
    )
    said: Json = json.loads(team.command(*words, role="ci").stdout)
    return said


def ordered(deed: Deed, new: Json, old: Json, digests: tuple[str, str]) -> Order:
    return Order(
        deed=deed,
        key=f"{new['deployment_id']}~1:{deed.value}:1",
        service=SERVICE,
        environment=ENVIRONMENT,
        canary=Release(f"{new['deployment_id']}~1", "2", digests[1]),
        stable=Release(f"{old['deployment_id']}~1", "1", digests[0]),
        weight=0.0,
        reason=REASON,
        decision_index=new["index"],
        fence=1,
    )


class Watch:
    """An observer beside the function, which says to the log what it sees."""

    def __init__(self, team: Team, aws: Account) -> None:
        scope = ("--service", SERVICE, "--environment", ENVIRONMENT)
        words = ("tokens", "new", "observer", "--role", "emitter", *scope, "--json")
        token = json.loads(team.command(*words, role="admin").stdout)["token"]
        spool = str(team.place / "observer-spool")
        self.observer = LambdaFunctions(
            FunctionsOptions(function=SERVICE, alias=ENVIRONMENT, **aws.access)
        )
        self.emitter = Emitter(
            Settings(url=team.url, token=token, spool=spool),
            kind=EmitterKind.ORCHESTRATOR,
            emitter_id=self.observer.name,
            facts={},
            strict=True,
        )
        fields = {"service": SERVICE, "environment": ENVIRONMENT}
        place = {"workload": f"{SERVICE}:{ENVIRONMENT}"}
        self.reporter = Reporter(self.observer, self.emitter, fields, place, list, SystemHost())

    def look(self) -> None:
        self.reporter.run_round()
        assert self.emitter.flush(30).problem == ""

    def close(self) -> None:
        self.emitter.close(0)
        self.observer.close()


def said_and_seen(team: Team, after: int) -> tuple[list[Json], list[Json]]:
    """Return the markers of CI, and those of the observer once it has said what ended."""
    await_instances(team, lambda seen: seen["removed"] >= 2)
    markers = [each["marker"] for each in team.markers(after=after)]
    seen = [each for each in markers if each["emitter"]["kind"] == "orchestrator"]
    return [each for each in markers if each not in seen], seen


def test_an_alias_is_flipped_and_reverted_and_the_log_can_prove_it(
    team: Team, aws: Account
) -> None:
    watch = Watch(team, aws)
    actuator = LambdaAlias(AliasOptions(function=SERVICE, alias=ENVIRONMENT, **aws.access))

    # 1. The old version runs: signed for by CI, seen by the observer.
    old_version, old_digest = aws.publish(b"old")
    aws.alias(ENVIRONMENT, old_version)
    old = marked(team, 1, "applied", old_digest)
    watch.look()

    # 2. A new one is published and marked, and the alias is flipped to it.
    new_version, new_digest = aws.publish(b"new")
    new = marked(team, 2, "applied", new_digest)
    digests = (old_digest, new_digest)
    actuator.carry_out(ordered(Deed.PROMOTE, new, old, digests))
    assert aws.shown(ENVIRONMENT)["FunctionVersion"] == new_version
    watch.look()

    # 3. It breaches, and the alias is reverted.
    marked(team, 2, "rolling_back", new_digest, "--reason", REASON)
    actuator.carry_out(ordered(Deed.ROLL_BACK, new, old, digests))
    assert aws.shown(ENVIRONMENT)["FunctionVersion"] == old_version
    last = marked(team, 2, "rolled_back", new_digest, "--reason", REASON)["index"]
    watch.look()
    watch.close()
    actuator.close()

    # 4. The trail: what was said, and beside it what was seen.
    said, seen = said_and_seen(team, last)
    assert [(each["phase"], each["artifact"]["digest"]) for each in said] == [
        ("applied", old_digest),
        ("applied", new_digest),
        ("rolling_back", new_digest),
        ("rolled_back", new_digest),
    ]
    assert {each["target"]["workload"] for each in said} == {f"{SERVICE}:{ENVIRONMENT}"}
    running = [each for each in seen if each["phase"] == "running"]
    assert [each["evidence"]["digest"] for each in running] == [old_digest, new_digest, old_digest]
    assert {each["evidence"]["basis"] for each in running} == {"observed"}
    ended = [each["target"]["instance_uid"] for each in seen if each["phase"] == "removed"]
    assert ended == [each["target"]["instance_uid"] for each in running[:2]]

    # 5. An auditor verifies the rollback with a receipt, the policy and the public keys.
    auditor = team.hand_to_auditor([last])
    team.stop_server()
    trust = ("--policy", "policy", "--keys", "keys.json")
    team.offline("verify", f"{last}.tlog-proof", *trust, at=auditor)
    assert "everything adds up" in team.offline("log", "fsck", "--data", "data").stdout

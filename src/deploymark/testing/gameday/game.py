"""Runs a whole game day against a server and says how it went."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Final

from deploymark.errors import UsageError
from deploymark.ports import Clock
from deploymark.testing.gameday.door import Door, Json
from deploymark.testing.gameday.fleet import PREFIX, PRODUCTION, STAGE
from deploymark.testing.gameday.guests import Guests
from deploymark.testing.gameday.message import number
from deploymark.testing.gameday.plan import Day
from deploymark.testing.gameday.player import Player, Sent
from deploymark.testing.gameday.records import differences, instance_differences
from deploymark.testing.gameday.score import Scorer, Shown, Verdict
from deploymark.testing.gameday.truth import Record
from deploymark.testing.gameday.watch import Watch, deployment, instances
from deploymark.testing.gameday.witnesses import farewell, identify

_FOREIGN_SHOWN: Final = 3
_LONGEST_WAIT_SECONDS: Final = 180.0

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Result:
    """How a game day went.

    Attributes:
        verdicts: One for each fault.
        false_findings: Findings that nothing was the reason of.
        untrue: What records say that is not true, of deployments without a fault.
        wrong_answers: Messages that were answered otherwise than the specification says.
        sent: How many messages were sent.
        slipped_seconds: How much longer it took because this machine was busy.
    """

    day: Day
    verdicts: list[Verdict]
    false_findings: list[Shown]
    untrue: list[str]
    wrong_answers: list[Sent]
    sent: int
    slipped_seconds: float

    @property
    def is_won(self) -> bool:
        """Everything was found in time, nothing was made up, and every record is true."""
        return (
            all(verdict.found for verdict in self.verdicts)
            and not self.false_findings
            and not self.untrue
            and not self.wrong_answers
        )


def refuse_production(door: Door) -> None:
    """Refuse a server that knows other environments than those of game days.

    Raises:
        UsageError: It does.
    """
    seen = (each.get("environment") for each in door.items("/v1/deployments"))
    foreign = {str(name) for name in seen if not str(name).startswith(PREFIX)}
    if foreign:
        shown = ", ".join(sorted(foreign)[:_FOREIGN_SHOWN])
        raise UsageError(
            f"The server {door.url} knows environments that are not of a game day: {shown}.",
            hint="Run it against a server of its own, or say --not-a-test-server.",
        )


def run_day(
    day: Day,
    door: Door,
    clock: Clock,
    *,
    progress: Progress = lambda _: None,
    on_played: Callable[[], None] = lambda: None,
) -> Result:
    """Play a day, watch what the server makes of it, and compare it with the truth.

    Args:
        day: What to play.
        door: To the server, as an admin.
        clock: Tells the time.
        progress: Is told how many messages have been sent.
        on_played: Is called once everything was sent.

    Raises:
        ForbiddenError: The caller is no admin.
        ServerUnavailableError: The server is away, or answers what nobody understands.
    """
    guests = Guests(door, day.name)
    guests.invite()
    player = Player(day, guests, clock)
    faulty = {injection.deploy.number for injection in day.injections}
    healthy = [identify(each) for each in day.world.deploys if each.number not in faulty]
    scorer = Scorer(
        day.injections,
        day.timing,
        player.real_ms,
        guests.principal,
        healthy,
    )
    with closing(guests.reader()) as reader:
        watch = Watch(reader, scorer, clock)
        watch.start()
        try:
            player.play(progress)
            on_played()
            # What has no fault must stay quiet for as long as a deadline can take.
            watch.wait(day.timing.rollout_seconds + day.timing.slack_seconds, _LONGEST_WAIT_SECONDS)
        finally:
            watch.stop()
        watch.look()
        scorer.close(watch.shown)
        comparison = _Comparison(day, reader, player.sent)
        for verdict in scorer.verdicts:
            verdict.faults += comparison.of_deploy(verdict.injection.deploy.number)
        untrue = [
            line
            for each in day.records
            if each.deploy.fault is None
            for line in comparison.of(each)
        ]
        untrue += comparison.of_instances()
        untrue += misfiled(day, player.sent)
    result = Result(
        day,
        scorer.verdicts,
        scorer.unexplained(watch.shown),
        untrue,
        [each for each in player.sent if not each.is_right],
        len(player.sent),
        player.pace.slipped_seconds,
    )
    _clear_up(day, guests, clock)
    return result


class _Comparison:
    """Compares the records of a server with those of a day."""

    def __init__(self, day: Day, door: Door, sent: list[Sent]) -> None:
        self._day = day
        self._door = door
        self._opened = _openings(sent)
        self._names: dict[int, str] = {}
        self._records = {record.deploy.number: record for record in day.records}
        for record in day.records:
            self._names[record.deploy.number] = record.id

    def of_deploy(self, serial: int) -> Iterator[str]:
        """Yield what is not true of a deploy."""
        yield from self.of(self._records[serial])

    def of(self, record: Record) -> Iterator[str]:
        """Yield what is not true of a record, with its name before it."""
        serial = record.deploy.number
        name = record.id if record.occurrence is None else f"{record.id}~{record.occurrence}"
        where = f"{record.deploy.lane.key} {record.deploy.shape} {name}"
        shown = deployment(self._door, name)
        if shown is None or "deployment_id" not in shown:
            yield f"{where}: there is no such deployment ({shown})"
            return
        self._names[serial] = shown["deployment_id"]
        opened = None if record.opened is None else self._opened.get(serial)
        for line in differences(record, shown, opened):
            yield f"{where}: {line}"

    def of_instances(self) -> Iterator[str]:
        """Yield what is not true of what runs at the end; after all records were compared."""
        known: dict[str, Json] = {}
        for environment in (PRODUCTION, STAGE):
            known |= {
                each["instance_uid"]: each
                for each in instances(self._door, environment=environment)
            }
        spoilt = {each.deploy.number for each in self._day.injections}
        for truth in self._day.world.instances():
            if truth.ended is not None:
                continue
            shown = known.get(truth.uid)
            where = f"instance {truth.uid} of {truth.deploy.lane.key}"
            if truth.silent:
                if shown is not None:
                    yield f"{where}: is known, and nobody said anything about it"
                continue
            serial = truth.deploy.number
            if serial in spoilt and self._records[serial].instances is None:
                continue  # its degradation was looked for when it mattered
            for line in instance_differences(truth, shown, self._names[serial]):
                yield f"{where}: {line}"


def misfiled(day: Day, sent: Iterable[Sent]) -> Iterator[str]:
    """Yield what was filed under the deployment that it names, but under another occurrence."""
    names = {each.number: (identify(each), each.occurrence) for each in day.world.deploys}
    for each in sent:
        wanted = names[each.message.deploy]
        if each.filed is not None and each.filed[0] == wanted[0] and each.filed != wanted:
            yield (
                f"{each.message.phase} of {each.message.emitter.id} stands under occurrence "
                f"{each.filed[1]} of {wanted[0]}, not {wanted[1]}"
            )


def _openings(sent: list[Sent]) -> dict[int, int]:
    """Return the earliest time said of each deploy, by its number; wrong clocks do not count."""
    opened: dict[int, int] = {}
    for each in sent:
        if each.status >= 400 or each.message.phase == "removed":
            continue
        said = each.sent_ms if each.message.clock_off_seconds else each.claimed_ms
        serial = each.message.deploy
        opened[serial] = min(opened.get(serial, said), said)
    return opened


def _clear_up(day: Day, guests: Guests, clock: Clock) -> None:
    """End every instance, so that the next day finds an empty fleet, and all tokens."""
    end = replace(day, messages=tuple(number(farewell(day.name, day.world))))
    Player(end, guests, clock).play()
    guests.dismiss()

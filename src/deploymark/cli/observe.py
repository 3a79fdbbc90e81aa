"""`deploymark observe`: see which instances of a service run, and what they execute."""

import argparse
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, NamedTuple

from deploymark.cli.client import Client
from deploymark.cli.flags import add_json, add_server
from deploymark.cli.marker_flags import delivery_settings
from deploymark.cli.marking import say_why
from deploymark.cli.numbers import pause_seconds, seconds
from deploymark.cli.observe_flags import PLACES, Watched, add_selection, watched
from deploymark.cli.output import Output, plain
from deploymark.emit.emitter import Emitter, State
from deploymark.emit.host import Host, SystemHost
from deploymark.emit.inspection import inspect_spool, waiting_said
from deploymark.emit.sender import Round as Delivery
from deploymark.emit.settings import Settings
from deploymark.errors import (
    DeploymarkError,
    ObservationError,
)
from deploymark.log.steps import counted
from deploymark.model.vocabulary import EmitterKind
from deploymark.runtime.observing import Logged, Reporter, Round, merged

_BUDGET: Final = 2.0
_PAGE: Final = 200
_LONGEST_NAME: Final = 150
DONE, UNDECIDED = 0, 2
_NOBODY: Final = "No {what} of {service} was seen: none runs, or none is as the flags say."
_TRIED_AGAIN: Final = "The next call or `deploymark flush` tries again."
_SEEN_AGAIN: Final = "What could not be seen can be seen again."


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark observe`."""
    parser = commands.add_parser(
        "observe",
        help=sentence,
        description="Looks at the processes of a service on this machine and hashes what they "
        "really execute, or asks Kubernetes for its pods, or AWS Lambda for its versions behind an "
        "alias. Says `running` for each that the log does not know and `removed` for each that has "
        "ended. It never asks the service itself. The token needs the role emitter, and reader to "
        "learn which instances ended while nobody looked.",
    )
    for name in ("service", "environment"):
        parser.add_argument(f"--{name}", required=True, metavar="NAME", help=f"the {name}")
    add_selection(parser)
    parser.add_argument(
        "--interval",
        type=pause_seconds,
        metavar="SECONDS",
        help="look again every so many seconds, at least 1, until interrupted (default: look once)",
    )
    parser.add_argument(
        "--node",
        metavar="NAME",
        help="the machine (default: the host name of this one, or the node of each pod)",
    )
    for name in PLACES:
        parser.add_argument(f"--{name}", metavar="NAME", help=f"the {name} that it is in")
    parser.add_argument("--dry-run", action="store_true", help="look, and say nothing to the log")
    add_server(parser)
    parser.add_argument(
        "--sign", metavar="KEY", help="producer key that signs (default: DEPLOYMARK_KEY)"
    )
    parser.add_argument(
        "--budget",
        type=seconds,
        default=_BUDGET,
        metavar="SECONDS",
        help=f"how long to wait for the server each time (default: {_BUDGET:g})",
    )
    add_json(parser)
    parser.set_defaults(run=_observe)


class _Watch(NamedTuple):
    """Everybody who takes part in a round."""

    what: str
    reporters: Sequence[Reporter]
    emitter: Emitter
    log: "_Log"


def _observe(options: argparse.Namespace, output: Output) -> int:
    host = SystemHost()
    with watched(options, host) as found:
        if options.dry_run:
            return _shown(options, output, found)
        watch = _watch(options, found, host)
        try:
            return _rounds(options, output, watch)
        finally:
            watch.emitter.close(options.budget, told=True)


def _shown(options: argparse.Namespace, output: Output, found: Watched) -> int:
    seen = [each for observer in found.observers for each in observer.observe()]
    for each in seen:
        _say_seen(output, each.uid, each.instance, each.digest, each.why)
    if not seen:
        output.remark(_nobody(options, found.what))
    return DONE if seen and all(each.digest for each in seen) else UNDECIDED


def _nobody(options: argparse.Namespace, what: str) -> str:
    """Say that nobody was seen, and what in the flags may be why."""
    said = _NOBODY.format(what=what, service=options.service)
    if options.directory and not os.path.isdir(options.directory):  # noqa: PTH112 - as elsewhere
        said += f" There is no directory {options.directory} here."
    return plain(said)


def _watch(options: argparse.Namespace, found: Watched, host: Host) -> _Watch:
    settings = delivery_settings(options)
    name = "+".join(each.name for each in found.observers)[:_LONGEST_NAME]
    emitter = Emitter(
        settings,
        kind=EmitterKind.ORCHESTRATOR,
        emitter_id=f"{name}/{options.service}",
        facts={},
        host=host,
    )
    log = _Log(settings, options, found.is_here)
    about = {"service": options.service, "environment": options.environment}
    reporters = [
        Reporter(observer, emitter, about, found.place, log.known, host)
        for observer in found.observers
    ]
    return _Watch(found.what, reporters, emitter, log)


def _rounds(options: argparse.Namespace, output: Output, watch: _Watch) -> int:
    trouble = ""
    with _stopped_by_signals() as stopped:
        while True:
            done, problems = _look(watch.reporters)
            code = _tell(options, output, watch, done)
            if options.interval is None:
                if problems:
                    raise problems[0]
                if not done.seen and not done.said:
                    output.remark(_nobody(options, watch.what))
                    return UNDECIDED
                return code
            # Whoever looks again and again is not ended by a cluster that is away for a while.
            now = " ".join(dict.fromkeys(each.message for each in problems))
            if now != trouble:
                output.say(plain(now or _SEEN_AGAIN), {"trouble": now or None})
            trouble = now
            output.flush()
            if stopped.wait(options.interval):
                return DONE


def _look(reporters: Sequence[Reporter]) -> tuple[Round, list[ObservationError]]:
    rounds, problems = [], []
    for each in reporters:
        try:
            rounds.append(each.run_round())
        except ObservationError as error:
            problems.append(error)
    return merged(rounds), problems


def _tell(options: argparse.Namespace, output: Output, watch: _Watch, done: Round) -> int:
    """Deliver what a round said, and say what became of it."""
    emitter = watch.emitter
    result = emitter.flush(options.budget) if done.said else Delivery()
    # What it answers for is what it said itself, whatever else waits in the spool.
    done = replace(done, said=[(phase, uid, emitter.since(said)) for phase, uid, said in done.said])
    _say(output, done, all_seen=options.interval is None)
    if done.asked is False:
        output.remark(
            f"The log does not tell which instances it knows, so those that ended before this "
            f"command began stay in it: {watch.log.problem}"
        )
    own = sum(marked.state is State.SPOOLED for _, _, marked in done.said)
    if done.said:
        # Also those that were refused a moment ago, and are not tried again yet.
        _say_others(options, output, own)
    if own:
        problem = result.problem or "the server did not take them."
        said = f"{counted(own, 'marker')} kept in the spool: {problem}"
        if options.interval is None:
            return say_why(output, said, result.refusal, _TRIED_AGAIN)
        output.remark(plain(said))
    return _code(done)


def _say_others(options: argparse.Namespace, output: Output, own: int) -> None:
    """Name what else waits in the spool: its trouble is not ours."""
    settings = delivery_settings(options)
    found = inspect_spool(settings.spool, SystemHost().user()).here(settings.url)
    mine = (options.service, options.environment)
    left = [
        each._replace(
            markers=each.markers - (own if (each.service, each.environment) == mine else 0)
        )
        for each in found
    ]
    left = [each for each in left if each.markers > 0]
    if left:
        output.remark(
            plain(
                f"In the spool wait of other commands: {waiting_said(left)}; "
                "`deploymark flush` delivers them, or says why not."
            )
        )


def _code(done: Round) -> int:
    refused = any(marked.state in (State.REFUSED, State.LOST) for _, _, marked in done.said)
    return UNDECIDED if refused or not all(each.digest for each in done.seen) else DONE


def _say(output: Output, done: Round, *, all_seen: bool) -> None:
    for each in done.seen:
        if all_seen or not each.digest:
            _say_seen(output, each.uid, each.instance, each.digest, each.why)
    for phase, uid, marked in done.said:
        record = {
            "phase": phase,
            "instance_uid": uid,
            "state": marked.state.value,
            "marker_id": marked.marker_id,
        }
        if marked.reason:
            record["reason"] = marked.reason
        output.say(plain(f"{phase} {uid}: {marked.reason or marked.state.value}"), record)


def _say_seen(output: Output, uid: str, instance: str, digest: str, why: str) -> None:
    record = {"instance_uid": uid, "instance": instance, "digest": digest or None}
    if why:
        record["why"] = why
    output.say(plain(f"{instance} runs {digest or 'what cannot be known: ' + why}"), record)


class _Log:
    """What the log knows of the instances of a service where we look."""

    def __init__(
        self,
        settings: Settings,
        options: argparse.Namespace,
        is_here: Callable[[Mapping[str, Any]], bool],
    ) -> None:
        self.problem = ""
        self._client = Client(settings)
        self._asked = {"service": options.service, "environment": options.environment}
        self._is_here = is_here

    def known(self) -> Sequence[Logged] | None:
        """Return the instances of this place that run as far as the log knows."""
        try:
            return [
                Logged(item["instance_uid"], item.get("deployment_id") or "", _digest(item))
                for item in self._items()
                if self._is_here(item)
            ]
        except (DeploymarkError, KeyError, TypeError, AttributeError) as error:
            self.problem = error.message if isinstance(error, DeploymarkError) else repr(error)
            return None

    def _items(self) -> Iterator[Mapping[str, Any]]:
        cursor: str | None = None
        while True:
            asked = {**self._asked, "limit": _PAGE, "cursor": cursor}
            page = self._client.get("/v1/instances", asked)
            yield from page["items"]
            cursor = page.get("next_cursor")
            if cursor is None:
                return


def _digest(item: Mapping[str, Any]) -> str:
    return str(item.get("digest") or "")


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """Give an event that SIGTERM and SIGINT set, so that a round is ended whole."""
    stopped = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stopped.set())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""`deploymark observe`: see which processes of a service run here, and what they execute."""

import argparse
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from deploymark.cli.client import Client
from deploymark.cli.flags import add_json, add_server
from deploymark.cli.marker_flags import delivery_settings
from deploymark.cli.numbers import count, seconds
from deploymark.cli.output import Output, plain
from deploymark.emit.emitter import Emitter, State
from deploymark.emit.host import SystemHost
from deploymark.emit.inspection import inspect_spool, waiting_said
from deploymark.emit.instance import parse_uid
from deploymark.emit.sender import Round as Delivery
from deploymark.emit.settings import Settings
from deploymark.errors import DeploymarkError, ServerUnavailableError, UsageError
from deploymark.integrations.local_processes.observer import (
    EXECUTABLE,
    WORKING_DIRECTORY,
    LocalProcessObserver,
)
from deploymark.integrations.local_processes.selection import Selection
from deploymark.log.steps import counted
from deploymark.model.vocabulary import EmitterKind
from deploymark.runtime.observing import Logged, Reporter, Round

_PLACES: Final = ("cluster", "region", "zone", "namespace", "workload")
_BUDGET: Final = 2.0
_PAGE: Final = 200
_MAX_PORT: Final = 65_535
DONE, UNDECIDED = 0, 2
_NOBODY: Final = "No process of {service} was seen: none runs, or none is as the flags say."


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark observe`."""
    parser = commands.add_parser(
        "observe",
        help=sentence,
        description="Looks at the processes of a service on this machine, hashes what they really "
        "execute, and says `running` for each that the log does not know and `removed` for each "
        "that has ended. It asks the kernel and never the processes. The token needs the role "
        "emitter, and reader to learn which instances ended while nobody looked.",
    )
    for name in ("service", "environment"):
        parser.add_argument(f"--{name}", required=True, metavar="NAME", help=f"the {name}")
    _add_selection(parser)
    parser.add_argument(
        "--release",
        metavar="DIR",
        help="hash this release directory, as the processes see it, instead of what they execute; "
        "`cwd` is the one that each works in",
    )
    parser.add_argument(
        "--interval",
        type=seconds,
        metavar="SECONDS",
        help="look again every so many seconds, until interrupted (default: look once)",
    )
    parser.add_argument("--node", metavar="NAME", help="this machine (default: its host name)")
    for name in _PLACES:
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


def _add_selection(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "which processes", "At least one; those for which all hold that are given."
    )
    group.add_argument("--unit", default="", help="of this systemd unit, or control group")
    group.add_argument(
        "--port", type=count, default=0, metavar="PORT", help="that listen on this TCP port"
    )
    group.add_argument(
        "--directory", default="", metavar="DIR", help="that work in this directory, or below it"
    )
    group.add_argument(
        "--command",
        dest="pattern",
        default="",
        metavar="REGEX",
        help="with this in their command line, which processes can change: finds, proves nothing",
    )
    group.add_argument(
        "--forking",
        action="store_true",
        help="also those that only fork others of the same program, such as gunicorn's arbiter",
    )


def _observe(options: argparse.Namespace, output: Output) -> int:
    host = SystemHost()
    observer = LocalProcessObserver(_selection(options), _release(options), options.node or "")
    if options.dry_run:
        seen = observer.observe()
        for each in seen:
            _say_seen(output, each.uid, each.instance, each.digest, each.why)
        if not seen:
            output.remark(_NOBODY.format(service=options.service))
        return DONE if seen and all(each.digest for each in seen) else UNDECIDED
    settings = delivery_settings(options)
    node = options.node or host.name()
    place = {name: getattr(options, name) for name in _PLACES if getattr(options, name)}
    emitter = Emitter(
        settings,
        kind=EmitterKind.ORCHESTRATOR,
        emitter_id=f"{observer.name}/{options.service}",
        facts={},
        host=host,
    )
    log = _Log(settings, options, node, host.boot() or host.name())
    reporter = Reporter(
        observer,
        emitter,
        {"service": options.service, "environment": options.environment},
        {**place, "node": node},
        log.known,
        host,
    )
    try:
        return _rounds(options, output, reporter, emitter, log)
    finally:
        emitter.close(options.budget)


def _rounds(
    options: argparse.Namespace, output: Output, reporter: Reporter, emitter: Emitter, log: "_Log"
) -> int:
    with _stopped_by_signals() as stopped:
        while True:
            code = _round(options, output, reporter, emitter, log)
            output.flush()
            if options.interval is None or stopped.wait(options.interval):
                return code if options.interval is None else DONE


def _round(
    options: argparse.Namespace, output: Output, reporter: Reporter, emitter: Emitter, log: "_Log"
) -> int:
    done = reporter.run_round()
    result = emitter.flush(options.budget) if done.said else Delivery()
    # What it answers for is what it said itself, whatever else waits in the spool.
    done = replace(done, said=[(phase, uid, emitter.since(said)) for phase, uid, said in done.said])
    _say(output, done, all_seen=options.interval is None)
    if done.asked is False:
        output.remark(
            f"The log does not tell which instances it knows, so those that ended before this "
            f"command began stay in it: {log.problem}"
        )
    if not done.said:
        if not done.seen and options.interval is None:
            output.remark(_NOBODY.format(service=options.service))
            return UNDECIDED
        return _code(done)
    own = sum(marked.state is State.SPOOLED for _, _, marked in done.said)
    if result.problem:
        _say_others(options, output, own)
    if own:
        problem = result.problem or "the server did not take them."
        said = f"{counted(own, 'marker')} kept in the spool: {problem}"
        if options.interval is None:
            raise ServerUnavailableError(
                said, hint="The next call or `deploymark flush` tries again."
            )
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


def _selection(options: argparse.Namespace) -> Selection:
    if options.port > _MAX_PORT:
        raise UsageError(f"{options.port} is no TCP port.")
    return Selection(
        options.unit, options.port, options.directory, options.pattern, options.forking
    )


def _release(options: argparse.Namespace) -> str:
    if options.release is None:
        return EXECUTABLE
    if options.release == "cwd":
        return WORKING_DIRECTORY
    return str(os.path.abspath(options.release))  # noqa: PTH100 - links are the processes' to follow


class _Log:
    """What the log knows of the instances of a service on this machine."""

    def __init__(
        self, settings: Settings, options: argparse.Namespace, node: str, boot: str
    ) -> None:
        self.problem = ""
        self._client = Client(settings)
        self._asked = {"service": options.service, "environment": options.environment}
        self._node = node
        self._boot = boot

    def known(self) -> Sequence[Logged] | None:
        """Return the instances of this machine that run as far as the log knows."""
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

    def _is_here(self, item: Mapping[str, Any]) -> bool:
        name = parse_uid(str(item["instance_uid"]))
        return name is not None and (name.boot == self._boot or item.get("node") == self._node)


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

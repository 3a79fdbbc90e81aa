"""Which instances `deploymark observe` looks at: processes, pods or functions, as its flags say."""

import argparse
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from deploymark.cli.numbers import count
from deploymark.emit.host import Host
from deploymark.emit.instance import parse_uid
from deploymark.errors import UsageError
from deploymark.integrations.local_processes.observer import (
    EXECUTABLE,
    WORKING_DIRECTORY,
    LocalProcessObserver,
)
from deploymark.integrations.local_processes.selection import Selection
from deploymark.ports import Observer
from deploymark.runtime.observers import KUBERNETES, LAMBDA, open_observers

PLACES: Final = ("cluster", "region", "zone", "namespace", "workload")
_MAX_PORT: Final = 65_535
_PROCESSES: Final = ("unit", "port", "directory", "pattern", "forking", "release")
_PODS: Final = ("label", "container", "kubeconfig", "context")
_FUNCTIONS: Final = ("profile", "endpoint_url")
_FLAGS: Final = {"pattern": "command", "endpoint_url": "endpoint-url"}
_MOST_FUNCTIONS: Final = 50


class Watched(NamedTuple):
    """Where is looked, and by whom.

    Attributes:
        observers: Who look; one for each function.
        what: What they see, in the singular, for people.
        place: Fields of a marker's `target`.
        is_here: Tells of an instance in the log's list whether it ran where they look.
    """

    observers: Sequence[Observer]
    what: str
    place: Mapping[str, str]
    is_here: Callable[[Mapping[str, Any]], bool]


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say which instances are looked at."""
    _add_processes(parser)
    _add_pods(parser)
    _add_functions(parser)


def _add_processes(parser: argparse.ArgumentParser) -> None:
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
    group.add_argument(
        "--release",
        metavar="DIR",
        help="hash this release directory, as the processes see it, instead of what they execute; "
        "`cwd` is the one that each works in",
    )


def _add_pods(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "or which pods of Kubernetes", "With --namespace and --cluster, and at least one label."
    )
    group.add_argument(
        "--kubernetes", action="store_true", help="look at pods, by the word of their nodes"
    )
    group.add_argument(
        "--label",
        action="append",
        metavar="NAME=VALUE",
        help="with this label; again for more, which must all be there",
    )
    group.add_argument(
        "--container", default="", metavar="NAME", help="the service, where a pod has several"
    )
    group.add_argument(
        "--kubeconfig",
        default="",
        metavar="FILE",
        help="how the cluster is reached (default: the service account of the pod that this runs "
        "in, else KUBECONFIG, else ~/.kube/config)",
    )
    group.add_argument(
        "--context", default="", metavar="NAME", help="of that file (default: its current one)"
    )


def _add_functions(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("or which functions of AWS Lambda")
    group.add_argument(
        "--lambda",
        dest="functions",
        action="append",
        metavar="FUNCTION:ALIAS",
        help="what this alias leads to, or without an alias what all of them do; again for more",
    )
    group.add_argument(
        "--profile", default="", metavar="NAME", help="of the AWS configuration, for credentials"
    )
    group.add_argument(
        "--endpoint-url", default="", metavar="URL", help="another endpoint than AWS's own"
    )


@contextmanager
def watched(options: argparse.Namespace, host: Host) -> Iterator[Watched]:
    """Give what the flags say shall be looked at; on leaving, connections are closed.

    Raises:
        UsageError: They say nothing, or two things at once.
        ExtraMissingError: A part of the distribution is not installed.
    """
    place = {name: getattr(options, name) for name in PLACES if getattr(options, name)}
    if options.node:
        place["node"] = options.node
    if options.kubernetes and options.functions:
        raise UsageError("--kubernetes and --lambda are two places: look at each by itself.")
    if options.kubernetes:
        _refuse(options, "--kubernetes", (*_PROCESSES, *_FUNCTIONS))
        with open_observers(KUBERNETES, [_pods(options)]) as observers:
            yield Watched(observers, "pod", place, _in_namespace(options))
    elif options.functions:
        _refuse(options, "--lambda", (*_PROCESSES, *_PODS))
        with open_observers(LAMBDA, _functions(options)) as observers:
            yield Watched(observers, "version behind an alias", place, _is_function)
    else:
        _refuse(options, "a look at processes", (*_PODS, *_FUNCTIONS))
        observer = LocalProcessObserver(_selection(options), _release(options), options.node or "")
        node = options.node or host.name()
        here = _on_machine(node, host.boot() or host.name())
        yield Watched([observer], "process", {**place, "node": node}, here)


def _refuse(options: argparse.Namespace, beside: str, names: Sequence[str]) -> None:
    for name in names:
        if getattr(options, name):
            raise UsageError(
                f"--{_FLAGS.get(name, name)} does not go with {beside}.",
                hint="Look at processes, at pods (--kubernetes) or at functions (--lambda), each "
                "by a command of its own.",
            )


# Pods -------------------------------------------------------------------------------------------


def _pods(options: argparse.Namespace) -> dict[str, Any]:
    for name, why, hint in (
        ("namespace", "in which the pods run", "`kubectl get namespaces` lists them."),
        (
            "cluster",
            "in which they do: pods of another one are not this observer's to end",
            "Any name of a cluster will do that no other one has.",
        ),
    ):
        if not getattr(options, name):
            raise UsageError(f"--kubernetes needs --{name}, {why}.", hint=hint)
    return {
        "namespace": options.namespace,
        "labels": dict(_label(text) for text in options.label or ()),
        "container": options.container,
        "cluster": options.cluster,
        "kubeconfig": options.kubeconfig,
        "context": options.context,
    }


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise UsageError(
            f"--label takes NAME=VALUE, not {text[:60]!r}.", hint="Write it like --label app=shop."
        )
    return name, value


def _in_namespace(options: argparse.Namespace) -> Callable[[Mapping[str, Any]], bool]:
    here = {"cluster": options.cluster, "namespace": options.namespace}

    def is_here(item: Mapping[str, Any]) -> bool:
        return all(item.get(name) == value for name, value in here.items())

    return is_here


# Functions --------------------------------------------------------------------------------------


def _functions(options: argparse.Namespace) -> list[dict[str, Any]]:
    if len(options.functions) > _MOST_FUNCTIONS:
        raise UsageError(f"One command looks at no more than {_MOST_FUNCTIONS} functions.")
    access = {
        "region": options.region or "",
        "profile": options.profile,
        "endpoint_url": options.endpoint_url,
    }
    return [{**_function(text), **access} for text in dict.fromkeys(options.functions)]


def _function(text: str) -> dict[str, str]:
    """Read `shop:prod`, or an ARN with or without the alias."""
    account, mark, named = text.partition(":function:")
    if not mark:
        account, named = "", text
    name, _, alias = named.partition(":")
    return {"function": f"{account}{mark}{name}" if name else "", "alias": alias}


def _is_function(item: Mapping[str, Any]) -> bool:
    return str(item["instance_uid"]).startswith("arn:")  # which one, the observer knows


# Processes --------------------------------------------------------------------------------------


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


def _on_machine(node: str, boot: str) -> Callable[[Mapping[str, Any]], bool]:
    def is_here(item: Mapping[str, Any]) -> bool:
        name = parse_uid(str(item["instance_uid"]))
        return name is not None and (name.boot == boot or item.get("node") == node)

    return is_here

"""The flags that say what a marker says, shared by `mark`, `run` and `id`.

Loaded in every deploy job, so nothing here imports more than the emitter does.
"""

import argparse
import os
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from deploymark.cli.flags import SERVER
from deploymark.cli.numbers import count, instant, seconds, share, word_of
from deploymark.emit.emitter import Emitter
from deploymark.emit.host import SystemHost
from deploymark.emit.settings import Settings, read_settings
from deploymark.errors import ReleaseError, UsageError
from deploymark.model.vocabulary import EmitterKind, Kind, Strategy, Track

Fields = dict[str, Any]


class Flag(NamedTuple):
    """One flag and the field that it fills.

    Attributes:
        name: Without its dashes.
        path: The field, as in the flat marker.
        says: For the help.
        many: It may be given several times.
        kind: What its value is.
    """

    name: str
    path: tuple[str, ...]
    says: str
    many: bool = False
    kind: Callable[[str], object] = str


FLAGS: Final = (
    Flag("service", ("service",), "the service that is deployed (default: DEPLOYMARK_SERVICE)"),
    Flag(
        "environment",
        ("environment",),
        "where to, such as prod or staging (default: DEPLOYMARK_ENVIRONMENT)",
    ),
    Flag("artifact", ("artifact",), "what: sha256:…, name@sha256:…, name:tag@sha256:…, name:tag"),
    Flag("version", ("version",), "its version"),
    Flag("commit", ("commit_hash",), "its commit (default: what CI or git says)"),
    Flag("deployment-id", ("deployment_id",), "the deployment, instead of deriving its id"),
    Flag("action", ("action",), "the deploy action that all jobs share (default: the CI run)"),
    Flag("attempt", ("attempt",), "the attempt of that action, from 1", kind=count),
    Flag("owner", ("owner",), "the team that owns the service"),
    Flag("ticket", ("change_tickets",), "a change ticket; repeat for more", many=True),
    Flag("change-type", ("change_type",), "such as standard, normal or emergency"),
    Flag("reason", ("reason",), "why"),
    Flag("author", ("author",), "who wrote the change, as a handle"),
    Flag("approver", ("approvers",), "who approved it; repeat for more", many=True),
    Flag("deployer", ("deployer",), "who deploys (default: what CI says)"),
    Flag("risk-flag", ("risk_flags",), "such as schema-migration; repeat for more", many=True),
    Flag(
        "strategy",
        ("rollout", "strategy"),
        "recreate, rolling, canary, blue_green, shadow",
        kind=word_of(Strategy),
    ),
    Flag(
        "track",
        ("rollout", "track"),
        "stable, canary, baseline, blue or green",
        kind=word_of(Track),
    ),
    Flag("weight", ("rollout", "weight"), "share of traffic in percent", kind=share),
    Flag("previous", ("rollout", "previous_deployment_id"), "the deployment that it replaces"),
    Flag("rollback-of", ("rollout", "rollback_of"), "the deployment that it takes back"),
    Flag("cluster", ("target", "cluster"), "the cluster"),
    Flag("region", ("target", "region"), "the region"),
    Flag("zone", ("target", "zone"), "the zone"),
    Flag("namespace", ("target", "namespace"), "the namespace"),
    Flag("workload", ("target", "workload"), "such as deploy/checkout, or function:alias"),
    Flag("instance", ("target", "instance"), "the instance, for `running`"),
    Flag("instance-uid", ("target", "instance_uid"), "what tells the instance from all others"),
    Flag("colour", ("target", "colour"), "blue or green"),
    Flag(
        "kind",
        ("kind",),
        "what changes, when it is not code: config, feature_flag, …",
        kind=word_of(Kind),
    ),
    Flag("key", ("key",), "which configuration, flag or migration changes"),
    Flag("revision", ("revision",), "what it becomes"),
    Flag("value", ("value",), "what it becomes, when it has no revision; never a secret"),
    Flag("direction", ("direction",), "of a migration: up or down"),
    Flag("build-id", ("build_id",), "the build (default: what CI says)"),
    Flag("release-id", ("release_id",), "what several deployments have in common"),
    Flag("correlation-id", ("correlation_id",), "what ties it to other systems"),
    Flag(
        "emitter-kind",
        ("emitter", "kind"),
        "who speaks, such as proxy (default: ci or human)",
        kind=word_of(EmitterKind),
    ),
    Flag("timestamp", ("timestamp",), "when it happened (default: now)", kind=instant),
)

VARIABLES: Final = {"service": "DEPLOYMARK_SERVICE", "environment": "DEPLOYMARK_ENVIRONMENT"}
"""Where a field comes from that no flag gives; `deploymark.startup` reads the same."""

_EXAMPLES: Final = {
    "label": "team=shop",
    "flag": "new-basket=on",
    "link": "runbook=https://runbooks.example.com/checkout",
}
_BUDGET: Final = 2.0
_SHOWN: Final = 60


def add_marker_flags(parser: argparse.ArgumentParser) -> None:
    """Add every flag that fills a field of the marker."""
    group = parser.add_argument_group("what the marker says")
    for flag in FLAGS:
        settings: dict[str, Any] = {"action": "append"} if flag.many else {}
        if flag.kind is not str:
            settings["type"] = flag.kind
        group.add_argument(f"--{flag.name}", metavar="X", help=flag.says, **settings)
    group.add_argument(
        "--label", action="append", metavar="K=V", help="a free pair; repeat for more"
    )
    group.add_argument(
        "--flag", action="append", metavar="K=V", help="a feature flag and its variant"
    )
    group.add_argument("--link", action="append", metavar="REL=URL", help="where to read on")
    group.add_argument(
        "--release",
        metavar="DIR",
        help="the directory that is deployed; its digest becomes the artifact's",
    )


def add_delivery_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say where markers go and how long that may take."""
    group = parser.add_argument_group("how it is delivered")
    group.add_argument("--url", help=SERVER)
    group.add_argument(
        "--sign", metavar="KEY", help="producer key that signs (default: DEPLOYMARK_KEY)"
    )
    group.add_argument(
        "--budget",
        type=seconds,
        default=_BUDGET,
        metavar="SECONDS",
        help=f"how long to wait for the server (default: {_BUDGET:g}); then it stays in the spool",
    )
    group.add_argument(
        "--require",
        action="store_true",
        help="fail when the marker is not in the log; otherwise a deploy never fails for it",
    )
    group.add_argument("--json", action="store_true", help="answer in JSON, one object a line")
    parser.set_defaults(spares_deploy=True)


def marker_fields(options: argparse.Namespace, *, release: bool = True) -> Fields:
    """Return the fields that a command line gives.

    Args:
        options: The parsed flags.
        release: Compute the digest of `--release` as well.

    Raises:
        UsageError: A pair without `=`.
        ReleaseError: The release has no digest.
    """
    fields: Fields = {}
    for flag in FLAGS:
        value = getattr(options, flag.name.replace("-", "_"))
        if value is None or value == "":
            continue  # an empty variable of the pipeline says nothing
        if len(flag.path) == 1:
            fields[flag.path[0]] = value
        else:
            fields.setdefault(flag.path[0], {})[flag.path[1]] = value
    given = SystemHost().environment()
    for name, variable in VARIABLES.items():
        if name not in fields and (value := given.get(variable, "").strip()):
            fields[name] = value
    _add_pairs(fields, options)
    if release and options.release is not None:
        add_release(fields, options.release)
    return fields


def add_release(fields: Fields, directory: str) -> None:
    """Let the digest of a directory be the artifact's; raises ReleaseError."""
    from deploymark.emit.draft import artifact_of  # noqa: PLC0415 - only with --release
    from deploymark.emit.release import release_digest  # noqa: PLC0415

    if not os.path.isdir(directory):  # noqa: PTH112 - pathlib costs 4 ms
        raise ReleaseError(f"--release {directory}: there is no such directory.")
    named = fields.get("artifact")
    artifact = artifact_of(named) if isinstance(named, str) else {}
    fields["artifact"] = {**artifact, "digest": release_digest(directory)}


def _add_pairs(fields: Fields, options: argparse.Namespace) -> None:
    pairs = {
        name: [_pair(name, text) for text in getattr(options, name) or ()] for name in _EXAMPLES
    }
    if pairs["label"]:
        fields["labels"] = dict(pairs["label"])
    if pairs["flag"]:
        fields["flags"] = [{"key": key, "variant": variant} for key, variant in pairs["flag"]]
    if pairs["link"]:
        fields["links"] = [{"rel": rel, "href": href} for rel, href in pairs["link"]]


def _pair(name: str, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise UsageError(
            f"--{name} takes NAME=VALUE, not {text[:_SHOWN]!r}.",
            hint=f"Write it like --{name} {_EXAMPLES[name]}.",
        )
    return key, value


def delivery_settings(options: argparse.Namespace) -> Settings:
    """Return the emitter's settings: the environment, and the flags over it."""
    host = SystemHost()
    settings = read_settings(host.environment(), host.user())
    if options.url is not None:
        settings = settings._replace(url=options.url)
    if options.sign is not None:
        settings = settings._replace(key=options.sign)
    return settings._replace(budget_seconds=options.budget)


def emitter_of(options: argparse.Namespace, fields: Fields) -> Emitter:
    """Return the emitter of a command; a git checkout fills in where nothing else names a subject.

    Args:
        options: The parsed flags.
        fields: What the flags say of the marker.
    """
    from deploymark.emit.ci import detect  # noqa: PLC0415 - with the emitter

    run = detect(SystemHost().environment())
    facts = {} if run is None else run.fields()
    if run is None and not any(name in fields for name in ("artifact", "version", "commit_hash")):
        from deploymark.emit.git import describe  # noqa: PLC0415 - only without a subject

        checkout = describe(".")
        facts = {} if checkout is None else checkout.fields()
    return Emitter(delivery_settings(options), facts=facts, strict=True)

"""What the process was told from outside: the only module that reads the environment and the file.

Flags win over the environment, the environment wins over the file, and the file over what stands
here. The file is TOML; a section or name that is not known refuses to start, because a setting
that is silently ignored is worse than none.
"""

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from deploymark.act.plan import EMBEDDED, RolloutPlan, check_rollout
from deploymark.decoding import convert
from deploymark.emit.posting import destination
from deploymark.errors import CONFIGURATION_HINT, UsageError
from deploymark.integrations.oidc.settings import OidcSettings
from deploymark.integrations.oidc.settings import check_rules as check_oidc
from deploymark.integrations.prometheus.client import PrometheusSettings
from deploymark.integrations.prometheus.source import LAG_SCRAPES
from deploymark.judge.policy import Identity, Rule, check_rules
from deploymark.judge.ruling import Known, check_examples, zone_names
from deploymark.model.inspection import Inspector
from deploymark.model.limits import VALUE_BYTES, Name, Names, Text, Value
from deploymark.ports import Urgency
from deploymark.projections.expectations import Deadlines, Expectations, ExpectedService, merged
from deploymark.runtime.dialects import DialectSection, check_dialects
from deploymark.runtime.identities import approved_by, identified
from deploymark.runtime.zones import time_zones
from deploymark.telemetry.limits import (
    BODY_BYTES,
    BUCKET_SECONDS,
    GAUGES,
    LAG_SECONDS,
    MEGABYTE,
)

DEFAULT_DATA = Path("deploymark-data")
DEFAULT_LISTEN = "127.0.0.1:8420"

Url = Annotated[
    str,
    Meta(
        pattern="^(https?://([-A-Za-z0-9._]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?/?)?$(?!\\n)",
        max_length=VALUE_BYTES,
        description="an address such as https://deploymark.example.com, without a path",
    ),
]
Rate = Annotated[float, Meta(ge=0.001, le=1_000_000)]
Burst = Annotated[int, Meta(ge=1, le=10_000_000)]
Seconds = Annotated[float, Meta(ge=0.01, le=86_400)]


class _Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all sections have in common."""


class ServerSection(_Section, frozen=True):
    """Where and to whom the server answers.

    Attributes:
        listen: `HOST:PORT`; port 0 lets the system choose.
        url: The address that others use, behind a proxy for example; cookies are for https only
            when it is an https address.
        hosts: Further names that are answered in `Host`.
        metrics: Who reads `/metrics`: readers, or anyone on this machine too.
        simulated: What is deployed here is made up, and the web page says so.
    """

    listen: Name = DEFAULT_LISTEN
    url: Url = ""
    hosts: Names = ()
    metrics: Literal["reader", "loopback"] = "loopback"
    simulated: bool = False


class LogSection(_Section, frozen=True):
    """How the log is shown.

    Attributes:
        access: Who reads it: `hashes` shows checkpoints and hash tiles to anyone and entries to
            readers, `public` everything to anyone, `private` everything to readers.
        publish_seconds: How often a checkpoint is published while the log grows.
    """

    access: Literal["hashes", "public", "private"] = "hashes"
    publish_seconds: Seconds = 1.0


class AuthSection(_Section, frozen=True):
    """How callers are known, and how much one of them may ask.

    Attributes:
        signed_without_token: A producer's signature is enough to hand in a marker.
        identities: Who is who, by handle: one person under several names.
        requests_per_second: Of one caller in the long run, or of one network without a token.
        requests_burst: At once.
    """

    signed_without_token: bool = True
    identities: dict[str, Identity] = {}
    requests_per_second: Rate = 2_000.0
    requests_burst: Burst = 4_000


class EnvironmentPolicy(_Section, frozen=True):
    """What an environment asks for.

    Attributes:
        action_assurance: Who must stand behind markers on which something is done automatically.
    """

    action_assurance: Literal["attributed", "signed"] = "attributed"


class PolicySection(_Section, frozen=True):
    """What may be said.

    Attributes:
        anonymous_environments: Globs of environments about which anyone may say anything.
        allow_email: E-mail addresses are admitted in people fields and text.
        allow_phone: Phone numbers are admitted there.
        rules: What may be deployed where; the gate asks them.
        signed_environments: Environments where a producer must sign what is announced; other
            announcements there are admitted, and found.
        deadlines: How long silence is borne, in seconds.
        environments: What single environments ask for.
    """

    anonymous_environments: Names = ()
    allow_email: bool = False
    allow_phone: bool = False
    rules: Annotated[tuple[Rule, ...], Meta(max_length=256)] = ()
    signed_environments: Names = ()
    deadlines: Deadlines = Deadlines()
    environments: dict[str, EnvironmentPolicy] = {}


class ActSection(_Section, frozen=True):
    """Whether anything is done automatically.

    Attributes:
        automation: The kill switch: without it nothing is changed, and people are told.
        turn_seconds: How often rollouts are looked at.
        workers: How many of them are looked at at the same time.
    """

    automation: bool = True
    turn_seconds: Annotated[float, Meta(ge=0.1, le=60)] = 1.0
    workers: Annotated[int, Meta(ge=1, le=256)] = 16


class TelemetrySection(_Section, frozen=True):
    """What running software may report, and how much of it is kept.

    Attributes:
        enabled: OTLP is taken.
        retention_hours: What is older is forgotten.
        max_bytes: Of the store; the oldest is forgotten first.
        max_body_bytes: Of one request, packed and unpacked.
        gauges: Names of metrics of which the values are kept.
        bucket_seconds: What is counted together; the grain of verdicts from telemetry.
        lag_seconds: How long after the end of a bucket a verdict takes it for complete.
    """

    enabled: bool = True
    retention_hours: Annotated[float, Meta(ge=0.1, le=8_760)] = 48.0
    max_bytes: Annotated[int, Meta(ge=16 * MEGABYTE)] = 512 * MEGABYTE
    max_body_bytes: Annotated[int, Meta(ge=65_536, le=64 * MEGABYTE)] = BODY_BYTES
    gauges: Names = GAUGES
    bucket_seconds: Annotated[int, Meta(ge=1, le=60)] = BUCKET_SECONDS
    lag_seconds: Annotated[int, Meta(ge=0, le=3_600)] = LAG_SECONDS


class NotifierSection(_Section, frozen=True):
    """One of those who are told what people should know.

    Attributes:
        kind: What it is.
        url: Where it is.
        secret_file: Holds its secret: the password or token of an Alertmanager, the `whsec_…` that
            signs for a webhook. Read at every call.
        user: Of an Alertmanager that wants a password; otherwise the secret is a bearer token.
        urgencies: What it is told.
        allow_plain_http: It may be reached by http on another host.
    """

    kind: Literal["alertmanager", "webhook"]
    url: Text
    secret_file: Value = ""
    user: Value = ""
    urgencies: Annotated[tuple[Urgency, ...], Meta(min_length=1)] = (Urgency.PAGE, Urgency.TICKET)
    allow_plain_http: bool = False

    def __repr__(self) -> str:
        """Say who is told what, and no path, which often is a secret."""
        shown = destination(self.url, allow_plain_http=True).shown
        return f"{self.kind} {shown} ({' and '.join(self.urgencies)})"


class AlertsSection(_Section, frozen=True):
    """Who is told what people should know, and when.

    Attributes:
        notifiers: All of them are told; without one nobody is.
        runbooks: The address of the page that explains the codes, as people reach it.
        repeat_seconds: How often they are told what lasts.
        quiet_seconds: What comes back sooner after its end is the same alert.
        least_seconds: How long an alert lasts at least.
    """

    notifiers: Annotated[tuple[NotifierSection, ...], Meta(max_length=16)] = ()
    runbooks: Text = "docs/reference/alerts.md"
    repeat_seconds: Annotated[int, Meta(ge=1, le=300)] = 60
    quiet_seconds: Annotated[int, Meta(ge=0, le=86_400)] = 300
    least_seconds: Annotated[int, Meta(ge=0, le=86_400)] = 600


class Configuration(_Section, frozen=True):
    """The effective configuration of a server.

    Attributes:
        services: What is expected to run, by name of the service.
        oidc: Whose identity tokens are exchanged for tokens, by name of the rule; the first one
            counts that is met.
        prometheus: Where counts may come from, by the names that plans give as their source.
        rollouts: How services are rolled out, by name of the service and of the environment.
        dialects: What clients of other systems may say, and how, by name of the dialect.
    """

    server: ServerSection = ServerSection()
    log: LogSection = LogSection()
    auth: AuthSection = AuthSection()
    policy: PolicySection = PolicySection()
    telemetry: TelemetrySection = TelemetrySection()
    alerts: AlertsSection = AlertsSection()
    services: dict[str, ExpectedService] = {}
    act: ActSection = ActSection()
    oidc: Annotated[dict[str, OidcSettings], Meta(max_length=64)] = {}
    prometheus: dict[str, PrometheusSettings] = {}
    rollouts: dict[str, dict[str, RolloutPlan]] = {}
    dialects: dict[str, DialectSection] = {}

    @property
    def plans(self) -> dict[tuple[str, str], RolloutPlan]:
        """How services are rolled out, by service and environment."""
        return {
            (service, environment): plan
            for service, by_environment in self.rollouts.items()
            for environment, plan in by_environment.items()
        }

    @property
    def expectations(self) -> Expectations:
        """What is expected to run, for the broker."""
        policy = self.policy
        return Expectations(merged(self.services), policy.deadlines, policy.signed_environments)


_INSPECTOR = Inspector(Configuration, UsageError)


@dataclass(frozen=True, slots=True)
class Environment:
    """Values of `DEPLOYMARK_*` environment variables; None where one is absent or empty.

    Attributes:
        data: Data directory of this machine's log (`DEPLOYMARK_DATA`).
        key: Producer key to sign with, a path or URI (`DEPLOYMARK_KEY`).
        passphrase: Unlocks encrypted key files (`DEPLOYMARK_KEY_PASSPHRASE`).
        config: The configuration file of the server (`DEPLOYMARK_CONFIG`).
        listen: Where the server listens (`DEPLOYMARK_LISTEN`).
        admin_token: The first admin token of a server (`DEPLOYMARK_ADMIN_TOKEN`).
    """

    data: Path = DEFAULT_DATA
    key: str | None = None
    passphrase: str | None = None
    config: Path | None = None
    listen: str | None = None
    admin_token: str | None = None

    def __repr__(self) -> str:
        """Say where things are, and no secret."""
        return f"Environment(data={str(self.data)!r}, key={self.key!r}, config={self.config!r})"


def read_environment(variables: Mapping[str, str] | None = None) -> Environment:
    """Read the environment once.

    Args:
        variables: What to read instead of the process's own environment.
    """
    given = os.environ if variables is None else variables

    def value(name: str) -> str | None:
        return given.get(f"DEPLOYMARK_{name}") or None

    config = value("CONFIG")
    return Environment(
        data=Path(value("DATA") or DEFAULT_DATA),
        key=value("KEY"),
        passphrase=value("KEY_PASSPHRASE"),
        config=None if config is None else Path(config),
        listen=value("LISTEN"),
        admin_token=value("ADMIN_TOKEN"),
    )


def read_configuration(file: Path | None) -> Configuration:
    """Read a configuration file; the defaults without one.

    Raises:
        UsageError: The file cannot be read, is not TOML, or says something that is not known; the
            message names the nearest thing that is.
    """
    if file is None:
        return Configuration()
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"The configuration {file} cannot be read: {error.strerror}.",
            hint="Check its name and permissions.",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{file} is not TOML: {error}.",
            hint="Correct the file there; docs/reference/configuration.md has an example.",
        ) from error
    return parse_configuration(content, str(file))


def parse_configuration(content: object, name: str = "The configuration") -> Configuration:
    """Return the configuration that plain values describe; raises as `read_configuration`."""
    for fault in _INSPECTOR.faults(content):
        raise UsageError(
            f"{name}: {fault.message}",
            hint=fault.hint.removesuffix(" Free pairs belong in `labels`."),
            field=fault.field,
        )
    try:
        configuration = convert(content, Configuration)
    except msgspec.ValidationError as error:  # not a number, which no limit says of itself
        raise UsageError(f"{name}: {error}.", hint=CONFIGURATION_HINT) from error
    for place, notifier in enumerate(configuration.alerts.notifiers):
        _check_notifier(notifier, name, f"/alerts/notifiers/{place}")
    for (service, environment), plan in configuration.plans.items():
        lag_seconds = _lag_of(plan, configuration)
        _check_plan(plan, name, f"/rollouts/{service}/{environment}", lag_seconds)
    _check_dialects(configuration.dialects, name)
    try:
        check_oidc(configuration.oidc)
        people = identified(configuration.auth.identities, configuration.oidc)
        rollouts = _approved(configuration, people)
    except UsageError as error:
        raise UsageError(f"{name}: {error.message}", hint=error.hint, field=error.field) from None
    _check_rules(configuration.policy.rules, people, name)
    auth = msgspec.structs.replace(configuration.auth, identities=people)
    return msgspec.structs.replace(configuration, auth=auth, rollouts=rollouts)


def _approved(
    configuration: Configuration, people: Mapping[str, Identity]
) -> dict[str, dict[str, RolloutPlan]]:
    """Return the plans with the names by which calls of their approvers stand in the log."""
    return {
        service: {
            environment: approved_by(
                plan, people, configuration.oidc, f"/rollouts/{service}/{environment}"
            )
            for environment, plan in by_environment.items()
        }
        for service, by_environment in configuration.rollouts.items()
    }


def _lag_of(plan: RolloutPlan, configuration: Configuration) -> int | None:
    """Return how late the counts of a plan's source are, None for one that there is not."""
    if plan.source == EMBEDDED:
        return configuration.telemetry.lag_seconds
    settings = configuration.prometheus.get(plan.source)
    return None if settings is None else LAG_SCRAPES * settings.scrape_seconds


def _check_plan(plan: RolloutPlan, name: str, field: str, lag_seconds: int | None) -> None:
    try:
        check_rollout(plan, field, lag_seconds)
    except UsageError as error:
        message = f"{name}: {error.message}"
        raise UsageError(message, hint=error.hint, field=error.field) from None


def _check_dialects(sections: Mapping[str, DialectSection], name: str) -> None:
    try:
        check_dialects(sections)
    except UsageError as error:
        message = f"{name}: {error.message}"
        raise UsageError(message, hint=error.hint, field=error.field) from None


def _check_notifier(notifier: NotifierSection, name: str, field: str) -> None:
    try:
        destination(notifier.url, allow_plain_http=notifier.allow_plain_http)
    except UsageError as error:
        message = f"{name}: {field}/url: {error.message}"
        raise UsageError(message, hint=error.hint, field=f"{field}/url") from None
    if notifier.user and (notifier.kind != "alertmanager" or not notifier.secret_file):
        raise UsageError(
            f"{name}: {field}/user is for an Alertmanager with a password in secret_file.",
            field=f"{field}/user",
        )
    if notifier.kind == "webhook" and not notifier.secret_file:
        raise UsageError(
            f"{name}: {field}/secret_file is missing; a webhook is told nothing unsigned.",
            hint="Make one with: echo whsec_$(head -c 24 /dev/urandom | base64)",
            field=f"{field}/secret_file",
        )


def _check_rules(rules: Sequence[Rule], identities: Mapping[str, Identity], name: str) -> None:
    """Refuse rules that make no sense, or that do not say what their examples expect."""
    try:
        check_rules(rules)
        known = Known(identities, time_zones(zone_names(rules)))
    except UsageError as error:
        field = error.field or "/policy/rules"
        raise UsageError(f"{name}: {error.message}", hint=error.hint, field=field) from None
    for each in check_examples(rules, known):
        place = [rule.name for rule in rules].index(each.rule)
        raise UsageError(
            f"{name}: the rule {each.rule} says {each.answer} of its example {each.example}, "
            f"which expects {each.expected}: {each.reason}",
            hint="Correct the rule or the example; docs/reference/policy.md explains both.",
            field=f"/policy/rules/{place}/examples/{each.example}",
        )

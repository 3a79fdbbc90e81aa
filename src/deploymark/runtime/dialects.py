"""Which dialects a server speaks, and what its configuration says of each."""

import os
import stat
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct

from deploymark.crypto.webhook_signature import check_secret
from deploymark.errors import UsageError
from deploymark.model.entries import Scope
from deploymark.model.limits import Name, Names, Value
from deploymark.model.mapping import Pattern, TextMapping, check_mapping
from deploymark.ports import Dialect, Signature
from deploymark.server.dialects.mounted import Mounted

NAMES: Final[tuple[str, ...]] = (
    "grafana_annotations",
    "sentry_releases",
    "github_webhooks",
    "gitlab_deployments",
    "flux_events",
    "argocd_notifications",
    "cloudevents",
    "datadog_gate",
    "datadog",
    "pagerduty_changes",
    "honeycomb_markers",
    "newrelic_deployments",
    "newrelic_graphql",
    "devlake_webhook",
    "rollbar_deploys",
    "airbrake_deploys",
    "honeybadger_deploys",
    "bigpanda_deployments",
)
"""Every dialect, by its folder in `deploymark.integrations`, which has it as `DIALECT`."""

_SECRETS_BYTES: Final = 16_384


class DialectSection(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is said of one dialect, `[dialects.NAME]`.

    Attributes:
        enabled: It is spoken.
        secret_file: Holds the secret of its signed webhooks; several, one a line, while one is
            replaced. Read at every webhook.
        services, environments: Globs of what a signed webhook may speak about.
        defaults: Fields for what neither tags nor patterns say.
        patterns: Regular expressions that find fields in texts and tags.
        tokens: Defaults and patterns by name of the token that calls, before these.
    """

    enabled: bool = True
    secret_file: Value = ""
    services: Names = ("*",)
    environments: Names = ("*",)
    defaults: dict[Name, Value] = {}
    patterns: Annotated[tuple[Pattern, ...], Meta(max_length=64)] = ()
    tokens: dict[Name, TextMapping] = {}

    @property
    def mapping(self) -> TextMapping:
        """How texts become fields, whoever sends them."""
        return TextMapping(defaults=self.defaults, patterns=self.patterns)


def check_dialects(sections: Mapping[str, DialectSection]) -> None:
    """Refuse sections that say what cannot be.

    Raises:
        UsageError: A dialect that there is not, or a mapping that could not work.
    """
    for name, section in sections.items():
        field = f"/dialects/{name}"
        if name not in NAMES:
            near = get_close_matches(name, NAMES, n=1, cutoff=0.0)
            raise UsageError(
                f"There is no dialect {name!r}.",
                hint=f"The nearest is `{near[0]}`; docs/reference/dialects.md lists all.",
                field=field,
            )
        check_mapping(section.mapping, field)
        for token, mapping in section.tokens.items():
            check_mapping(mapping, f"{field}/tokens/{token}")


def all_dialects() -> list[Dialect]:
    """Return every dialect, in the order of their names' table."""
    return [import_module(f"deploymark.integrations.{name}").DIALECT for name in NAMES]


def mounted_dialects(sections: Mapping[str, DialectSection]) -> list[Mounted]:
    """Return the dialects that a server speaks, with what its configuration says of them.

    Raises:
        UsageError: A secret cannot be read, or is none.
    """
    found = []
    for dialect in all_dialects():
        section = sections.get(dialect.name, DialectSection())
        if not section.enabled:
            continue
        if section.secret_file:
            _check_secrets(dialect, section.secret_file)
        found.append(
            Mounted(
                dialect,
                section.mapping,
                section.tokens,
                partial(_secrets, section.secret_file),
                Scope(services=section.services, environments=section.environments),
            )
        )
    return found


def mappings_of(sections: Mapping[str, DialectSection]) -> list[Mounted]:
    """Return the dialects that a server speaks with their mappings, and no secret of any."""
    found = []
    for dialect in all_dialects():
        section = sections.get(dialect.name, DialectSection())
        if section.enabled:
            found.append(Mounted(dialect, section.mapping, section.tokens))
    return found


def _check_secrets(dialect: Dialect, file: str) -> None:
    signatures = [
        each
        for route in dialect.routes
        for each in route.credentials
        if isinstance(each, Signature)
    ]
    field = f"/dialects/{dialect.name}/secret_file"
    if not signatures:
        raise UsageError(
            f"{field}: clients of {dialect.name} show a token and sign nothing.",
            hint="Make them a token: deploymark tokens new NAME --role emitter",
            field=field,
        )
    secrets = _secrets(file)
    if not secrets:
        raise UsageError(f"{field}: {file} is empty.", field=field)
    for secret in secrets:
        faults = [_fault(each, secret) for each in signatures]
        if None not in faults:  # a dialect may have several profiles, with secrets of their own
            raise UsageError(f"{field}: {faults[0]}", field=field)


def _fault(signature: Signature, secret: str) -> str | None:
    try:
        check_secret(signature.profile, secret)
    except UsageError as error:
        return f"{error.message} {error.hint}".strip()
    return None


def _secrets(file: str) -> Sequence[str]:
    """Read the secrets of webhooks; none without a file.

    Raises:
        UsageError: The file cannot be read, or is open to others.
    """
    if not file:
        return ()
    try:
        with Path(file).open(encoding="utf-8") as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            text = opened.read(_SECRETS_BYTES)
    except (OSError, ValueError) as error:
        raise UsageError(f"The secret file {file} cannot be read.", hint=str(error)) from None
    if mode & 0o077:
        raise UsageError(
            f"The secret file {file} is open to others.", hint=f"Close it: chmod 600 {file}"
        )
    return tuple(line.strip() for line in text.splitlines() if line.strip())

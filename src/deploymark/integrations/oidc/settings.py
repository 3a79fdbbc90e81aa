"""What a trust rule of the configuration says, and which rules are refused. Pure.

A rule is read when the server starts, so whatever would let strangers in by mistake is an error
there: no audience, patterns that everybody meets, a scope that nobody narrowed.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from deploymark.emit.posting import destination
from deploymark.errors import UsageError

MOST_SECONDS: Final = 3_600
"""The longest life of a token that is given for an identity token."""

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?")
_PLACE: Final = re.compile(r"\{([^{}|]+)(\|last)?\}")
_STARS: Final = re.compile(r"\*+")

Algorithm = Literal["RS256", "ES256", "EdDSA"]
Text = Annotated[str, Meta(max_length=1_024)]
Named = Annotated[str, Meta(min_length=1, max_length=1_024)]
Globs = Annotated[tuple[Named, ...], Meta(max_length=64)]
SomeGlobs = Annotated[tuple[Named, ...], Meta(min_length=1, max_length=64)]


class OidcSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whose identity tokens are exchanged, and for what.

    Attributes:
        issuer: Exactly as `iss` says it; https, or http on this host.
        audience: What `aud` must be, and nothing beside it.
        subjects: Globs, one of which `sub` meets as a whole; only `*` is special.
        claims: Globs by claim, one of which the claim meets as a whole. A claim is text, true or
            false, or a list of texts; a name that begins with `/` is a JSON Pointer.
        algorithms: With which it may be signed.
        roles: What the bearer may do; nobody becomes an administrator this way.
        services: What an emitter may speak about. `{claim}` stands for a claim, `{claim|last}` for
            what follows its last `/`.
        environments: The same of environments.
        kinds: Globs of what may be announced.
        phases: Globs of the phases.
        lifetime_seconds: How long the token lives that is given for it.
        once: An identity token is exchanged once; it needs a `jti` then.
        jwks_url: Where the issuer's keys are, instead of asking the issuer where.
        jwks_file: They are in this file instead, a JSON Web Key Set.
        ca_file: Certificates of a private authority, PEM.
    """

    issuer: Named
    audience: Named
    subjects: SomeGlobs
    claims: Annotated[dict[Named, SomeGlobs], Meta(max_length=32)] = {}
    algorithms: Annotated[tuple[Algorithm, ...], Meta(min_length=1)] = ("RS256", "ES256", "EdDSA")
    roles: Annotated[
        tuple[Literal["reader", "emitter", "operator"], ...], Meta(min_length=1, max_length=3)
    ] = ("emitter",)
    services: Globs = ()
    environments: Globs = ()
    kinds: SomeGlobs = ("*",)
    phases: SomeGlobs = ("*",)
    lifetime_seconds: Annotated[int, Meta(ge=60, le=MOST_SECONDS)] = 900
    once: bool = False
    jwks_url: Text = ""
    jwks_file: Text = ""
    ca_file: Text = ""

    @property
    def source(self) -> tuple[str, str, str]:
        """Where the keys come from."""
        return self.jwks_url, self.jwks_file, self.ca_file


def places_of(template: str) -> list[tuple[str, str]]:
    """Return the claims that a template names, each with what is done to it ("" or "|last")."""
    return [(name, change) for name, change in _PLACE.findall(template)]


def check_rules(rules: Mapping[str, OidcSettings]) -> None:
    """Refuse rules that trust too much, or make no sense.

    Args:
        rules: By name, in the order in which they are tried.

    Raises:
        UsageError: `field` points at the setting.
    """
    sources: dict[str, tuple[str, str, str]] = {}
    for name, rule in rules.items():
        _check_rule(name, rule)
        if sources.setdefault(rule.issuer, rule.source) != rule.source:
            raise _refused(
                name, "jwks_url", f"Two rules get the keys of {rule.issuer} from different places."
            )


def _check_rule(name: str, rule: OidcSettings) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name[:64]!r} is no name of an [oidc] rule.",
            hint="Names are lower-case letters, digits and '-', at most 32 characters.",
            field=f"/oidc/{name[:64]}",
        )
    _check_address(name, "issuer", rule.issuer)
    if rule.jwks_url:
        _check_address(name, "jwks_url", rule.jwks_url)
    if rule.jwks_url and rule.jwks_file:
        raise _refused(name, "jwks_file", "It has both jwks_url and jwks_file.")
    narrowing = [rule.subjects, *rule.claims.values()]
    if all(any(_STARS.fullmatch(glob) for glob in globs) for globs in narrowing):
        raise _refused(
            name,
            "subjects",
            "Everybody whom this issuer knows meets it.",
            "Name whom you trust, such as repo:your-organisation/your-repository:*.",
        )
    _check_scope(name, rule)


def _check_address(name: str, field: str, url: str) -> None:
    try:
        destination(url)
    except UsageError as error:
        raise _refused(
            name, field, error.message, "Write an https address; http is for this host only."
        ) from None
    if "?" in url:
        raise _refused(name, field, "It has a query.")


def _check_scope(name: str, rule: OidcSettings) -> None:
    scoped = {"services": rule.services, "environments": rule.environments}
    for field, templates in scoped.items():
        if ("emitter" in rule.roles) != bool(templates):
            raise _refused(
                name,
                field,
                "An emitter needs services and environments; nobody else has any.",
                'Such as services = ["shop-*"], or services = ["{repository|last}"].',
            )
        for template in templates:
            rest = _PLACE.sub("", template)
            if "{" in rest or "}" in rest:
                raise _refused(name, field, f"{template[:64]!r} is no template.")


def _refused(name: str, field: str, message: str, hint: str = "") -> UsageError:
    return UsageError(f"[oidc.{name}]: {message}", hint=hint, field=f"/oidc/{name}/{field}")

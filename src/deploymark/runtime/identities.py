"""People under the names by which their calls stand in the log, as a configuration says them."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches

import msgspec

from deploymark.act.plan import RolloutPlan
from deploymark.errors import UsageError
from deploymark.integrations.oidc.rules import principal_of
from deploymark.judge.policy import Identity
from deploymark.judge.ruling import identity_of
from deploymark.ports.operation import OIDC


def identified(identities: Mapping[str, Identity], rules: Collection[str]) -> dict[str, Identity]:
    """Return identities whose subjects are principals, as entries carry them.

    `oidc:RULE:SUB` may be written with the `sub` of the identity token as it is, or as an entry
    shows it: with what is unusual percent-encoded, and cut where it is long.

    Args:
        identities: Of `auth.identities`, by handle.
        rules: Names of the rules of `[oidc]`. A subject without its rule means nothing: two
            issuers may call two people the same.

    Raises:
        UsageError: A subject names a rule that there is not.
    """
    return {
        handle: msgspec.structs.replace(
            each,
            subjects=tuple(
                dict.fromkeys(
                    name
                    for place, subject in enumerate(each.subjects)
                    for name in _names(
                        subject, rules, f"/auth/identities/{handle}/subjects/{place}"
                    )
                )
            ),
        )
        for handle, each in identities.items()
    }


def approved_by(
    plan: RolloutPlan,
    identities: Mapping[str, Identity],
    rules: Collection[str],
    field: str,
) -> RolloutPlan:
    """Return a plan whose approvers are principals, as entries carry them.

    An approver is written as a subject of an identity is, or as a handle, which stands for the
    subjects of that person alone: what two people share is nobody's. A handle without any stays:
    nobody meets it, where an empty list would ask for everybody.

    Args:
        plan: As the configuration says it.
        identities: As `identified` returned them.
        rules: Names of the rules of `[oidc]`.
        field: JSON Pointer to the plan.

    Raises:
        UsageError: An approver names a rule that there is not.
    """
    found: dict[str, None] = {}
    for place, said in enumerate(plan.approvers):
        names = _names(said, rules, f"{field}/approvers/{place}")
        if said in identities:
            own = identities[said].subjects
            names = tuple(s for s in own if identity_of(identities, s) == said) or names
        found.update(dict.fromkeys(names))
    return msgspec.structs.replace(plan, approvers=tuple(found))


def _names(subject: str, rules: Collection[str], field: str) -> tuple[str, ...]:
    if not subject.startswith(OIDC):
        return (subject,)
    rule, _, said = subject.removeprefix(OIDC).partition(":")
    if rule not in rules or not said:
        near = get_close_matches(rule, sorted(rules), n=1, cutoff=0.0)
        raise UsageError(
            f"{field}: {subject[:80]!r} names no rule of [oidc] and subject behind it.",
            hint=f"Write oidc:{near[0] if near else 'RULE'}:SUB.",
            field=field,
        )
    return subject, principal_of(rule, said)

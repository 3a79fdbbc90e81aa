"""What `deploymark doctor` looks at on a machine that emits: settings, CI, key, spool."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from deploymark.cli.checkup import Remark, advice, fine, wrong
from deploymark.emit.ci import CiRun, detect
from deploymark.emit.inspection import elsewhere_said, inspect_spool
from deploymark.emit.settings import Settings
from deploymark.emit.signing import open_signer
from deploymark.errors import DeploymarkError
from deploymark.log.steps import counted

_SHOWN: Final = 5
_MEGABYTE: Final = 1_000_000
_ALMOST: Final = 0.8
_FACTS: Final = {"commit_hash": "the commit", "repository": "the repository"}


class Machine(NamedTuple):
    """A machine that emits.

    Attributes:
        settings: The emitter's, with the flags over them.
        variables: The environment.
        user: Number of the user.
    """

    settings: Settings
    variables: Mapping[str, str]
    user: int


def settings(machine: Machine) -> Iterator[Remark]:
    """Say where markers go and where each setting comes from."""
    given, said = machine.settings, machine.variables
    url = "DEPLOYMARK_URL" if said.get("DEPLOYMARK_URL") == given.url else "a flag or the default"
    yield fine(f"markers go to {given.url} ({url})")
    yield _token(given)
    if given.allow_plain_http:
        yield advice(
            "DEPLOYMARK_ALLOW_PLAIN_HTTP lets token and markers travel unencrypted.",
            "Give the server https, or keep to a network that nobody else is in.",
        )


def _token(given: Settings) -> Remark:
    if given.identity is None:
        return fine(f"token: {'from DEPLOYMARK_TOKEN' if given.token else 'none'}")
    if given.identity.origin:
        return fine(f"token: in exchange for the identity token from {given.identity.origin}")
    return advice(
        "DEPLOYMARK_OIDC is set, and nothing gives this job an identity token.",
        "docs/howto/ci-without-secrets.md says where each CI system gets one from.",
    )


def ci(machine: Machine) -> Iterator[Remark]:
    """Say what CI tells, and what is missing of it."""
    run = detect(machine.variables)
    if run is None:
        yield fine("none is detected; flags and git say what is deployed")
        return
    yield (
        fine(f"{run.provider}, action {run.action}")
        if run.action
        else advice(
            f"{run.provider} names no run, so retries and jobs of one run are several deployments.",
            "Give --action the same text in all jobs of a run.",
        )
    )
    yield from _missing_facts(run)


def _missing_facts(run: CiRun) -> Iterator[Remark]:
    if run.pull_request:
        yield advice(
            "This run builds a proposal; which commit is checked out CI does not tell.",
            "If it deploys, say what with --commit or --artifact.",
        )
        return
    missing = [what for name, what in _FACTS.items() if not getattr(run, name)]
    if missing:
        yield advice(
            f"{run.provider} does not tell {' and '.join(missing)}.",
            "Pass these variables into the job, or use --commit and --artifact.",
        )


def key(machine: Machine) -> Iterator[Remark]:
    """Say who signs."""
    given = machine.settings
    if not given.key:
        yield advice(
            "markers go unsigned; the server signs for the bearer of the token.",
            "`deploymark keys new` makes a key, DEPLOYMARK_KEY names it.",
        )
        return
    try:
        signer = open_signer(given.key, given.passphrase)
    except DeploymarkError as error:
        yield wrong(error.message, error.hint)
        return
    yield fine(f"{given.key} signs as {signer.key_id}")


def spool(machine: Machine) -> Iterator[Remark]:
    """Say what waits, what was refused, and whether emitters can use the directory."""
    given = machine.settings
    try:
        found = inspect_spool(given.spool, machine.user)
    except DeploymarkError as error:
        yield wrong(error.message, error.hint)
        return
    if found.trouble:
        yield wrong(
            f"{given.spool} is not used: {found.trouble}. Markers are kept in memory only.",
            "Set DEPLOYMARK_SPOOL to a directory of this user's own.",
        )
    elif own := found.waiting - sum(found.elsewhere(given.url).values()):
        yield advice(
            f"{given.spool}: {counted(own, 'marker')} not delivered yet.",
            "`deploymark flush` delivers them now, and says why when it cannot.",
        )
    else:
        yield fine(f"{given.spool}, nothing waits")
    if elsewhere := found.elsewhere(given.url):
        yield advice(
            f"{elsewhere_said(elsewhere)}.",
            "`deploymark flush --url` with that server delivers them.",
        )
    if found.bytes > _ALMOST * given.spool_max_bytes:
        yield advice(
            f"It takes {found.bytes // _MEGABYTE} of {given.spool_max_bytes // _MEGABYTE} MB; "
            "when it is full, what matters least is given up.",
            "Deliver with `deploymark flush`.",
        )
    if found.set_aside:
        yield advice(
            f"{counted(found.set_aside, 'damaged file')} set aside (*.corrupt).",
            "Look at the disk; then remove them.",
        )
    if found.refused:
        shown = "; ".join(found.refused[-_SHOWN:])
        yield advice(
            f"{counted(len(found.refused), 'marker')} refused for good, lastly: {shown}",
            f"Mend what emits them, then remove {found.refused_file}.",
        )


CHECKS: Final = (("settings", settings), ("ci", ci), ("key", key), ("spool", spool))

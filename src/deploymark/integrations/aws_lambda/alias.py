"""The actuator `lambda_alias`: an `Actuator` of one alias of a function.

A release is a published version, named by its number or found by the digest of its code. Shifting
gives the canary's version a weight beside the stable one; promoting and rolling back point the
alias at one version alone. The fence stands at the end of the alias's description, the only place
that is written in the same update.
"""

import re
from typing import Final

from msgspec.structs import replace

from deploymark.errors import (
    ActuatorRefusedError,
    ActuatorUnavailableError,
    DeploymarkError,
    OutcomeUnknownError,
    UsageError,
)
from deploymark.integrations.aws_lambda.access import AwsAccess
from deploymark.integrations.aws_lambda.connecting import connect
from deploymark.integrations.aws_lambda.routing import Alias
from deploymark.ports import Deed, Found, Order, Release

NAME: Final = "lambda_alias"
_FENCE: Final = re.compile(r" ?\[deploymark fence=(\d+) decision=\d+\]$")
_LONGEST: Final = 256
_ATTEMPTS: Final = 8
_WHOLE: Final = 100.0
_EQUAL: Final = 1e-9


class AliasOptions(AwsAccess, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the actuator `lambda_alias` needs to know, beside the account.

    Attributes:
        function: Name or ARN of the function.
        alias: Its alias that callers call.
    """

    function: str
    alias: str

    def __post_init__(self) -> None:
        if not (self.function and self.alias):
            raise UsageError("Nothing says which alias of which function is acted on.")


class LambdaAlias:
    """Points an alias to what is ordered.

    Args:
        options: Which alias.

    Raises:
        ExtraMissingError: boto3 is not installed.
        UsageError: AWS cannot be reached as configured.
    """

    def __init__(self, options: AliasOptions) -> None:
        self._options = options
        self._functions = connect(options)

    def close(self) -> None:
        """Close the connections."""
        self._functions.close()

    @property
    def name(self) -> str:
        """See `Actuator.name`."""
        return f"{NAME}:{self._options.function}:{self._options.alias}"

    def look(self, order: Order) -> Found:
        """See `Actuator.look`."""
        try:
            found = self._read()
        except ActuatorRefusedError:
            return Found.UNKNOWN
        try:
            version, weights = self._wanted(order)
        except ActuatorRefusedError:
            return Found.NOT_DONE
        return Found.DONE if _leads_to(found, version, weights) else Found.NOT_DONE

    def carry_out(self, order: Order) -> str:
        """See `Actuator.carry_out`."""
        version, weights = self._wanted(order)
        for _ in range(_ATTEMPTS):
            found = self._read()
            described = _described(found, order)
            if _leads_to(found, version, weights) and found.description == described:
                return self._sentence(version, weights)
            wanted = replace(found, version=version, weights=weights, description=described)
            if self._pointed(wanted):
                return self._sentence(version, weights)
        raise ActuatorUnavailableError(
            f"{self.name} is changed by others whenever it is to be changed."
        )

    # What shall be ------------------------------------------------------------------------------

    def _wanted(self, order: Order) -> tuple[str, dict[str, float]]:
        """Return the version that the alias shall lead to, and the shares of others."""
        match order.deed:
            case Deed.PROMOTE:
                return self._version(order.canary), {}
            case Deed.ROLL_BACK:
                return self._version(_existing(order.stable)), {}
            case Deed.SHIFT:
                return self._split(order)

    def _split(self, order: Order) -> tuple[str, dict[str, float]]:
        canary = self._version(order.canary)
        if order.weight >= _WHOLE:
            return canary, {}
        stable = self._version(_existing(order.stable))
        if stable == canary:
            raise ActuatorRefusedError(f"Both releases are version {stable} of the function.")
        return stable, {canary: order.weight / _WHOLE} if order.weight > 0 else {}

    def _version(self, release: Release) -> str:
        """Return the version that is a release: the one that is named, else the newest such code.

        Raises:
            ActuatorRefusedError: There is none, or the named one is other code.
        """
        versions = self._functions.versions(self._options.function)
        if release.name:
            if release.name not in versions or not release.name.isdecimal():
                raise ActuatorRefusedError(
                    f"{self._options.function} has no published version {release.name!r}."
                )
            if release.digest and versions[release.name] != release.digest:
                raise ActuatorRefusedError(
                    f"Version {release.name} of {self._options.function} has the digest "
                    f"{versions[release.name]}, not {release.digest}."
                )
            return release.name
        found = [
            int(each) for each, digest in versions.items() if digest and digest == release.digest
        ]
        if not found:
            raise ActuatorRefusedError(
                f"No published version of {self._options.function} has the digest "
                f"{release.digest or 'of the release, which is unknown'}.",
                hint="Publish a version, and mark it with the digest of its code.",
            )
        return str(max(found))

    # Reading and writing ------------------------------------------------------------------------

    def _read(self) -> Alias:
        return self._functions.alias(self._options.function, self._options.alias)

    def _pointed(self, wanted: Alias) -> bool:
        try:
            done = self._functions.point(self._options.function, self._options.alias, wanted)
        except OutcomeUnknownError:
            if self._has_taken(wanted):
                return True
            raise
        return done is not None

    def _has_taken(self, wanted: Alias) -> bool:
        try:
            found = self._read()
        except DeploymarkError:
            return False  # what cannot be seen stays unknown
        return (
            _leads_to(found, wanted.version, dict(wanted.weights))
            and found.description == wanted.description
        )

    def _sentence(self, version: str, weights: dict[str, float]) -> str:
        shares = "".join(
            f", {share:.4g} of it to version {each}" for each, share in weights.items()
        )
        return f"{self._options.function}:{self._options.alias} leads to version {version}{shares}."


def _existing(release: Release | None) -> Release:
    if release is None:
        raise ActuatorRefusedError("There is no stable release to return to.")
    return release


def _leads_to(found: Alias, version: str, weights: dict[str, float]) -> bool:
    """Tell whether an alias leads to a version, and to others by just these shares."""
    shares = {each: share for each, share in found.weights.items() if share > 0}
    return (
        found.version == version
        and shares.keys() == weights.keys()
        and all(abs(shares[each] - weights[each]) < _EQUAL for each in shares)
    )


def _described(found: Alias, order: Order) -> str:
    """Return the description with the fence of an order at its end.

    Raises:
        ActuatorRefusedError: Somebody with a higher fence has changed the alias.
    """
    match = _FENCE.search(found.description)
    if match is not None and int(match[1]) > order.fence:
        raise ActuatorRefusedError(
            f"A newer holder of the lease has changed the alias: fence {match[1]} is above "
            f"{order.fence}.",
            hint="Another server acts now; let it, or stop it first.",
        )
    mark = f"[deploymark fence={order.fence} decision={order.decision_index}]"
    text = _FENCE.sub("", found.description)[: _LONGEST - len(mark) - 1]
    return f"{text} {mark}".lstrip()

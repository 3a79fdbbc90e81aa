"""The observer of functions: an `Observer` of what the aliases of a function lead to.

Nobody sees the machines that run a function. What can be seen is which versions an alias leads to,
and what their code is: a version never changes once it is published. So an instance is a version
behind an alias as it was last pointed, and its uid is `<ARN of the alias>/<version>/<revision>`. An
alias has another revision after every update; without it, a version to which the alias returns
would be the instance that has ended already. So each update ends all and begins all anew.
"""

from collections.abc import Collection, Sequence
from typing import Final

from msgspec import Struct

from deploymark.errors import (
    ActuatorRefusedError,
    ActuatorUnavailableError,
    ObservationError,
    UsageError,
)
from deploymark.integrations.aws_lambda.access import AwsAccess
from deploymark.integrations.aws_lambda.connecting import connect
from deploymark.integrations.aws_lambda.routing import Alias
from deploymark.ports import ObservedInstance

_PARTS: Final = 3
_REGION: Final = 3
_WHOLE: Final = 100.0
_HINT: Final = (
    "Check region and credentials; deploy/aws/observer-policy.json says which rights it needs."
)


class Routed(Struct, frozen=True):
    """A version that an alias leads to.

    Attributes:
        alias: ARN of the alias.
        revision: Of the alias.
        version: Of the function.
        weight: Percent of the invocations.
        digest: Of its code, `sha256:…`; "" when it cannot be known.
        why: Why it cannot be known, "" when it is.
    """

    alias: str
    revision: str
    version: str
    weight: float
    digest: str
    why: str

    @property
    def uid(self) -> str:
        """What tells it from all others."""
        return f"{self.alias}/{self.version}/{self.revision}"


class FunctionsOptions(AwsAccess, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which function is observed, and in which account.

    Attributes:
        function: Its name or ARN.
        alias: Which alias; "" for all of them.
    """

    function: str
    alias: str = ""

    def __post_init__(self) -> None:
        if not self.function:
            raise UsageError("Nothing says which function is observed.")


class LambdaFunctions:
    """Sees what the aliases of one function lead to; only reads.

    Args:
        options: Which function.

    Raises:
        ExtraMissingError: boto3 is not installed.
        UsageError: Nothing is named, or AWS cannot be reached as configured.
    """

    def __init__(self, options: FunctionsOptions) -> None:
        self._function = options.function
        self._alias = options.alias
        self._functions = connect(options)

    def close(self) -> None:
        """Close the connections."""
        self._functions.close()

    @property
    def name(self) -> str:
        """See `Observer.name`."""
        return f"lambda:{':'.join(filter(None, (self._function, self._alias)))}"

    def routed(self) -> list[Routed]:
        """Return the versions that get invocations now, with their shares.

        Raises:
            ObservationError: AWS cannot be asked.
        """
        try:
            aliases = (
                [self._functions.alias(self._function, self._alias)]
                if self._alias
                else self._functions.aliases(self._function)
            )
            return [
                self._routed(each, version, share)
                for each in aliases
                for version, share in each.routed.items()
            ]
        except (ActuatorUnavailableError, ActuatorRefusedError) as error:
            raise ObservationError(error.message, hint=_HINT) from error

    def observe(self) -> Sequence[ObservedInstance]:
        """See `Observer.observe`."""
        return [
            ObservedInstance(
                each.uid,
                f"lambda/{each.alias.partition(':function:')[2]}/{each.version}",
                each.digest,
                each.why,
                {"region": each.alias.split(":")[_REGION]},
            )
            for each in self.routed()
        ]

    def ended(self, uids: Collection[str]) -> frozenset[str]:
        """See `Observer.ended`; all has ended that the alias does not lead to as it is now."""
        # What is of another function by its name alone needs no question.
        mark = f":function:{self._function.rpartition(':')[2]}:"
        named = {uid: uid.rsplit("/", 2) for uid in uids if uid.startswith("arn:") and mark in uid}
        if not named:
            return frozenset()
        try:
            place = f"{self._functions.function_arn(self._function)}:{self._alias}"
            now = {each.uid for each in self.routed()}
        except (ActuatorUnavailableError, ActuatorRefusedError, ObservationError):
            return frozenset()
        return frozenset(
            uid
            for uid, parts in named.items()
            if len(parts) == _PARTS
            and (parts[0] == place if self._alias else parts[0].startswith(place))
            and uid not in now
        )

    def _routed(self, alias: Alias, version: str, share: float) -> Routed:
        digest, why = self._functions.digest(self._function, version)
        return Routed(alias.arn, alias.revision, version, share * _WHOLE, digest, why)

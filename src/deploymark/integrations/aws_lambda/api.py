"""The API of AWS Lambda: read aliases and versions, point an alias elsewhere; boto3 talks.

Nothing is asked twice by itself: after a retry nobody could tell whether the first attempt was
carried out. An update carries the revision that was read, so that of two who write at once one
reads again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoRegionError,
    ProxyConnectionError,
)
from botocore.parsers import ResponseParserError

from deploymark.errors import (
    ActuatorRefusedError,
    ActuatorUnavailableError,
    DeploymarkError,
    OutcomeUnknownError,
    UsageError,
)
from deploymark.integrations.aws_lambda.access import AwsAccess
from deploymark.integrations.aws_lambda.digests import code_digest
from deploymark.integrations.aws_lambda.routing import Alias

_CHANGED: Final = frozenset(("PreconditionFailedException", "ResourceConflictException"))
_BUSY: Final = frozenset(("TooManyRequestsException", "ThrottlingException", "Throttling"))
_NEVER_SENT: Final = (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError)
_SERVER_ERRORS: Final = 500
# A gateway before AWS answers with a page of its own, which botocore takes for an empty answer.
_MISSHAPEN: Final = (ResponseParserError, AttributeError, KeyError, TypeError, ValueError)


class Functions:
    """A client of AWS Lambda; one thread at a time.

    Args:
        access: How AWS is reached.

    Raises:
        UsageError: Region, profile or endpoint cannot be used.
    """

    def __init__(self, access: AwsAccess) -> None:
        timeout = access.request_seconds
        config = Config(
            connect_timeout=timeout, read_timeout=timeout, retries={"total_max_attempts": 1}
        )
        try:
            session = boto3.Session(
                region_name=access.region or None, profile_name=access.profile or None
            )
            self._client = session.client(
                "lambda", endpoint_url=access.endpoint_url or None, config=config
            )
        except NoRegionError as error:
            raise UsageError(
                "Nothing says in which region of AWS the functions are.",
                hint="Name it: `--region` of observe, `region` of an actuator, AWS_DEFAULT_REGION, "
                "or the region of the AWS profile.",
            ) from error
        except (BotoCoreError, ValueError) as error:
            raise UsageError(
                f"AWS cannot be reached as configured: {error}",
                hint="Correct the profile, region or endpoint; `aws configure list` shows them.",
            ) from error

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def function_arn(self, function: str) -> str:
        """Return the ARN of a function, without a version; raises as `alias`."""
        with _asking(function):
            found = self._client.get_function_configuration(FunctionName=function)
            return str(found["FunctionArn"]).removesuffix(":$LATEST")

    def alias(self, function: str, name: str) -> Alias:
        """Return an alias.

        Raises:
            ActuatorUnavailableError: AWS does not answer, or cannot now.
            ActuatorRefusedError: There is no such alias, or we may not read it.
        """
        with _asking(f"{function}:{name}"):
            return _alias(self._client.get_alias(FunctionName=function, Name=name))

    def aliases(self, function: str) -> list[Alias]:
        """Return all aliases of a function; raises as `alias`."""
        with _asking(function):
            pages = self._client.get_paginator("list_aliases").paginate(FunctionName=function)
            return [_alias(each) for page in pages for each in page["Aliases"]]

    def digest(self, function: str, version: str) -> tuple[str, str]:
        """Return what `code_digest` says of a version; raises as `alias`."""
        with _asking(f"{function}:{version}"):
            found = self._client.get_function_configuration(
                FunctionName=function, Qualifier=version
            )
            return code_digest(version, str(found.get("CodeSha256", "")))

    def versions(self, function: str) -> dict[str, str]:
        """Return the digest of each published version, the oldest first; raises as `alias`."""
        with _asking(function):
            paginator = self._client.get_paginator("list_versions_by_function")
            found = [
                (str(each["Version"]), str(each.get("CodeSha256", "")))
                for page in paginator.paginate(FunctionName=function)
                for each in page["Versions"]
            ]
        return {version: code_digest(version, told)[0] for version, told in found}

    def point(self, function: str, name: str, wanted: Alias) -> Alias | None:
        """Make an alias what it shall be, if it still has the revision of `wanted`.

        Returns:
            The alias as it is now; None when somebody else changed it meanwhile.

        Raises:
            ActuatorUnavailableError: It was not changed, and may be tried again.
            ActuatorRefusedError: It was not changed, and would be refused again.
            OutcomeUnknownError: Nobody knows whether it was changed.
        """
        try:
            changed = self._client.update_alias(
                FunctionName=function,
                Name=name,
                FunctionVersion=wanted.version,
                RoutingConfig={"AdditionalVersionWeights": dict(wanted.weights)},
                Description=wanted.description,
                RevisionId=wanted.revision,
            )
            return _alias(changed)
        except ClientError as error:
            if _code_of(error) in _CHANGED:
                return None
            raise _translated(error, f"{function}:{name}", wrote=True) from error
        except BotoCoreError as error:
            raise _translated(error, f"{function}:{name}", wrote=True) from error
        except _MISSHAPEN as error:
            raise OutcomeUnknownError(
                f"AWS answered {function}:{name} with something else: {error!r}."
            ) from error


@contextmanager
def _asking(what: str) -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise _translated(error, what, wrote=False) from error
    except _MISSHAPEN as error:
        raise ActuatorUnavailableError(
            f"AWS does not answer as it should for {what}: {error!r}."
        ) from error


def _alias(found: Any) -> Alias:  # noqa: ANN401 - what boto3 returns
    routing = found.get("RoutingConfig") or {}
    return Alias(
        arn=str(found["AliasArn"]),
        version=str(found["FunctionVersion"]),
        weights=dict(routing.get("AdditionalVersionWeights") or {}),
        description=str(found.get("Description") or ""),
        revision=str(found.get("RevisionId") or ""),
    )


def _code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _translated(error: Exception, what: str, *, wrote: bool) -> DeploymarkError:
    """Return our error for what came of a request."""
    said = f"{what}: {error}"
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if _code_of(error) in _BUSY:
            return ActuatorUnavailableError(f"AWS wants to be asked again for {said}")
        if status < _SERVER_ERRORS:
            return ActuatorRefusedError(f"AWS refuses {said}")
    elif isinstance(error, _NEVER_SENT):
        return ActuatorUnavailableError(f"AWS is not reached for {said}")
    elif not isinstance(error, HTTPClientError):
        return ActuatorRefusedError(f"AWS is not asked for {said}")  # no credentials, no region
    if wrote:
        return OutcomeUnknownError(f"AWS did not say what came of {said}")
    return ActuatorUnavailableError(f"AWS does not answer for {said}")

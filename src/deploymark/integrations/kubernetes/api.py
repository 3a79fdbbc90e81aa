"""The Kubernetes API: read one, list, patch. lightkube does the talking.

A patch carries the resourceVersion that was read, so that nothing is written over what somebody
else wrote meanwhile. Whether a request that got no answer was carried out is never guessed:
`OutcomeUnknownError` says so, and whoever called looks.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import httpx2
import msgspec
import yaml
from lightkube import Client, ConfigError, KubeConfig
from lightkube.generic_resource import create_namespaced_resource
from lightkube.resources.apps_v1 import Deployment, ReplicaSet
from lightkube.resources.core_v1 import Pod
from lightkube.types import PatchType

from deploymark.errors import (
    ActuatorRefusedError,
    ActuatorUnavailableError,
    DeploymarkError,
    OutcomeUnknownError,
    UsageError,
)
from deploymark.integrations.kubernetes.access import Access
from deploymark.integrations.kubernetes.objects import (
    DEPLOYMENT,
    POD,
    REPLICA_SET,
    ROLLOUT,
    Kind,
)

MANAGER: Final = "deploymark"
"""Who we are in `metadata.managedFields`."""

_PAGE: Final = 500
# lightkube reads a kubeconfig and an answer without checking their shape first. A gateway before
# the API answers with a page of its own; a program that a kubeconfig names may not be there.
_MISSHAPEN: Final = (
    *(ConfigError, OSError, ValueError),
    *(KeyError, TypeError, AttributeError, AssertionError, httpx2.InvalidURL),
)
_BAD_KUBECONFIG: Final = (*_MISSHAPEN, yaml.YAMLError)
_CONFLICT, _GONE, _TOO_MANY, _SERVER_ERRORS = 409, 410, 429, 500
_NEVER_SENT: Final = (
    *(httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout),
    *(httpx2.LocalProtocolError, httpx2.UnsupportedProtocol, httpx2.ProxyError),
)


class Cluster:
    """A client of one cluster; one thread at a time.

    Args:
        access: How it is reached.

    Raises:
        UsageError: The kubeconfig cannot be used.
    """

    def __init__(self, access: Access) -> None:
        try:
            config = (
                KubeConfig.from_file(access.kubeconfig)
                if access.kubeconfig
                else KubeConfig.from_env()
            )
            self._client = Client(
                config.get(access.context or None),
                timeout=httpx2.Timeout(access.request_seconds),
                field_manager=MANAGER,
            )
        except _BAD_KUBECONFIG as error:
            raise UsageError(
                f"The cluster's kubeconfig cannot be used: {_wrong_with(error)}.",
                hint="Name another file with kubeconfig (`--kubeconfig` of observe) or KUBECONFIG, "
                "or correct this one; `kubectl config view` shows it.",
            ) from error
        self._resources: dict[Kind, Any] = {
            POD: Pod,
            DEPLOYMENT: Deployment,
            REPLICA_SET: ReplicaSet,
            ROLLOUT: create_namespaced_resource(*ROLLOUT[:4]),
        }

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def read(self, kind: Kind, namespace: str, name: str) -> Mapping[str, Any]:
        """Return an object.

        Raises:
            ActuatorUnavailableError: The API does not answer, or cannot now.
            ActuatorRefusedError: There is no such object, or we may not read it.
        """
        with _asking(f"{kind.kind} {namespace}/{name}"):
            found = self._client.get(self._resources[kind], name, namespace=namespace)
            return _plain(found)

    def listed(
        self, kind: Kind, namespace: str, labels: Mapping[str, str]
    ) -> list[Mapping[str, Any]]:
        """Return all objects of a namespace that have these labels; raises as `read`."""
        with _asking(f"the {kind.plural} of {namespace}"):
            found = self._client.list(
                self._resources[kind], namespace=namespace, labels=dict(labels), chunk_size=_PAGE
            )
            return [_plain(each) for each in found]

    def patch(
        self, kind: Kind, namespace: str, name: str, patch: Mapping[str, Any], *, status: bool
    ) -> Mapping[str, Any] | None:
        """Change an object.

        Args:
            kind: Of the object.
            namespace: Of the object.
            name: Of the object.
            patch: What changes; with `metadata.resourceVersion` only if nobody else changed it.
            status: It is the status that changes.

        Returns:
            The object as it is now; None when somebody else changed it meanwhile.

        Raises:
            ActuatorUnavailableError: It was not changed, and may be tried again.
            ActuatorRefusedError: It was not changed, and would be refused again.
            OutcomeUnknownError: Nobody knows whether it was changed.
        """
        resource = self._resources[kind]
        by = PatchType.STRATEGIC if kind.merges_lists and not status else PatchType.MERGE
        try:
            changed = self._client.patch(
                resource.Status if status else resource,
                name,
                dict(patch),
                namespace=namespace,
                patch_type=by,
            )
        except httpx2.HTTPError as error:
            if _status_of(error) == _CONFLICT:
                return None
            raise _translated(error, f"{kind.kind} {namespace}/{name}", wrote=True) from error
        except ConfigError as error:
            raise ActuatorUnavailableError(_no_credentials(error)) from error
        except _MISSHAPEN as error:
            raise OutcomeUnknownError(
                f"The Kubernetes API answered {kind.kind} {namespace}/{name} with something else: "
                f"{_said(error)}."
            ) from error
        return _plain(changed)


@contextmanager
def _asking(what: str) -> Iterator[None]:
    try:
        yield
    except httpx2.HTTPError as error:
        raise _translated(error, what, wrote=False) from error
    except ConfigError as error:
        raise ActuatorUnavailableError(_no_credentials(error)) from error
    except (*_MISSHAPEN, msgspec.MsgspecError) as error:
        raise ActuatorUnavailableError(
            f"The Kubernetes API cannot be asked for {what}, or does not answer as it should: "
            f"{_said(error)}."
        ) from error


def _wrong_with(error: Exception) -> str:
    """Return what is wrong with a kubeconfig; lightkube trips over one of another shape."""
    if isinstance(error, ConfigError | OSError):
        return _said(error)
    if isinstance(error, yaml.YAMLError):
        return "it is not YAML"
    return "it does not hold what a kubeconfig holds"


def _no_credentials(error: ConfigError) -> str:
    return f"There are no credentials for the Kubernetes API: {_said(error)}."


def _said(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__


def _plain(found: Any) -> Mapping[str, Any]:  # noqa: ANN401 - a model of lightkube, or a dict
    content: Mapping[str, Any] = found.to_dict()
    return content


def _status_of(error: httpx2.HTTPError) -> int:
    return error.response.status_code if isinstance(error, httpx2.HTTPStatusError) else 0


def _translated(error: httpx2.HTTPError, what: str, *, wrote: bool) -> DeploymarkError:
    """Return our error for what came of a request."""
    status = _status_of(error)
    said = f"{what}: {_said(error)}."
    if isinstance(error, _NEVER_SENT):
        return ActuatorUnavailableError(f"The Kubernetes API is not reached for {said}")
    if status in (_GONE, _TOO_MANY):
        return ActuatorUnavailableError(f"The Kubernetes API wants to be asked again for {said}")
    if status and status < _SERVER_ERRORS:
        return ActuatorRefusedError(f"The Kubernetes API refuses {said}")
    if wrote:
        return OutcomeUnknownError(f"The Kubernetes API did not say what came of {said}")
    return ActuatorUnavailableError(f"The Kubernetes API does not answer for {said}")

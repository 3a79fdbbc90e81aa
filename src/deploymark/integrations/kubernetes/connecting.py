"""Loads the client of a cluster, only when somebody needs it."""

from typing import TYPE_CHECKING

from deploymark.errors import ExtraMissingError
from deploymark.integrations.kubernetes.access import Access

if TYPE_CHECKING:
    from deploymark.integrations.kubernetes.api import Cluster


def connect(access: Access) -> "Cluster":
    """Return a client; nothing is asked yet.

    Raises:
        ExtraMissingError: lightkube is not installed.
        UsageError: The kubeconfig cannot be used.
    """
    try:
        from deploymark.integrations.kubernetes.api import Cluster  # noqa: PLC0415 - optional extra
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"Kubernetes needs more packages ({error.name}).",
            hint="Install this package with its extra `kubernetes`: pip install '.[kubernetes]' "
            "in its folder.",
        ) from error
    return Cluster(access)

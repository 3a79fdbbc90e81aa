"""Which cluster is asked, and how the client for it is loaded: only when somebody needs it."""

from typing import TYPE_CHECKING

from msgspec import Struct

from deploymark.errors import ExtraMissingError

if TYPE_CHECKING:
    from deploymark.integrations.kubernetes.api import Cluster


class Access(Struct, frozen=True):
    """How a cluster is reached.

    Attributes:
        kubeconfig: A file; "" takes the service account of the pod that this runs in, else the
            file that KUBECONFIG names, else ~/.kube/config.
        context: One of that file; "" takes its current one.
        timeout_seconds: How long one request may take.
    """

    kubeconfig: str = ""
    context: str = ""
    timeout_seconds: float = 10.0


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

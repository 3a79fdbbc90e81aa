"""Which cluster is asked."""

from msgspec import Struct


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

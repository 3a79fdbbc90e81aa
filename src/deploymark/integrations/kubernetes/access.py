"""Which cluster is asked, and how patiently: what the options of all adapters have in common."""

from typing import Annotated

from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class Access(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a cluster is reached.

    Attributes:
        kubeconfig: A file; "" takes the service account of the pod that this runs in, else the
            file that KUBECONFIG names, else ~/.kube/config.
        context: One of that file; "" takes its current one.
        request_seconds: How long one request may take.
    """

    kubeconfig: str = ""
    context: str = ""
    request_seconds: Seconds = 10.0


class Acting(Access, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a cluster is changed.

    Attributes:
        timeout_seconds: How long it may take until what was written is so.
        poll_seconds: Between two looks meanwhile.
    """

    timeout_seconds: Seconds = 600.0
    poll_seconds: Seconds = 2.0

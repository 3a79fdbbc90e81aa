"""Writes to the API that an older holder of the lease cannot make, and that are known to be made.

Each object that is changed carries the fence of the order in an annotation. It is read, compared
and written back with the resourceVersion that it was read at: whoever comes with a lower fence is
refused, and of two who come at once one reads again.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from deploymark.decoding import convert
from deploymark.errors import (
    ActuatorRefusedError,
    ActuatorUnavailableError,
    DeploymarkError,
    OutcomeUnknownError,
)
from deploymark.integrations.kubernetes.access import Acting
from deploymark.integrations.kubernetes.connecting import connect
from deploymark.integrations.kubernetes.objects import (
    DECISION,
    FENCE,
    ORDER,
    Kind,
    Metadata,
)
from deploymark.ports import Order

_ATTEMPTS: Final = 8

Content = Mapping[str, Any]
Change = Callable[[Content], Content | None]
"""Says what to patch of an object as it is; None when it is as it shall be."""


class FencedObjects:
    """The objects of one kind in one namespace, as an actuator writes them.

    Args:
        options: Which cluster, and how long it is waited.
        kind: Of the objects.
        namespace: Of the objects.
    """

    def __init__(self, options: Acting, kind: Kind, namespace: str) -> None:
        self.cluster = connect(options)
        self._kind = kind
        self._namespace = namespace
        self._options = options
        self._changed = False

    def close(self) -> None:
        """Close the connections."""
        self.cluster.close()

    def read(self, name: str) -> Content:
        """Return an object; raises as `Cluster.read`."""
        return self.cluster.read(self._kind, self._namespace, name)

    @contextmanager
    def whole_or_unknown(self) -> Iterator[None]:
        """Let no error say that nothing was done, when something of the block was."""
        self._changed = False
        try:
            yield
        except (ActuatorUnavailableError, ActuatorRefusedError) as error:
            if self._changed:
                raise OutcomeUnknownError(f"Only a part was done. {error.message}") from error
            raise

    def write(self, name: str, order: Order, change: Change, *, status: bool = False) -> None:
        """Bring one object to what it shall be.

        Args:
            name: Of the object.
            order: Whose fence and key are written beside.
            change: Says what is missing.
            status: It is the status that changes; the annotations stay.

        Raises:
            ActuatorUnavailableError: Nothing was written, and it may be tried again.
            ActuatorRefusedError: Nothing was written, and it would be refused again.
            OutcomeUnknownError: It cannot be told whether it was.
        """
        for _ in range(_ATTEMPTS):
            found = self.read(name)
            metadata = refuse_older(found, order)
            missing = change(found)
            told = status or is_told(metadata, order)
            if missing is None and told:
                return
            fields: dict[str, Any] = {"resourceVersion": metadata.resource_version}
            if not told:
                fields["annotations"] = annotations_of(order)
            if self._patched(name, order, change, {**(missing or {}), "metadata": fields}, status):
                self._changed = True
                return
        raise ActuatorUnavailableError(f"{name} is changed by others whenever it is to be changed.")

    def _patched(
        self,
        name: str,
        order: Order,
        change: Change,
        patch: Content,
        status: bool,  # noqa: FBT001 - passed on
    ) -> bool:
        try:
            done = self.cluster.patch(self._kind, self._namespace, name, patch, status=status)
        except OutcomeUnknownError:
            if self._has_taken(name, order, change, status):
                return True
            raise
        return done is not None

    def _has_taken(self, name: str, order: Order, change: Change, status: bool) -> bool:  # noqa: FBT001 - passed on
        try:
            found = self.read(name)
            metadata = refuse_older(found, order)
            return change(found) is None and (status or is_told(metadata, order))
        except DeploymarkError:
            return False  # what cannot be seen stays unknown

    def wait(self, what: str, is_so: Callable[[], bool]) -> None:
        """Wait until something is so.

        Args:
            what: What is waited for, for people.
            is_so: Looks.

        Raises:
            OutcomeUnknownError: It is not so in time, or cannot become so.
        """
        end = time.monotonic() + self._options.timeout_seconds
        problem = ""
        while True:
            try:
                if is_so():
                    return
            except ActuatorUnavailableError as error:
                problem = f" {error.message}"  # the cluster goes on without us
            except ActuatorRefusedError as error:
                raise OutcomeUnknownError(f"It was ordered; {error.message}") from error
            if time.monotonic() >= end:
                raise OutcomeUnknownError(
                    f"It was ordered, and after {self._options.timeout_seconds:g} seconds "
                    f"{what} is not yet so.{problem}"
                )
            time.sleep(self._options.poll_seconds)


def annotations_of(order: Order) -> dict[str, str]:
    """Return what an object says of the last order that changed it."""
    return {
        FENCE: str(order.fence),
        ORDER: order.key,
        DECISION: str(order.decision_index),
    }


def is_told(metadata: Metadata, order: Order) -> bool:
    """Tell whether an object says already that it is as this order wants it."""
    return annotations_of(order).items() <= metadata.annotations.items()


def refuse_older(found: Content, order: Order) -> Metadata:
    """Return the metadata of an object that this order may change.

    Raises:
        ActuatorRefusedError: Somebody with a higher fence has changed it, or nobody can tell.
    """
    metadata = convert(found["metadata"], Metadata)
    text = metadata.annotations.get(FENCE, "0")
    if not text.isdecimal():
        raise ActuatorRefusedError(f"The annotation {FENCE} of {metadata.name} is no number.")
    if int(text) > order.fence:
        raise ActuatorRefusedError(
            f"A newer holder of the lease has changed {metadata.name}: fence {text} is above "
            f"{order.fence}.",
            hint="Another server acts now; let it, or stop it first.",
        )
    return metadata

"""The actuator `argo_rollout`: an `Actuator` of one Rollout.

A rollback of a rollout that is under way aborts it: Argo gives all traffic to the stable
ReplicaSet at once, and the template keeps naming the release that failed, until somebody corrects
it. A rollback after the rollout has ended puts the old digest into the template and promotes it in
full, because Argo would else go through all steps with the old release. Weights are Argo's: it is
only let on to the next pause of its steps, and never sent back.
"""

from functools import partial
from typing import Any, Final

from deploymark.decoding import convert
from deploymark.errors import ActuatorRefusedError, UsageError
from deploymark.integrations.argo_rollouts.state import HASH_LABEL, Hold, Rollout, hold_at
from deploymark.integrations.kubernetes.access import Acting
from deploymark.integrations.kubernetes.fenced import Content, FencedObjects
from deploymark.integrations.kubernetes.images import digest_of, pinned
from deploymark.integrations.kubernetes.objects import (
    REPLICA_SET,
    ROLLOUT,
    Container,
    Workload,
    container_of,
)
from deploymark.ports import Deed, Found, Order, Release

NAME: Final = "argo_rollout"


class RolloutOptions(Acting, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the actuator `argo_rollout` needs to know, beside what all do.

    Attributes:
        namespace: Of the Rollout.
        rollout: Its name.
        container: Which container is the service; "" where the template has only one.
    """

    namespace: str
    rollout: str
    container: str = ""

    def __post_init__(self) -> None:
        if not (self.namespace and self.rollout):
            raise UsageError("Nothing says which Rollout is acted on.")


class ArgoRollout:
    """Lets Argo bring a Rollout to what is ordered.

    Args:
        options: What is acted on.

    Raises:
        ExtraMissingError: lightkube is not installed.
        UsageError: The kubeconfig cannot be used.
    """

    def __init__(self, options: RolloutOptions) -> None:
        self._options = options
        self._objects = FencedObjects(options, ROLLOUT, options.namespace)

    def close(self) -> None:
        """Close the connections."""
        self._objects.close()

    @property
    def name(self) -> str:
        """See `Actuator.name`."""
        return f"{NAME}:{self._options.namespace}/{self._options.rollout}"

    def look(self, order: Order) -> Found:
        """See `Actuator.look`."""
        try:
            found = self._read()
        except ActuatorRefusedError:
            return Found.UNKNOWN
        try:
            done = self._is_so(order, found)
        except ActuatorRefusedError:
            return Found.NOT_DONE
        return Found.DONE if done else Found.NOT_DONE

    def carry_out(self, order: Order) -> str:
        """See `Actuator.carry_out`."""
        with self._objects.whole_or_unknown():
            found = self._read()
            match order.deed:
                case Deed.SHIFT:
                    return self._shift(order, found)
                case Deed.PROMOTE:
                    return self._promote(order, found)
                case Deed.ROLL_BACK:
                    return self._roll_back(order, found)

    # Deeds --------------------------------------------------------------------------------------

    def _shift(self, order: Order, found: Rollout) -> str:
        self._compare(found, order.canary)
        hold = hold_at(found, order.weight)
        self._refuse_back(found, hold)
        self._write(order, _nothing)
        what = f"the wait at {hold.weight} %"
        while True:
            self._objects.wait(what, partial(self._waits_before, hold))
            found = self._read()
            if found.has_weight(hold):
                return (
                    f"{self._options.rollout} waits at step {hold.step + 1} with {hold.weight} %."
                )
            at = found.waits_at
            if at is None or at >= hold.step:
                self._objects.wait(what, partial(self._is_so_now, order))
                continue
            self._write_status(order, partial(_let_on, at))
            self._objects.wait(what, partial(self._has_left, at))

    def _promote(self, order: Order, found: Rollout) -> str:
        self._compare(found, order.canary, exactly=True)
        self._write(order, _unpaused)
        return self._whole(order, order.canary)

    def _roll_back(self, order: Order, found: Rollout) -> str:
        if order.stable is None or not order.stable.digest:
            raise ActuatorRefusedError("There is no stable release with a digest to return to.")
        here = digest_of(self._container(found).image)
        if found.is_under_way and here != order.stable.digest:
            self._compare_stable(found, order.stable)
            self._write(order, _nothing)
            self._write_status(order, _aborted)
            self._objects.wait("the abort", partial(self._is_so_now, order))
            return f"{self._options.rollout} is aborted; the stable ReplicaSet has all traffic."
        self._write(order, partial(self._with_image, order.stable.digest))
        return self._whole(order, order.stable)

    def _whole(self, order: Order, release: Release) -> str:
        """Promote the template in full, as soon as Argo has seen it."""
        self._objects.wait("Argo's look at the template", lambda: self._read().is_seen)
        self._write_status(order, _promoted)
        self._objects.wait("the promotion", partial(self._is_so_now, order))
        return f"{self._options.rollout} is promoted in full to {release.digest}."

    # What is ------------------------------------------------------------------------------------

    def _read(self) -> Rollout:
        found = convert(self._objects.read(self._options.rollout), Rollout)
        if found.spec.workload_ref is not None:
            raise ActuatorRefusedError(
                f"The template of {self._options.rollout} stands in another object (workloadRef).",
                hint="Put the template into the Rollout.",
            )
        return found

    def _container(self, found: Rollout) -> Container:
        container, why = container_of(found.spec.template.spec.containers, self._options.container)
        if container is None:
            raise ActuatorRefusedError(
                f"{self._options.rollout}: {why}", hint="Name the `container` in the plan."
            )
        return container

    def _is_so_now(self, order: Order) -> bool:
        return self._is_so(order, self._read())

    def _is_so(self, order: Order, found: Rollout) -> bool:
        here = digest_of(self._container(found).image)
        match order.deed:
            case Deed.SHIFT:
                self._compare(found, order.canary)
                return found.has_weight(hold_at(found, order.weight))
            case Deed.PROMOTE:
                return here == order.canary.digest and found.is_whole
            case Deed.ROLL_BACK:
                if order.stable is None or not order.stable.digest:
                    return False
                if here == order.stable.digest:
                    return found.is_whole
                if not found.is_aborted:
                    return False
                self._compare_stable(found, order.stable)
                return True

    def _compare(self, found: Rollout, release: Release, *, exactly: bool = False) -> None:
        here = digest_of(self._container(found).image)
        if (exactly or (here and release.digest)) and here != release.digest:
            raise ActuatorRefusedError(
                f"The template of {self._options.rollout} has the image {here or 'of a tag'}, "
                f"which is not that of the release, {release.digest or 'unknown'}.",
                hint="Deploy the release first, by its digest.",
            )

    def _compare_stable(self, found: Rollout, stable: Release) -> None:
        """Refuse an abort that would lead to another release than was ordered."""
        labels = {HASH_LABEL: found.status.stable_rs}
        for each in self._objects.cluster.listed(REPLICA_SET, self._options.namespace, labels):
            owners = each["metadata"].get("ownerReferences") or []
            if not any(owner["uid"] == found.metadata.uid for owner in owners):
                continue
            template = convert(each, Workload).spec.template
            container, _ = container_of(template.spec.containers, self._options.container)
            has = digest_of(container.image) if container else ""
            if has and has != stable.digest:
                raise ActuatorRefusedError(
                    f"Argo would return to {has}, and {stable.digest} was ordered."
                )

    def _refuse_back(self, found: Rollout, hold: Hold) -> None:
        index = found.status.current_step_index
        if found.status.abort:
            raise ActuatorRefusedError(f"{self._options.rollout} is aborted.")
        if found.is_seen and index is not None and index > hold.step:
            raise ActuatorRefusedError(
                f"{self._options.rollout} is past {hold.weight} %, and Argo does not go back."
            )

    def _waits_before(self, hold: Hold) -> bool:
        """Tell whether it waits anywhere up to a step; raises when it will not come by."""
        found = self._read()
        if found.is_seen:
            self._refuse_back(found, hold)
        return found.waits_at is not None

    def _has_left(self, step: int) -> bool:
        return self._read().waits_at != step

    # Writing ------------------------------------------------------------------------------------

    def _write(self, order: Order, change: Any) -> None:  # noqa: ANN401 - a `Change`
        self._objects.write(self._options.rollout, order, change)

    def _write_status(self, order: Order, change: Any) -> None:  # noqa: ANN401 - a `Change`
        self._objects.write(self._options.rollout, order, change, status=True)

    def _with_image(self, digest: str, content: Content) -> Content | None:
        """Return the template with another image; lists of a Rollout are replaced whole."""
        container = self._container(convert(content, Rollout))
        if digest_of(container.image) == digest:
            return None
        image = pinned(container.image, digest)
        containers = [
            {**each, "image": image} if each["name"] == container.name else each
            for each in content["spec"]["template"]["spec"]["containers"]
        ]
        return {"spec": {"paused": False, "template": {"spec": {"containers": containers}}}}


def _nothing(_: Content) -> Content | None:
    """Change nothing: the order is only written beside."""


def _unpaused(content: Content) -> Content | None:
    return {"spec": {"paused": False}} if content["spec"].get("paused") else None


def _aborted(content: Content) -> Content | None:
    return None if (content.get("status") or {}).get("abort") else {"status": {"abort": True}}


def _promoted(content: Content) -> Content | None:
    found = convert(content, Rollout)
    if not found.is_under_way or found.status.promote_full:
        return None
    return {"status": {"promoteFull": True}}


def _let_on(step: int, content: Content) -> Content | None:
    found = convert(content, Rollout)
    if found.waits_at != step:
        return None
    return {"status": {"pauseConditions": None}}

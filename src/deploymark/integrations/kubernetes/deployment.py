"""The actuator `kubernetes_deployment`: an `Actuator` of one Deployment, or of two beside another.

With one Deployment the release is its image: a promotion and a rollback set it, and the cluster
rolls it out as a new revision. With a Deployment for the canary beside it, traffic is split by how
many pods each has, behind one Service that selects both. What is set is an image's digest and a
number of replicas, nothing else: what changed beside the image stays as it was deployed.
"""

from functools import partial
from typing import Annotated, Any, Final, NamedTuple

from msgspec import Meta

from deploymark.errors import ActuatorRefusedError, UsageError
from deploymark.integrations.kubernetes.access import Acting
from deploymark.integrations.kubernetes.fenced import (
    Content,
    FencedObjects,
    refuse_older,
)
from deploymark.integrations.kubernetes.images import digest_of, pinned
from deploymark.integrations.kubernetes.objects import (
    DEPLOYMENT,
    DEPLOYMENT_ID,
    Container,
    Workload,
    container_of,
    read_as,
)
from deploymark.ports import Deed, Found, Order, Release

NAME: Final = "kubernetes_deployment"
_WHOLE: Final = 100.0


class DeploymentOptions(Acting, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the actuator `kubernetes_deployment` needs to know, beside what all do.

    Attributes:
        namespace: Of the Deployments.
        deployment: The one that serves when nothing is rolled out.
        canary: The one beside it; "" without one, then no traffic can be split.
        container: Which container is the service; "" where a template has only one.
        replicas: Pods of both together; needed with a canary.
    """

    namespace: str
    deployment: str
    canary: str = ""
    container: str = ""
    replicas: Annotated[int, Meta(ge=0, le=100_000)] = 0

    def __post_init__(self) -> None:
        if not (self.namespace and self.deployment):
            raise UsageError("Nothing says which Deployment is acted on.")
        if self.canary and self.replicas < 1:
            raise UsageError(
                "With a canary it must be said how many replicas both have together.",
                hint="Set `replicas`, and let no autoscaler change them.",
            )
        if self.canary == self.deployment:
            raise UsageError("The canary is the Deployment itself.")


class _Wanted(NamedTuple):
    """What one Deployment shall be.

    Attributes:
        name: Of the Deployment.
        image: Pinned by a digest; "" when it stays.
        release: Whose image that is.
        replicas: None when they stay.
    """

    name: str
    image: str = ""
    release: Release | None = None
    replicas: int | None = None


class KubernetesDeployment:
    """Brings a Deployment, and the canary beside it, to what is ordered.

    Args:
        options: What is acted on.

    Raises:
        ExtraMissingError: lightkube is not installed.
        UsageError: The kubeconfig cannot be used.
    """

    def __init__(self, options: DeploymentOptions) -> None:
        self._options = options
        self._objects = FencedObjects(options, DEPLOYMENT, options.namespace)

    def close(self) -> None:
        """Close the connections."""
        self._objects.close()

    @property
    def name(self) -> str:
        """See `Actuator.name`."""
        return f"{NAME}:{self._options.namespace}/{self._options.deployment}"

    def look(self, order: Order) -> Found:
        """See `Actuator.look`; what is so has also been rolled out."""
        try:
            for name in filter(None, (self._options.deployment, self._options.canary)):
                self._read(name)
        except ActuatorRefusedError:
            return Found.UNKNOWN
        try:
            done = all(self._is_so(each) for each in self._wanted(order))
        except ActuatorRefusedError:
            return Found.NOT_DONE  # it is seen, and is nothing that this order could lead to
        return Found.DONE if done else Found.NOT_DONE

    def carry_out(self, order: Order) -> str:
        """See `Actuator.carry_out`."""
        with self._objects.whole_or_unknown():
            wanted = self._wanted(order)
            for each in wanted:  # whoever may not change one of them changes none
                refuse_older(self._objects.read(each.name), order)
            for each in wanted:
                self._objects.write(each.name, order, partial(self._missing, each))
                self._objects.wait(f"the rollout of {each.name}", partial(self._is_so, each))
        return self._sentence(order, wanted)

    # What shall be ------------------------------------------------------------------------------

    def _wanted(self, order: Order) -> list[_Wanted]:
        """Return what each Deployment shall be, in the order in which nothing is ever short."""
        stable = self._read(self._options.deployment)
        if not self._options.canary:
            return [self._alone(order, stable)]
        canary = self._read(self._options.canary)
        match order.deed:
            case Deed.SHIFT:
                return self._split(order, stable, canary)
            case Deed.PROMOTE:
                self._compare("canary", canary, order.canary)
                image = pinned(self._container(canary).image, _digest(order.canary))
                return self._returned(image, order.canary)
            case Deed.ROLL_BACK:
                image = self._old_image(order, stable)
                return self._returned(image, order.stable)

    def _alone(self, order: Order, found: Workload) -> _Wanted:
        if order.deed is Deed.SHIFT:
            raise ActuatorRefusedError(
                f"{self._options.deployment} has no canary beside it, so no traffic can be split.",
                hint="Name a `canary`, or roll out in one cutover.",
            )
        release = order.canary if order.deed is Deed.PROMOTE else order.stable
        if release is None:
            raise ActuatorRefusedError("There is no stable release to return to.")
        image = pinned(self._container(found).image, _digest(release))
        return _Wanted(self._options.deployment, image, release)

    def _split(self, order: Order, stable: Workload, canary: Workload) -> list[_Wanted]:
        self._compare("canary", canary, order.canary)
        if order.stable is not None:
            self._compare("stable", stable, order.stable)
        share = canary_replicas(self._options.replicas, order.weight)
        wanted = [
            _Wanted(self._options.canary, replicas=share),
            _Wanted(self._options.deployment, replicas=self._options.replicas - share),
        ]
        # Who grows comes first, so that there are never too few.
        return wanted if share >= canary.spec.replicas else wanted[::-1]

    def _returned(self, image: str, release: Release | None) -> list[_Wanted]:
        return [
            _Wanted(self._options.deployment, image, release, self._options.replicas),
            _Wanted(self._options.canary, replicas=0),
        ]

    def _old_image(self, order: Order, stable: Workload) -> str:
        """Return what the stable Deployment's image must become, "" when it may stay.

        It has another one than the stable release's only when a promotion was begun. One that is
        no digest was not set by us: then it is the old one still.
        """
        if order.stable is None:
            raise ActuatorRefusedError("There is no stable release to return to.")
        image = self._container(stable).image
        if not digest_of(image) or digest_of(image) == order.stable.digest:
            return ""
        return pinned(image, _digest(order.stable))

    def _compare(self, which: str, found: Workload, release: Release) -> None:
        runs = digest_of(self._container(found).image)
        if runs and release.digest and runs != release.digest:
            raise ActuatorRefusedError(
                f"The {which} Deployment {found.metadata.name} has the image {runs}, which is not "
                f"that of the {which} release, {release.digest}.",
                hint="Deploy the release there first, or correct the plan.",
            )

    # What is ------------------------------------------------------------------------------------

    def _read(self, name: str) -> Workload:
        found: Workload = read_as(Workload, self._objects.read(name))
        return found

    def _container(self, found: Workload) -> Container:
        container, why = container_of(found.spec.template.spec.containers, self._options.container)
        if container is None:
            raise ActuatorRefusedError(
                f"{found.metadata.name}: {why}", hint="Name the `container` in the plan."
            )
        return container

    def _is_set(self, found: Workload, wanted: _Wanted) -> bool:
        image = self._container(found).image
        return (not wanted.image or digest_of(image) == digest_of(wanted.image)) and (
            wanted.replicas is None or found.spec.replicas == wanted.replicas
        )

    def _is_so(self, wanted: _Wanted) -> bool:
        found = self._read(wanted.name)
        if not self._is_set(found, wanted):
            return False
        if found.is_rolled_out:
            return True
        if found.spec.paused or found.stuck:
            raise ActuatorRefusedError(
                f"{wanted.name} does not roll out: {found.stuck or 'it is paused.'}",
                hint="See `kubectl rollout status`.",
            )
        return False

    def _missing(self, wanted: _Wanted, content: Content) -> Content | None:
        """Return the patch that is missing, None when all is set."""
        found: Workload = read_as(Workload, content)
        if self._is_set(found, wanted):
            return None
        spec: dict[str, Any] = {}
        if wanted.replicas is not None:
            spec["replicas"] = wanted.replicas
        container = self._container(found)
        if wanted.image and digest_of(container.image) != digest_of(wanted.image):
            if found.spec.paused:
                raise ActuatorRefusedError(
                    f"{wanted.name} is paused, so it would not roll out.",
                    hint="`kubectl rollout resume` it first.",
                )
            template: dict[str, Any] = {
                "spec": {"containers": [{"name": container.name, "image": wanted.image}]}
            }
            if wanted.release is not None:
                told = {DEPLOYMENT_ID: wanted.release.deployment}
                template["metadata"] = {"annotations": told}
            spec["template"] = template
        return {"spec": spec}

    def _sentence(self, order: Order, wanted: list[_Wanted]) -> str:
        done = []
        for each in wanted:
            parts = [f"the image {each.image}"] if each.image else []
            if each.replicas is not None:
                parts.append(f"{each.replicas} of {self._options.replicas} replicas")
            done.append(f"{each.name} has {' and '.join(parts)}")
        return f"{order.deed.value.replace('_', ' ').capitalize()}: {'; '.join(done)}."


def canary_replicas(replicas: int, weight: float) -> int:
    """Return how many of the replicas the canary gets for a share of the traffic.

    Rounded down, so that it gets no more than was ordered; but at least one when it gets anything,
    and all of them for the whole.

    Args:
        replicas: Of both together.
        weight: Percent, 0 to 100.
    """
    if weight <= 0:
        return 0
    return max(1, int(replicas * weight / _WHOLE))


def _digest(release: Release) -> str:
    if not release.digest:
        raise ActuatorRefusedError(
            f"The digest of {release.version or release.deployment} is not known, so its image "
            "cannot be set.",
            hint="Mark the deployment with the artifact's digest.",
        )
    return release.digest

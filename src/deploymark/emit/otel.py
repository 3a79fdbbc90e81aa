"""For applications with OpenTelemetry: who runs, as a resource; and who calls, as a propagator.

Both are entry points that OpenTelemetry finds by the name `deploymark`, so an application that is
instrumented from outside needs only its environment:

    OTEL_EXPERIMENTAL_RESOURCE_DETECTORS=otel,deploymark
    OTEL_PROPAGATORS=tracecontext,baggage,deploymark

The only module of the room that needs OpenTelemetry's SDK; nothing else imports it. It emits no
marker: what carries this resource is evidence by itself.
"""

from typing import Final

from opentelemetry import baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context.context import Context
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.sdk.resources import Resource, ResourceDetector

from deploymark.emit.startup import describe
from deploymark.model.vocabulary import UPSTREAM_BAGGAGE

_FIELD: Final = "baggage"


class DeploymarkResourceDetector(ResourceDetector):
    """Gives the resource of this process what it was told about its deployment."""

    def detect(self) -> Resource:
        """Return `deployment.id` and what goes with it; never raises."""
        return Resource(describe().resource_attributes)

    def is_process_dependent(self) -> bool:
        """Let a forked child ask again: it is another instance."""
        return True


class UpstreamPropagator(TextMapPropagator):
    """Names our own deployment to whom we call, in the place of whoever called us.

    Stands behind `baggage` in the list of propagators, whose header it writes again.
    """

    def extract(
        self,
        carrier: CarrierT,  # noqa: ARG002 - the propagator `baggage` has read it
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,  # noqa: ARG002
    ) -> Context:
        """Leave what came to the propagator `baggage`."""
        return Context() if context is None else context

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        """Write the header `baggage` with our own deployment in it."""
        own = describe().deployment_id
        if own:
            replaced = baggage.set_baggage(UPSTREAM_BAGGAGE, own, context)
            W3CBaggagePropagator().inject(carrier, replaced, setter)
        elif baggage.get_baggage(UPSTREAM_BAGGAGE, context) is not None:
            setter.set(carrier, _FIELD, "")  # nothing is written for baggage without members
            removed = baggage.remove_baggage(UPSTREAM_BAGGAGE, context)
            W3CBaggagePropagator().inject(carrier, removed, setter)

    @property
    def fields(self) -> set[str]:
        """The header that is written."""
        return {_FIELD}

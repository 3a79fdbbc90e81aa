"""Everything of a configuration that can be checked before anything is made or opened.

`up` refuses by these before it creates a log, and `doctor --data` tells all of them. They are made
of the same functions that open what is configured; what those would wait for is not asked here.
"""

from collections.abc import Callable, Iterator
from functools import partial

from deploymark.errors import DeploymarkError
from deploymark.runtime.actuators import build_actuator
from deploymark.runtime.config import Configuration
from deploymark.runtime.dialects import mounted_dialects
from deploymark.runtime.notifying import open_routes
from deploymark.runtime.sources import check_sources
from deploymark.runtime.system import SystemClock


def check_configuration(configuration: Configuration) -> None:
    """Refuse a configuration with which the server would not start.

    Raises:
        UsageError: It says what cannot be.
        ExtraMissingError: It needs a part of the distribution that is not installed.
    """
    for fault in faults_of(configuration):
        raise fault


def faults_of(configuration: Configuration) -> Iterator[DeploymarkError]:
    """Yield what keeps a server with this configuration from starting, one for each part."""
    for check in _checks(configuration):
        try:
            check()
        except DeploymarkError as error:
            yield error


def _checks(configuration: Configuration) -> Iterator[Callable[[], object]]:
    yield partial(check_sources, configuration, embedded=configuration.telemetry.enabled)
    for scope, plan in configuration.plans.items():
        field = f"/rollouts/{scope[0]}/{scope[1]}/actuator"
        yield partial(build_actuator, plan.actuator, field)
    yield partial(open_routes, configuration.alerts, SystemClock())
    yield partial(mounted_dialects, configuration.dialects)

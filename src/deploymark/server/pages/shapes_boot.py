"""What the HTML of every page carries, so that the first look needs no second request."""

from enum import StrEnum
from typing import Any

from msgspec import Struct


class Page(StrEnum):
    """The pages."""

    ONCALL = "oncall"
    DEBUG = "debug"
    EXEC = "exec"
    DEPLOYMENTS = "deployments"
    DEPLOYMENT = "deployment"
    COMPARE = "compare"
    SERVICES = "services"
    SERVICE = "service"
    FLEET = "fleet"
    AUDIT = "audit"
    ENTRY = "entry"
    FROZEN = "frozen"


class BootSettings(Struct, frozen=True):
    """What the page is told of how the server is set up.

    Attributes:
        simulated: The fleet behind it is made up.
        heartbeat_seconds: How often a silent stream says that it lives.
        can_act: Some service has a rollout plan, so that actions can be asked for.
        series: There is telemetry to draw.
    """

    simulated: bool
    heartbeat_seconds: float
    can_act: bool
    series: bool


class BootSession(Struct, frozen=True):
    """Who is signed in; `csrf_token` goes into X-CSRF-Token of what changes something."""

    principal: str
    roles: list[str]
    csrf_token: str | None


class BootProblem(Struct, frozen=True):
    """Why there is no document.

    Attributes:
        instead: An address that shows this page without what was refused of this one.
        again_seconds: After so long it is worth asking again; null where nobody can say.
    """

    status: int
    code: str
    title: str
    detail: str
    hint: str
    retryable: bool
    instead: str | None = None
    again_seconds: int | None = None


class Boot(Struct, frozen=True):
    """What the HTML of a page carries, in the element `boot`.

    Attributes:
        session: Null: show the sign-in form, and above it the problem, if there is one.
        page: Null for an address that is none.
        problem: With a session: shown in the page's frame, in the document's place.
        document: Of the page; null without a session, and with a problem. `marks` of the page for
            people on call may be cut (`left_out`); its JSON has them all.
        version: Of deploymark.
    """

    session: BootSession | None
    page: Page | None
    document: Any
    problem: BootProblem | None
    version: str
    settings: BootSettings

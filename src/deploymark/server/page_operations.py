"""The operations of the web page: a part of the table in `operations`.

Each answers HTML to a browser and its document as JSON to a program, under the same address.
"""

from functools import partial
from typing import Annotated, Final, Literal

from msgspec import Meta

from deploymark.server.answer import JSON
from deploymark.server.operation import (
    BODY_PROBLEMS,
    PUBLIC,
    READER,
    Media,
    Operation,
    Parameter,
    Reply,
    in_json,
)
from deploymark.server.pages import (
    assets,
    audit,
    deployment,
    executive,
    fleet,
    frozen,
    icon,
    oncall,
    overview,
    series,
)
from deploymark.server.pages import compare as comparing
from deploymark.server.pages import debug as debugging
from deploymark.server.pages import deployments as listing
from deploymark.server.pages.asked import DEFAULT_WIDTH
from deploymark.server.pages.filtering import MAX_CHARACTERS
from deploymark.server.pages.serving import PAGES, Make, as_page, document, page
from deploymark.server.pages.shapes import Range
from deploymark.server.pages.shapes_audit import Audit, AuditEntryPage, Frozen, KeptView, NewView
from deploymark.server.pages.shapes_boot import Page
from deploymark.server.pages.shapes_deployment import (
    Compare,
    Debug,
    DeploymentPage,
    Deployments,
)
from deploymark.server.pages.shapes_oncall import Events, OnCall
from deploymark.server.pages.shapes_overview import Exec, Fleet, ServicePage, Services
from deploymark.server.pages.shapes_series import SeriesName, SeriesSet
from deploymark.server.parameters import AFTER, CURSOR, INDEX, limit_of

_Word = Annotated[str, Meta(max_length=256)]
_Id = Annotated[str, Meta(max_length=80)]

_HTML: Final = Media("text/html; charset=utf-8")
_TOKEN: Final = Parameter(
    "token",
    Annotated[str, Meta(min_length=1, max_length=256)],
    "Signs a browser in; it is sent on to the same address without it.",
)
_LINK: Final = Parameter(
    "link",
    Literal["expired"],
    "A browser was sent on from a sign-in link that opens nothing any more.",
)
_WINDOW: Final = (
    Parameter("range", Range, "From so long ago until now; 6h."),
    Parameter("since", _Word, "From then on (RFC 3339); instead of `range`."),
    Parameter("until", _Word, "Before then (RFC 3339); now."),
    Parameter(
        "width",
        Annotated[int, Meta(ge=100, le=4_000)],
        f"Columns that the window is merged in; {DEFAULT_WIDTH}.",
    ),
)
_FILTER: Final = Parameter(
    "q",
    Annotated[str, Meta(max_length=MAX_CHARACTERS)],
    "`svc: env: st: owner: cluster: kind:`, and words that begin a service, version or id.",
)
_DEP: Final = Parameter("dep", _Id, "The deployment that is selected, `d-…~n`.")
_PAGING: Final = (CURSOR, limit_of(50))
_SAID: Final = "A browser gets the page, a program its document."


def _page(
    path: str,
    which: Page,
    summary: str,
    make: Make,
    shape: type,
    *parameters: Parameter,
) -> frozen.Freezable:
    operation = Operation(
        "GET",
        path,
        f"page_{which.value}",
        summary,
        "pages",
        PAGES,
        page(which, make),
        {200: Reply(_SAID, (_HTML, Media(JSON, shape)))},
        parameters=(*parameters, AFTER, _TOKEN, _LINK),
        problems=(404, 503),
        retell=partial(as_page, which=which),
    )
    return frozen.Freezable(operation, which, make)


_PAGES: Final = (
    _page(
        "/oncall",
        Page.ONCALL,
        "Show whether it is a deployment, which, whose, where and how bad.",
        oncall.oncall,
        OnCall,
        *_WINDOW,
        _FILTER,
        _DEP,
    ),
    _page(
        "/debug",
        Page.DEBUG,
        "Show one deployment to its depths.",
        debugging.debug,
        Debug,
        *_WINDOW,
        _FILTER,
        _DEP,
    ),
    _page(
        "/exec",
        Page.EXEC,
        "Show the numbers of thirty days.",
        executive.executive,
        Exec,
        Parameter("until", _Word, "Of the thirty days before then (RFC 3339); now."),
        Parameter(
            "environment",
            _Word,
            "In this environment; those that are production by name, or the only one.",
        ),
    ),
    _page(
        "/deployments",
        Page.DEPLOYMENTS,
        "List deployments as they are shown.",
        listing.deployments,
        Deployments,
        *_WINDOW,
        _FILTER,
        *_PAGING,
    ),
    _page(
        "/d/{id}",
        Page.DEPLOYMENT,
        "Show one deployment with its evidence.",
        deployment.deployment,
        DeploymentPage,
        Parameter("id", _Id, "`d-…`, or `d-…~2`.", "path"),
    ),
    _page(
        "/compare/{pair}",
        Page.COMPARE,
        "Show two deployments side by side.",
        comparing.compare,
        Compare,
        Parameter("pair", Annotated[str, Meta(max_length=162)], "`d-…~1..d-…~1`.", "path"),
    ),
    _page(
        "/services",
        Page.SERVICES,
        "List services with what was deployed last.",
        overview.services,
        Services,
        _FILTER,
        *_PAGING,
    ),
    _page(
        "/services/{service:path}",  # a name may hold slashes, and servers decode `%2F`
        Page.SERVICE,
        "Show the history of one service.",
        overview.service,
        ServicePage,
        Parameter("service", _Word, "Its name.", "path"),
        *_WINDOW,
        *_PAGING,
    ),
    _page(
        "/fleet",
        Page.FLEET,
        "Show which service runs what in which cluster.",
        fleet.fleet,
        Fleet,
        _FILTER,
        *_PAGING,
    ),
    _page(
        "/audit",
        Page.AUDIT,
        "Show what the log is missing, its newest checkpoint, and its entries.",
        audit.audit,
        Audit,
        Parameter("ticket", _Word, "Markers with this change ticket."),
        Parameter("owner", _Word, "Markers with this owner."),
        Parameter("digest", _Word, "Markers of this artifact."),
        *_PAGING,
    ),
    _page(
        "/audit/{index}",
        Page.ENTRY,
        "Show one entry with what proves that it stands in the log.",
        audit.entry,
        AuditEntryPage,
        INDEX,
    ),
)
SHOWN: Final = (
    *(each.operation for each in _PAGES),
    _page(
        "/s/{hash}",
        Page.FROZEN,
        "Show a page as it was when it was kept.",
        frozen.frozen,
        Frozen,
        Parameter(
            "hash",
            Annotated[str, Meta(pattern="^[0-9a-f]{64}$")],
            "SHA-256 of the kept document, 64 digits.",
            "path",
        ),
        Parameter("dep", _Id, "The deployment that is selected on it; the document stays."),
    ).operation,
    Operation(
        "POST",
        "/v1/views",
        "keep_view",
        "Keep a page as it is now, under an address that does not change.",
        "pages",
        READER,
        frozen.keeper(_PAGES),
        {201: in_json("Where it is.", KeptView)},
        body=(Media(JSON, NewView),),
        problems=(404, *BODY_PROBLEMS, 503),
    ),
    Operation(
        "GET",
        "/v1/events",
        "list_events",
        "List what was added to the stream behind an entry, as pages show it.",
        "pages",
        READER,
        document(oncall.events),
        {200: in_json("The newest first.", Events)},
        parameters=(
            Parameter(
                "behind",
                Annotated[int, Meta(ge=-1, lt=2**53)],
                "The last entry seen, -1 for none.",
                required=True,
            ),
            _FILTER,
            AFTER,
        ),
        problems=(404, 503),
        description=(
            "A page follows `/v1/stream`, which says that something came, and asks this for what "
            "it is: with `behind` the `newest` of the answer before, and `after` the index that "
            "the stream told. Each event comes once."
        ),
    ),
    Operation(
        "GET",
        "/v1/series",
        "show_series",
        "Show errors, latency, requests and saturation over time, merged by column.",
        "pages",
        READER,
        document(series.series),
        {200: in_json("Least and greatest of each column.", SeriesSet)},
        parameters=(
            *_WINDOW,
            Parameter("service", _Word, "Only of this service."),
            Parameter("environment", _Word, "Only in this environment."),
            Parameter("deployment_id", _Word, "Only of instances that state this deployment."),
            Parameter("names", SeriesName, "Only these; all when left out.", many=True),
        ),
        problems=(404, 503),
    ),
    Operation(
        "GET",
        "/assets/{name}",
        "show_asset",
        "Show a file of the page.",
        "pages",
        PUBLIC,
        assets.show_asset,
        {200: Reply("The file; its name changes with it.")},
        parameters=(Parameter("name", _Word, "As the page names it.", "path"),),
        problems=(404,),
    ),
    Operation(
        "GET",
        "/favicon.svg",
        "show_icon",
        "Show the page's icon.",
        "pages",
        PUBLIC,
        icon.show_icon,
        {200: Reply("The icon.", (Media("image/svg+xml"),))},
    ),
)

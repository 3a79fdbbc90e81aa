"""Parameters that several operations take; those of searches follow from their queries."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from deploymark.model.vocabulary import Kind, Phase
from deploymark.projections.outcome_questions import SliQuery
from deploymark.projections.search_query import DEFAULT_LIMIT, ENTRY_TYPES, MAX_LIMIT
from deploymark.server.operation import Parameter

_Index = Annotated[int, Meta(ge=0, lt=2**53)]
_Word = Annotated[str, Meta(max_length=256)]
_Cursor = Annotated[str, Meta(max_length=8_192)]  # it holds the longest names, escaped

INDEX = Parameter("index", _Index, "Position in the log.", "path")
CURSOR = Parameter("cursor", _Cursor, "`next_cursor` of the page before.")
AFTER = Parameter("after", _Index, "Wait until this entry can be found.")
PREFER = Parameter("Prefer", str, "`receipt` adds a provisional receipt to each item.", "header")

_TOLD = {
    "instance": "Instance by name or unique id.",
    "digest": "Artifact digest.",
    "commit": "Commit, or at least its first 7 digits.",
    "tag": "Tag of the artifact.",
    "ticket": "One of the change tickets.",
    "deployment_id": "Deployment, `d-…`; `d-…~2` for one occurrence.",
    "since": "Received then or later (RFC 3339).",
    "until": "Received before then (RFC 3339).",
    "order": "`newest`, unless said otherwise, or `oldest` first.",
    "type": f"Type of entry: {', '.join(ENTRY_TYPES)}.",
    "code": "Code of a finding.",
}


def limit_of(default: int) -> Parameter:
    """Return the parameter for the longest page; the handler holds to the default."""
    told = f"Longest page; {default} when left out."
    return Parameter("limit", Annotated[int, Meta(ge=1, le=MAX_LIMIT)], told)


def filters_of(query: type[Struct], **told: str) -> tuple[Parameter, ...]:
    """Return a parameter for each field of a query.

    Args:
        query: Of a view.
        told: What a field means, where that is not what it usually means.
    """
    shared = {"cursor": CURSOR, "limit": limit_of(DEFAULT_LIMIT)}
    return tuple(
        shared.get(name)
        or Parameter(
            name,
            _Word,
            told.get(name) or _TOLD.get(name, f"Value of `{name}`."),
            # The fields of a query that take several values begin empty, the others unset.
            many=default == (),
        )
        for name, default in zip(query.__struct_fields__, query.__struct_defaults__, strict=True)
    )


SLI = Parameter("measure", Annotated[str, Meta(max_length=8)], "Such as `M1`.", "path")
SLI_FILTERS = filters_of(
    SliQuery,
    environment="In this environment; where the name says production when left out.",
    since="Counted then or later (RFC 3339); a week before `until` when left out.",
    until="Counted before then (RFC 3339); now when left out.",
)[1:]
TELEMETRY_FILTERS = (
    Parameter("since", _Word, "Counted then or later (RFC 3339); 15 minutes before `until`."),
    Parameter("until", _Word, "Counted before then (RFC 3339); now."),
    Parameter("service", _Word, "Only of this service."),
    Parameter("environment", _Word, "Only in this environment."),
    Parameter("deployment_id", _Word, "Only of instances that state this deployment."),
    Parameter("instance", _Word, "Only of this instance, by `instance_uid`."),
    CURSOR,
)
STEP = Parameter(
    "step",
    Annotated[int, Meta(ge=1, le=86_400)],
    "Seconds that are counted together, a multiple of `telemetry.bucket_seconds`, which it is"
    " when left out.",
)
BY = Parameter(
    "by", Literal["instance", "deployment"], "Tell instances apart, or add them up exactly."
)
STREAM_FILTERS = (
    Parameter("after", Annotated[int, Meta(ge=-1, lt=2**53)], "The last entry seen, -1 for none."),
    Parameter("service", _Word, "Only of this service."),
    Parameter("environment", _Word, "Only in this environment."),
    Parameter("kind", Kind, "Only markers of this kind."),
    Parameter("phase", Phase, "Only markers of this phase."),
    Parameter("type", _Word, f"Only entries of this type: {', '.join(ENTRY_TYPES)}."),
    Parameter("Last-Event-ID", str, "As `after`, and counts more; browsers send it.", "header"),
)

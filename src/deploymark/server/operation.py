"""What an operation of the HTTP interface is; `server.operations` lists all of them.

Routes, authentication, authorisation, OpenAPI and the page of documentation follow from these
values, so that none of them can say something that the others do not.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec
from msgspec import Struct

from deploymark.decoding import convert
from deploymark.errors import NotFoundError, RequestError
from deploymark.ingest.callers import Caller
from deploymark.model.inspection import escape
from deploymark.model.vocabulary import Role
from deploymark.server.answer import JSON, Answer, Streaming
from deploymark.server.desk import Desk
from deploymark.server.request import Request
from deploymark.server.settings import Settings
from deploymark.server.shapes import ITEMS

Handler = Callable[[Desk, Request], Awaitable[Answer | Streaming]]
Retelling = Callable[[Desk, Request, Answer], Answer]
Identify = Callable[[Desk, Request], Awaitable[Caller]]
Rule = Callable[[Settings, Request], bool]
Place = Literal["path", "query", "header"]

_SHOWN = 64


class Parameter(Struct, frozen=True):
    """One parameter of an operation.

    Attributes:
        name: As it stands in the address or the header.
        type: A type that msgspec converts text to; limits belong to it.
        description: What it means.
        place: Where it stands; headers are documented here and read by the handler.
        required: It must be given; those of the path always are.
        many: It may be given several times; its type is that of one.
    """

    name: str
    type: Any
    description: str
    place: Place = "query"
    required: bool = False
    many: bool = False


class Media(Struct, frozen=True):
    """One kind of body.

    Attributes:
        type: The media type.
        schema: A type that msgspec describes, a JSON Schema, or the name of a schema that the
            log knows, such as `marker`; None for bytes and text.
    """

    type: str
    schema: Any = None


class Reply(Struct, frozen=True):
    """One answer that an operation may give, beside the problems that any may give."""

    description: str
    media: tuple[Media, ...] = ()


def never(_: Settings, __: Request) -> bool:
    """Hold for no request."""
    return False


class Access(Struct, frozen=True):
    """Who may use an operation.

    Attributes:
        roles: Any one of them suffices; none named: every authenticated caller.
        public: Nobody is asked who they are.
        open_when: The same, where the settings open it.
        anonymous: Who says nothing about themselves is let in as such; admission decides.
        described: For documentation: which setting opens it.
    """

    roles: tuple[Role, ...] = ()
    public: bool = False
    open_when: Rule = never
    anonymous: bool = False
    described: str = ""

    def allows(self, caller: Caller) -> bool:
        """Tell whether an authenticated caller may use the operation."""
        return not self.roles or any(caller.has(role) for role in self.roles)

    def sentence(self) -> str:
        """Say it in words."""
        if self.public:
            return "anyone"
        who = " or ".join(self.roles) if self.roles else "any authenticated caller"
        return f"{who}; {self.described}" if self.described else who


PUBLIC = Access(public=True)
ANY_CALLER = Access()
READER = Access((Role.READER,))
ADMIN = Access((Role.ADMIN,))
OPERATOR = Access((Role.OPERATOR,))
EMITTER = Access((Role.EMITTER,))

BODY_PROBLEMS = (408, 413, 415, 422)
"""Statuses of problems that any operation with a body may give."""


def in_json(description: str, schema: Any = None) -> Reply:  # noqa: ANN401 - a type or a schema
    """Return an answer in JSON."""
    return Reply(description, (Media(JSON, schema),))


ALL_ITEMS = in_json("All of them.", ITEMS)


class Operation(Struct, frozen=True):
    """One row of the table.

    Attributes:
        method: GET, POST or DELETE; HEAD comes with GET.
        path: Its address; `{name}` is one segment, `{name:path}` the rest.
        name: Its name in OpenAPI and in metrics.
        summary: What it does, in one line.
        tag: The group that it is documented in.
        access: Who may use it.
        handler: What answers it.
        replies: What it may answer, by status.
        parameters: What it takes from address and headers.
        body: The bodies that it takes; none when empty.
        problems: Statuses of problems of its own; those any operation may give are added.
        description: More than the summary says.
        any_host: It answers whatever `Host` says: probes name addresses, and it tells nothing.
        retell: Says a problem in the words of another protocol; None leaves it as it is.
        identify: Finds out who calls where it is not said by a token or a session; None for those.
        lenient: Its handler reads the address by itself, and the client takes what it gives.
    """

    method: str
    path: str
    name: str
    summary: str
    tag: str
    access: Access
    handler: Handler
    replies: dict[int, Reply]
    parameters: tuple[Parameter, ...] = ()
    body: tuple[Media, ...] = ()
    problems: tuple[int, ...] = ()
    description: str = ""
    any_host: bool = False
    retell: Retelling | None = None
    identify: Identify | None = None
    lenient: bool = False

    @property
    def offers(self) -> tuple[str, ...]:
        """The media types that it answers in, without their parameters."""
        found = [m.type.partition(";")[0] for r in self.replies.values() for m in r.media]
        return tuple(dict.fromkeys(found))

    def read_parameters(self, request: Request) -> dict[str, Any]:
        """Convert what the address says.

        Raises:
            RequestError: A parameter is unknown, repeated, missing, or not of its type. A
                misspelt filter must not select everything.
            NotFoundError: A segment of the path is not of its type: nothing stands there.
        """
        found: dict[str, Any] = {}
        given = request.query()
        if not given and not self.parameters:
            return found
        texts: dict[str, list[str]] = {}
        for name, text in given:
            texts.setdefault(name, []).append(text)
        for parameter in self.parameters:
            name = parameter.name
            if parameter.place == "path":
                found[name] = _segment(parameter, request.scope["path_params"])
            elif parameter.place == "query" and name in texts:
                found[name] = _value(parameter, texts.pop(name))
            elif parameter.place == "query" and parameter.required:
                raise RequestError(f"The parameter {name!r} is missing.", field=f"/{name}")
        if texts:
            known = ", ".join(p.name for p in self.parameters if p.place == "query") or "none"
            strange = next(iter(texts))[:_SHOWN]
            raise RequestError(
                f"The parameter {strange!r} is not known; known: {known}.",
                field=f"/{escape(strange)}",
            )
        return found


def _value(parameter: Parameter, texts: list[str]) -> Any:  # noqa: ANN401 - of the type it names
    if parameter.many:
        return tuple(_converted(parameter, text) for text in texts)
    if len(texts) > 1:
        raise RequestError(
            f"The parameter {parameter.name!r} stands there more than once.",
            field=f"/{parameter.name}",
        )
    return _converted(parameter, texts[0])


def _converted(parameter: Parameter, text: str) -> Any:  # noqa: ANN401 - of the parameter's type
    try:
        return _read(parameter, text)
    except msgspec.ValidationError as error:
        raise RequestError(
            f"The parameter {parameter.name!r} is {text[:_SHOWN]!r}: {_wanted(parameter, error)}.",
            field=f"/{parameter.name}",
        ) from None


def _wanted(parameter: Parameter, error: msgspec.ValidationError) -> str:
    """Say what a parameter may be, where the decoder names only what it is not."""
    described = msgspec.inspect.type_info(parameter.type)
    told = None
    if isinstance(described, msgspec.inspect.Metadata):
        told = (described.extra_json_schema or {}).get("description")
        described = described.type
    match described:
        case msgspec.inspect.LiteralType(values=values):
            return f"It is one of {', '.join(map(str, values))}"
        case msgspec.inspect.EnumType(cls=kind):
            return f"It is one of {', '.join(str(each.value) for each in kind)}"
        case _ if "matching regex" in str(error):
            return f"It is {told}" if told else "It does not have the form that this needs"
        case _:
            return str(error)


def _read(parameter: Parameter, text: str) -> Any:  # noqa: ANN401 - as above
    found = convert(text, parameter.type, strict=False)
    if isinstance(found, int) and str(found) != text:  # `1.0`, `01`: a number has one spelling
        raise msgspec.ValidationError("Expected plain decimal digits")
    return found


def _segment(parameter: Parameter, segments: dict[str, str]) -> Any:  # noqa: ANN401 - as above
    text = segments[parameter.name]
    try:
        return _read(parameter, text)
    except msgspec.ValidationError as error:
        raise NotFoundError(
            f"The {parameter.name} {text[:_SHOWN]!r} in the address names nothing: "
            f"{_wanted(parameter, error)}."
        ) from None

"""Whether a client takes what an operation can give (RFC 9110, `Accept`)."""

from functools import lru_cache

from deploymark.errors import NotAcceptableError
from deploymark.server.answer import JSON
from deploymark.server.operation import Operation

_LONGEST = 1_024
_SHOWN = 128


def check_accept(accept: bytes | None, operation: Operation) -> None:
    """Let a request pass whose client takes one of the types that the operation answers in.

    Quality is not weighed, only refusal (`q=0`): an operation answers in one type.

    Raises:
        NotAcceptableError: The client takes none of them.
    """
    if accept is None or accept == b"*/*" or not operation.offers:
        return
    if not _takes(accept[:_LONGEST], operation.offers):
        raise NotAcceptableError(
            f"The client takes {accept[:_SHOWN].decode('latin-1')!r}; this answers in "
            f"{' or '.join(operation.offers)}."
        )


def takes_gzip(accept_encoding: str) -> bool:
    """Tell whether a client takes gzip (RFC 9110, `Accept-Encoding`)."""
    return takes_encoding(accept_encoding, "gzip")


def takes_encoding(accept_encoding: str, name: str) -> bool:
    """Tell whether a client takes a content coding (RFC 9110, `Accept-Encoding`)."""
    parts = accept_encoding[:_LONGEST].lower().split(",")
    is_refused = dict(_range(part) for part in parts)
    return not is_refused.get(name, is_refused.get("*", True))


def wants_html(accept: bytes | None) -> bool:
    """Tell whether a browser asks for a page to be shown: it names HTML, and JSON not."""
    return accept is not None and _wants_html(accept[:_LONGEST])


@lru_cache(maxsize=512)
def _wants_html(accept: bytes) -> bool:
    ranges = [_range(part) for part in accept.decode("latin-1").lower().split(",")]
    taken = {name for name, refused in ranges if not refused}
    return "text/html" in taken and JSON not in taken


@lru_cache(maxsize=512)
def _takes(accept: bytes, offers: tuple[str, ...]) -> bool:
    ranges = [_range(part) for part in accept.decode("latin-1").lower().split(",")]
    taken = {name for name, refused in ranges if not refused}
    refused = {name for name, is_refused in ranges if is_refused}
    return any(_matches(offer, taken) and offer not in refused for offer in offers)


def _range(part: str) -> tuple[str, bool]:
    name, *parameters = (word.strip() for word in part.split(";"))
    refused = any(word in {"q=0", "q=0.0", "q=0.00", "q=0.000"} for word in parameters)
    return name, refused


def _matches(offer: str, taken: set[str]) -> bool:
    kind = offer.partition("/")[0]
    # A type with `+json` may be read as JSON.
    as_json = offer.endswith("+json") and JSON in taken
    return as_json or not taken.isdisjoint({"*/*", "", f"{kind}/*", offer})

"""Resource attributes of OpenTelemetry as the text of `OTEL_RESOURCE_ATTRIBUTES`; pure.

The form is that of W3C baggage without properties: `name=value` joined by commas, values
percent-encoded (OpenTelemetry specification, "Resource SDK"). So every language's SDK carries what
stands in it, and nothing of OpenTelemetry is needed to read or write it.
"""

from collections.abc import Mapping
from typing import Final

MAX_TEXT: Final = 16_384
"""More characters than this are not read: nobody's resource is that large."""

_SAFE: Final = "!#$&'()*+-./:<>?@[]^_`{|}~"


def read_attributes(text: str) -> dict[str, str]:
    """Return the attributes in a text; what is malformed is left out."""
    if not text:
        return {}
    from urllib.parse import unquote  # noqa: PLC0415 - only where there is such a text

    found = {}
    for pair in text[:MAX_TEXT].split(","):
        name, equals, value = pair.partition("=")
        if equals and name.strip():
            found[name.strip()] = unquote(value.strip())
    return found


def write_attributes(attributes: Mapping[str, str]) -> str:
    """Return the text of attributes, in their order."""
    from urllib.parse import quote  # noqa: PLC0415 - as above

    return ",".join(f"{name}={quote(value, safe=_SAFE)}" for name, value in attributes.items())

"""The icon of the page in a browser's tab."""

from typing import Final

from deploymark.server.answer import Answer, headers_of
from deploymark.server.desk import Desk
from deploymark.server.request import Request

_SVG: Final = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">\
<rect width="32" height="32" rx="7" fill="#1b2432"/>\
<path d="M8 7v18" stroke="#7ab4ff" stroke-width="3" stroke-linecap="round"/>\
<path d="M8 8h15l-4 5 4 5H8z" fill="#7ab4ff"/></svg>
"""
_HEADERS: Final = headers_of("image/svg+xml", cache=b"public, max-age=86400")


async def show_icon(_: Desk, __: Request) -> Answer:
    """Answer `GET /favicon.svg`."""
    return Answer(200, _SVG, _HEADERS)

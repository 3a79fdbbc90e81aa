"""Serves the built files of the page."""

from deploymark.server.accept import takes_encoding
from deploymark.server.answer import Answer
from deploymark.server.built import ENCODINGS, Assets, built
from deploymark.server.desk import Desk
from deploymark.server.request import Request


def assets_of(desk: Desk) -> Assets:
    """Return the files that a server serves."""
    pages = desk.parts.pages
    return built() if pages is None or pages.assets is None else pages.assets


async def show_asset(desk: Desk, request: Request) -> Answer:
    """Answer `GET /assets/{name}`."""
    said = request.text(b"accept-encoding")
    taken = {name for name, _ in ENCODINGS if takes_encoding(said, name)} if said else set()
    return assets_of(desk).answer(request.parameters["name"], taken)

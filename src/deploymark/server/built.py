"""The built files of the page: those that the manifest names, and nothing else.

They lie in the package (`server/assets`), put there by the build of `web/`, each with its
compressed forms beside it. Names have a hash, so every answer is good for ever. All are small
(`web/README.md` says how much), so they are read once and kept.
"""

from collections.abc import Collection
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from msgspec import Struct

from deploymark.decoding import decode_json
from deploymark.errors import NotFoundError
from deploymark.server.answer import IMMUTABLE, SECURITY, Answer, Headers

MANIFEST: Final = "manifest.json"

ENCODINGS: Final = (("br", ".br"), ("gzip", ".gz"))
_SHOWN: Final = 64


class PageFiles(Struct, frozen=True):
    """Files of a page, beside those of all pages."""

    scripts: list[str] = []
    styles: list[str] = []


class AssetFile(Struct, frozen=True):
    """One file: how large it is, plain and compressed, and its media type."""

    bytes: int
    br: int
    gz: int
    type: str


class Manifest(Struct, frozen=True):
    """What the build left; see web/README.md.

    Attributes:
        base: Where the files are addressed.
        scripts: Of all pages; the first starts the page.
        styles: Of all pages.
        pages: By page.
        files: By name.
    """

    base: str
    scripts: list[str]
    styles: list[str]
    pages: dict[str, PageFiles]
    files: dict[str, AssetFile]


class Assets:
    """The files of one build.

    Args:
        folder: Where they lie.
    """

    def __init__(self, folder: Traversable) -> None:
        self._folder = folder
        try:
            text = (folder / MANIFEST).read_bytes()
        except OSError:
            self.manifest: Manifest | None = None
        else:
            self.manifest = decode_json(text, Manifest)
        self._kept: dict[tuple[str, str], bytes] = {}

    def answer(self, name: str, encodings: Collection[str]) -> Answer:
        """Return a file in the best form that a client takes.

        Args:
            name: As the manifest has it.
            encodings: Content codings that the client takes.

        Raises:
            NotFoundError: The manifest names no such file.
        """
        known = None if self.manifest is None else self.manifest.files.get(name)
        if known is None:
            raise NotFoundError(f"There is no file {name[:_SHOWN]!r} of the page.")
        for encoding, suffix in ENCODINGS:
            if encoding in encodings:
                body = self._read(name, suffix)
                return Answer(200, body, _headers(known.type, encoding))
        return Answer(200, self._read(name, ""), _headers(known.type, ""))

    def _read(self, name: str, suffix: str) -> bytes:
        found = self._kept.get((name, suffix))
        if found is None:
            found = (self._folder / f"{name}{suffix}").read_bytes()
            self._kept[name, suffix] = found
        return found


@cache
def built() -> Assets:
    """Return the files that this installation carries; read once."""
    return Assets(files("deploymark.server") / "assets")


@cache
def _headers(media_type: str, encoding: str) -> Headers:
    kind = f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type
    found = [
        (b"content-type", kind.encode("ascii")),
        IMMUTABLE,
        (b"vary", b"accept-encoding"),
        *SECURITY,
    ]
    if encoding:
        found.append((b"content-encoding", encoding.encode("ascii")))
    return tuple(found)

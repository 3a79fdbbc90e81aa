"""Understands what people type into the filter of a page. Pure.

`svc:checkout env:prod st:failed owner:ana cluster:eu-1 kind:config` and free words, which begin a
service, a version or an id. Words of one field widen, fields narrow. What is not understood chooses
nothing and is said: a page is shown while its filter is being typed.
"""

import shlex
from typing import Final

from msgspec import Struct

from deploymark.errors import RequestError
from deploymark.model.vocabulary import Kind
from deploymark.projections.broker.marks_query import MarkQuery
from deploymark.projections.broker.shown_state import ShownState
from deploymark.server.pages.shapes import FilterWord, ShownFilter

MAX_CHARACTERS: Final = 512
MAX_WORDS: Final = 16

TEXT: Final = "text"

_FIELDS: Final = {
    "svc": "service",
    "service": "service",
    "env": "environment",
    "environment": "environment",
    "st": "state",
    "state": "state",
    "owner": "owner",
    "cluster": "cluster",
    "region": "cluster",
    "kind": "kind",
}
_QUOTES: Final = str.maketrans("", "", "\"'\\")
_CLOSED: Final[dict[str, tuple[str, ...]]] = {
    "state": tuple(ShownState),
    "kind": tuple(Kind),
}
# What people write for a kind that is called otherwise here.
_CALLED: Final = {
    "config": Kind.CONFIG,
    "flag": Kind.FEATURE_FLAG,
    "migration": Kind.SCHEMA_MIGRATION,
}


class Filter(Struct, frozen=True):
    """A filter as it was understood.

    Attributes:
        words: In their order.
        not_understood: Sentences about the others.
    """

    q: str = ""
    words: tuple[FilterWord, ...] = ()
    not_understood: tuple[str, ...] = ()

    def values(self, field: str) -> tuple[str, ...]:
        """Return what was asked of one field."""
        return tuple(dict.fromkeys(word.value for word in self.words if word.field == field))

    def query(self, since_ms: int, until_ms: int, limit: int = 50) -> MarkQuery:
        """Return the question to the marks of a window."""
        return MarkQuery(
            since_ms=since_ms,
            until_ms=until_ms,
            service=self.values("service"),
            environment=self.values("environment"),
            state=tuple(ShownState(value) for value in self.values("state")),
            owner=self.values("owner"),
            cluster=self.values("cluster"),
            kind=self.values("kind"),
            text=self.values(TEXT),
            limit=limit,
        )

    def shown(self) -> ShownFilter:
        """Return it as a document tells it."""
        return ShownFilter(self.q, list(self.words), " ".join(self.not_understood))


def parse_filter(q: str) -> Filter:
    """Return what a filter means.

    Raises:
        RequestError: It is longer than anybody types.
    """
    if len(q) > MAX_CHARACTERS:
        raise RequestError(
            f"The filter has {len(q)} characters; it may have {MAX_CHARACTERS}.", field="/q"
        )
    try:
        texts = shlex.split(q)
    except ValueError:  # a quotation mark that is not closed yet
        texts = q.translate(_QUOTES).split()
    words: list[FilterWord] = []
    wrong: list[str] = []
    for text in texts[:MAX_WORDS]:
        word = _word(text)
        if isinstance(word, FilterWord):
            words.append(word)
        elif word:
            wrong.append(word)
    if len(texts) > MAX_WORDS:
        wrong.append(f"Only the first {MAX_WORDS} words are looked at.")
    return Filter(q, tuple(words), tuple(wrong))


def _word(text: str) -> FilterWord | str:
    """Return what a word means, or a sentence why it means nothing; "" for one that is begun."""
    name, colon, value = text.partition(":")
    field = _FIELDS.get(name.lower())
    if not colon or field is None:
        if colon and name.isalpha():
            return f"There is no filter {name}:; there are {', '.join(_SHOWN_FIELDS)}."
        return FilterWord(TEXT, text) if text else ""
    if not value:
        return ""
    closed = _CLOSED.get(field)
    if closed is None:
        return FilterWord(field, value)
    meant = value.lower().replace("-", "_").replace(" ", "_")
    if field == "kind":
        meant = _CALLED.get(meant, meant)
    found = [each for each in closed if each == meant] or [
        each for each in closed if each.startswith(meant)
    ]
    if len(found) != 1:
        return f"{value} is no {field}; there are {', '.join(closed)}."
    return FilterWord(field, str(found[0]))


_SHOWN_FIELDS: Final = ("svc:", "env:", "st:", "owner:", "cluster:", "kind:")

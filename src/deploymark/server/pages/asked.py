"""What a page is asked for: by whom, which window, which filter; and what it is answered from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from deploymark.errors import DeploymarkError, NotFoundError, RequestError
from deploymark.ingest.callers import Caller
from deploymark.model.instants import format_instant, parse_instant
from deploymark.server.page_sources import PageSources
from deploymark.server.pages.filtering import Filter, parse_filter
from deploymark.server.pages.shapes import Missing, Range, Window
from deploymark.server.parts import Parts
from deploymark.server.settings import Settings

DEFAULT_WIDTH: Final = 1_000
MAX_SPAN_MS: Final = 366 * 86_400_000
_AHEAD_MS: Final = 60_000

_SPANS_MS: Final = {
    Range.QUARTER_HOUR: 900_000,
    Range.HOUR: 3_600_000,
    Range.SIX_HOURS: 6 * 3_600_000,
    Range.DAY: 86_400_000,
    Range.WEEK: 7 * 86_400_000,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One look at one page.

    Attributes:
        parts: The rooms behind the door.
        sources: What only pages ask.
        settings: How the door is set up.
        caller: Who asks.
        parameters: Of path and query, converted.
        now_ms: The time.
        missing: Collects what is not known.
    """

    parts: Parts
    sources: PageSources
    settings: Settings
    caller: Caller
    parameters: Mapping[str, Any]
    now_ms: int
    missing: list[Missing]

    def filter(self) -> Filter:
        """Return the filter; raises RequestError as `parse_filter`."""
        return parse_filter(self.parameters.get("q", ""))

    def window(self, default: Range = Range.SIX_HOURS) -> Window:
        """Return the window; raises as `window_of`."""
        return window_of(self.parameters, self.now_ms, default)

    def until_ms(self, window: Window) -> int:
        """Return when a window ends: what is written now may claim to be a little ahead."""
        return window.until_ms + (_AHEAD_MS if window.follows_now else 0)

    def rollouts(self) -> list[Any]:
        """Return what is rolled out by plans, or stands there, as its controller shows it."""
        rollouts = self.parts.rollouts
        if rollouts is None:
            return []
        recent = self.sources.rolling
        return rollouts.newest() if recent is None else recent.read()

    def miss(self, what: str, sentence: str, again_seconds: int | None = None) -> None:
        """Note that something is not known, and when to ask again if it comes by itself."""
        self.missing.append(Missing(what, sentence, again_seconds))

    def head(self, as_of: int) -> dict[str, Any]:
        """Return what every document begins with."""
        return {
            "as_of": as_of,
            "now_at": format_instant(self.now_ms),
            "missing": self.missing,
            "simulated": self.settings.simulated,
        }


def asked_of(
    parts: Parts, settings: Settings, caller: Caller, parameters: Mapping[str, Any]
) -> Asked:
    """Return what is asked, now.

    Raises:
        NotFoundError: This server has no views to answer from.
    """
    if parts.pages is None:
        raise NotFoundError("This server shows no pages.")
    return Asked(parts, parts.pages, settings, caller, parameters, parts.clock.now_ms(), [])


def told_at(instant: str) -> str:
    """Return a stored instant as sentences say it: `2026-11-23 18:36 UTC`.

    Args:
        instant: As `format_instant` writes it.
    """
    return f"{instant[:10]} {instant[11:16]} UTC"


def window_of(
    parameters: Mapping[str, Any], now_ms: int, default: Range = Range.SIX_HOURS
) -> Window:
    """Return the window that `range`, or `since` and `until`, name.

    Raises:
        RequestError: Both are given, a time is none, or the window is empty or longer than a year.
    """
    width = parameters.get("width", DEFAULT_WIDTH)
    since, until = parameters.get("since"), parameters.get("until")
    if since is None and until is None:
        named = parameters.get("range", default)
        since_ms, until_ms = now_ms - _SPANS_MS[named], now_ms
        return _window(named, since_ms, until_ms, width, follows_now=True)
    if "range" in parameters:
        raise RequestError(
            "A window is named by `range`, or by `since` and `until`, not by both.", field="/range"
        )
    until_ms = now_ms if until is None else _instant("until", until)
    since_ms = until_ms - _SPANS_MS[default] if since is None else _instant("since", since)
    if not 0 < until_ms - since_ms <= MAX_SPAN_MS:
        raise RequestError(
            "From `since` to `until` is no time, or more than 366 days.", field="/since"
        )
    return _window(None, since_ms, until_ms, width, follows_now=until is None)


def _window(
    named: Range | None, since_ms: int, until_ms: int, width: int, *, follows_now: bool
) -> Window:
    return Window(
        range=named,
        since_at=format_instant(since_ms),
        until_at=format_instant(until_ms),
        since_ms=since_ms,
        until_ms=until_ms,
        follows_now=follows_now,
        width=width,
    )


def _instant(name: str, text: str) -> int:
    try:
        return parse_instant(text)
    except DeploymarkError as error:
        raise RequestError(
            f"`{name}`: {error.message}", hint=error.hint, field=f"/{name}"
        ) from None

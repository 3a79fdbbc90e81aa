"""Keeps the views in step with the log: one thread that reads it by index and feeds them all.

Level-triggered: it compares where the log stands with where each view stands, and goes on from
there. A notification only wakes it; a lost one costs a second. Rows of a batch and the cursor
behind them are committed together, so wherever a process stops there is no gap and no entry
counts twice. A view of another schema version, of another log, or in a damaged file begins anew.
An entry that a view cannot take in is skipped there, said and kept on record: it must not stop the
others, whoever wrote it.

States: idle → running (`start`) → stopped (`stop`), or running → broken (the log does not add
up; stays so, and the views keep answering what they had).

It only reads the log, and knows nothing of what a view makes of an entry.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from deploymark.errors import (
    BrokenError,
    DeploymarkError,
    LogBrokenError,
    StoreUnavailableError,
    UnavailableError,
)
from deploymark.ports import LogReader, Meter, StoredEntry
from deploymark.projections import cursors
from deploymark.projections.cursors import Skipped
from deploymark.projections.database import Views
from deploymark.projections.logged import LoggedEntry, read_entry

BATCH_ENTRIES = 2_048
LEAST_ENTRIES = 16
LONG_SECONDS, SHORT_SECONDS = 1.0, 0.25
"""A batch that takes longer than the one is halved, one below the other may grow again: a commit,
and an end, wait for no more than a batch."""

POLL_SECONDS = 1.0
"""How long a lost notification or a failure delays the next attempt."""

PROGRESS_ENTRIES = 100_000
"""After so many entries a view that is being built says how far it is."""

GATHER_SECONDS = 0.1
"""How long entries may gather before they are taken in together."""

Row = TypeVar("Row")

_log = logging.getLogger(__name__)


class View(cursors.Tables, Protocol[Row]):
    """One fold over the log, with the tables that hold its result."""

    def fold(self, entry: LoggedEntry) -> Row:
        """Return what the view keeps of an entry; pure. Whatever it raises skips the entry."""
        ...

    def write(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Add rows, in index order, at least one; the caller commits.

        What it raises of its own undoes all of them; each is then tried alone, and one that
        raises again is skipped.
        """
        ...


class Runner:
    """Follows a log and feeds views.

    Args:
        reader: The log.
        views: Their database.
        projected: The views, at least one.
        meter: Counts skipped entries, failures and rebuilds.
    """

    def __init__(
        self, reader: LogReader, views: Views, projected: Sequence[View[Any]], meter: Meter
    ) -> None:
        self._reader = reader
        self._views = views
        self._projected = {view.name: view for view in projected}
        self._meter = meter
        self._condition = threading.Condition()
        self._sizes = dict.fromkeys(self._projected, 0)
        self._log_size = 0
        self._prepared = False
        self._woken = False
        self._stopping = False
        self._awaited = 0
        self._entries = BATCH_ENTRIES
        self._thread = threading.Thread(target=self._run, name="projections", daemon=True)
        views.when_damaged = self._wake

    @property
    def lag(self) -> int:
        """How many entries of the log the slowest view has not seen, as far as is known."""
        return max(0, self._log_size - self.position())

    def position(self, view: str | None = None) -> int:
        """Return how many entries a view has seen, or all views have; answers from memory."""
        return min(self._sizes.values()) if view is None else self._sizes[view]

    def start(self) -> None:
        """Begin to follow the log on a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the batch at hand and end the thread; idempotent."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def notify(self, size: int) -> None:
        """Say that the log has grown to `size` entries; returns at once."""
        with self._condition:
            self._log_size = max(self._log_size, size)
        self._wake()

    def wait(self, index: int, timeout_seconds: float, *, view: str | None = None) -> bool:
        """Wait until the views, or one of them, have seen an entry; tell whether they have."""

        def seen() -> bool:
            return self.position(view) > index

        with self._condition:
            self._awaited += 1
            self._condition.notify_all()
            try:
                self._condition.wait_for(lambda: seen() or self._stopping, timeout_seconds)
            finally:
                self._awaited -= 1
            return seen()

    def skipped(self, view: str, limit: int = 100) -> list[Skipped]:
        """Return entries that a view could not understand, newest first.

        Raises:
            StoreUnavailableError: The views are being built, or their medium refuses.
        """
        with self._views.reading() as connection:
            return cursors.read_skipped(connection, view, limit)

    def catch_up(self) -> None:
        """Feed the views until they have seen all of the log; not beside a started thread.

        Raises:
            UnavailableError: The log or the views refuse now; a later call goes on from there.
            BrokenError: The log does not add up.
        """
        try:
            self._prepare()
            while not self._stopping and self._step():
                pass
        except BaseException:
            # Whether the last commit happened is not known: the next attempt asks the file.
            self._prepared = False
            raise

    # The thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping:
            try:
                self.catch_up()
            except BrokenError as error:
                self._report(error, error.code)
                return
            except DeploymarkError as error:
                self._report(error, error.code)
                self._pause(lambda: self._stopping)
            except Exception as error:  # noqa: BLE001 - the next attempt begins from what is stored
                self._report(error, "defect")
                self._pause(lambda: self._stopping)
            else:
                self._pause(lambda: self._woken or self._stopping)
                self._gather()

    def _gather(self) -> None:
        """Let entries come together, unless somebody waits: a commit for each would cost most."""
        with self._condition:
            self._condition.wait_for(lambda: self._awaited or self._stopping, GATHER_SECONDS)

    def _pause(self, over: Callable[[], bool]) -> None:
        with self._condition:
            self._condition.wait_for(over, POLL_SECONDS)
            self._woken = False

    def _wake(self) -> None:
        with self._condition:
            self._woken = True
            self._condition.notify_all()

    def _report(self, error: Exception, code: str) -> None:
        self._meter.count("deploymark_projection_failures_total", code=code)
        _log.error("the views cannot follow the log", extra={"code": code, "why": str(error)})

    # Steps --------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Find out where the views stand; lay down what is missing, drop what does not fit."""
        if self._prepared and not self._views.damaged:
            return
        if not self._views.damaged:
            try:
                self._stand()
            except StoreUnavailableError:
                if not self._views.damaged:
                    raise
        if self._views.damaged:
            self._report_rebuild("*", "damaged")
            self._views.replace()
            self._stand()
        self._prepared = True
        self._views.admit_readers()

    def _stand(self) -> None:
        sizes = {}
        with self._views.writing() as connection:
            cursors.lay_down(connection)
            for name, view in self._projected.items():
                why = cursors.misfit(connection, view, self._reader)
                if why is not None:
                    self._report_rebuild(name, why)
                    cursors.begin_anew(connection, view)
                sizes[name] = cursors.projected_size(connection, name)
        with self._condition:
            self._sizes = sizes
            self._condition.notify_all()

    def _report_rebuild(self, view: str, why: str) -> None:
        self._meter.count("deploymark_projection_rebuilds_total", view=view, why=why)
        _log.info("a view is built from the log", extra={"view": view, "why": why})

    def _step(self) -> bool:
        """Feed each view that lags one batch; False when none does."""
        head = self._reader.head().size
        with self._condition:
            self._log_size = max(self._log_size, head)
        behind = sorted((size, name) for name, size in self._sizes.items() if size < head)
        # One batch each, so that a rebuild of one view does not hold up the others; views that
        # stand at the same place share the decoding.
        for size, group in groupby(behind, key=lambda each: each[0]):
            if self._stopping:
                break
            begun = time.monotonic()
            end = min(head, size + min(self._entries, BATCH_ENTRIES))
            self._feed([name for _, name in group], size, end)
            self._pace(time.monotonic() - begun)
        return bool(behind)

    def _pace(self, seconds: float) -> None:
        """Choose how much to take in next time by how long this took."""
        if seconds > LONG_SECONDS:
            self._entries = max(LEAST_ENTRIES, self._entries // 2)
        elif seconds < SHORT_SECONDS:
            self._entries = min(BATCH_ENTRIES, self._entries * 2)

    def _feed(self, names: Sequence[str], start: int, end: int) -> None:
        """Hand a batch of the log to views that stand at its start, in one commit."""
        stored = list(self._reader.entries(start, end))
        if len(stored) != end - start:
            raise LogBrokenError(f"The log has no entry {start + len(stored)}, but a later one.")
        entries = [_attempt(read_entry, each) for each in stored]
        # If we stop before the commit, nothing of this batch is there; after it, rows and cursor.
        with self._views.writing() as connection:
            for name in names:
                self._write(connection, self._projected[name], stored, entries)
        with self._condition:
            self._sizes.update(dict.fromkeys(names, end))
            self._condition.notify_all()
        if start // PROGRESS_ENTRIES < end // PROGRESS_ENTRIES and end < self._log_size:
            _log.info(
                "views are being built",
                extra={"views": ", ".join(names), "seen": end, "entries": self._log_size},
            )

    def _write(
        self,
        connection: Connection,
        view: View[Any],
        stored: Sequence[StoredEntry],
        entries: Sequence[LoggedEntry | Exception],
    ) -> None:
        kept: list[tuple[int, Any]] = []
        skipped: list[Skipped] = []
        for source, entry in zip(stored, entries, strict=True):
            row = entry if isinstance(entry, Exception) else _attempt(view.fold, entry)
            if isinstance(row, Exception):
                skipped.append(self._skip(view, source.index, row))
            else:
                kept.append((source.index, row))
        if kept:
            skipped += self._add(connection, view, kept)
        if skipped:
            cursors.record_skipped(connection, view.name, skipped)
        cursors.move(connection, view.name, stored[-1])

    def _add(
        self, connection: Connection, view: View[Any], kept: Sequence[tuple[int, Any]]
    ) -> list[Skipped]:
        """Write rows together; when that shows a defect, alone, without the ones that show it."""
        try:
            with connection.begin_nested():
                view.write(connection, [row for _, row in kept])
        except (UnavailableError, BrokenError, DBAPIError, OSError, MemoryError):
            raise  # not what an entry says: another attempt may go well
        except Exception as error:  # noqa: BLE001 - as in `_attempt`
            if len(kept) == 1:
                return [self._skip(view, kept[0][0], error)]
            return [skip for each in kept for skip in self._add(connection, view, [each])]
        return []

    def _skip(self, view: View[Any], index: int, error: Exception) -> Skipped:
        code = error.code if isinstance(error, DeploymarkError) else "defect"
        self._meter.count("deploymark_projection_skipped_total", view=view.name, code=code)
        _log.error(
            "a view cannot take an entry in and goes on without it",
            extra={"view": view.name, "index": index, "code": code, "why": str(error)},
        )
        return Skipped(index, code, str(error))


_Value = TypeVar("_Value")
_Result = TypeVar("_Result")


def _attempt(step: Callable[[_Value], _Result], value: _Value) -> _Result | Exception:
    """Return the result of a step on one entry, or what it raised: no entry stops the others."""
    try:
        return step(value)
    except Exception as error:  # noqa: BLE001 - the entry is skipped, counted and kept on record
        return error

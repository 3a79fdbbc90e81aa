"""Delivers what the spool holds, in a background thread that starts with the first marker.

It posts in batches, the most important first, and backs off with full jitter when the server is
away. A caller may wait for a round with a time limit of its own; the thread never holds anyone up,
not even at the end of the process, because it is a daemon.
"""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from deploymark.emit.delivery import Content, Outcome, Posted, Poster
from deploymark.emit.host import Host
from deploymark.emit.putting_off import PuttingOff
from deploymark.emit.settings import Settings
from deploymark.emit.spool import Parcel, Spool
from deploymark.errors import DeploymarkError
from deploymark.model.instants import format_instant

BATCH_ITEMS: Final = 256
BATCH_BYTES: Final = 1_000_000
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 60.0

# Long enough to send what comes at once as one batch, short enough for nobody to notice.
_GATHER_SECONDS: Final = 0.02
_ORPHANS_SECONDS: Final = 60.0
_REFUSALS: Final = 64
_DUPLICATES: Final = 64
# Refused for what the marker says, so that must not lie about here either.
_PRIVATE: Final = frozenset({"secret_refused", "personal_data_refused"})

_NOTHING: Final[Content] = {}

Key = tuple[str, int]
"""Epoch and number of a marker."""


class Round(NamedTuple):
    """What one attempt to deliver everything came to.

    Attributes:
        delivered: How many markers the server has now, of all emitters.
        refused: How many it will never take.
        problem: Why some must be sent again, or "".
        retry_seconds: What the server asks to wait, or None.
        cut_short: The rest was not tried.
        refusal: The problem with which the server does not take some now; empty without one.
        put_off: The problem is only that this caller may not say some: nothing else waits for it.
    """

    delivered: int = 0
    refused: int = 0
    problem: str = ""
    retry_seconds: float | None = None
    cut_short: bool = False
    refusal: Content = _NOTHING
    put_off: bool = False


class Sender:
    """The background thread of one emitter.

    Args:
        spool: What is to be delivered.
        settings: Where to.
        host: Tells time and chance.
    """

    def __init__(self, spool: Spool, settings: Settings, host: Host) -> None:
        self._spool = spool
        self._settings = settings
        self._host = host
        self._putting_off = PuttingOff(spool, host, settings.token)
        self._every = False
        self._poster: Poster | None = None
        self._thread: threading.Thread | None = None
        self._work = threading.Event()
        self._hurry = threading.Event()
        self._changed = threading.Condition()
        self._stopping = False
        self._first = ""
        self._watched: set[Key] = set()
        self._answers: dict[Key, Outcome] = {}
        self._refusals: deque[tuple[Key, Content]] = deque(maxlen=_REFUSALS)
        self._duplicates: deque[Key] = deque(maxlen=_DUPLICATES)
        self._begun = 0
        self._ended = 0
        self._last = Round()
        self._total = Round()
        self._orphans_at = float("-inf")
        self._not_before = float("-inf")

    # Asked by the emitter -----------------------------------------------------------------------

    def wake(self) -> None:
        """Say that there is something to deliver; cheap when that is known already."""
        if not self._work.is_set():
            self._start()
            self._work.set()

    def watch(self, key: Key, deployment: str) -> None:
        """Deliver a marker before all others, and keep the answer for whoever waits for it."""
        self._first = deployment
        self._watched.add(key)

    def wait_for(self, key: Key, seconds: float, *, patient: bool) -> tuple[Outcome | None, Round]:
        """Return the answer about a watched marker, or None and the round that says why.

        Args:
            key: Epoch and number.
            seconds: How long to wait at most.
            patient: Try again until then; else one attempt is enough.
        """
        deadline = self._host.elapsed_seconds() + seconds
        last = Round(problem=f"No answer within {seconds:g} seconds.")
        while key not in self._answers:
            left = deadline - self._host.elapsed_seconds()
            done = self.run_round(left) if left > 0 else None
            if done is None:
                break
            if key in self._answers:
                break
            last = done._replace(problem=done.problem or "The server did not take it.")
            if not patient:
                break
            pause = self._pause(done, 0)
            if pause >= deadline - self._host.elapsed_seconds():
                break
            threading.Event().wait(pause)
        self._watched.discard(key)
        return self._answers.pop(key, None), last

    def run_round(self, seconds: float, *, every: bool = False) -> Round | None:
        """Wait for a round that begins from now on; None when the time is over before its end.

        Args:
            seconds: How long to wait at most.
            every: Send also what was put off.
        """
        with self._changed:
            wanted = self._begun + 1
            self._every = self._every or every
            self._start()
            self._hurry.set()
            self._work.set()
            arrived = self._changed.wait_for(lambda: self._ended >= wanted, max(seconds, 0.0))
            return self._last if arrived else None

    def total(self) -> Round:
        """Return what was delivered and refused so far, and the problem of the last round."""
        with self._changed:
            return self._last._replace(delivered=self._total.delivered, refused=self._total.refused)

    def left_alone(self) -> int:
        """Return how many markers of this process's journal others were refused and told of."""
        keys = [(each.epoch, each.number) for each in self._spool.plan()]
        off = self._putting_off
        return sum(key not in off.own and off.rests(key) for key in keys)

    def was_known(self, key: Key) -> bool:
        """Tell whether the log knew a marker already when it was delivered; of the newest ones."""
        return key in tuple(self._duplicates)

    def refusals(self) -> list[tuple[Key, Content]]:
        """Return the last markers that the server refused for good, with its problems."""
        return list(self._refusals)

    def stop(self) -> None:
        """Tell the thread to end after what it is doing; does not wait."""
        self._stopping = True
        self._work.set()
        self._hurry.set()

    def abandon(self) -> None:
        """Close what a forked child inherited; its parent's connection lives on."""
        if self._poster is not None:
            self._poster.abandon()

    # The thread ---------------------------------------------------------------------------------

    def _start(self) -> None:
        with self._changed:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="deploymark", daemon=True)
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        failures = 0
        while not self._stopping:
            self._work.wait(self._putting_off.seconds())
            self._hurry.wait(_GATHER_SECONDS)
            with self._changed:
                self._work.clear()
                self._hurry.clear()
                self._begun += 1
            done = self._round()
            if done.retry_seconds is not None:
                self._not_before = self._host.elapsed_seconds() + done.retry_seconds
            with self._changed:
                self._last = done
                self._total = Round(
                    self._total.delivered + done.delivered, self._total.refused + done.refused
                )
                self._ended = self._begun
                self._changed.notify_all()
            again = bool(done.problem) and not done.put_off
            failures = failures + 1 if again else 0
            if again:
                self._work.set()
                self._hurry.wait(self._pause(done, failures))
        if self._poster is not None:
            self._poster.close()

    def _pause(self, done: Round, failures: int) -> float:
        """Return how long to leave the server alone: what it asks, else full jitter."""
        if done.retry_seconds is not None:
            # Everybody was told the same time: spread them a little behind it.
            return done.retry_seconds * (1 + self._host.fraction() / 4)
        longest = min(FIRST_PAUSE_SECONDS * (1 << min(failures, 16)), LONGEST_PAUSE_SECONDS)
        return longest * self._host.fraction()

    def _round(self) -> Round:
        asked = self._not_before - self._host.elapsed_seconds()
        if asked > 0:  # somebody is in a hurry; the server is not
            return self._last._replace(delivered=0, refused=0, retry_seconds=asked, cut_short=True)
        try:
            if self._poster is None:
                self._poster = Poster(self._settings, self._host)
            self._putting_off.recall()
            every, self._every = self._every, False
            done = self._deliver(self._spool.plan(self._first), every=every)
            now = self._host.elapsed_seconds()
            if not done.cut_short and now - self._orphans_at >= _ORPHANS_SECONDS:
                self._orphans_at = now
                for parcels in self._spool.orphans():
                    done = _sum(done, self._deliver(parcels, every=every))
                    if done.cut_short:
                        break
        except DeploymarkError as error:
            return Round(problem=f"{error.message} {error.hint}".rstrip())
        except Exception as error:  # noqa: BLE001 - the thread lives as long as its process
            return Round(problem=f"Delivery failed: {type(error).__name__}: {error}.")
        return done

    def _deliver(self, parcels: Sequence[Parcel], *, every: bool) -> Round:
        done = Round()
        due = parcels if every else self._putting_off.due(parcels, self._watched)
        for batch in self._batches(due):
            done = _sum(done, self._post(batch))
            if done.cut_short:
                break
        return done

    def _batches(self, parcels: Sequence[Parcel]) -> Iterator[list[tuple[Parcel, bytes]]]:
        batch: list[tuple[Parcel, bytes]] = []
        size = 0
        for parcel in parcels:
            body = self._spool.body(parcel)
            if body is None:
                self._spool.settle([(parcel, "unreadable")])
                continue
            if batch and (len(batch) == BATCH_ITEMS or size + len(body) > BATCH_BYTES):
                yield batch
                batch, size = [], 0
            batch.append((parcel, body))
            size += len(body)
        if batch:
            yield batch

    def _post(self, batch: Sequence[tuple[Parcel, bytes]]) -> Round:
        if self._poster is None:
            return Round()
        posted = self._poster.post([body for _, body in batch])
        if not posted.divisible:
            return self._settle(batch, posted)
        middle = len(batch) // 2
        first = self._post(batch[:middle])
        return first if first.cut_short else _sum(first, self._post(batch[middle:]))

    def _settle(self, batch: Sequence[tuple[Parcel, bytes]], posted: Posted) -> Round:
        settled: list[tuple[Parcel, str]] = []
        private: list[Parcel] = []
        forbidden: list[Key] = []
        refused: list[dict[str, object]] = []
        problem, refusal = posted.problem, posted.refusal
        for (parcel, body), outcome in zip(batch, posted.outcomes, strict=False):
            key = (parcel.epoch, parcel.number)
            if not outcome.final:
                said = outcome.content.get("detail") or "it gave no reason"
                problem = problem or f"The server does not take a marker now: {said}"
                refusal = refusal or outcome.content
                if outcome.forbidden:
                    forbidden.append(key)
                continue
            if outcome.accepted:
                settled.append((parcel, "delivered"))
                if outcome.content.get("duplicate"):
                    self._duplicates.append(key)
            else:
                refused.append(self._refusal(key, body, outcome))
                self._refusals.append((key, outcome.content))
                if _is_private(outcome):
                    private.append(parcel)
                else:
                    settled.append((parcel, "refused"))
            if key in self._watched:
                self._answers[key] = outcome
        # If we stop before this, they are sent again and the server knows them.
        self._spool.keep_refused(refused)
        self._spool.settle(settled)
        if private:
            self._spool.expunge(private)
        self._putting_off.put_off(forbidden)
        done = [each for each, _ in settled] + private
        self._putting_off.settle((each.epoch, each.number) for each in done)
        return Round(
            len(done) - len(refused),
            len(refused),
            problem,
            posted.retry_seconds,
            cut_short=self._stopping or not posted.outcomes,
            refusal=refusal,
            put_off=bool(forbidden) and len(done) + len(forbidden) == len(batch),
        )

    def _refusal(self, key: Key, body: bytes, outcome: Outcome) -> dict[str, object]:
        # Whoever has the marker can tell that it is this one; nobody else learns what it says.
        content = (
            {"marker_sha256": sha256(body).hexdigest()}
            if _is_private(outcome)
            else {"marker": body.decode(errors="replace")}
        )
        return {
            "at": format_instant(self._host.now_ms()),
            "epoch": key[0],
            "sequence": key[1],
            "status": outcome.status,
            "problem": outcome.content,
            **content,
        }


def _is_private(outcome: Outcome) -> bool:
    return outcome.content.get("code") in _PRIVATE


def _sum(first: Round, second: Round) -> Round:
    return Round(
        first.delivered + second.delivered,
        first.refused + second.refused,
        second.problem or first.problem,
        second.retry_seconds,
        second.cut_short,
        second.refusal or first.refusal,
        all(each.put_off for each in (first, second) if each.problem),
    )

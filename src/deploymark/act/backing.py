"""Who stands behind the markers of a deployment: their leaves are read from the log, and checked.

What was admitted once may be distrusted since: a key that was revoked with effect from an earlier
entry. So every signature is held to the keys as they are known now.
"""

import threading
from collections import OrderedDict
from typing import Final

from deploymark.act.gather import RANK, Backing
from deploymark.crypto.keyring import KeyRing
from deploymark.errors import KeyUntrustedError, NotFoundError, RefusedError, SignatureError
from deploymark.ingest.callers import LOCAL_PRINCIPAL
from deploymark.model.marker import Marker
from deploymark.model.vocabulary import Assurance, EmitterKind, Phase
from deploymark.ports import LogReader
from deploymark.projections.broker.rolling import Side
from deploymark.projections.logged import LoggedEntry, read_entry

MAX_KEPT: Final = 1_024

_SAYS_WHAT: Final = frozenset(
    {Phase.PLANNED, Phase.APPLYING, Phase.APPLIED, Phase.CUTOVER, Phase.PROMOTED}
)


class LogBacking:
    """Tells who stands behind deployments; any thread may ask, and waits for the disk.

    Args:
        reader: The log.
        ring: Its keys.
    """

    def __init__(self, reader: LogReader, ring: KeyRing) -> None:
        self._reader = reader
        self._ring = ring
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int, int | None], Backing] = OrderedDict()

    def __call__(self, side: Side) -> Backing:
        """Return the weakest assurance of the markers that announced a deployment.

        What the platform itself wrote of a rollout is left out: it stands behind nobody. That it
        calls itself the platform is not enough, as anybody may name any emitter.

        Raises:
            StoreUnavailableError, LogBrokenError: The log cannot be read.
        """
        key = (side.name, side.document["last_index"], self._ring.applied_index)
        with self._lock:
            known = self._kept.get(key)
        if known is not None:
            return known
        read = self._read(side)
        with self._lock:
            self._kept[key] = read
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        return read

    def _read(self, side: Side) -> Backing:
        weakest: Assurance | None = None
        in_scope: bool | None = None
        for joined in side.document["joins"]:
            try:
                entry = read_entry(self._reader.entry(joined["index"]))
            except (NotFoundError, RefusedError):
                return Backing(None, None)
            if not _announces(entry):
                continue
            assurance = Assurance(entry.leaf.assurance)
            weakest = min(weakest or assurance, assurance, key=lambda each: RANK[each])
            in_scope = in_scope is not False and self._is_trusted(entry)
        return Backing(weakest, in_scope)

    def _is_trusted(self, entry: LoggedEntry) -> bool:
        content = entry.content
        fields = content.fields() if isinstance(content, Marker) else None
        try:
            self._ring.check(entry.index, entry.leaf, marker_fields=fields)
        except (KeyUntrustedError, SignatureError):
            return False
        return True


def _announces(entry: LoggedEntry) -> bool:
    content = entry.content
    if not isinstance(content, Marker) or content.phase not in _SAYS_WHAT:
        return False
    kind = None if content.emitter is None else content.emitter.kind
    return kind != EmitterKind.PLATFORM or entry.leaf.principal != LOCAL_PRINCIPAL

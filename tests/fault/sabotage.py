"""Faults planted into a log on purpose, to show that the checker would have found them."""

import os
import sqlite3
import threading
from collections.abc import Callable

from deploymark.ports import Batch
from deploymark.runtime.compose import OpenLog
from deploymark.storage.sqlite import SqliteLogStore


class _LateStore(SqliteLogStore):
    """Says that a batch is committed before it is: the last two batches wait in memory."""

    def append(self, batch: Batch) -> None:
        """Put the batch in memory, commit an older one."""


def acknowledge_early(log: OpenLog) -> None:
    """Acknowledge every batch as soon as it is planned; commit it a little later."""

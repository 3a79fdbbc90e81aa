"""How the process speaks of itself: log lines, as text on a terminal and as JSON elsewhere."""

import json
import logging
import time
from typing import Any, Final, TextIO

_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, event, and whatever came with it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        said: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        for name, value in _extras(record).items():  # nothing hides what every line has
            said.setdefault(name, value)
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        try:
            return json.dumps(said, default=str, allow_nan=False)
        except ValueError:  # JSON has no word for these numbers, nor an end for a circle
            return json.dumps({name: str(value) for name, value in said.items()})


class TextLines(logging.Formatter):
    """One line for people: time, level, event, and pairs."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        pairs = "".join(f" {name}={value!r}" for name, value in _extras(record).items())
        at, level = self.formatTime(record, "%H:%M:%S"), record.levelname.lower()
        line = f"{at} {level:8} {record.getMessage()}{pairs}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _OWN}


def log_to(stream: TextIO, *, as_json: bool, level: int = logging.INFO) -> None:
    """Send the process's log lines to a stream, and nowhere else.

    Args:
        stream: Usually stderr.
        as_json: One JSON object a line, instead of text for people.
        level: The least that is told.
    """
    handler = logging.StreamHandler(stream)
    formatter: logging.Formatter = JsonLines() if as_json else TextLines()
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)

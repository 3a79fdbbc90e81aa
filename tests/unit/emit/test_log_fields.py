"""Log lines say which deployment wrote them, with `logging` and with structlog."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from deploymark.emit import startup as startup_module
from deploymark.emit.confirmation import Confirmation
from deploymark.emit.emitter import Emitter
from deploymark.emit.host import SystemHost
from deploymark.emit.log_fields import LogFields, add_log_fields, structlog_processor
from deploymark.emit.settings import Settings
from deploymark.emit.startup import Startup
from deploymark.emit.told import Told

TOLD = Told(service="shop", environment="prod", deployment_id="d-1", version="7")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[Startup]:
    """This process has started, and confirms nothing."""
    monkeypatch.setattr(startup_module, "_state", [])
    emitter = Emitter(Settings(), facts={})
    started = startup_module._startup_of(TOLD)
    confirmation = Confirmation(TOLD, emitter, SystemHost())
    startup_module._place(startup_module._Here(started, emitter, confirmation, {}, children=True))
    yield started
    emitter.close(0)


class JsonLines(logging.Formatter):
    """Writes what a record has, as formatters for JSON do."""

    def format(self, record: logging.LogRecord) -> str:
        names = ("deployment_id", "service", "environment", "version", "instance_uid")
        found = {name: value for name, value in vars(record).items() if name in names}
        return json.dumps({"message": record.getMessage(), **found})


@pytest.fixture
def logged() -> tuple[logging.Logger, io.StringIO]:
    """A logger of its own that writes JSON."""
    out = io.StringIO()
    logger = logging.Logger("test")  # noqa: LOG001 - belongs to nobody else
    handler = logging.StreamHandler(out)
    handler.setFormatter(JsonLines())
    logger.addHandler(handler)
    return logger, out


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_each_line_says_who_wrote_it(
    started: Startup, logged: tuple[logging.Logger, io.StringIO]
) -> None:
    logger, out = logged
    add_log_fields(logger)
    add_log_fields(logger)
    logger.info("served %s", "tea")
    (line,) = lines(out)
    assert line == {
        "message": "served tea",
        "deployment_id": "d-1",
        "service": "shop",
        "environment": "prod",
        "version": "7",
        "instance_uid": started.instance_uid,
    }
    assert len(logger.handlers[0].filters) == 1


def test_a_line_that_says_it_itself_keeps_its_own(
    started: Startup, logged: tuple[logging.Logger, io.StringIO]
) -> None:
    logger, out = logged
    logger.handlers[0].addFilter(LogFields(started))
    logger.info("about another", extra={"service": "other", "version": 3})
    (line,) = lines(out)
    assert (line["service"], line["version"], line["deployment_id"]) == ("other", 3, "d-1")


def test_structlog_gets_them_too(started: Startup) -> None:
    out = io.StringIO()
    logger = structlog.wrap_logger(
        structlog.PrintLogger(out),
        processors=[structlog_processor, structlog.processors.JSONRenderer()],
    )
    logger.info("served", service="own")
    assert json.loads(out.getvalue()) == {
        **started.log_fields,
        "event": "served",
        "service": "own",
    }

"""A command of the demo that is ended from outside, and one that ends by itself."""

import os
import signal
from pathlib import Path

import pytest

from deploymark.errors import ServerUnavailableError
from deploymark.testing.demo.commands import Command


def test_whoever_was_ended_from_outside_is_not_said_to_have_ended_for_what_it_said_before(
    tmp_path: Path,
) -> None:
    command = Command(["watch"], tmp_path, {"DEPLOYMARK_URL": "http://127.0.0.1:1"})
    (tmp_path / "watch.err").write_text('{"event": "something old"}\n')
    os.kill(command.process, signal.SIGKILL)
    os.waitid(os.P_PID, command.process, os.WEXITED | os.WNOWAIT)
    with pytest.raises(ServerUnavailableError) as ended:
        command.check()
    assert ended.value.message == "`deploymark watch` was ended from outside (Killed)."


def test_whoever_ends_by_itself_says_why(tmp_path: Path) -> None:
    command = Command(["ls"], tmp_path, {"DEPLOYMARK_URL": "nowhere"})
    os.waitid(os.P_PID, command.process, os.WEXITED | os.WNOWAIT)
    with pytest.raises(ServerUnavailableError, match="`deploymark ls` has ended with 64"):
        command.check()

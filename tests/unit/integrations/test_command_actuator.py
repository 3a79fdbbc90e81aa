"""The actuator `command`: a program of the operator's carries out orders."""

import itertools
import json
import os
import signal
import sys
import time
from pathlib import Path

import msgspec
import pytest

from deploymark.emit.host import SystemHost
from deploymark.errors import (
    ActuatorRefusedError,
    ActuatorUnavailableError,
    DeploymarkError,
    OutcomeUnknownError,
)
from deploymark.integrations.command.actuator import CommandActuator, CommandOptions
from deploymark.ports import Actuator, Deed, Found, Order, Release, order_fields
from deploymark.testing.actuator import ScriptedActuator, Trouble, exercise_actuator, order_for

# It refuses an older holder of the lease, and keeps what it was told in one file.
PROGRAM = """
import json, os, pathlib, sys
state, trouble = pathlib.Path("state"), pathlib.Path("trouble").read_text()
order = json.load(sys.stdin)
weight, fence = json.loads(state.read_text()) if state.exists() else (0, 0)
if sys.argv[1:] == ["look"]:
    sys.exit(2 if trouble == "silent" else 0 if order["weight"] == weight else 1)
codes = {"away": 75, "refuses": 65}
if trouble in codes:
    sys.exit(codes[trouble])
if order["fence"] < fence:
    print("a later holder has acted")
    sys.exit(65)
state.write_text(json.dumps([order["weight"], order["fence"]]))
print("canary at", os.environ["DEPLOYMARK_WEIGHT"])
os.kill(os.getpid(), 9) if trouble == "silent" else None
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


class CommandWorld:
    """A folder in which the program keeps what it was told."""

    sees = remembers_fence = True
    canary = Release("d-new~1", "2", "sha256:" + "0" * 64, "green")
    stable = Release("d-old~1", "1", "", "blue")

    def __init__(self, folder: Path, *, sees: bool = True) -> None:
        folder.mkdir()
        self.folder = folder
        self.sees = sees
        self.suffer(Trouble.NONE)

    def actuator(self) -> Actuator:
        code = f"import os; os.chdir({str(self.folder)!r})\n{PROGRAM}"
        look = [*python(code), "look"] if self.sees else []
        return CommandActuator(CommandOptions(run=python(code), look=look))

    def weight(self) -> float:
        state = self.folder / "state"
        return float(json.loads(state.read_text())[0]) if state.exists() else 0.0

    def suffer(self, trouble: Trouble) -> bool:
        (self.folder / "trouble").write_text(trouble.value)
        # A program that is away can look all the same.
        return not (trouble is Trouble.AWAY and self.sees)


@pytest.mark.parametrize("sees", [True, False])
def test_it_passes_the_suite(tmp_path: Path, *, sees: bool) -> None:
    worlds = itertools.count()
    exercise_actuator(lambda: CommandWorld(tmp_path / str(next(worlds)), sees=sees))


def order() -> Order:
    return order_for(ScriptedActuator(), weight=12.5, fence=3)


def ended_with(code: str, **options: object) -> DeploymarkError | str:
    settings = msgspec.convert({"run": python(code), **options}, CommandOptions)
    try:
        return CommandActuator(settings).carry_out(order())
    except DeploymarkError as error:
        return error


CODES: dict[str, tuple[str, type[DeploymarkError]]] = {
    "75: nothing was done": ("raise SystemExit(75)", ActuatorUnavailableError),
    "65: it refuses": ("raise SystemExit(65)", ActuatorRefusedError),
    "1, as after a traceback": ("raise KeyError", OutcomeUnknownError),
    "2, as of usage": ("raise SystemExit(2)", OutcomeUnknownError),
    "127, as of a shell that found nothing": ("raise SystemExit(127)", OutcomeUnknownError),
    "a signal": ("import os; os.kill(os.getpid(), 15)", OutcomeUnknownError),
}


@pytest.mark.parametrize(("code", "error"), CODES.values(), ids=CODES)
def test_an_exit_code_says_what_came_of_it(code: str, error: type[DeploymarkError]) -> None:
    assert type(ended_with(code)) is error


def test_the_last_line_says_what_was_done_or_why_not() -> None:
    assert ended_with("print('first'); print('at \\x1b[31m25 %\\n')") == "at ?[31m25 %"
    assert ended_with("pass").__class__ is str
    refused = ended_with("import sys; print('no such cluster', file=sys.stderr); sys.exit(65)")
    assert isinstance(refused, ActuatorRefusedError)
    assert refused.message.endswith("refuses: no such cluster")


def test_a_program_that_cannot_be_started_is_refused_and_one_that_may_be_later_is_not(
    tmp_path: Path,
) -> None:
    for words in (["/nowhere/at-all"], [str(tmp_path)], ["a\0b"]):
        with pytest.raises(ActuatorRefusedError, match="could not be started"):
            CommandActuator(CommandOptions(run=words)).carry_out(order())
        looking = CommandOptions(run=words, look=words)
        with pytest.raises(ActuatorUnavailableError):
            CommandActuator(looking).look(order())
    written = tmp_path / "program"
    written.write_bytes(b"#!/bin/sh\n")
    written.chmod(0o700)
    with written.open("ab"), pytest.raises(ActuatorUnavailableError, match="busy"):
        CommandActuator(CommandOptions(run=[str(written)])).carry_out(order())


def test_it_is_told_in_variables_and_on_its_input_and_learns_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOYMARK_TOKEN", "dm_secret")
    monkeypatch.setenv("KUBECONFIG", "/kube")
    told = tmp_path / "told"
    code = (
        "import json, os, sys\n"
        f"json.dump([dict(os.environ), sys.stdin.read()], open({str(told)!r}, 'w'))"
    )
    said = ended_with(code, pass_on=["KUBECONFIG", "NOT_SET"], environment={"CLUSTER": "eu"})
    assert isinstance(said, str)
    variables, given = json.loads(told.read_text())
    assert json.loads(given) == order_fields(order())
    ours = {name: value for name, value in variables.items() if name.startswith("DEPLOYMARK_")}
    assert ours == {
        "DEPLOYMARK_ACTION": "shift",
        "DEPLOYMARK_KEY": "d-canary~1:shift:1",
        "DEPLOYMARK_SERVICE": "shop",
        "DEPLOYMARK_ENVIRONMENT": "prod",
        "DEPLOYMARK_WEIGHT": "12.5",
        "DEPLOYMARK_REASON": "A test wants it.",
        "DEPLOYMARK_DECISION_INDEX": "41",
        "DEPLOYMARK_FENCE": "3",
        "DEPLOYMARK_CANARY": "d-canary~1",
        "DEPLOYMARK_CANARY_VERSION": "2",
        "DEPLOYMARK_CANARY_DIGEST": "",
        "DEPLOYMARK_CANARY_NAME": "canary",
        "DEPLOYMARK_STABLE": "d-stable~1",
        "DEPLOYMARK_STABLE_VERSION": "1",
        "DEPLOYMARK_STABLE_DIGEST": "",
        "DEPLOYMARK_STABLE_NAME": "stable",
    }
    assert variables["KUBECONFIG"] == "/kube"
    assert variables["CLUSTER"] == "eu"
    assert variables["PATH"] == os.environ["PATH"]
    allowed = {"PATH", "HOME", "LANG", "TZ", "KUBECONFIG", "CLUSTER", "LC_CTYPE"}
    assert set(variables) - set(ours) <= allowed


def test_where_nothing_runs_beside_the_canary_the_variables_of_the_other_are_empty() -> None:
    alone = msgspec.structs.replace(order(), stable=None)
    code = "import os; print(repr(os.environ['DEPLOYMARK_STABLE_NAME']))"
    assert CommandActuator(CommandOptions(run=python(code))).carry_out(alone) == "''"


def gone(process: int) -> bool:
    """Wait until a process has ended; a zombie whose parent is not ours has."""
    for _ in range(500):
        try:
            if b") Z" in Path(f"/proc/{process}/stat").read_bytes():
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.01)
    return False


STUBBORN = """
import os, signal, sys, time
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open(sys.argv[1], "w").write(str(os.getpid()))
    time.sleep(600)
while not os.path.exists(sys.argv[1]) or not os.path.getsize(sys.argv[1]):
    time.sleep(0.01)
print("waiting", flush=True)
time.sleep(600)
"""


def test_a_program_whose_time_is_over_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    class Host(SystemHost):
        """Its time stands still until the program has said something."""

        times = itertools.chain([0.0, 0.0], itertools.repeat(99.0))

        def elapsed_seconds(self) -> float:
            return next(self.times)

    told = tmp_path / "child"
    options = CommandOptions(run=[*python(STUBBORN), str(told)], timeout_seconds=60)
    with pytest.raises(OutcomeUnknownError, match="60 seconds: waiting"):
        CommandActuator(options, Host()).carry_out(order())
    assert gone(int(told.read_text()))


def test_a_look_whose_time_is_over_says_unknown() -> None:
    endless = python("import time; time.sleep(600)")
    options = CommandOptions(run=endless, look=endless, timeout_seconds=0.3)
    assert CommandActuator(options).look(order()) is Found.UNKNOWN


def test_what_a_program_leaves_running_is_neither_waited_for_nor_ended(tmp_path: Path) -> None:
    told = tmp_path / "child"
    code = (
        "import os, sys, time\n"
        "if os.fork() == 0:\n"
        "    time.sleep(600)\n"
        "else: print(os.getpid()); os._exit(0)"
    )
    options = CommandOptions(
        run=python(
            code.replace(
                "time.sleep", f"open({str(told)!r}, 'w').write(str(os.getpid())); time.sleep"
            )
        )
    )
    CommandActuator(options).carry_out(order())
    for _ in range(500):
        if told.exists() and told.read_text():
            break
        time.sleep(0.01)
    child = int(told.read_text())
    assert not Path(f"/proc/{child}/stat").read_bytes().partition(b") ")[2].startswith(b"Z")
    os.kill(child, signal.SIGKILL)


def test_however_much_a_program_writes_only_the_end_is_kept() -> None:
    said = ended_with(
        "import sys\nfor _ in range(100): sys.stdout.write('x' * 100_000)\nprint()\nprint('end')"
    )
    assert said == "end"


def test_a_program_that_does_not_read_its_input_is_no_problem() -> None:
    long = msgspec.structs.replace(order(), reason="x" * 100_000)
    assert CommandActuator(CommandOptions(run=python("print('done')"))).carry_out(long) == "done"


def test_nothing_is_started_for_a_return_to_nowhere(tmp_path: Path) -> None:
    nowhere = msgspec.structs.replace(order(), deed=Deed.ROLL_BACK, stable=None)
    options = CommandOptions(run=python(f"open({str(tmp_path / 'x')!r}, 'w')"))
    with pytest.raises(ActuatorRefusedError):
        CommandActuator(options).carry_out(nowhere)
    assert not (tmp_path / "x").exists()

"""`deploymark demo`: a real canary on this machine, from the first marker to its end.

What happens is told by `deploymark.testing.demo`; here are its flags, its lines, and the signals
that end it. A signal is only noted, and everything ends in order at the next moment.
"""

import argparse
import shlex
import signal
import sys
import textwrap
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final

from deploymark.cli.main import COMMANDS, DONE, NO
from deploymark.cli.numbers import none_or_more
from deploymark.cli.output import Output
from deploymark.errors import ExtraMissingError

_LISTEN: Final = "127.0.0.1:0"
_SEED: Final = 1
_SECONDS: Final = {False: 60, True: 80}
_SLICE_SECONDS: Final = 0.5
_WIDTH: Final = 100
_LEAST: Final = 40
_INDENT: Final = " " * 9
_BY_SIGNAL: Final = 128
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark demo`."""
    parser = commands.add_parser(
        "demo",
        help=sentence,
        description="Runs a server in a throw-away directory and a small service as real "
        "processes behind a traffic splitter, under load; rolls out a healthy release and one "
        "that regresses, and tells each step in a sentence. It takes about a minute. Then it "
        "stays up for looking around, until Ctrl-C, and leaves nothing.",
    )
    parser.add_argument(
        "--listen",
        default=_LISTEN,
        metavar="HOST:PORT",
        help="where the server listens (default: any free port of 127.0.0.1)",
    )
    parser.add_argument(
        "--seed",
        type=none_or_more,
        default=_SEED,
        metavar="N",
        help=f"chances of errors and of the splitter (default: {_SEED}); counts stay real, and "
        "differ from run to run",
    )
    parser.add_argument(
        "--latency",
        action="store_true",
        help="the release that regresses is slow for 2 %% of its requests, instead of failing",
    )
    parser.add_argument(
        "--once",
        action="store_true",
        help="end when the story has ended: exit code 0 if it ended as told, else 1",
    )
    parser.add_argument(
        "--fleet",
        action="store_true",
        help="beside what is real, a fleet with a month of history is simulated, so that every "
        "page has something to show; each page says that it is simulated",
    )
    parser.add_argument(
        "--no-open",
        action="store_true",
        help="open no browser; without it the page is opened where there is a desktop and somebody "
        "sits at the terminal, unless --once or --json is given",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object for each step")
    parser.set_defaults(run=_demo)


def _demo(options: argparse.Namespace, output: Output) -> int:
    try:
        from deploymark.testing.demo.play import play  # noqa: PLC0415 - optional extra
        from deploymark.testing.demo.stage import (  # noqa: PLC0415 - the same
            Wanted,
            open_stage,
            throw_away,
        )
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"The demonstration needs more packages ({error.name}).",
            hint="Install this package with its extra `server`: pip install '.[server]' in its "
            "folder.",
        ) from error
    from deploymark.runtime.system import steady_ms  # noqa: PLC0415 - the same

    began = steady_ms()

    def elapsed() -> float:
        return (steady_ms() - began) / 1_000

    def tell(told: Any) -> None:  # noqa: ANN401 - imported where it is needed
        _say(output, elapsed(), told.text, {"event": told.event, **told.facts})

        if told.event == "serving" and opens:
            _open(told.facts["sign_in"])

    opens = not (options.no_open or options.once or output.json) and sys.stdout.isatty()
    wanted = Wanted(options.listen, options.seed, options.latency, options.fleet)
    with (
        _noted_signals() as noted,
        throw_away() as place,
        open_stage(place, wanted, noted.pause) as stage,
    ):
        with output.progress("Playing", _SECONDS[options.latency]) as progress:

            def pause(seconds: float) -> None:
                noted.pause(seconds, lambda: progress(int(elapsed())))

            ending = play(
                stage,
                options.seed,
                latency=options.latency,
                tell=tell,
                pause=pause,
                stays=not options.once,
            )
        if not options.once:
            _say_places(output, stage, ending)
            noted.wait()
    return DONE if ending.as_told else NO


def _say(output: Output, seconds: float, text: str, record: dict[str, Any]) -> None:
    width = min(output.width or _WIDTH, _WIDTH)
    lines = textwrap.wrap(text, max(width - len(_INDENT), _LEAST), break_long_words=False)
    shown = "\n".join([f"{seconds:5.1f} s  {lines[0]}", *(_INDENT + line for line in lines[1:])])
    output.say(shown, {"at_seconds": round(seconds, 1), **record, "text": text})
    output.flush()


def _open(link: str) -> None:
    """Open a page in a browser of the desktop, if there is one; never one in this terminal."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return
    if type(browser) is not webbrowser.GenericBrowser:
        browser.open(link)


def _say_places(output: Output, stage: Any, ending: Any) -> None:  # noqa: ANN401 - imported where they are needed
    """Say where to look while all of it stays up."""
    from deploymark.testing.demo.story import pages, places  # noqa: PLC0415 - optional extra

    commands = [
        shlex.join(("deploymark", *words))
        for words in places(ending, str(stage.data))
        if words[0] in COMMANDS
    ]
    shown = pages(ending)
    lines = [
        "",
        "Look around in a browser, signed in by the link above or by the token below:",
        *(f"  {stage.url}{path}  {what}" for path, what in shown.items()),
        "Or in another terminal; Ctrl-C here ends everything and leaves nothing:",
        f"  export DEPLOYMARK_URL={stage.url} DEPLOYMARK_TOKEN={stage.token}",
        *(f"  {command}" for command in commands),
    ]
    record = {
        "event": "places",
        "url": stage.url,
        "token": stage.token,
        "data": stage.data,
        "commands": commands,
        "pages": [f"{stage.url}{path}" for path in shown],
    }
    output.say("\n".join(lines), record)
    output.flush()


class _Noted:
    """A signal that came, and what waits for it."""

    def __init__(self) -> None:
        self._came = threading.Event()
        self._number = 0

    def note(self, number: int, _: object) -> None:
        """Note that a signal came."""
        self._number = number
        self._came.set()

    def pause(self, seconds: float, going_on: Callable[[], None] = lambda: None) -> None:
        """Wait.

        Args:
            seconds: How long.
            going_on: Called now and then.

        Raises:
            KeyboardInterrupt: Ctrl-C came.
            SystemExit: Another signal came, which asks to end.
        """
        deadline = monotonic() + seconds
        while True:
            left = deadline - monotonic()
            if self._came.wait(max(0.0, min(left, _SLICE_SECONDS))):
                if self._number == signal.SIGINT:
                    raise KeyboardInterrupt
                raise SystemExit(_BY_SIGNAL + self._number)
            if left <= _SLICE_SECONDS:
                return
            going_on()

    def wait(self) -> None:
        """Wait until one comes."""
        self._came.wait()


@contextmanager
def _noted_signals() -> Iterator[_Noted]:
    """Note signals that ask to end, so that they interrupt nothing half done."""
    noted = _Noted()
    before = {
        number: signal.signal(number, noted.note)
        for number in _SIGNALS
        # Under nohup the end of the terminal shall end nothing.
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""How commands ask for something to be done with a rollout, and follow what becomes of it.

A request is an entry of the log, and so is its answer; whoever waits reads the rollout until a
decision names the request. Nothing is decided here.
"""

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, Final, NamedTuple

from deploymark.cli.canary_show import ADOPTION
from deploymark.cli.client import Client, client_settings, path_of
from deploymark.cli.flags import add_json, add_server
from deploymark.cli.numbers import entry_index, seconds
from deploymark.cli.output import Output, plain
from deploymark.emit.host import SystemHost
from deploymark.errors import (
    OverloadedError,
    RateLimitedError,
    ServerUnavailableError,
    SlowRequestError,
    UnavailableError,
    UsageError,
    ViewsBehindError,
)

DONE, NO, UNDECIDED = 0, 1, 2

_PAUSE_SECONDS: Final = 0.5
_ACTIONS: Final = "/v1/actions"
_CARRIED_OUT: Final = ("shift", "promote", "roll_back")
_KEY_DIGITS: Final = 32
_EXITS: Final = {"asked": DONE, "done": DONE, "refused": NO, "failed": NO}
"""Every other state is open, and leaves the command undecided."""
_BEFORE_WRITING: Final = (ViewsBehindError, OverloadedError, RateLimitedError, SlowRequestError)
"""How a server answers a request that it has not begun to carry out."""


class Followed(NamedTuple):
    """What became of a request so far.

    Attributes:
        state: `open`, `done`, `refused`, `failed`, or `unknown`: nobody knows whether it happened.
        entry: The one that says so, None while it is open.
        reason: Why, in the words of the log.
        guards: Those that did not hold, as the decision lists them.
    """

    state: str
    entry: int | None
    reason: str
    guards: tuple[dict[str, Any], ...] = ()


def add_deployment(parser: argparse.ArgumentParser) -> None:
    """Add the deployment that something is asked of."""
    parser.add_argument(
        "deployment",
        metavar="ID",
        help="the deployment, as `deploymark canary` shows it; without ~N its newest occurrence",
    )


def add_reason(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add `--reason`."""
    parser.add_argument(
        "--reason", required=required, metavar="TEXT", help="why, for whoever reads the log"
    )


def add_asking(parser: argparse.ArgumentParser, *, inherits: bool = False) -> None:
    """Add what everything has that is asked: `--key`, `--url` and `--json`, as in `flags`."""
    parser.add_argument(
        "--key",
        metavar="TEXT",
        help="the same key again is the same request, however often it is sent",
    )
    add_server(parser, inherits=inherits)
    add_json(parser, inherits=inherits)


def add_request(
    parser: argparse.ArgumentParser, *, breaks_glass: bool = False, inherits: bool = False
) -> None:
    """Add the flags of what is asked of a rollout and answered by the controller."""
    parser.add_argument(
        "--if-index",
        type=entry_index,
        metavar="N",
        help="only if entry N is still the newest about the rollout, as `deploymark canary show` "
        "says it; else it ends with 1",
    )
    if breaks_glass:
        parser.add_argument(
            "--break-glass",
            action="store_true",
            help="override the guards that also bind a person; it stands in the log, and pages",
        )
    parser.add_argument(
        "--wait",
        type=seconds,
        metavar="SECONDS",
        help="follow for so long what becomes of it: 0 done, 1 refused or failed, 2 still open",
    )
    add_asking(parser, inherits=inherits)


def ask(options: argparse.Namespace, output: Output, action: str, **more: object) -> int:
    """Ask for an action on a rollout, say what became of it, and return the exit code.

    Args:
        options: With the flags of `add_request`.
        output: Where to say it.
        action: As `POST /v1/actions` names it.
        more: Further fields of the request.
    """
    fields = {
        "action": action,
        "deployment_id": options.deployment,
        "reason": _reason(options),
        "expected_index": options.if_index,
        "break_glass": getattr(options, "break_glass", False) or None,
        **more,
    }
    client, path = Client(client_settings(options.url)), path_of("rollouts", options.deployment)
    with _saying_what_was_written(asked=False):
        key = options.key or _key(client.get(path), fields)
    index, remark = _post(client, {**fields, "idempotency_key": key})
    followed = Followed("asked", None, "")
    if options.wait is not None:
        followed = _follow(client, path, action, index, options.wait)
    _say(output, options.deployment, action, index, followed)
    if remark:
        output.remark(plain(f"  {remark}"))
    return _EXITS.get(followed.state, UNDECIDED)


def order(
    options: argparse.Namespace,
    output: Output,
    said: str,
    *,
    undoes: bool = False,
    **fields: object,
) -> int:
    """Ask for what holds as soon as it is written, and say so.

    Args:
        options: With the flags of `add_asking`.
        output: Where to say it.
        said: What then holds, for people.
        undoes: It takes something back: what the server finds odd about that is said instead.
        fields: Of the request.
    """
    asked = {**fields, "reason": _reason(options), "idempotency_key": options.key}
    index, remark = _post(Client(client_settings(options.url)), asked)
    record = {"decision_index": index, "action": fields["action"], "state": "done"}
    if remark:
        record["remark"] = remark
    output.say(plain(f"{(undoes and remark) or said} (entry {index})"), record)
    if remark and not undoes:
        output.remark(plain(f"  {remark}"))
    return DONE


def followed_in(shown: dict[str, Any], action: str, index: int) -> Followed:
    """Return what became of a request, as a rollout shows it. Pure.

    Args:
        shown: The answer of `GET /v1/rollouts/{id}`.
        action: What was asked for.
        index: The entry of the request.
    """
    decisions = [each for each in shown["decisions"] if each["index"] > index]
    deed = next((each for each in decisions if _answers(each, action, index)), None)
    if deed is None:
        wants = shown["wants"] or {}
        return Followed("open", None, wants.get("reason", ""), _against(wants))
    if deed["stage"] == "outcome":
        return Followed("refused", deed["index"], deed.get("reason", ""), _against(deed))
    if deed["action"] not in _CARRIED_OUT:
        return Followed("done", deed["index"], deed.get("reason", ""))
    for each in decisions:
        if each.get("decision_index") == deed["index"] and each["stage"] == "outcome":
            state = {"succeeded": "done", "failed": "failed"}.get(each.get("outcome"), "unknown")
            return Followed(state, each["index"], each.get("reason", ""))
    return Followed("open", None, "It is being carried out.")


def _answers(decision: dict[str, Any], action: str, index: int) -> bool:
    if action == "approve":  # nobody answers it; the rollout goes on from there, or does not
        return decision["stage"] == "decided" and decision["action"] in ("shift", "promote")
    return decision.get("decision_index") == index and decision["action"] == action


def _against(decision: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    return tuple(each for each in decision.get("guards") or () if not each["held"])


def _reason(options: argparse.Namespace) -> str | None:
    reason: str | None = options.reason
    if reason is not None and not reason.strip():
        raise UsageError("--reason is empty.", hint="Say why, for whoever reads the log.")
    return reason


def _key(shown: dict[str, Any], fields: dict[str, object]) -> str:
    """Return a key that the same command has until something else was decided.

    Without what was decided last, a second pause would be taken for the first one.
    """
    decided = [each["index"] for each in shown["decisions"] if each["stage"] != "approved"]
    content = {**fields, "deployment_id": shown["deployment_id"], "since": max(decided, default=-1)}
    text = json.dumps(content, sort_keys=True)
    return f"cli:{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:_KEY_DIGITS]}"


def _post(client: Client, fields: dict[str, object]) -> tuple[int, str]:
    """Ask, and return the entry of the request and what the server finds odd about it."""
    given = {name: value for name, value in fields.items() if value is not None}
    with _saying_what_was_written(asked=True):
        answer = client.post(_ACTIONS, json.dumps(given).encode())
    index = answer.get("decision_index")
    if not isinstance(index, int):
        raise ServerUnavailableError(f"The server {client.shown} did not say where it stands.")
    return index, str(answer.get("remark") or "")


@contextmanager
def _saying_what_was_written(*, asked: bool) -> Iterator[None]:
    """Say of what could not be done whether the request stands in the log.

    Args:
        asked: The request was sent, so that only some answers tell that it was not written.
    """
    try:
        yield
    except UnavailableError as error:
        if asked and not isinstance(error, _BEFORE_WRITING):
            error.message = f"Whether the request was written is not known: {error.message}"
            error.hint = "Look at what stands (`deploymark canary`) before you ask again."
        else:
            error.message = f"The request was not written: {error.message}"
            error.hint = "Nothing was asked for: run the same command again."
        raise


def _follow(client: Client, path: str, action: str, index: int, longest: float) -> Followed:
    """Look until it is known what became of a request, or the time is over."""
    host = SystemHost()
    until = host.elapsed_seconds() + longest
    followed = Followed("open", None, "")
    while True:
        try:
            followed = followed_in(client.get(path), action, index)
        except UnavailableError as error:
            # It stands in the log: a server that starts again goes on with it.
            followed = Followed("open", None, error.message)
        if followed.state != "open" or host.elapsed_seconds() >= until:
            return followed
        time.sleep(_PAUSE_SECONDS)


def _say(output: Output, name: str, action: str, index: int, followed: Followed) -> None:
    what = action.replace("_", " ")
    words = {
        "asked": f"Asked to {what} (entry {index}); `deploymark canary show {name}` shows what "
        "becomes of it.",
        "open": f"Asked to {what} (entry {index}), and it is still open.",
        "done": f"Done: {what} (entry {followed.entry}).",
        "refused": f"Refused to {what} (entry {followed.entry}).",
        "failed": f"Failed to {what} (entry {followed.entry}).",
        "unknown": f"Whether it did {what} is not known (entry {followed.entry}): look at what "
        "runs.",
    }
    record = {"decision_index": index, "action": action, **followed._asdict()}
    output.say(plain(words[followed.state]), record)
    if followed.reason:
        output.remark(plain(f"  {followed.reason}"))
    for each in followed.guards:
        output.remark(plain(f"  guard {each['name']}: {each.get('reason', '')}"))
        if each["name"] == "target" and ADOPTION in each.get("reason", ""):
            output.remark(
                "  If that release is known to be good, say so once: `deploymark rollback adopt`."
            )
        elif each["name"] == "target":
            output.remark(
                "  Adopting it does not change this. If it must be done all the same: "
                "--break-glass, which pages."
            )

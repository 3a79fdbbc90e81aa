"""`deploymark gate`: wait until a pipeline may go on, and say why it may not."""

import argparse
import json
import time
from pathlib import Path
from typing import Any, Final

from deploymark.cli.client import SECONDS, Answer, Client, client_settings
from deploymark.cli.flags import add_json, add_server
from deploymark.cli.numbers import seconds
from deploymark.cli.output import Output, plain
from deploymark.emit.host import SystemHost
from deploymark.errors import NotFoundError, UnavailableError, UsageError
from deploymark.log.steps import counted

_TIMEOUT: Final = 600.0
_WAIT: Final = 30.0
_PAUSE: Final = 1.0
_GATE: Final = "/v1/gate"
_OPEN: Final = "inconclusive"
_CODES: Final = {"pass": 0, "fail": 1, _OPEN: 2}


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark gate`."""
    parser = commands.add_parser(
        "gate",
        help=sentence,
        description="Waits until the server says pass (exit code 0) or fail (1); when the time is "
        "over, or nobody can tell, the answer is inconclusive (2). Go on only at 0. The answer "
        "stands in the log.",
    )
    parser.add_argument("--service", help="of this service")
    parser.add_argument("--environment", help="in this environment")
    parser.add_argument(
        "--deployment-id",
        metavar="ID",
        help="about this deployment, or one occurrence as ID~2 (default: the one that opened last)",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=_TIMEOUT,
        metavar="SECONDS",
        help=f"how long to wait for an answer, 0 for the one of now (default: {_TIMEOUT:g})",
    )
    parser.add_argument("--explain", action="store_true", help="show every rule and what it saw")
    parser.add_argument("--dry-run", action="store_true", help="do not log the answer")
    parser.add_argument(
        "--require", action="store_true", help="end with 69, not 2, when the server is away"
    )
    parser.add_argument(
        "--break-glass",
        action="store_true",
        help="open the gate for this deployment first; needs the role operator and --reason",
    )
    parser.add_argument("--reason", metavar="TEXT", help="why the glass is broken")
    parser.add_argument(
        "--examples",
        type=Path,
        metavar="FILE",
        help="ask no server: check that the rules of this configuration say what their examples "
        "expect",
    )
    add_server(parser)
    add_json(parser)
    parser.set_defaults(run=_gate)


def _gate(options: argparse.Namespace, output: Output) -> int:
    if options.examples is not None:
        return _check_examples(options.examples, output)
    for name in ("service", "environment"):
        if not getattr(options, name):
            raise UsageError(f"--{name} is missing.", hint="Say which gate is meant.")
    if options.break_glass != bool(options.reason):
        raise UsageError(
            "Who breaks the glass says why: --break-glass and --reason go together.",
            hint='Such as: --break-glass --reason "INC-17: the old release loses orders".',
        )
    client = Client(client_settings(options.url), SECONDS + _WAIT)
    try:
        if options.break_glass:
            _break_glass(client, options)
        answer = _awaited(client, options, output)
    except UnavailableError as error:
        if options.require:
            raise
        answer = _away(options, error)
    output.say("\n".join(_lines(answer, explained=options.explain)), answer)
    return _CODES.get(str(answer.get("decision")), _CODES[_OPEN])


def _awaited(client: Client, options: argparse.Namespace, output: Output) -> Answer:
    """Return the answer, once it is one or the time is over; only that one is logged."""
    host = SystemHost()
    until = host.elapsed_seconds() + options.timeout
    asked = {
        "service": options.service,
        "environment": options.environment,
        "deployment_id": options.deployment_id,
    }
    heard, told = False, ""
    while (left := until - host.elapsed_seconds()) > 0:
        waits = {**asked, "wait": min(left, _WAIT), "dry_run": True}
        try:
            answer = client.post(_GATE, json.dumps(waits).encode())
            heard = True
            if answer.get("decision") != _OPEN:
                answer = _now(client, asked, options)
            if answer.get("decision") != _OPEN:
                return answer
        except UnavailableError as error:
            # An address that never answered will not; one that did may come back.
            if not heard:
                raise
            output.remark(f"({plain(error.message)} Trying again.)")
        else:
            why = _why(answer)
            if why != told:
                output.remark(f"(waiting: {plain(why)})")
                output.flush()
                told = why
        time.sleep(min(_PAUSE, max(0.0, until - host.elapsed_seconds())))
    return _now(client, asked, options)


def _now(client: Client, asked: dict[str, Any], options: argparse.Namespace) -> Answer:
    flags = {name: "true" if getattr(options, name) else None for name in ("explain", "dry_run")}
    return client.get(_GATE, {**asked, **flags})


def _break_glass(client: Client, options: argparse.Namespace) -> None:
    asked = {"service": options.service, "environment": options.environment}
    known = client.get(_GATE, {**asked, "deployment_id": options.deployment_id, "dry_run": "true"})
    if not known.get("deployment_id"):
        raise NotFoundError(
            "No such deployment is known, so there is no gate to open.",
            hint="Mark it as planned first: `deploymark mark planned`.",
        )
    request = {
        **asked,
        "action": "gate",
        "deployment_id": known["deployment_id"],
        "reason": options.reason,
        "break_glass": True,
    }
    client.post("/v1/actions", json.dumps(request).encode())


def _away(options: argparse.Namespace, error: UnavailableError) -> Answer:
    reason = {
        "about": "server",
        "answer": "unknown",
        "counts": True,
        "reason": f"{error.message} {error.hint}".strip(),
    }
    return {
        "decision": _OPEN,
        "reasons": [reason],
        "decision_index": None,
        "service": options.service,
        "environment": options.environment,
        "deployment_id": options.deployment_id,
    }


def _why(answer: Answer) -> str:
    said = [
        str(each["reason"])
        for each in answer["reasons"]
        if each["counts"] and each["answer"] != "pass"
    ]
    return " ".join(dict.fromkeys(said))  # many a rule waits for the same


def _lines(answer: Answer, *, explained: bool) -> list[str]:
    """Return what a person reads: the answer, then why, and every rule where that was asked."""
    index = answer.get("decision_index")
    entry = "not logged" if index is None else f"entry {index}"
    about = answer.get("deployment_id") or "no deployment"
    lines = [
        f"{answer['decision']}: {answer['service']} in {answer['environment']}, {about} ({entry})"
    ]
    for each in answer["reasons"]:
        mark = "" if each["counts"] else " (does not count)"
        lines.append(f"    {each['answer']:8} {each['about']}: {each['reason']}{mark}")
    for rule in answer.get("rules", ()) if explained else ():
        if not rule["applies"]:
            lines.append(f"    rule {rule['rule']} ({rule['kind']}) does not apply here")
            continue
        saw = ", ".join(f"{name}={value!r}" for name, value in rule["looked_at"].items())
        said = f"{rule['answer']}: {rule['reason']} [{saw}]"
        lines.append(f"    rule {rule['rule']} ({rule['kind']}, {rule['effect']}) {said}")
    return [plain(line) for line in lines]


def _check_examples(file: Path, output: Output) -> int:
    from deploymark.runtime.config import read_configuration  # noqa: PLC0415 - of the server only

    # Rules that do not say what their examples expect are refused while they are read.
    rules = read_configuration(file).policy.rules
    examples = sum(len(each.examples) for each in rules)
    said = f"{counted(len(rules), 'rule')} and {counted(examples, 'example')}: all as expected."
    output.say(said, {"rules": len(rules), "examples": examples})
    return 0

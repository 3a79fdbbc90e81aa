"""`deploymark doctor dialect`: how a captured request of another system's client is understood.

Asks no server and writes nothing. The mappings are those of a configuration.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from deploymark.cli.flags import add_json
from deploymark.cli.output import Output, plain

_SHOWN: Final = 200


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark doctor dialect`."""
    parser = commands.add_parser(
        "doctor dialect",
        help=sentence,
        description="Shows the markers that a server would make of a request, where each field "
        "comes from, and what to configure where no deployment was found. Asks no server. FILE "
        "holds the request as it goes over the wire, as `curl -v` shows it with the body below, or "
        "JSON with method, path, headers and body. Exit code 1 when it is refused or unmapped.",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="the request")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the server's configuration (default: DEPLOYMARK_CONFIG)",
    )
    parser.add_argument(
        "--as",
        dest="token",
        default="",
        metavar="NAME",
        help="the name of the token that calls: `[dialects.NAME.tokens]` may map it by itself",
    )
    add_json(parser)
    parser.set_defaults(run=_look)


def _look(options: argparse.Namespace, output: Output) -> int:
    from deploymark.cli.captured import read_captured  # noqa: PLC0415 - only this command
    from deploymark.emit.host import SystemHost  # noqa: PLC0415
    from deploymark.ports import ForeignRequest  # noqa: PLC0415
    from deploymark.runtime.config import read_configuration, read_environment  # noqa: PLC0415
    from deploymark.runtime.dialects import mappings_of  # noqa: PLC0415
    from deploymark.runtime.front import admission_rules  # noqa: PLC0415
    from deploymark.server.dialects.understanding import route_of, understood  # noqa: PLC0415

    configuration = read_configuration(options.config or read_environment().config)
    captured = read_captured(options.file)
    dialects = mappings_of(configuration.dialects)
    mounted, route, path = route_of(dialects, captured.method, captured.path)
    caller = f"token:{options.token}" if options.token else ""
    request = ForeignRequest(
        method=captured.method,
        path={name: text.rstrip("/") for name, text in path.items()},
        query=captured.query,
        headers=captured.headers,
        body=captured.body,
        form=captured.form,
        caller=caller,
        received_ms=SystemHost().now_ms(),
        origin=f"http://{captured.headers.get('host', 'localhost')}",
        mapping=mounted.mapping_of(caller),
    )
    found = understood(mounted, route, request, admission_rules(configuration).privacy)
    advice = _advice(found.dialect, found.wanted)
    record = {
        "dialect": found.dialect,
        "request": f"{route.method} {route.path}",
        "does": route.summary,
        "refused": found.refused,
        "says": found.says,
        "markers": [_record(each) for each in found.markers],
        "incidents": list(found.incidents),
        "put": advice,
    }
    output.say("\n".join(_lines(record)), record)
    mapped = not any(each.unmapped or each.refused for each in found.markers)
    return 0 if mapped and not found.refused else 1


def _record(marker: Any) -> dict[str, Any]:  # noqa: ANN401 - an UnderstoodMarker, loaded late
    return {
        "marker": dict(marker.fields),
        "from": {name: str(origin) for name, origin in marker.origins.items()},
        "kept_erasable": dict(marker.beside),
        "deployment_id": marker.deployment_id,
        "marker_id": marker.marker_id,
        "unmapped": list(marker.unmapped),
        "refused": marker.refused,
    }


def _advice(dialect: str, wanted: Sequence[str]) -> str:
    """Return what a configuration could say, in TOML; "" when nothing is missing."""
    if not wanted:
        return ""
    fixed = [name for name in wanted if name != "version"]
    lines = [f"[dialects.{dialect}]"]
    if fixed:
        pairs = ", ".join(f'{name} = "…"' for name in fixed)
        lines.append(f"defaults = {{{pairs}}}")
    if "version" in wanted:
        lines.append(r"patterns = [{text = 'version (?P<version>\S+)'}]")
    return "\n".join(lines)


def _lines(record: Mapping[str, Any]) -> Iterator[str]:
    yield f"{record['dialect']}: {record['request']}: {record['does']}"
    if record["says"]:
        yield f"{'✗ ' if record['refused'] else ''}{plain(record['says'])}"
    for number, each in enumerate(record["markers"], 1):
        yield f"marker {number}: {each['deployment_id'] or 'refused'} {each['marker_id']}".rstrip()
        yield from _of_marker(each)
    for incident in record["incidents"]:
        yield f"incident: {plain(str(incident))}"
    if record["put"]:
        yield "To map it, put into the configuration (with a pattern that fits your texts):"
        yield from (f"  {line}" for line in record["put"].splitlines())


def _of_marker(each: Mapping[str, Any]) -> Iterator[str]:
    from deploymark.cli.captured import as_words  # noqa: PLC0415 - only this command

    width = max(map(len, each["from"]))
    for name, origin in each["from"].items():
        value: Any = each["marker"]
        for part in name.split("."):
            value = value[part]
        yield f"  {name:{width}}  {plain(as_words(value)[:_SHOWN])}  ({origin})"
    for name in each["kept_erasable"]:
        yield f"  {name}: kept beside it, erasable: too long for a marker, or personal"
    if each["refused"]:
        yield f"  ✗ {plain(each['refused'])}"
    if each["unmapped"]:
        missing = ", ".join(each["unmapped"])
        yield f"  ! No deployment: nothing says {missing}. It is kept as a change that is unmapped."

"""The suite of every `Dialect`: a vendor's folder is done when this passes on its golden files.

A golden file is a story: a JSON list of steps, told in order to one fresh server. A step has

- `request`: method and address, such as `POST /api/annotations`;
- `body` in JSON, or `form` or `text`; `headers` where they matter;
- `entries`: what the log then holds more, each with `type` and its fields: all of a marker's but
  `emitter`, `dialect` among the labels, and what is null. [] where nothing new was said;
- `status` and `reply`: what the client gets.

In addresses, entries and replies `"<entry 2>"` is the index of the third entry of the story, and
`"<any>"` whatever stands there. `say_again` false keeps a step out of the check of retries.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from deploymark.ports import Change, Dialect, Refusal, Route, Signature, Write
from deploymark.testing.dialect_bench import (
    Answered,
    Call,
    DialectBench,
    credited,
    open_bench,
    route_of,
)
from deploymark.testing.dialect_mutation import another_address, mutated

MUTATIONS: Final = 40
"""Of each golden request."""

_ANY: Final = "<any>"
_ENTRY = re.compile(r"<entry (\d+)>")

Step = Mapping[str, Any]


def exercise_dialect(
    dialect: Dialect,
    golden: Path,
    section: Mapping[str, Any] | None = None,
    *,
    mutations: int = MUTATIONS,
) -> None:
    """Run every check of a dialect.

    Args:
        dialect: Which.
        golden: The folder of its golden files.
        section: What `[dialects.NAME]` says while they are told.
        mutations: How many are tried of each golden request.

    Raises:
        AssertionError: The dialect breaks its contract; the message names file and step.
    """
    stories = read_stories(golden)
    assert stories, f"{golden} holds no golden file"
    untold = _untold(dialect, stories)
    assert not untold, f"no golden file tells {untold}"
    for name, steps in stories.items():
        with open_bench(dialect, section) as bench:
            tell(bench, name, steps)
        with open_bench(dialect, section) as bench:
            _tells_the_same_again(bench, name, steps)
    with open_bench(dialect, section) as bench:
        _lets_nobody_in_without_a_credential(bench, stories)
        _lets_in_with_every_credential(bench, stories)
        _never_fails(bench, stories, range(mutations))


def fuzz_dialect(
    dialect: Dialect,
    golden: Path,
    section: Mapping[str, Any] | None = None,
    *,
    mutations: int,
    first: int = 0,
) -> None:
    """Send mutations of golden requests, of which none may end in a 5xx or in another's words.

    Args:
        dialect: Which.
        golden: The folder of its golden files.
        section: What `[dialects.NAME]` says meanwhile.
        mutations: How many in all; each request is mutated as often as the others.
        first: The first seed.

    Raises:
        AssertionError: One did; the message names file, step and seed.
    """
    stories = read_stories(golden)
    each = -(-mutations // sum(map(len, stories.values())))
    with open_bench(dialect, section) as bench:
        _never_fails(bench, stories, range(first, first + each))


def read_stories(golden: Path) -> dict[str, list[Step]]:
    """Return the golden files of a folder by their names."""
    return {
        file.name: json.loads(file.read_text(encoding="utf-8"))
        for file in sorted(golden.glob("*.json"))
    }


def tell(bench: DialectBench, name: str, steps: Sequence[Step]) -> None:
    """Tell a story to a server, and see that log and replies are as it says."""
    base = bench.size
    for number, step in enumerate(steps):
        where = f"{name}, step {number} ({step['request']})"
        before = bench.size
        answered = bench.ask(call_of(step, base))
        with _said_with(where):
            _check_answer(step, answered, base)
            _check_entries(step["entries"], bench.entries(before), base, bench.dialect.name)


def call_of(step: Step, base: int = 0) -> Call:
    """Return the request of a step.

    Args:
        step: The step.
        base: How many entries the log had when the story began.
    """
    method, _, path = _ENTRY.sub(
        lambda found: str(base + int(found[1])), step["request"]
    ).partition(" ")
    headers = {name.lower(): text for name, text in step.get("headers", {}).items()}
    if "form" in step:
        body = urlencode(step["form"]).encode()
        kind = "application/x-www-form-urlencoded"
    elif "text" in step:
        body, kind = step["text"].encode(), "text/plain"
    elif "body" in step:
        body, kind = json.dumps(_filled(step["body"], base)).encode(), "application/json"
    else:
        return Call(method=method, path=path, headers=headers)
    return Call(method=method, path=path, body=body, headers={"content-type": kind, **headers})


def _tells_the_same_again(bench: DialectBench, name: str, steps: Sequence[Step]) -> None:
    """Send what says something new three times, as clients do that hear nothing: it is one."""
    base = bench.size
    for number, step in enumerate(steps):
        call = call_of(step, base)
        answered = bench.ask(call)
        if not _says_new(route_of(bench.dialect, call)) or not step.get("say_again", True):
            continue
        size, deployments = bench.size, bench.deployments()
        with _said_with(f"{name}, step {number}, said again"):
            for _ in range(2):
                again = bench.ask(call)
                assert again.status == answered.status, again.json
                assert _steady(again.json) == _steady(answered.json)
            assert bench.deployments() == deployments, "there is one deployment more"
            new = [each["type"] for each in bench.entries(size)]
            assert "marker" not in new, "there is one marker more"
            assert "incident" not in new, "there is one incident more"


def _says_new(route: Route) -> bool:
    """Tell whether a route says something that it would not have to know records for."""
    does = route.does
    return isinstance(does, Write) or (isinstance(does, Change) and does.alone is not None)


def _lets_nobody_in_without_a_credential(
    bench: DialectBench, stories: Mapping[str, Sequence[Step]]
) -> None:
    refused = bench.dialect.refuse(Refusal(401, "unauthenticated", "message"))
    tried: set[int] = set()
    for name, number, call in _calls(stories):
        route = route_of(bench.dialect, call)
        credentials = route.credentials
        if not credentials or id(route) in tried:
            continue
        tried.add(id(route))  # once each: who fails too often waits
        size = bench.size
        with _said_with(f"{name}, step {number}, by nobody"):
            attempts = [bench.ask(call, token="")]
            if not isinstance(credentials[0], Signature):
                attempts.append(bench.ask(call, token="dm_wrong"))  # noqa: S106 - opens nothing
            for attempt in attempts:
                assert attempt.status == refused.status, attempt.json
                assert attempt.media_type == refused.media_type
                assert _shape(attempt.json) == _shape(_json(refused.body))
            assert bench.size == size, "something was said"


def _lets_in_with_every_credential(
    bench: DialectBench, stories: Mapping[str, Sequence[Step]]
) -> None:
    tried: set[int] = set()
    for name, number, call in _calls(stories):
        route = route_of(bench.dialect, call)
        if id(route) in tried:
            continue
        tried.add(id(route))
        for credential in route.credentials:
            answered = bench.ask(credited(call, credential, bench.token), token="")
            with _said_with(f"{name}, step {number}, by {credential}"):
                assert answered.status != 401, answered.json


def _never_fails(
    bench: DialectBench, stories: Mapping[str, Sequence[Step]], seeds: Sequence[int]
) -> None:
    for name, number, call in _calls(stories):
        template = route_of(bench.dialect, call).path
        for seed in seeds:
            tried = mutated(call, seed)
            if seed % 4 == 0:
                tried = another_address(tried, template, seed)
            answered = bench.ask(tried)
            with _said_with(f"{name}, step {number}, mutation {seed}: {tried!r:.2000}"):
                assert answered.status < 500, answered.json
                if answered.status >= 400:
                    refused = bench.dialect.refuse(Refusal(answered.status, "code", "message"))
                    assert _shape(answered.json) == _shape(_json(refused.body))


def _calls(stories: Mapping[str, Sequence[Step]]) -> Iterator[tuple[str, int, Call]]:
    for name, steps in stories.items():
        for number, step in enumerate(steps):
            yield name, number, call_of(step)


def _untold(dialect: Dialect, stories: Mapping[str, Sequence[Step]]) -> list[str]:
    told = {id(route_of(dialect, call)) for _, _, call in _calls(stories)}
    return [f"{each.method} {each.path}" for each in dialect.routes if id(each) not in told]


def _check_answer(step: Step, answered: Answered, base: int) -> None:
    assert answered.status == step["status"], answered.json
    if "reply" in step:
        wanted = _filled(step["reply"], base)
        assert _same(wanted, answered.json), f"{answered.json} is not {wanted}"


def _check_entries(
    wanted: Sequence[Mapping[str, Any]],
    entries: Sequence[Mapping[str, Any]],
    base: int,
    dialect: str,
) -> None:
    found = [_said_by_gateway(each, dialect) for each in entries]
    expected = _filled(list(wanted), base)
    assert _same(expected, found), f"the log holds {json.dumps(found)}, not {json.dumps(expected)}"


def _said_by_gateway(view: Mapping[str, Any], dialect: str) -> dict[str, Any]:
    """Return an entry as golden files write it."""
    if view["type"] != "marker":
        said = dict(view["entry"])
        said.pop("timestamp", None)
        return {"type": view["type"], **said}
    said = dict(view["marker"])
    assert said.pop("emitter") == {"kind": "gateway", "id": dialect}
    labels = dict(said.pop("labels"))
    assert labels.pop("dialect") == dialect
    assert view["assurance"] == "attributed"
    assert view["principal"]
    return {"type": "marker", **said, **({"labels": labels} if labels else {})}


def _filled(value: Any, base: int) -> Any:  # noqa: ANN401 - any JSON value
    match value:
        case str() if (found := _ENTRY.fullmatch(value)) is not None:
            return base + int(found[1])
        case str():
            return _ENTRY.sub(lambda found: str(base + int(found[1])), value)
        case list():
            return [_filled(each, base) for each in value]
        case dict():
            return {name: _filled(each, base) for name, each in value.items()}
        case _:
            return value


def _same(wanted: Any, found: Any) -> bool:  # noqa: ANN401 - any JSON value
    if wanted == _ANY:
        return True
    if isinstance(wanted, int) and isinstance(found, str):
        return str(wanted) == found  # an index that these clients take as text
    if isinstance(wanted, dict) and isinstance(found, dict):
        return wanted.keys() == found.keys() and all(_same(wanted[k], found[k]) for k in wanted)
    if isinstance(wanted, list) and isinstance(found, list | tuple):
        same_length = len(wanted) == len(found)
        return same_length and all(map(_same, wanted, found))
    return bool(wanted == found)


def _shape(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a value without what it says: its names and types."""
    match value:
        case dict():
            return {name: _shape(each) for name, each in value.items()}
        case list():
            return [_shape(each) for each in value[:1]]
        case _:
            return type(value).__name__


def _steady(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a reply without what the time of the request decides."""
    if isinstance(value, dict):
        return {n: _steady(v) for n, v in value.items() if "date" not in n.lower()}
    return [_steady(each) for each in value] if isinstance(value, list) else value


def _json(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    return Answered(0, "", body).json


@contextmanager
def _said_with(where: str) -> Iterator[None]:
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"{where}: {error}") from error

"""`doctor dialect`: files as people capture them, and what is said of them."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from deploymark.cli.captured import read_captured
from deploymark.errors import UsageError

Run = Callable[..., CompletedProcess[str]]

_BODY = '{"time": 1760000000000, "tags": ["service:web", "env:prod"], "text": "Deployed 1.2.3"}'
_HEAD = "Authorization: Bearer dmk_hidden\r\nContent-Type: application/json\r\n"
CAPTURED: dict[str, str] = {
    "as it goes over the wire": f"POST /api/annotations HTTP/1.1\r\n{_HEAD}\r\n{_BODY}",
    "with an editor's line ends": "POST /api/annotations HTTP/1.1\nhost: x\n\n" + _BODY + "\n",
    "to a proxy": f"POST http://log.example/api/annotations HTTP/1.1\r\n{_HEAD}\r\n{_BODY}",
    "in chunks": "POST /api/annotations HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    f"a\r\n{_BODY[:10]}\r\n{len(_BODY) - 10:x}\r\n{_BODY[10:]}\r\n0\r\n\r\n",
    "by curl -v, with the body below": "*   Trying 127.0.0.1:8470...\n> POST /api/annotations "
    f"HTTP/1.1\n> Host: x\n> \n* upload completely sent off\n< HTTP/1.1 200 OK\n< \n{_BODY}\n",
    "in JSON": json.dumps({"path": "/api/annotations", "body": json.loads(_BODY)}),
}


@pytest.mark.parametrize("how", CAPTURED)
def test_a_request_is_read_however_it_was_captured(how: str, tmp_path: Path) -> None:
    file = tmp_path / "request"
    file.write_bytes(CAPTURED[how].encode())
    captured = read_captured(file)
    assert (captured.method, captured.path) == ("POST", "/api/annotations")
    assert json.loads(captured.body) == json.loads(_BODY)


def test_query_form_and_escapes_are_decoded(tmp_path: Path) -> None:
    file = tmp_path / "request"
    file.write_text(
        "POST /api/v4/projects/acme%2Fshop/deploys?key=a%20b HTTP/1.1\n"
        "Content-Type: application/x-www-form-urlencoded\n\nrevision=v%201&revision=2\n"
    )
    captured = read_captured(file)
    assert captured.path == "/api/v4/projects/acme/shop/deploys"
    assert captured.query == (("key", "a b"),)
    assert captured.form == {"revision": "2"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("nonsense\n", "no first line of a request"),
        ("POST /x HTTP/1.1\nnonsense\n\n", "is no header"),
        ("{nonsense", "is not JSON"),
        ('{"method": "POST"}', "names no method, path"),
        ("POST /x HTTP/1.1\nTransfer-Encoding: chunked\n\nzz\n", "no length of a chunk"),
        ("POST /x HTTP/1.1\nContent-Encoding: gzip\n\n", "is packed"),
        ("x" * 3_000_000, "has more than"),
    ],
)
def test_what_is_no_request_is_refused_in_a_sentence(
    content: str, says: str, tmp_path: Path
) -> None:
    file = tmp_path / "request"
    file.write_text(content)
    with pytest.raises(UsageError, match=says):
        read_captured(file)


def test_it_says_what_is_missing_and_what_to_configure(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "request"
    file.write_bytes(CAPTURED["as it goes over the wire"].encode())
    told = run(f"doctor dialect {file}")
    assert told.returncode == 1
    assert "service      web  (tag)" in told.stdout
    assert "nothing says version" in told.stdout
    assert "[dialects.grafana_annotations]\n  patterns = [" in told.stdout
    assert "dmk_hidden" not in told.stdout + told.stderr

    config = tmp_path / "config.toml"
    config.write_text(
        "[dialects.grafana_annotations.tokens.ci]\n"
        "patterns = [{text = 'Deployed (?P<version>\\S+)'}]\n"
    )
    mapped = run(f"doctor dialect {file} --config {config} --as ci --json")
    assert mapped.returncode == 0
    record = json.loads(mapped.stdout)
    assert record["dialect"] == "grafana_annotations"
    (marker,) = record["markers"]
    assert marker["marker"]["version"] == "1.2.3"
    assert marker["from"]["version"] == "pattern"
    assert marker["deployment_id"].startswith("d-")
    assert record["put"] == ""


def test_a_refused_request_ends_with_1_and_an_address_of_nobody_with_64(
    run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "request"
    file.write_text('{"path": "/hooks/argocd", "body": {}}')
    told = run(f"doctor dialect {file}")
    assert told.returncode == 1
    assert "✗ The body names no application" in told.stdout
    file.write_text('{"path": "/nowhere", "body": {}}')
    assert run(f"doctor dialect {file}").returncode == 64

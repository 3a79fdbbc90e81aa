"""The examples of the docs for those who speak HTTP themselves, run word for word with curl."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from team import Team

DOCS = Path(__file__).parents[2] / "docs"
Run = Callable[..., CompletedProcess[str]]

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def blocks(page: str, heading: str, language: str) -> list[str]:
    """Return the code blocks of a language below a heading."""
    text = (DOCS / page).read_text(encoding="utf-8")
    part = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```", part, re.DOTALL | re.MULTILINE)


@pytest.fixture
def settings(team: Team) -> str:
    """Return what a shell sets before the examples: a server and a token for its service."""
    scope = ("--role", "emitter", "--service", "checkout", "--environment", "prod")
    token = new_token(team, "hand", *scope)
    return f"export DEPLOYMARK_DATA=data DEPLOYMARK_URL={team.url} DEPLOYMARK_TOKEN={token}\n"


def new_token(team: Team, *words: str) -> str:
    """Return the text of a new token."""
    made = team.command("tokens", "new", *words, "--json", role="admin")
    return str(json.loads(made.stdout)["token"])


def lasting(answer: str) -> dict[str, Any]:
    """Return what an answer says anywhere and at any time."""
    said: dict[str, Any] = json.loads(answer)
    return said | {"index": 0, "received_at": ""}


def test_the_example_of_the_http_page_answers_as_it_says(settings: str, sh: Run) -> None:
    (command,) = blocks("reference/http.md", "An example", "sh")
    answer, problem = blocks("reference/http.md", "An example", "json")
    said = sh(settings + command).stdout
    assert lasting(said) == lasting(answer)
    assert json.loads(sh(settings + command).stdout) == json.loads(said) | {"duplicate": True}
    refused = sh(settings + command.replace("applied", "done")).stdout
    assert json.loads(refused) == json.loads(problem)


def test_the_smallest_marker_of_the_docs_is_whole(settings: str, sh: Run, place: Path) -> None:
    smallest, _ = blocks("formats/marker.md", "Flat marker", "json")
    (place / "marker.json").write_text(smallest)
    assert sh("deploymark schema check marker.json").stdout == "1 file: the contract holds.\n"
    (command,) = blocks("reference/http.md", "An example", "sh")
    by_file = re.sub(r"-d '.*'", "-d @marker.json", command)
    assert json.loads(sh(settings + by_file).stdout)["duplicate"] is False
    # Without any one of its fields it would not be.
    for name in json.loads(smallest):
        less = {key: value for key, value in json.loads(smallest).items() if key != name}
        (place / "marker.json").write_text(json.dumps(less))
        sh("deploymark schema check marker.json", exit_code=1)


def test_the_correction_of_the_docs_is_admitted_and_found(
    settings: str, sh: Run, place: Path, team: Team
) -> None:
    (command,) = blocks("reference/http.md", "An example", "sh")
    wrong = json.loads(sh(settings + command).stdout)["index"]
    (program,) = blocks("formats/marker.md", "Corrections", "python")
    (place / "amend.py").write_text(program.replace('"index": 7', f'"index": {wrong}'))
    trust, send = blocks("formats/marker.md", "Corrections", "sh")
    sh(settings + trust.replace("/var/lib/deploymark", "data"))
    admitted = json.loads(sh(settings + send).stdout)
    assert admitted["entry_id"].startswith("e-amendment-")
    asked = f"{team.url}/v1/entries?type=amendment&after={admitted['index']}"
    token = new_token(team, "eyes", "--role", "reader")
    page = json.loads(sh(f"curl -sS '{asked}' -H 'Authorization: Bearer {token}'").stdout)
    (found,) = page["items"]
    assert found["entry"]["index"] == wrong
    assert found["entry"]["changes"] == {"/version": "2.31.1"}

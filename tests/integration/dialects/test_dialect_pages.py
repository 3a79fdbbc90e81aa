"""Every command of the pages for users runs as it stands there."""

import re
import subprocess
from pathlib import Path

import pytest
from dialect_server import SECONDS, DialectServer, plain_environment

_HOWTO = Path(__file__).parents[3] / "docs" / "howto"
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_IN_A_CHECKOUT = """
git init --quiet .
git -c user.name=Ann -c user.email=ann@example.org commit --quiet --allow-empty -m 'Correct it'
"""


@pytest.mark.parametrize(
    ("page", "deployments"),
    [
        ("grafana-annotations", {"checkout"}),
        ("sentry", {"web"}),
        ("datadog", {"checkout", "cart"}),
        ("pagerduty", {"checkout"}),
        ("honeycomb", {"checkout"}),
        ("newrelic", {"checkout", "cart"}),
        ("devlake", {"checkout"}),
        ("error-trackers", {"unmapped", "cart", "web", "api"}),
    ],
)
def test_the_commands_of_a_page_run(
    server: DialectServer, page: str, deployments: set[str]
) -> None:
    token, *others = _BLOCK.findall((_HOWTO / f"{page}.md").read_text(encoding="utf-8"))
    said = _run(server, token, server.admin)
    words = re.findall(r"dmk_[-\w]+", said)
    assert words, said
    answered = _run(server, _IN_A_CHECKOUT + "".join(others), words[0])

    assert not re.search('"error(s|"|_)', answered), answered
    found = {each["service"] for each in server.deployments() if each["kind"] == "deployment"}
    assert found == deployments


def _run(server: DialectServer, script: str, token: str) -> str:
    """Run commands of a page one after the other; the first that fails fails the test."""
    done = subprocess.run(
        ["/bin/sh", "-eux", "-c", script],
        cwd=server.place,
        env=plain_environment(
            server.place, {"DEPLOYMARK_URL": server.url, "DEPLOYMARK_TOKEN": token}
        ),
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

"""The ready-made steps need no stored secret: a job without a token shows who it is."""

import subprocess
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]

DEPLOY = Path(__file__).parents[3] / "deploy"
STUB = '#!/bin/sh\n[ "$1" = id ] || env -0 >"$SEEN"\n'
IDENTITY = {"ACTIONS_ID_TOKEN_REQUEST_URL": "https://vstoken.example/idtoken"}
TOKEN = {"DEPLOYMARK_TOKEN": "dmk_of_the_job"}

JOBS: dict[str, tuple[dict[str, str], str | None]] = {
    # what the job has, and what deploymark hears of an exchange
    "an identity": (IDENTITY, "1"),
    "an identity and a token": (IDENTITY | TOKEN, None),
    "an identity and a token of the step": (IDENTITY | {"INPUT_TOKEN": "dmk_input"}, None),
    "an identity that it does not show": (IDENTITY | {"DEPLOYMARK_OIDC": "0"}, "0"),
    "nothing": ({}, None),
}


@pytest.mark.parametrize("sentence", JOBS)
def test_a_job_of_github_shows_its_identity_where_it_has_one_and_no_token(
    tmp_path: Path, sentence: str
) -> None:
    job, wanted = JOBS[sentence]
    (tmp_path / "deploymark").write_text(STUB)
    (tmp_path / "deploymark").chmod(0o755)
    environ = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "TMPDIR": str(tmp_path),
        "SEEN": str(tmp_path / "seen"),
        "INPUT_PHASE": "applied",
        "INPUT_AUDIENCE": "us",
        **job,
    }
    subprocess.run(
        ["/bin/sh", DEPLOY / "github-action" / "entrypoint.sh"], check=True, env=environ, timeout=30
    )
    pairs = (tmp_path / "seen").read_text().split("\0")
    seen = dict(pair.split("=", 1) for pair in pairs if pair)
    assert seen.get("DEPLOYMARK_OIDC") == wanted
    assert seen["DEPLOYMARK_OIDC_AUDIENCE"] == "us"
    assert "INPUT_AUDIENCE" not in seen


def test_the_template_for_gitlab_asks_for_an_identity_token_and_for_its_use() -> None:
    content = (DEPLOY / "gitlab" / "deploymark.gitlab-ci.yml").read_text(encoding="utf-8")
    template = yaml.safe_load(content)[".deploymark"]
    assert template["id_tokens"] == {"DEPLOYMARK_ID_TOKEN": {"aud": "$DEPLOYMARK_URL"}}
    assert template["variables"]["DEPLOYMARK_OIDC"] == "1"

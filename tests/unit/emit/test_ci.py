"""Holds CI detection to environments written from each provider's documentation."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploymark.emit.ci import ACTION_BYTES, CiRun, detect
from deploymark.emit.vcs import repository_url
from deploymark.model.marker import decode_marker
from deploymark.model.vocabulary import MARKER

ROOT = Path(__file__).parents[3]
ENVIRONMENTS = ROOT / "tests/unit/deploy/environments"
COMMIT = "a6ad00ac113a19d953efb91820d8788e2263b28a"
PROVIDERS = ("github", "gitlab", "jenkins", "buildkite", "circleci", "azure", "bitbucket")


def recorded(name: str) -> dict[str, str]:
    lines = (ENVIRONMENTS / f"{name}.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


NAMES = sorted(each.stem for each in ENVIRONMENTS.glob("*.env"))


def run_of(name: str, **changed: str) -> CiRun:
    run = detect(recorded(name) | changed)
    assert run is not None
    return run


ACTIONS = {
    "github-branch": "github:https://github.com/acme/shop:1658821493",
    "gitlab-branch": "gitlab:https://gitlab.example.com/acme/shop:1000",
    "jenkins-multibranch": "jenkins:https://ci.example.com/shop/checkout/main:42",
    "jenkins-freestyle": "jenkins:https://ci.example.com/deploy%20shop:7",
    "buildkite-branch": (
        "buildkite:https://buildkite.com/acme/shop:9e08ef3c-d6e6-4a86-91dd-577ce5205b8e"
    ),
    "circleci-branch": (
        "circleci:https://circleci.com/acme/shop:5034460f-c7c4-4c43-9457-de07e2029e7b"
    ),
    "circleci-app": (
        "circleci:https://circleci.example.com/9f2d0c3e-11aa-4c1e-8a55-0d6e8f1b2c3d"
        ":6034460f-c7c4-4c43-9457-de07e2029e7b"
    ),
    "azure-branch": "azure:https://dev.azure.com/acme/Web%20Shop:1234",
    "azure-pull-request": "azure:https://tfs.example.com/tfs/Main/Shop:1235",
    "bitbucket-branch": "bitbucket:https://bitbucket.org/acme/shop:42",
}


@pytest.mark.parametrize("name", ACTIONS)
def test_the_action_is_provider_server_repository_and_run(name: str) -> None:
    assert run_of(name).action == ACTIONS[name]


# What a retry changes, from the documentation; everything else stays.
RETRIES = {
    "github-branch": {"GITHUB_RUN_ATTEMPT": "3", "GITHUB_JOB": "other"},
    "gitlab-branch": {"CI_JOB_ID": "51", "CI_JOB_RETRY_COUNT": "2", "CI_JOB_NAME": "other"},
    "buildkite-branch": {
        "BUILDKITE_JOB_ID": "00000000-e20e-4b93-a21d-f41fd5869db9",
        "BUILDKITE_RETRY_COUNT": "2",
    },
    "circleci-branch": {
        "CIRCLE_WORKFLOW_ID": "11108377-fe7e-46b1-8992-3a7aaecac9c3",
        "CIRCLE_BUILD_NUM": "172",
        "CIRCLE_BUILD_URL": "https://circleci.com/gh/acme/shop/172",
    },
    "azure-branch": {"SYSTEM_STAGEATTEMPT": "1", "SYSTEM_JOBATTEMPT": "3"},
    "bitbucket-branch": {"BITBUCKET_STEP_RUN_NUMBER": "3"},
}


@pytest.mark.parametrize("name", RETRIES)
def test_a_retry_and_another_job_have_the_same_action_and_emitter(name: str) -> None:
    first, again = run_of(name), run_of(name, **RETRIES[name])
    assert (again.action, again.emitter_id) == (first.action, first.emitter_id)
    assert again.attempt == (None if name == "circleci-branch" else 3)


ANOTHER_RUN = {
    "github-branch": {"GITHUB_RUN_ID": "2"},
    "github-tag": {"GITHUB_SERVER_URL": "https://github.example.com"},
    "gitlab-branch": {"CI_PIPELINE_ID": "2"},
    "jenkins-multibranch": {"JOB_NAME": "shop-checkout/main"},
    "jenkins-freestyle": {"JENKINS_URL": "https://other.example.com/"},
    "bitbucket-branch": {"BITBUCKET_REPO_FULL_NAME": "acme/other"},
}


@pytest.mark.parametrize("name", ANOTHER_RUN)
def test_another_run_server_or_repository_has_another_action(name: str) -> None:
    assert run_of(name).action != run_of(name, **ANOTHER_RUN[name]).action


def test_a_gitlab_pipeline_is_named_by_its_id_on_the_server_not_in_the_project() -> None:
    assert run_of("gitlab-branch", CI_PIPELINE_IID="99") == run_of("gitlab-branch")


def test_the_whole_of_one_run() -> None:
    assert run_of("github-branch").fields() == {
        "action": "github:https://github.com/acme/shop:1658821493",
        "attempt": 2,
        "repository": "https://github.com/acme/shop",
        "commit_hash": COMMIT,
        "ref": "refs/heads/main",
        "build_id": "1658821493",
        "build_url": "https://github.com/acme/shop/actions/runs/1658821493",
        "deployer": "hubot",
        "emitter": {
            "kind": "ci",
            "id": "https://github.com/acme/shop/.github/workflows/deploy.yml",
        },
    }


@pytest.mark.parametrize("name", ["github-tag", "gitlab-tag", "circleci-app"])
def test_a_tag_is_the_version_as_it_is_written(name: str) -> None:
    fields = run_of(name).fields()
    assert fields["ref"] == f"refs/tags/{fields['version']}"
    assert fields["version"].endswith("v2.31.0")


@pytest.mark.parametrize("name", [each for each in NAMES if each.endswith("-branch")])
def test_a_branch_build_knows_commit_and_branch(name: str) -> None:
    run = run_of(name)
    assert (run.commit_hash, run.ref, run.pull_request) == (COMMIT, "refs/heads/main", False)


def test_a_jenkins_remote_branch_loses_only_the_remote() -> None:
    assert run_of("jenkins-freestyle").ref == "refs/heads/release/2.31"
    assert run_of("jenkins-freestyle", GIT_BRANCH="detached").ref == ""


@pytest.mark.parametrize(
    "name",
    [each for each in NAMES if "pull-request" in each or "merge" in each or "workflow-run" in each],
)
def test_a_proposal_states_neither_ref_nor_version_nor_a_merge_commit(name: str) -> None:
    run = run_of(name)
    assert run.pull_request
    assert run.ref == ""
    assert "version" not in run.fields()
    assert run.commit_hash == (COMMIT if name == "gitlab-merge-request" else "")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_detected_is_a_marker_that_the_server_takes(name: str) -> None:
    given_by_hand = {
        "service": "checkout",
        "environment": "prod",
        "phase": "applied",
        "artifact": {"digest": "sha256:" + "ab" * 32},
    }
    payload = msgspec.json.encode(given_by_hand | run_of(name).fields())
    assert decode_marker(payload, MARKER).action == run_of(name).action


@pytest.mark.parametrize("name", NAMES)
def test_no_address_name_or_secret_comes_along(name: str) -> None:
    said = repr(run_of(name))
    for private in ("@example.com", "Doe", "hunter2", "secret-of-the-job", "acme@"):
        assert private not in said


def test_outside_ci_nothing_is_detected() -> None:
    assert detect({}) is None
    assert detect({"GITHUB_ACTIONS": "false", "CI": "true", "JENKINS_URL": ""}) is None


def test_an_agent_of_another_system_on_a_jenkins_machine_is_not_jenkins() -> None:
    assert run_of("gitlab-branch", JENKINS_URL="https://ci.example.com").provider == "gitlab"


HOSTILE = {
    "a run id of two lines": ("GITHUB_RUN_ID", "1\n2", "action"),
    "a run id with a colon": ("GITHUB_RUN_ID", "1:2", "action"),
    "no run id": ("GITHUB_RUN_ID", "", "action"),
    "no server": ("GITHUB_SERVER_URL", "github.com", "action"),
    "a server of another kind": ("GITHUB_SERVER_URL", "file:///etc", "action"),
    "an attempt that is no number": ("GITHUB_RUN_ATTEMPT", "two", "attempt"),
    "an attempt in Arabic digits": ("GITHUB_RUN_ATTEMPT", "\u0662", "attempt"),
    "attempt zero": ("GITHUB_RUN_ATTEMPT", "0", "attempt"),
    "an endless attempt": ("GITHUB_RUN_ATTEMPT", "9" * 5000, "attempt"),
    "a short commit": ("GITHUB_SHA", "a6ad00a", "commit_hash"),
    "a commit that is a word": ("GITHUB_SHA", "HEAD", "commit_hash"),
    "a ref of two lines": ("GITHUB_REF", "refs/heads/a\nb", "ref"),
    "a ref that is too long": ("GITHUB_REF", "refs/heads/" + "a" * 300, "ref"),
    "a ref of another kind": ("GITHUB_REF", "refs/notes/x", "ref"),
    "an actor that is an address": ("GITHUB_TRIGGERING_ACTOR", "a@example.com", "deployer"),
    "a ref that is not UTF-8": ("GITHUB_REF", "refs/heads/\udce9", "ref"),
}


@pytest.mark.parametrize("sentence", HOSTILE)
def test_a_hostile_value_is_left_out(sentence: str) -> None:
    variable, value, field = HOSTILE[sentence]
    assert field not in run_of("github-branch", **{variable: value}).fields()


def test_an_action_that_would_be_too_long_keeps_a_digest_of_where_it_ran() -> None:
    deep = "https://gitlab.example.com/" + "/".join(["group"] * 60)
    first = run_of("gitlab-branch", CI_PROJECT_URL=deep).action
    second = run_of("gitlab-branch", CI_PROJECT_URL=deep + "/x").action
    assert re.fullmatch(r"gitlab:sha256:[0-9a-f]{64}:1000", first)
    assert len(first) <= ACTION_BYTES
    assert first != second


VARIABLES = sorted({variable for name in NAMES for variable in recorded(name)})


@given(
    st.sampled_from(NAMES),
    st.dictionaries(st.sampled_from(VARIABLES), st.text(max_size=40) | st.just("x" * 4000)),
)
def test_whatever_the_variables_say_the_marker_stays_valid(
    name: str, changed: dict[str, str]
) -> None:
    run = detect(recorded(name) | changed)
    if run is not None:
        fields = {"service": "s", "environment": "e", "phase": "applied", "version": "1"}
        decode_marker(msgspec.json.encode(fields | run.fields()), MARKER)
        assert len(run.action.encode()) <= ACTION_BYTES


REPOSITORIES = {
    "https://github.com/acme/shop.git": "https://github.com/acme/shop",
    "https://user:pass@GitHub.com/acme/shop/": "https://github.com/acme/shop",
    "https://user:p@ss@github.com/acme/shop": "https://github.com/acme/shop",
    "https://token@git.example.com:8443/acme/shop?token=x": (
        "https://git.example.com:8443/acme/shop"
    ),
    "http://git.example.com/shop": "http://git.example.com/shop",
    "git@github.com:acme/shop.git": "https://github.com/acme/shop",
    "ssh://git@git.example.com:2222/acme/shop.git": "https://git.example.com/acme/shop",
    "git://git.example.com/shop.git": "https://git.example.com/shop",
    "/srv/git/shop.git": "",
    "file:///srv/git/shop.git": "",
    "C:/code/shop": "",
    "https://github.com": "",
    "https://github.com/a b": "",
    "https://[::1]/shop": "https://[::1]/shop",
    "https://[broken/shop": "",
    "": "",
}


@pytest.mark.parametrize("text", REPOSITORIES)
def test_a_repository_has_one_spelling_and_no_credentials(text: str) -> None:
    assert repository_url(text) == REPOSITORIES[text]


class Recorder(Mapping[str, str]):
    """An environment that remembers what was looked for."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ, self.read = environ, set[str]()

    def __getitem__(self, name: str) -> str:
        self.read.add(name)
        return self.environ[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.environ)

    def __len__(self) -> int:
        return len(self.environ)


def read_of(provider: str) -> set[str]:
    """Every variable that detection looks for, once it knows the provider."""
    read: set[str] = set()
    for name in NAMES:
        if name.startswith(provider):
            whole, shown = Recorder(recorded(name)), Recorder(dict[str, str]())
            bare: dict[str, Any] = {
                key: value
                for key, value in recorded(name).items()
                if key in {"GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE", "CIRCLECI", "TF_BUILD"}
                or key in {"JENKINS_URL", "BITBUCKET_BUILD_NUMBER"}
            }
            few = Recorder(bare)  # so that what is only asked for in need is asked for
            for each in (whole, shown, few):
                detect(each)
            read |= (whole.read | few.read) - shown.read | set(bare)
    return read


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_table_of_the_docs_names_the_variables_that_are_read(provider: str) -> None:
    page = (ROOT / "docs/howto/mark-from-ci.md").read_text()
    row = re.search(rf"^\| {provider} \|.*$", page, re.MULTILINE | re.IGNORECASE)
    assert row is not None
    assert set(re.findall(r"`([A-Z][A-Z0-9_]+)`", row[0])) == read_of(provider)

"""Which CI run this is, read from the variables that CI systems document.

A marker sent from CI needs no flags for what the CI knows: the run, the commit, the ref, the
people. Above all this gives the deploy `action`, the part of a deployment's identity that all
jobs and retries of one run share (spec: identity, "deployment_id").

Pure over a mapping; the host module passes its environment in. Nothing here raises: a variable
that is missing, empty, over-long, of control characters or not a number is as if it were not set.

The grammar of an action is `provider ":" where ":" run`, at most 256 bytes. `where` is the server
and the repository (or job) as a URL without credentials, `run` the provider's own id of the run or
pipeline, which no retry changes:

    github:https://github.com/acme/shop:1234567

A `where` that would make it longer stands as `sha256:` and the hexadecimal digest of the URL.

Pull requests are a trap. Many systems build a merge commit that exists on no branch, or name the
target branch's tip while the proposal is what is checked out. There the ref and the version are
left out, and the commit is stated only where the system builds and names the head of the proposal
itself (GitLab, Buildkite, CircleCI). Whoever deploys a proposal says `--commit` or gives a digest.
"""

import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple

from deploymark.emit.vcs import (
    TEXT_BYTES,
    VALUE_BYTES,
    WEB_ADDRESS,
    clean,
    commit_of,
    ref_of,
    repository_url,
    version_of,
)

ACTION_BYTES: Final = 256
"""The most bytes of a deploy action (the field `action` of a marker)."""

_URL_BYTES: Final = 1_900  # so that a URL takes another part and still fits into its field

# As text, compiled when first used: outside CI none of them is.
_RUN: Final = r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}"
_UNSAFE: Final = r"[^0-9A-Za-z/%:@~+,=._-]+"
_COUNT: Final = r"[0-9]{1,9}"

# Events after which a workflow usually checks out something else than what GITHUB_SHA names.
_ELSEWHERE: Final = frozenset({"pull_request_target", "workflow_run", "issue_comment"})


class CiRun(NamedTuple):
    """One run of a CI system, as far as its variables tell. "" and None mean: not known.

    Attributes:
        provider: `github`, `gitlab`, `jenkins`, `buildkite`, `circleci`, `azure` or `bitbucket`.
        action: Identity of the deploy action, in the grammar at the head of this module.
        attempt: Which attempt of the run this is, from 1.
        repository: URL of the repository, without credentials.
        commit_hash: All 40 or 64 digits, in lower case.
        ref: `refs/heads/…` or `refs/tags/…`.
        build_id: The provider's id of the run, for people and for searching.
        build_url: Where to read on.
        deployer: Handle or account id of who started it; never a name or an e-mail address.
        emitter_id: The workflow, pipeline or job, stable over its runs.
        pull_request: Whether it builds a proposal; see the head of this module.
    """

    provider: str
    action: str = ""
    attempt: int | None = None
    repository: str = ""
    commit_hash: str = ""
    ref: str = ""
    build_id: str = ""
    build_url: str = ""
    deployer: str = ""
    emitter_id: str = ""
    pull_request: bool = False

    def fields(self) -> dict[str, Any]:
        """Return what is known under the names of the flat marker (spec: marker)."""
        emitter = {"kind": "ci", "id": self.emitter_id} if self.emitter_id else {"kind": "ci"}
        stated: dict[str, Any] = {
            "action": self.action,
            "attempt": self.attempt,
            "repository": self.repository,
            "commit_hash": self.commit_hash,
            "ref": self.ref,
            "version": version_of(self.ref),
            "build_id": self.build_id,
            "build_url": self.build_url,
            "deployer": self.deployer,
            "emitter": emitter,
        }
        return {name: value for name, value in stated.items() if value not in ("", None)}


def detect(environ: Mapping[str, str]) -> CiRun | None:
    """Return the CI run that these variables describe, None outside a known CI system.

    Args:
        environ: The environment of the process, or a part of it.
    """
    variables = _Variables(environ)
    for shown_by, expected, read in _PROVIDERS:
        value = variables.text(shown_by)
        if value and (expected is None or value.lower() == expected):
            return read(variables)
    return None


class _Variables:
    """The environment, read with suspicion."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, *names: str, limit_bytes: int = VALUE_BYTES) -> str:
        """Return the first of these variables that has a usable value."""
        values = (clean(self._environ.get(name, ""), limit_bytes) for name in names)
        return next((value for value in values if value), "")

    def run(self, name: str) -> str:
        """Return the id of a run."""
        value = self.text(name)
        return value if re.fullmatch(_RUN, value) else ""

    def count(self, name: str, *, first: int) -> int | None:
        """Return a counter moved to start at 1.

        Args:
            name: The variable.
            first: What the provider counts from.
        """
        value = self.text(name)
        number = int(value) + 1 - first if re.fullmatch(_COUNT, value) else 0
        return number if number >= 1 else None

    def link(self, name: str) -> str:
        """Return a web address without credentials; its query stays."""
        found = re.fullmatch(WEB_ADDRESS, self.text(name, limit_bytes=_URL_BYTES))
        if found is None or found["scheme"] not in {"http", "https"}:
            return ""
        host = found["host"].lower() + (found["port"] or "")
        return f"{found['scheme']}://{host}{found['path'] or ''}{found['rest'] or ''}"

    def handle(self, *names: str) -> str:
        """Return an account name; what has an @ inside is an address and is left out."""
        value = self.text(*names)
        return "" if "@" in value else value

    def repository(self, *names: str) -> str:
        """Return the URL of the repository."""
        return repository_url(self.text(*names, limit_bytes=TEXT_BYTES))

    def commit(self, name: str) -> str:
        """Return a whole commit hash."""
        return commit_of(self.text(name))

    def ref(self, *, branch: str = "", tag: str = "") -> str:
        """Return the ref that a branch or tag variable names; a tag goes first."""
        if tag and (named := self.text(tag)):
            return ref_of("tags", named)
        return ref_of("heads", self.text(branch)) if branch else ""


def _join(server: str, *parts: str) -> str:
    """Return a URL of a server and path parts, "" where one of them is not known."""
    if not (server and all(parts)):
        return ""
    url = "/".join([server.rstrip("/"), *(_quoted(part.strip("/")) for part in parts)])
    return url if len(url) <= _URL_BYTES else ""


def _quoted(text: str) -> str:
    """Return a path with what a URL cannot hold as %XX; a % stays, Jenkins writes it itself."""
    # Not urllib.parse: it costs a command milliseconds.
    return re.sub(
        _UNSAFE, lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), text
    )


def _action(provider: str, where: str, run: str) -> str:
    if not (where and run):
        return ""
    action = f"{provider}:{where}:{run}"
    if len(action.encode()) <= ACTION_BYTES:
        return action
    return f"{provider}:sha256:{sha256(where.encode()).hexdigest()}:{run}"


def _whole_ref(ref: str) -> str:
    return ref if ref.startswith(("refs/heads/", "refs/tags/")) else ""


def _github(variables: _Variables) -> CiRun:
    server = variables.link("GITHUB_SERVER_URL")
    where = _join(server, variables.text("GITHUB_REPOSITORY"))
    run = variables.run("GITHUB_RUN_ID")
    ref = variables.text("GITHUB_REF")
    pull_request = ref.startswith("refs/pull/")
    # GITHUB_SHA is then a merge commit, or the tip of a branch that is not checked out.
    elsewhere = pull_request or variables.text("GITHUB_EVENT_NAME") in _ELSEWHERE
    return CiRun(
        "github",
        action=_action("github", where, run),
        attempt=variables.count("GITHUB_RUN_ATTEMPT", first=1),
        repository=repository_url(where),
        commit_hash="" if elsewhere else variables.commit("GITHUB_SHA"),
        ref="" if elsewhere else _whole_ref(ref),
        build_id=run,
        build_url=_join(where, "actions/runs", run),
        deployer=variables.handle("GITHUB_TRIGGERING_ACTOR", "GITHUB_ACTOR"),
        emitter_id=_join(server, variables.text("GITHUB_WORKFLOW_REF").partition("@")[0]),
        pull_request=elsewhere,
    )


def _gitlab(variables: _Variables) -> CiRun:
    where = variables.link("CI_PROJECT_URL")
    run = variables.run("CI_PIPELINE_ID")
    pull_request = bool(variables.text("CI_MERGE_REQUEST_IID"))
    # Only a pipeline of merged results names the head apart, because it builds another commit.
    merged = bool(variables.text("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA"))
    configuration = variables.text("CI_CONFIG_PATH") or ".gitlab-ci.yml"
    return CiRun(
        "gitlab",
        action=_action("gitlab", where, run),
        attempt=variables.count("CI_JOB_RETRY_COUNT", first=0),
        repository=repository_url(where),
        commit_hash="" if merged else variables.commit("CI_COMMIT_SHA"),
        ref="" if pull_request else variables.ref(branch="CI_COMMIT_BRANCH", tag="CI_COMMIT_TAG"),
        build_id=run,
        build_url=variables.link("CI_PIPELINE_URL"),
        deployer=variables.handle("GITLAB_USER_LOGIN"),
        emitter_id=variables.link("CI_CONFIG_PATH") or _join(where, configuration),
        pull_request=pull_request,
    )


def _jenkins(variables: _Variables) -> CiRun:
    server, run = variables.link("JENKINS_URL"), variables.run("BUILD_NUMBER")
    # BUILD_TAG joins job and number with dashes, so that two jobs can share one: not an identity.
    where = _join(server, variables.text("JOB_NAME", limit_bytes=_URL_BYTES))
    pull_request = bool(variables.text("CHANGE_ID"))
    ref = variables.ref(branch="BRANCH_NAME", tag="TAG_NAME") or variables.ref(
        branch="GIT_LOCAL_BRANCH"
    )
    remote_branch = variables.text("GIT_BRANCH").removeprefix("origin/")
    if not ref and remote_branch != "detached":
        ref = ref_of("heads", remote_branch)
    return CiRun(
        "jenkins",
        action=_action("jenkins", where, run),
        repository=variables.repository("GIT_URL", "GIT_URL_1"),
        commit_hash="" if pull_request else variables.commit("GIT_COMMIT"),
        ref="" if pull_request else ref,
        build_id=variables.text("BUILD_TAG", "BUILD_NUMBER"),
        build_url=variables.link("BUILD_URL"),
        deployer=variables.handle("BUILD_USER_ID"),
        emitter_id=variables.link("JOB_URL") or where,
        pull_request=pull_request,
    )


def _buildkite(variables: _Variables) -> CiRun:
    organization = variables.text("BUILDKITE_ORGANIZATION_SLUG")
    where = _join("https://buildkite.com", organization, variables.text("BUILDKITE_PIPELINE_SLUG"))
    run = variables.run("BUILDKITE_BUILD_ID")
    pull_request = variables.text("BUILDKITE_PULL_REQUEST") not in ("", "false")
    merged = variables.text("BUILDKITE_PULL_REQUEST_USING_MERGE_REFSPEC") == "true"
    return CiRun(
        "buildkite",
        action=_action("buildkite", where, run),
        attempt=variables.count("BUILDKITE_RETRY_COUNT", first=0),
        repository=variables.repository("BUILDKITE_REPO"),
        commit_hash="" if pull_request and merged else variables.commit("BUILDKITE_COMMIT"),
        ref="" if pull_request else variables.ref(branch="BUILDKITE_BRANCH", tag="BUILDKITE_TAG"),
        build_id=run,
        build_url=variables.link("BUILDKITE_BUILD_URL"),
        # BUILDKITE_BUILD_CREATOR is a person's full name.
        emitter_id=where,
        pull_request=pull_request,
    )


def _circleci(variables: _Variables) -> CiRun:
    owner, name = (
        variables.text("CIRCLE_PROJECT_USERNAME"),
        variables.text("CIRCLE_PROJECT_REPONAME"),
    )
    build_url = variables.link("CIRCLE_BUILD_URL")
    server = "/".join(build_url.split("/")[:3])
    # Projects that came by the GitHub App or from GitLab have an id instead of names.
    project = variables.text("CIRCLE_PROJECT_ID")
    where = _join(server, owner, name) or _join(server, project)
    # A rerun is a new workflow, with a new CIRCLE_WORKFLOW_ID, of the same pipeline.
    run = variables.run("CIRCLE_PIPELINE_ID")
    pull_request = bool(variables.text("CIRCLE_PULL_REQUEST", "CIRCLE_PR_NUMBER"))
    return CiRun(
        "circleci",
        action=_action("circleci", where, run),
        repository=variables.repository("CIRCLE_REPOSITORY_URL"),
        commit_hash=variables.commit("CIRCLE_SHA1"),
        ref="" if pull_request else variables.ref(branch="CIRCLE_BRANCH", tag="CIRCLE_TAG"),
        build_id=run,
        build_url=build_url,
        deployer=variables.handle("CIRCLE_USERNAME"),
        emitter_id=where,
        pull_request=pull_request,
    )


def _azure(variables: _Variables) -> CiRun:
    server = variables.link("SYSTEM_COLLECTIONURI") or variables.link(
        "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI"
    )
    where = _join(server, variables.text("SYSTEM_TEAMPROJECT"))
    run, definition = variables.run("BUILD_BUILDID"), variables.run("SYSTEM_DEFINITIONID")
    ref = variables.text("BUILD_SOURCEBRANCH")
    pull_request = ref.startswith("refs/pull/") or variables.text("BUILD_REASON") == "PullRequest"
    attempts = [
        attempt
        for name in ("SYSTEM_STAGEATTEMPT", "SYSTEM_JOBATTEMPT")
        if (attempt := variables.count(name, first=1))
    ]
    return CiRun(
        "azure",
        action=_action("azure", where, run),
        attempt=max(attempts, default=None),
        repository=variables.repository("BUILD_REPOSITORY_URI"),
        commit_hash="" if pull_request else variables.commit("BUILD_SOURCEVERSION"),
        ref="" if pull_request else _whole_ref(ref),
        build_id=run,
        build_url=f"{where}/_build/results?buildId={run}" if where and run else "",
        # BUILD_REQUESTEDFOR is a person's full name; the id is that of the account.
        deployer=variables.handle("BUILD_REQUESTEDFORID"),
        emitter_id=f"{where}/_build?definitionId={definition}" if where and definition else "",
        pull_request=pull_request,
    )


def _bitbucket(variables: _Variables) -> CiRun:
    where = _join("https://bitbucket.org", variables.text("BITBUCKET_REPO_FULL_NAME"))
    # Repeating a step keeps the number; repeating the whole pipeline is a new one.
    run = variables.run("BITBUCKET_BUILD_NUMBER")
    # Bitbucket merges the destination in before it runs the pipeline of a pull request.
    pull_request = bool(variables.text("BITBUCKET_PR_ID"))
    return CiRun(
        "bitbucket",
        action=_action("bitbucket", where, run),
        attempt=variables.count("BITBUCKET_STEP_RUN_NUMBER", first=1),
        repository=repository_url(where),
        commit_hash="" if pull_request else variables.commit("BITBUCKET_COMMIT"),
        ref="" if pull_request else variables.ref(branch="BITBUCKET_BRANCH", tag="BITBUCKET_TAG"),
        build_id=run,
        build_url=_join(where, "pipelines/results", run),
        deployer=variables.handle("BITBUCKET_STEP_TRIGGERER_UUID").strip("{}"),
        emitter_id=_join(where, "bitbucket-pipelines.yml"),
        pull_request=pull_request,
    )


# What shows a provider, its value in lower case (None: any), and who reads it. Jenkins stands last:
# JENKINS_URL is often set for a whole machine, on which another CI system's agent may run too.
_PROVIDERS: tuple[tuple[str, str | None, Callable[[_Variables], CiRun]], ...] = (
    ("GITHUB_ACTIONS", "true", _github),
    ("GITLAB_CI", "true", _gitlab),
    ("BUILDKITE", "true", _buildkite),
    ("CIRCLECI", "true", _circleci),
    ("TF_BUILD", "true", _azure),
    ("BITBUCKET_BUILD_NUMBER", None, _bitbucket),
    ("JENKINS_URL", None, _jenkins),
)

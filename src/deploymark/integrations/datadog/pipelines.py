"""What pipelines tell: `datadog-ci deployment mark`, `tag` and `deployment correlate`. Pure.

A run is the action of what it tells: provider, repository and run, without job and attempt.
"""

from collections.abc import Mapping
from typing import Any, Final

from deploymark.errors import DialectError
from deploymark.integrations.datadog.translation import DEPLOYMENT, NAME, attributes_of
from deploymark.model.limits import CHANGES, TEXT_BYTES, VALUE_BYTES
from deploymark.model.mapping import UNMAPPED, marker_of, revision_of, subject_of
from deploymark.model.tolerant import bounded, flag_of, text_of, texts_of
from deploymark.model.vocabulary import Kind, Phase
from deploymark.ports import ForeignRequest, Said, Translated

PIPELINE: Final = "pipeline"
CORRELATION: Final = "correlation"

_MARKED: Final = "datadog_cd_visibility."
_CONTAINS: Final = "ci.pipeline.contains_deployment"
# What names a run; `datadog-ci tag` sends these of the provider's environment.
_RUN: Final = (
    "GITHUB_SERVER_URL",
    "GITHUB_REPOSITORY",
    "GITHUB_RUN_ID",
    "CI_PROJECT_URL",
    "CI_PIPELINE_ID",
    "CIRCLE_WORKFLOW_ID",
    "BUILDKITE_BUILD_ID",
    "DATADOG_BUILD_ID",
    "DD_CUSTOM_TRACE_ID",
    "SYSTEM_TEAMPROJECTID",
    "BUILD_BUILDID",
)


def tagged(request: ForeignRequest) -> Said:
    """Translate `POST /api/v2/ci/pipeline/tags`: a deployment, where the tags mark one."""
    said = attributes_of(request.json())
    stated = said.get("tags")
    words = {
        str(name): text
        for name, value in (stated.items() if isinstance(stated, Mapping) else ())
        if (text := text_of(value) or _flag(value)) is not None
    }
    if list(words) == [_CONTAINS]:
        return Said()  # the job of the same run has just said which
    env = _texts(said.get("ci_env"))
    run = _run_of(text_of(said.get("provider")), env)
    if not flag_of(words.get(f"{_MARKED}is_deployment")):
        tags = [f"{name}:{value}" for name, value in sorted(words.items())]
        return _kept(request, tags, run, env)
    marked = {
        name.removeprefix(_MARKED): value
        for name, value in words.items()
        if name.startswith(_MARKED)
    }
    own = texts_of(marked.get("custom_tags"))
    fields = marker_of(
        "",
        own,
        0 if run else request.received_ms,
        request.mapping,
        key=NAME,
        stated={
            "service": marked.get("service") or _project(env),
            "environment": marked.get("env"),
            "run": run,
            "repository": _repository(env),
            **subject_of(marked.get("revision")),
        },
    )
    if flag_of(marked.get("is_rollback")):
        fields["labels"] = {"is_rollback": "true"}
    return Said((Translated(fields, tags=own, sort=DEPLOYMENT),))


def _kept(
    request: ForeignRequest, tags: list[str], run: str | None, env: Mapping[str, str]
) -> Said:
    at_ms = 0 if run else request.received_ms
    fields: dict[str, Any] = {
        "kind": Kind.INFRASTRUCTURE.value,
        "phase": Phase.APPLIED.value,
        "service": _project(env) or request.mapping.defaults.get("service", UNMAPPED),
        "environment": request.mapping.defaults.get("environment", UNMAPPED),
        "key": PIPELINE,
        "revision": revision_of("", tags, at_ms),
        "action": run,
        "repository": _repository(env),
    }
    return Said((Translated(fields, tags=tags, sort=PIPELINE),))


def correlated(request: ForeignRequest) -> Said:
    """Translate `POST /api/v2/ci/deployments/correlate`: a run wrote commits to a config repo.

    Raises:
        DialectError: It names no commit.
    """
    said = attributes_of(request.json())
    shas = [bounded(each, VALUE_BYTES) or "" for each in texts_of(said.get("config_commit_shas"))]
    if not shas:
        raise DialectError("A correlation names the commits in `config_commit_shas`.")
    env = _texts(said.get("ci_env"))
    run = env.get("ci.pipeline.id")
    repository = text_of(said.get("config_repo_url"))
    provider = text_of(said.get("cd_provider"))
    fields: dict[str, Any] = {
        "kind": Kind.INFRASTRUCTURE.value,
        "phase": Phase.PLANNED.value,
        "service": _last(env.get("git.repository_url"))
        or request.mapping.defaults.get("service", UNMAPPED),
        "environment": request.mapping.defaults.get("environment", UNMAPPED),
        "key": bounded(_last(repository) or CORRELATION, VALUE_BYTES),
        "revision": shas[-1],
        "commit_hash": subject_of(env.get("git.commit.sha")).get("commit"),
        "repository": bounded(repository, VALUE_BYTES),
        "build_url": bounded(env.get("ci.pipeline.url"), TEXT_BYTES),
        "action": bounded(f"{text_of(said.get('ci_provider'))}:{run}", VALUE_BYTES)
        if run
        else None,
        "changes": [{"commit": each} for each in shas[:CHANGES]],
        "labels": {"cd_provider": bounded(provider, VALUE_BYTES)} if provider else {},
    }
    return Said((Translated(fields, sort=CORRELATION),))


def _run_of(provider: str | None, env: Mapping[str, str]) -> str | None:
    parts = [env[name] for name in _RUN if name in env]
    return bounded(":".join([provider or "ci", *parts]), VALUE_BYTES) if parts else None


def _repository(env: Mapping[str, str]) -> str | None:
    if "GITHUB_REPOSITORY" in env:
        server = env.get("GITHUB_SERVER_URL", "https://github.com")
        return bounded(f"{server}/{env['GITHUB_REPOSITORY']}", VALUE_BYTES)
    return bounded(env.get("CI_PROJECT_URL"), VALUE_BYTES)


def _project(env: Mapping[str, str]) -> str | None:
    """Return the name of the repository: Datadog's service where none is given."""
    return _last(env.get("GITHUB_REPOSITORY") or env.get("CI_PROJECT_URL"))


def _last(url: str | None) -> str | None:
    name = (url or "").rstrip("/").rpartition("/")[2].removesuffix(".git")
    return bounded(name, VALUE_BYTES) or None


def _flag(value: object) -> str | None:
    return str(value).lower() if isinstance(value, bool) else None


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {}
    return {str(name): text for name, each in value.items() if (text := text_of(each))}

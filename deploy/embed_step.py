"""Copies step.sh to where a CI system cannot reach it beside its own file.

GitLab includes one YAML file and nothing with it; a Jenkins library may not follow links out of
itself. Run `python deploy/embed_step.py` after a change of step.sh; a test compares the copies.
"""
# ruff: noqa: INP001 - a script, not a package

from pathlib import Path

HERE = Path(__file__).parent
CALL = '\ndeploymark_step "$@"\n'

GITLAB = """\
# Markers around the deploy command of a GitLab job.
# Written by deploy/embed_step.py from deploy/step.sh; change that one.
#
#   include:
#     - remote: https://example.com/deploymark/v1/deploymark.gitlab-ci.yml
#
#   deploy:
#     extends: .deploymark
#     environment: prod
#     variables:
#       DEPLOYMARK_SERVICE: checkout
#       DEPLOYMARK_ARTIFACT: registry.example.com/shop/checkout@$DIGEST
#     script:
#       - deploymark_step run -- ./deploy.sh
#
# DEPLOYMARK_URL belongs into the project's CI/CD variables. No secret does: the job proves who it
# is, and the server's [oidc] rules say what it may (docs/howto/ci-without-secrets.md). A variable
# DEPLOYMARK_TOKEN (masked and protected) is used instead where there is one. DEPLOYMARK_KEY is one
# of type "file". A job with a before_script of its own begins it with
# `- !reference [.deploymark, before_script]`.

.deploymark:
  id_tokens:
    DEPLOYMARK_ID_TOKEN:
      aud: $DEPLOYMARK_URL
  variables:
    DEPLOYMARK_INSTALL: deploymark
    DEPLOYMARK_OIDC: "1"
  before_script:
    - export DEPLOYMARK_ENVIRONMENT="${DEPLOYMARK_ENVIRONMENT:-${CI_ENVIRONMENT_NAME:-}}"
    - |
"""


def function_of(script: str) -> str:
    """Return the function of step.sh alone, for a shell that sources it."""
    return script.removesuffix(CALL)


def copies() -> dict[Path, str]:
    """Return what each copy has to contain."""
    script = (HERE / "step.sh").read_text(encoding="utf-8")
    lines = (f"      {line}".rstrip() for line in function_of(script).splitlines())
    return {
        HERE / "gitlab" / "deploymark.gitlab-ci.yml": GITLAB + "\n".join(lines) + "\n",
        HERE / "jenkins" / "resources" / "dev" / "deploymark" / "step.sh": script,
    }


if __name__ == "__main__":
    for path, text in copies().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

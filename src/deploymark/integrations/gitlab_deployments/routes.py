"""The routes of GitLab's deployments."""

from typing import Final

from deploymark.crypto.webhook_signature import Profile
from deploymark.integrations.gitlab_deployments import showing
from deploymark.integrations.gitlab_deployments.translation import (
    NAME,
    created,
    hooked,
    removed,
    updated,
)
from deploymark.ports import (
    BEARER,
    Carrier,
    Change,
    Dialect,
    Read,
    Route,
    Signature,
    Token,
    Write,
)

_CREDENTIALS: Final = (
    Token(Carrier.HEADER, "private-token"),
    BEARER,
    Token(Carrier.HEADER, "job-token"),
    Token(Carrier.QUERY, "private_token"),
)
_HOOK: Final = (
    Signature(Profile.STANDARD, "webhook-signature"),
    Signature(Profile.PLAIN, "x-gitlab-token"),
)
_DEPLOYMENTS: Final = "/api/v4/projects/{id:path}/deployments"
_DEPLOYMENT: Final = "/api/v4/projects/{id:path}/deployments/{deployment}"

DIALECT: Final = Dialect(
    NAME,
    "GitLab's API of deployments and its Deployment Hook",
    (
        Route(
            "POST", "/hooks/gitlab", "Take a Deployment Hook.",
            Write(hooked, showing.hook_taken), _HOOK,
        ),
        Route(
            "GET", "/api/v4/user", "Say who calls.",
            Read(showing.show_user, looks=False), _CREDENTIALS,
        ),
        Route(
            "GET", _DEPLOYMENT, "Show one.", Read(showing.show_deployment), _CREDENTIALS,
        ),
        Route(
            "PUT", _DEPLOYMENT, "Change its status.",
            Change(updated, showing.deployment_updated), _CREDENTIALS,
        ),
        Route(
            "DELETE", _DEPLOYMENT, "Take one back.",
            Change(removed, showing.deployment_removed), _CREDENTIALS,
        ),
        Route(
            "POST", _DEPLOYMENTS, "Create a deployment, of a project known or not.",
            Write(created, showing.deployment_added), _CREDENTIALS,
        ),
        Route(
            "GET", _DEPLOYMENTS, "List deployments of a project.",
            Read(showing.list_deployments), _CREDENTIALS,
        ),
        Route(
            "GET", "/api/v4/projects/{id:path}", "Show a project: whatever is asked for.",
            Read(showing.show_project, looks=False), _CREDENTIALS,
        ),
    ),
    showing.refuse,
    guide="gitlab",
)  # fmt: skip
"""The table."""

"""The routes of Sentry's releases and deploys."""

from typing import Final

from deploymark.integrations.sentry_releases import showing
from deploymark.integrations.sentry_releases.translation import (
    NAME,
    deployed,
    deployed_alone,
    released,
    released_alone,
    removed,
)
from deploymark.ports import Change, Dialect, Read, Route

_RELEASES: Final = "/api/0/organizations/{org}/releases/"
_RELEASE: Final = "/api/0/organizations/{org}/releases/{version:path}/"

DIALECT: Final = Dialect(
    NAME,
    "sentry-cli and Sentry's plugins",
    (
        Route(
            "GET", "/api/0/", "Say who calls.", Read(showing.show_api, looks=False),
        ),
        Route(
            "GET", "/api/0/organizations/{org}/repos/", "List repositories: none.",
            Read(showing.list_nothing, looks=False),
        ),
        Route(
            "GET", "/api/0/projects/{org}/{project}/releases/", "List releases of a project.",
            Read(showing.list_releases),
        ),
        Route("GET", _RELEASES, "List releases.", Read(showing.list_releases)),
        Route(
            "POST", _RELEASES, "Make a release.",
            Change(released, showing.release_added, released_alone),
        ),
        Route("GET", f"{_RELEASE}deploys/", "List deploys.", Read(showing.list_deploys)),
        Route(
            "POST", f"{_RELEASE}deploys/", "Tell a deploy, of a release known or not.",
            Change(deployed, showing.deploy_added, deployed_alone),
        ),
        Route("GET", f"{_RELEASE}commits/", "List commits.", Read(showing.list_commits)),
        Route(
            "GET", f"{_RELEASE}previous-with-commits/", "Show the release before it.",
            Read(showing.show_previous),
        ),
        Route("GET", _RELEASE, "Show a release.", Read(showing.show_release)),
        Route(
            "PUT", _RELEASE, "Add commits, dates and links to a release.",
            Change(released, showing.release_added),
        ),
        Route(
            "DELETE", _RELEASE, "Take a release back; its deploys stay.",
            Change(removed, showing.release_deleted),
        ),
    ),
    showing.refuse,
    guide="sentry",
)  # fmt: skip
"""The table."""

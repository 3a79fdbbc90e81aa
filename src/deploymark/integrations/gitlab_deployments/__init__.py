"""GitLab's deployments: its API, as python-gitlab and scripts use it, and its Deployment Hook.

`routes` is the table, `translation` says what they mean, `showing` how they are shown.
Source: docs.gitlab.com/api/deployments, and of the hook
docs.gitlab.com/user/project/integrations/webhook_events.
"""

from deploymark.integrations.gitlab_deployments.routes import DIALECT

__all__ = ["DIALECT"]

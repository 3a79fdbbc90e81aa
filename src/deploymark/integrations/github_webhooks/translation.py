"""What deployments of GitHub mean. Pure.

A deployment is planned, each of its statuses a phase of it. Its identity is the workflow run, as
for a marker that the run sends itself, so that both are one; a run that is started again stays
one, too. Where no workflow deploys, it is GitHub's own id of the deployment.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from deploymark.errors import DialectError
from deploymark.model.limits import TEXT_BYTES, VALUE_BYTES
from deploymark.model.mapping import mapped, names_deployment
from deploymark.model.tolerant import (
    bounded,
    flag_of,
    instant_of,
    member,
    number_of,
    text_of,
)
from deploymark.model.vocabulary import Phase
from deploymark.ports import ForeignRequest, Said, Translated

NAME: Final = "github_webhooks"

_DEPLOYMENT: Final = "deployment"
_STATUS: Final = "deployment_status"

_PHASES: Final = {
    "queued": Phase.PLANNED,
    "pending": Phase.PLANNED,
    "waiting": Phase.PLANNED,
    "in_progress": Phase.APPLYING,
    "success": Phase.APPLIED,
    "failure": Phase.FAILED,
    "error": Phase.FAILED,
}
_INACTIVE: Final = "inactive"
_MOST_ATTEMPTS: Final = 1_000_000


def delivered(request: ForeignRequest) -> Said:
    """Translate `POST /hooks/github`.

    Raises:
        DialectError: It is a deployment, and does not say of what.
    """
    event = request.headers.get("x-github-event", "")
    body = _body(request)
    if event not in {_DEPLOYMENT, _STATUS}:
        return _nothing(f"The event {event or 'without a name'} tells no deployment")
    if (action := text_of(body.get("action"))) not in {None, "created"}:
        return _nothing(f"The action {action} changes no deployment")
    status = body.get(_STATUS) if event == _STATUS else None
    phase = _phase(body, status) if event == _STATUS else Phase.PLANNED
    if phase is None:
        state = text_of(member(status, "state"))
        return _nothing(f"The state {state} says nothing of a deployment that we do not know")
    told = member(body, _DEPLOYMENT)
    fields = mapped(
        text := _text(told, status),
        _tags(member(told, "payload")),
        request.mapping,
        stated=_stated(body, phase),
        guessed={"service": text_of(member(body, "repository", "name"))},
    )
    if not names_deployment(fields):
        raise DialectError("The body names no repository, or no commit: is it from GitHub?")
    fields |= _around(body, status)
    fields["labels"] = _labels(request, body)
    within = text_of(member(body, "repository", "full_name")) or ""
    marker = Translated(fields, text, within=within)
    return Said((marker,), note=f"{phase.value} in {fields['environment']}")


def _body(request: ForeignRequest) -> Mapping[str, Any]:
    """Return the payload, which is a form's field where the webhook was set up so."""
    if "payload" not in request.form:
        return request.json()
    try:
        found = json.loads(request.form["payload"])
    except (ValueError, RecursionError) as error:
        raise DialectError(f"The field `payload` is not JSON: {error}.") from None
    if not isinstance(found, dict):
        raise DialectError("The field `payload` is not a JSON object.")
    return found


def _nothing(why: str) -> Said:
    return Said(note=f"{why[:VALUE_BYTES]}; nothing was written.")


def _phase(body: Mapping[str, Any], status: Any) -> Phase | None:  # noqa: ANN401 - any JSON value
    state = text_of(member(status, "state"))
    if state == _INACTIVE and flag_of(member(body, _DEPLOYMENT, "transient_environment")):
        return Phase.REMOVED
    if state is None:
        raise DialectError("The body has no deployment_status with a state.")
    # Others become inactive when the next one succeeds, which is known from that one.
    return _PHASES.get(state)


def _stated(body: Mapping[str, Any], phase: Phase) -> dict[str, str | None]:
    told = member(body, _DEPLOYMENT)
    return {
        "environment": text_of(member(told, "environment")) or "production",
        "phase": phase.value,
        "commit": text_of(member(told, "sha")),
        "repository": text_of(member(body, "repository", "html_url")),
        "ref": text_of(member(told, "ref")),
        "run": _action(body),
        "deployer": text_of(member(told, "creator", "login")),
    }


def _around(body: Mapping[str, Any], status: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    """Return what no text says: time, attempt and where to read on."""
    run = body.get("workflow_run")
    at = member(status, "created_at") or member(body, _DEPLOYMENT, "created_at")
    links = (
        member(status, "log_url"),
        member(status, "target_url"),
        member(run, "html_url"),
    )
    return {
        "attempt": _attempt(run),
        "build_url": next((url for link in links if (url := _url(link))), None),
        "timestamp": instant_of(at),
    }


def _action(body: Mapping[str, Any]) -> str | None:
    """Return which deploy it is, written as `emit.ci` does for a run."""
    where = text_of(member(body, "repository", "html_url"))
    run = text_of(member(body, "workflow_run", "id"))
    own = text_of(member(body, _DEPLOYMENT, "id"))
    if not where or not (run or own):
        return None
    return bounded(f"github:{where}:{run or f'deployment-{own}'}", VALUE_BYTES)


def _attempt(run: Any) -> int | None:  # noqa: ANN401 - any JSON value
    found = number_of(member(run, "run_attempt"))
    return found if found is not None and 0 < found < _MOST_ATTEMPTS else None


def _tags(payload: Any) -> list[str]:  # noqa: ANN401 - any JSON value
    """Return the fields that whoever made the deployment gave it, as tags are written."""
    if isinstance(payload, str):
        try:
            payload = json.loads(payload)
        except (ValueError, RecursionError):
            return []
    if not isinstance(payload, Mapping):
        return []
    return [f"{name}:{text}" for name, value in payload.items() if (text := text_of(value))]


def _text(told: Any, status: Any) -> str:  # noqa: ANN401 - any JSON value
    said = text_of(member(status, "description")) or text_of(member(told, "description"))
    return said or ""


def _labels(request: ForeignRequest, body: Mapping[str, Any]) -> dict[str, str]:
    said = {
        "delivery": request.headers.get("x-github-delivery"),
        "github_deployment": member(body, _DEPLOYMENT, "id"),
        "state": member(body, _STATUS, "state"),
        "task": member(body, _DEPLOYMENT, "task"),
    }
    return {name: text for name, value in said.items() if (text := _label(value))}


def _label(value: Any) -> str | None:  # noqa: ANN401 - any JSON value
    return bounded(text_of(value), VALUE_BYTES)


def _url(value: Any) -> str | None:  # noqa: ANN401 - any JSON value
    return bounded(text_of(value), TEXT_BYTES)

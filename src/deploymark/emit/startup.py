"""`deploymark.startup()`: one call at the start of a process confirms what runs.

It finds out what the process was told (`told`), lets a thread hash what runs and say `running`
(`confirmation`), and returns at once what the application may want to show of it. It never raises
for what it finds, and never waits.

A forked child is another instance: it confirms by itself, with an instance uid of its own, shortly
after the fork. A process that only forks those who serve (gunicorn with `--preload`) confirms
nothing itself.
"""

import atexit
import os
import sys
from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

from deploymark.emit.attributes import write_attributes
from deploymark.emit.confirmation import END_SECONDS, SETTLE_SECONDS, Confirmation, prepare, warn
from deploymark.emit.emitter import Emitter
from deploymark.emit.host import SystemHost
from deploymark.emit.instance import own_uid
from deploymark.emit.selfobserved import read_release_file, release_directory
from deploymark.emit.settings import Settings, read_settings
from deploymark.emit.told import Told, gather
from deploymark.model.vocabulary import (
    ARTIFACT_DIGEST,
    CONFIRMS_ITSELF,
    DEPLOYMENT_ENVIRONMENT,
    DEPLOYMENT_ID,
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    SERVICE_VERSION,
    VCS_REVISION,
    EmitterKind,
)

MOST_FORKS: Final = 128
FORKS_SECONDS: Final = 60.0
"""A process that forks more children in this time does not fork them to serve."""

_NOT_SAID: Final = "nothing is confirmed: {} not known. Set {}."


class Startup(NamedTuple):
    """What a process knows of its own deployment. "" means: not known.

    The fields are the same in every process that was forked from the one that started; the
    properties answer for the process that asks.

    Attributes:
        deployment_id: As it was told; one that nobody told is not guessed.
        service: Name of the service.
        environment: Name of the environment.
        version: Of the service.
        commit_hash: It was built from.
        told: All that it was told.
    """

    deployment_id: str = ""
    service: str = ""
    environment: str = ""
    version: str = ""
    commit_hash: str = ""
    told: Told = Told()

    @property
    def instance_uid(self) -> str:
        """What tells this process from all others (see `instance`)."""
        here = _here()
        # Right after a fork somebody may ask before we have begun anew.
        if here is not None and here.confirmation.process == os.getpid():
            return here.confirmation.instance_uid
        return own_uid(SystemHost())

    @property
    def marker_id(self) -> str:
        """The id of this process's `running` marker; "" until it is said, or when it is not."""
        here = _here()
        return here.confirmation.marker_id if here else ""

    @property
    def digest(self) -> str:
        """The digest that this process found by hashing, else the one that it was told."""
        here = _here()
        observed = here.confirmation.observed if here else None
        return self.told.artifact.get("digest", "") if observed is None else observed.digest

    @property
    def resource_attributes(self) -> dict[str, str]:
        """Resource attributes of OpenTelemetry (spec: marker, "OpenTelemetry names")."""
        return _stated(
            {
                **self.told.others,
                SERVICE_NAME: self.service,
                SERVICE_VERSION: self.version,
                SERVICE_INSTANCE_ID: self.instance_uid,
                DEPLOYMENT_ENVIRONMENT: self.environment,
                DEPLOYMENT_ID: self.deployment_id,
                VCS_REVISION: self.commit_hash,
                ARTIFACT_DIGEST: self.digest,
                # Ours knows more than this resource can say before the release is hashed.
                CONFIRMS_ITSELF: "true" if _here() is not None else "",
            }
        )

    @property
    def otel_resource_attributes(self) -> str:
        """The same as the text of `OTEL_RESOURCE_ATTRIBUTES`."""
        return write_attributes(self.resource_attributes)

    @property
    def log_fields(self) -> Mapping[str, str]:
        """What each log line may say, under the names of the flat marker."""
        here = _here()
        return here.log_fields if here else {}

    def wait(self, seconds: float) -> bool:
        """Wait until this process has confirmed, or has found that it cannot; for short programs.

        Args:
            seconds: How long at most.

        Returns:
            Whether it came so far.
        """
        here = _here()
        return here.confirmation.done.wait(seconds) if here else False

    def end(self) -> None:
        """Say that this process ends, for one that ends without Python's own end; idempotent."""
        here = _here()
        if here:
            here.confirmation.end()


class _Here(NamedTuple):
    """What this process has of it; a forked child gets its own."""

    startup: Startup
    emitter: Emitter
    confirmation: Confirmation
    log_fields: Mapping[str, str]
    children: bool


_state: list[_Here] = []


def _here() -> _Here | None:
    return _state[-1] if _state else None


def startup(  # noqa: PLR0913 - all by name, and all may be left out
    *,
    service: str | None = None,
    environment: str | None = None,
    deployment_id: str | None = None,
    version: str | None = None,
    commit: str | None = None,
    release: str | None = None,
    distribution: str | None = None,
    executable: bool | None = None,
    prefork: bool | None = None,
    children: bool = True,
    settings: Settings | None = None,
) -> Startup:
    """Confirm what this process runs; never raises for what it finds, and never waits.

    What is not given is taken from `DEPLOYMARK_SERVICE`, `_ENVIRONMENT`, `_DEPLOYMENT_ID`,
    `_VERSION`, `_COMMIT`, `_RELEASE` and so on, from `OTEL_SERVICE_NAME` and
    `OTEL_RESOURCE_ATTRIBUTES`, or from the file `deploymark.json` in the release. Without a service
    and an environment nothing is said. A second call returns what the first one did.

    Args:
        service: Name of the service.
        environment: Name of the environment.
        deployment_id: Of the deployment that this process belongs to.
        version: Of the service.
        commit: It was built from.
        release: Directory that was deployed; hashed as `deploymark run --release` does.
        distribution: Name of the installed distribution that was deployed, to be hashed instead.
        executable: The executable of this process was deployed, and is hashed instead.
        prefork: This process only forks those who serve: they confirm, and it does not. gunicorn
            with `--preload` is recognised.
        children: Forked children are instances of their own; False for a program whose children
            only help it.
        settings: Where to send markers; those of the environment when left out.
    """
    here = _here()
    if here is not None:
        return here.startup
    given = {
        "service": service,
        "environment": environment,
        "deployment_id": deployment_id,
        "version": version,
        "commit_hash": commit,
        "release": release,
        "distribution": distribution,
        "executable": executable,
    }
    host = SystemHost()
    told = _told(given, host.environment())
    if settings is None:
        settings = read_settings(host.environment(), host.user())
    emitter = Emitter(
        settings._replace(budget_seconds=END_SECONDS),
        kind=EmitterKind.RUNTIME,
        emitter_id=f"runtime:{told.service}@{host.name()}",
        facts={},
        host=host,
    )
    confirmation = Confirmation(told, emitter, host)
    started = _installed(told, emitter, confirmation, children=children)
    for problem in told.problems:
        warn(problem)
    if not (told.service and told.environment):
        missing = [name for name in ("service", "environment") if not getattr(told, name)]
        variables = " and ".join(f"DEPLOYMARK_{name.upper()}" for name in missing)
        what = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'}"
        warn(_NOT_SAID.format(what, variables))
        confirmation.done.set()
    elif _only_forks() if prefork is None else prefork:
        prepare(told, settings)  # once for all children
        confirmation.done.set()
    else:
        prepare(told, settings)
        confirmation.begin()
    return started


def describe() -> Startup:
    """Return what `startup` returned; before it was called, what this process was told.

    Confirms nothing: for whoever only shows it.
    """
    here = _here()
    if here is not None:
        return here.startup
    return _startup_of(_told({}, SystemHost().environment()))


def _startup_of(told: Told) -> Startup:
    return Startup(
        told.deployment_id, told.service, told.environment, told.version, told.commit_hash, told
    )


def _told(given: Mapping[str, object], variables: Mapping[str, str]) -> Told:
    named = str(given.get("release") or variables.get("DEPLOYMARK_RELEASE", ""))
    directory = release_directory(named)
    told = gather(given, variables, read_release_file(directory))
    # A release that was only found does not go before what was told to be the artifact.
    chosen = bool(told.artifact.get("digest") or told.distribution or told.executable)
    return told._replace(release="" if chosen and not named else directory)


def _installed(
    told: Told, emitter: Emitter, confirmation: Confirmation, *, children: bool
) -> Startup:
    started = _startup_of(told)
    if not _registered:
        _registered.append(True)
        # Before ours: what registers later is run earlier, and delivers what we have said.
        emitter.prepare_exit()
        atexit.register(started.end)
        os.register_at_fork(before=_count_fork, after_in_child=_begin_anew)
    _place(_Here(started, emitter, confirmation, {}, children))
    return started


_registered: list[bool] = []


def _place(here: _Here) -> None:
    started = here.startup
    fields = {
        "deployment_id": started.deployment_id,
        "service": started.service,
        "environment": started.environment,
        "version": started.version,
        "instance_uid": here.confirmation.instance_uid,
    }
    _state[:] = [here._replace(log_fields=_stated(fields))]


_forks: "deque[float]" = deque(maxlen=MOST_FORKS)


def _count_fork() -> None:
    _forks.append(SystemHost().elapsed_seconds())


def _begin_anew() -> None:
    """Give a forked child a confirmation of its own."""
    here = _here()
    if here is None:
        return
    told, host = here.startup.told, SystemHost()
    # Who forks so often forks for each piece of work, and not to serve.
    often = len(_forks) == MOST_FORKS and _forks[-1] - _forks[0] < FORKS_SECONDS
    _forks.clear()
    observed = here.confirmation.observed
    confirmation = Confirmation(told, here.emitter, host, observed, SETTLE_SECONDS)
    _place(here._replace(confirmation=confirmation))
    if told.service and told.environment and here.children and not often:
        confirmation.begin()
    else:
        confirmation.done.set()


def _only_forks() -> bool:
    """Whether gunicorn's arbiter loads the application here before it forks its workers."""
    if "gunicorn.arbiter" not in sys.modules:
        return False
    inside = False
    frame = sys._getframe()  # noqa: SLF001 - documented, and there is no other way to know
    while frame is not None:
        if frame.f_globals.get("__name__") == "gunicorn.arbiter":
            if frame.f_code.co_name == "spawn_worker":
                return False
            inside = True
        if frame.f_back is None:
            break
        frame = frame.f_back
    return inside


def _stated(fields: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value}

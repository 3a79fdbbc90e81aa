"""One process confirms what it runs, once, and says when it ends.

Everything that takes time happens on a thread of its own: hashing what runs, and saying `running`.
Whatever fails there is one line in the log. A forked child gets a confirmation of its own, because
it is another instance; nothing of its parent's threads and locks is used again. Nor may a fork
come while a thread of ours imports something: the child would have half a module for ever, and so
would its application. Therefore `prepare` loads beforehand what the threads will use. How a process
comes to have a confirmation, and what its application sees of it, is the business of `startup`.
"""

import logging
import sys
import threading
from importlib import import_module
from typing import Any, Final

from deploymark.emit.emitter import LOGGER, Emitter, State
from deploymark.emit.host import Host
from deploymark.emit.instance import own_uid
from deploymark.emit.selfobserved import SelfObserved, observe_self
from deploymark.emit.settings import Settings
from deploymark.emit.told import Told
from deploymark.errors import DeploymarkError
from deploymark.model.instants import format_instant
from deploymark.model.vocabulary import Basis, Phase

SETTLE_SECONDS: Final = 0.1
"""How long a forked child waits: one that at once becomes another program confirms nothing."""

END_SECONDS: Final = 0.3
"""How long each of the two steps at the end of a process may take."""

Fields = dict[str, Any]


def prepare(told: Told, settings: Settings) -> None:
    """Load what the threads of a confirmation and of its emitter will use; on the main thread.

    Args:
        told: What will be hashed.
        settings: How it will be said.
    """
    wanted = []
    if told.release or told.executable or told.distribution or hasattr(sys, "frozen"):
        wanted.append("deploymark.emit.release")
    if told.distribution:
        wanted += ["deploymark.emit.distribution", "importlib.metadata", "email.parser", "csv"]
    if settings.key:
        wanted += ["deploymark.emit.signing", "cryptography.exceptions"]
        cipher = "cryptography.hazmat.primitives"
        wanted += [f"{cipher}.asymmetric.ed25519", f"{cipher}.serialization"]
    if settings.url.lower().startswith("https"):
        wanted.append("ssl")
        if settings.proxy:
            wanted += ["base64", "urllib.parse"]
    if "opentelemetry.trace" in sys.modules:
        wanted.append("deploymark.emit.startup_span")
    for name in wanted:
        import_module(name)


class Confirmation:
    """What one process says about itself.

    Args:
        told: What it was told.
        emitter: Who says it.
        host: The outside.
        observed: What a parent has found out already about the same files.
        settle_seconds: How long to wait before anything is said.
    """

    def __init__(
        self,
        told: Told,
        emitter: Emitter,
        host: Host,
        observed: SelfObserved | None = None,
        settle_seconds: float = 0.0,
    ) -> None:
        self.instance_uid = own_uid(host)
        self.observed = observed
        self.marker_id = ""
        self.done = threading.Event()
        self._told = told
        self._emitter = emitter
        self._host = host
        self._settle_seconds = settle_seconds
        self.process = host.process()
        self._ending = threading.Event()
        self._confirmed: Fields | None = None

    def begin(self) -> None:
        """Confirm on a thread of its own; returns at once."""
        try:
            threading.Thread(target=self._run, name="deploymark-startup", daemon=True).start()
        except RuntimeError as error:  # no thread to be had
            self.done.set()
            warn(f"nothing is confirmed: {error}.")

    def end(self) -> None:
        """Say that this instance ends; idempotent, never raises, and takes END_SECONDS twice."""
        if self._ending.is_set() or self.process != self._host.process():
            return
        self._ending.set()
        try:
            # A process that was short-lived: what it says at all, it says in its order.
            if not self.done.wait(END_SECONDS) or self._confirmed is None:
                return
            self._emitter.mark(Phase.REMOVED, **self._confirmed)
            self._emitter.flush(END_SECONDS)
        except Exception as error:  # noqa: BLE001 - never into the host
            warn(f"the end of this instance could not be said: {error}.")

    def _run(self) -> None:
        try:
            if self._settle_seconds and self._ending.wait(self._settle_seconds):
                return
            began_ms = self._host.now_ms()
            self._confirm()
            self.done.set()
            if self._confirmed is not None and "opentelemetry.trace" in sys.modules:
                self._record(began_ms)
        except Exception as error:  # noqa: BLE001 - never into the host
            warn(f"this instance could not be confirmed: {type(error).__name__}: {error}.")
        finally:
            self.done.set()

    def _confirm(self) -> None:
        if self.observed is None:
            self.observed = self._observe()
        fields = self._fields()
        if not any(fields.get(name) for name in ("deployment_id", "version", "commit_hash")) and (
            "digest" not in fields["artifact"]
        ):
            warn(
                "nothing is confirmed: neither deployment, release, version nor commit is known. "
                "Set DEPLOYMARK_DEPLOYMENT_ID or DEPLOYMARK_VERSION."
            )
            return
        marked = self._emitter.mark(Phase.RUNNING, **fields)
        self.marker_id = marked.marker_id
        if marked.state in (State.REFUSED, State.LOST):
            return  # the emitter has said why
        known = {"instance_uid": self.instance_uid, "marker_id": marked.marker_id}
        told = ("service", "environment", "deployment_id", "version")
        known |= {name: fields[name] for name in told if fields[name]}
        logging.getLogger(LOGGER).info("deploymark startup: instance confirmed", extra=known)
        # What ends the instance says no more than which instance it was.
        subject = (*told, "commit_hash", "artifact")
        self._confirmed = {name: fields[name] for name in subject if fields.get(name)}
        self._confirmed["target"] = fields["target"]
        self._see_end_of_children()

    def _record(self, began_ms: int) -> None:
        from deploymark.emit.startup_span import record_startup  # noqa: PLC0415 - only with OTel

        attributes = {"deploymark.marker.id": self.marker_id}
        if self.observed is not None:
            attributes["deploymark.artifact.digest"] = self.observed.digest
        record_startup(began_ms, self._host.now_ms(), attributes, self._ending)

    def _observe(self) -> SelfObserved | None:
        try:
            return observe_self(self._told)
        except DeploymarkError as error:
            warn(f"the release cannot be hashed: {error.message}")
        except OSError as error:
            warn(f"the executable cannot be hashed: {error.strerror}.")
        return None

    def _fields(self) -> Fields:
        told, target, artifact = self._told, dict(self._told.place), dict(self._told.artifact)
        # With the number: the workers of one pod are several instances, and none replaces another.
        target["instance"] = f"{target.get('instance') or self._host.name()}:{self.process}"
        target["instance_uid"] = self.instance_uid
        evidence = {"basis": Basis.DECLARED.value}
        if self.observed is not None:
            artifact["digest"] = self.observed.digest
            evidence = {
                "basis": Basis.SELF_OBSERVED.value,
                "observer": self.observed.observer,
                "digest": self.observed.digest,
                "at": format_instant(self._host.now_ms()),
            }
        elif "digest" in artifact:
            evidence["digest"] = artifact["digest"]
        fields: Fields = {
            "service": told.service,
            "environment": told.environment,
            "deployment_id": told.deployment_id or None,
            "version": told.version or None,
            "commit_hash": told.commit_hash or None,
            "repository": told.repository or None,
            "artifact": artifact,
            "target": target,
            "evidence": evidence,
        }
        if told.track:
            fields["rollout"] = {"track": told.track}
        return fields

    def _see_end_of_children(self) -> None:
        """Say the end of a child of `multiprocessing` too: up to Python 3.12 no `atexit` runs."""
        process = sys.modules.get("multiprocessing.process")
        if process is None or process.parent_process() is None:
            return
        from multiprocessing.util import Finalize  # noqa: PLC0415 - loaded already

        Finalize(None, self.end, exitpriority=0)


def warn(what: str) -> None:
    """Log what this process does not say about itself, and why."""
    logging.getLogger(LOGGER).warning("deploymark startup: %s", what)

"""The objects of the double of the Kubernetes API: versions, rules, history. One lock over all.

Every change takes a new resourceVersion, is checked as the API server checks it, and is put into
the history that watches read. After each change the controllers run until nothing is left to do.
"""

import datetime as dt
import threading
import uuid
from collections.abc import Callable, Mapping
from copy import deepcopy
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from deploymark.testing.kubernetes_apply import (
    Owner,
    Owners,
    applied,
    conflicts_of,
    managed_fields,
    owns_now,
)
from deploymark.testing.kubernetes_patch import differs
from deploymark.testing.kubernetes_rules import check_rules
from deploymark.testing.kubernetes_schema import REVISION, Kind, problems_of

Content = dict[str, Any]
Selects = Callable[[Content], bool]

_REASONS: Final[Mapping[int, str]] = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    415: "UnsupportedMediaType",
    422: "Invalid",
    503: "ServiceUnavailable",
}


class StatusError(Exception):
    """An answer that is no success.

    Attributes:
        code: The HTTP status.
        causes: What exactly, each with `reason`, `message`, `field`.
    """

    def __init__(
        self, code: int, message: str, *, reason: str = "", causes: list[Content] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason or _REASONS[code]
        self.causes = causes or []

    def document(self) -> Content:
        """Return the answer's body."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": str(self),
            "reason": self.reason,
            "details": {"causes": self.causes},
            "code": self.code,
        }


class Key(NamedTuple):
    """Where an object stands."""

    plural: str
    namespace: str
    name: str


class Event(NamedTuple):
    """One change, as watches tell it."""

    version: int
    type: str
    key: Key
    content: Content


class Store:
    """All objects of one double.

    Args:
        reconcile: The controllers: run after every change; says whether it changed something.
    """

    def __init__(self, reconcile: "Callable[[Store], bool]") -> None:
        self.changed = threading.Condition(threading.RLock())
        self.namespaces = {"default"}
        self.version = 1
        self._reconcile = reconcile
        self._busy = False
        self._objects: dict[Key, Content] = {}
        self._owners: dict[Key, Owners] = {}
        self._history: list[Event] = []
        self._oldest = 0

    # Reading ------------------------------------------------------------------------------------

    def get(self, kind: Kind, namespace: str, name: str) -> Content:
        """Return an object; raises StatusError 404."""
        with self.changed:
            found = self._objects.get(Key(kind.plural, namespace, name))
            if found is None:
                raise StatusError(404, f'{_named(kind)} "{name}" not found')
            return deepcopy(found)

    def listed(self, kind: Kind, namespace: str, selects: Selects) -> tuple[int, list[Content]]:
        """Return the version and the objects; of all namespaces when it is ""."""
        with self.changed:
            return self.version, [
                deepcopy(each)
                for key, each in sorted(self._objects.items())
                if key.plural == kind.plural and namespace in ("", key.namespace) and selects(each)
            ]

    def since(self, version: int) -> list[Event]:
        """Return what changed after a version; raises StatusError 410 when that was forgotten."""
        if version < self._oldest:
            raise StatusError(410, f"too old resource version: {version} ({self._oldest})")
        return [each for each in self._history if each.version > version]

    def compact(self) -> None:
        """Forget the history, as etcd does every five minutes."""
        with self.changed:
            self._history.clear()
            self._oldest = self.version

    # Writing ------------------------------------------------------------------------------------

    def create(self, kind: Kind, namespace: str, content: Content, manager: str) -> Content:
        """Add an object.

        Raises:
            StatusError: 400, 404, 409 or 422.
        """
        with self.changed:
            if namespace not in self.namespaces:
                raise StatusError(404, f'namespaces "{namespace}" not found')
            metadata = content.setdefault("metadata", {})
            name = metadata.get("name")
            if not name:
                raise StatusError(422, "metadata.name: Required value: name is required")
            if metadata.setdefault("namespace", namespace) != namespace:
                raise StatusError(400, "the namespace of the object does not match the request")
            if problems := problems_of(content, kind.model):
                raise StatusError(400, f"strict decoding error: {', '.join(problems)}")
            key = Key(kind.plural, namespace, name)
            if key in self._objects:
                raise StatusError(
                    409, f'{_named(kind)} "{name}" already exists', reason="AlreadyExists"
                )
            content.update(apiVersion=kind.api_version, kind=kind.kind)
            content.pop("status", None)
            metadata.update(uid=str(uuid.uuid4()), creationTimestamp=_now())
            check_rules(kind.kind, content, None)
            if kind.counts:
                metadata["generation"] = 1
            self._owners[key] = owns_now({}, Owner(manager, "Update"), {}, content, _model(kind))
            return self._keep(kind, key, content, "ADDED")

    def change(
        self,
        kind: Kind,
        key: Key,
        how: Callable[[Content], Content],
        *,
        manager: str,
        status: bool = False,
        dry: bool = False,
    ) -> Content:
        """Change an object, or only its status.

        Args:
            kind: Of the object.
            key: Where it stands.
            how: Returns it as it shall be; a resourceVersion in it must be the newest.
            manager: Who writes.
            status: The status is written, and nothing else; otherwise everything but the status.
            dry: Nothing is kept.

        Raises:
            StatusError: 404, 409 or 422.
        """
        with self.changed:
            found = self.get(kind, key.namespace, key.name)
            wanted = _with_identity(kind, found, how(deepcopy(found)))
            wanted = _with_status(found, wanted) if status else _with_status(wanted, found)
            owner = Owner(manager, "Update", "status" if status else "")
            owners = owns_now(self._owners[key], owner, found, wanted, _model(kind))
            return self._change(kind, key, found, wanted, owners, dry=dry)

    def apply(
        self, kind: Kind, key: Key, wanted: Content, *, manager: str, force: bool, dry: bool
    ) -> Content:
        """Apply to an object, which is created when it is not there.

        Raises:
            StatusError: 400, 404, 409 with who owns the fields, or 422.
        """
        with self.changed:
            writer = Owner(manager, "Apply")
            model = _model(kind)
            if key not in self._objects:
                created = self.create(kind, key.namespace, deepcopy(wanted), manager)
                self._owners[key] = applied({}, writer, {}, wanted, model)[1]
                return created
            found, owners = self.get(kind, key.namespace, key.name), self._owners[key]
            conflicts = conflicts_of(owners, writer, found, wanted, model)
            if conflicts and not force:
                raise _apply_conflict(conflicts)
            content, owners = applied(owners, writer, found, wanted, model)
            content = _with_status(_with_identity(kind, found, content), found)
            return self._change(kind, key, found, content, owners, dry=dry)

    def delete(self, kind: Kind, key: Key, grace: int | None) -> Content:
        """End an object and what it owns; a pod on a node ends when its node says so."""
        with self.changed:
            found = self.get(kind, key.namespace, key.name)
            if kind.kind == "Pod":
                waits = bool(found["spec"].get("nodeName")) and grace != 0
                found["metadata"].setdefault("deletionTimestamp", _now())
                seconds = (grace or 30) if waits else 0
                found["metadata"].setdefault("deletionGracePeriodSeconds", seconds)
                if waits:
                    return self._keep(kind, key, found, "MODIFIED")
                self._tell("MODIFIED", key, found)
            del self._objects[key], self._owners[key]
            self._tell("DELETED", key, found)
            self.settle()
            return found

    def settle(self) -> None:
        """Let the controllers run until they have nothing to do."""
        if self._busy:
            return
        self._busy = True
        try:
            while self._reconcile(self):
                pass
        finally:
            self._busy = False

    def _change(
        self, kind: Kind, key: Key, found: Content, wanted: Content, owners: Owners, *, dry: bool
    ) -> Content:
        if problems := problems_of(wanted, kind.model):
            raise StatusError(
                HTTPStatus.UNPROCESSABLE_ENTITY, f"strict decoding error: {', '.join(problems)}"
            )
        check_rules(kind.kind, wanted, found)
        if _counts(kind, found, wanted):
            wanted["metadata"]["generation"] = found["metadata"]["generation"] + 1
        if _without_owners(wanted) == _without_owners(found) and owners == self._owners[key]:
            return found
        if dry:
            return wanted
        self._owners[key] = owners
        return self._keep(kind, key, wanted, "MODIFIED")

    def _keep(self, kind: Kind, key: Key, content: Content, event: str) -> Content:
        owned = managed_fields(self._owners[key], kind.api_version)
        content["metadata"]["managedFields"] = owned
        self._objects[key] = content
        self._tell(event, key, content)
        kept = deepcopy(content)
        self.settle()
        return kept

    def _tell(self, event: str, key: Key, content: Content) -> None:
        self.version += 1
        content["metadata"]["resourceVersion"] = str(self.version)
        self._history.append(Event(self.version, event, key, deepcopy(content)))
        self.changed.notify_all()


def _named(kind: Kind) -> str:
    group = kind.api_version.rpartition("/")[0]
    return f"{kind.plural}.{group}" if group else kind.plural


def _model(kind: Kind) -> Any:  # noqa: ANN401 - a type, or Any where lists have no keys
    return kind.model if kind.merges_lists else Any


def _now() -> str:
    return dt.datetime.fromtimestamp(0, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _counts(kind: Kind, found: Content, wanted: Content) -> bool:
    if kind.counts_annotations and _annotations(found) != _annotations(wanted):
        return True
    return kind.counts and differs(found, wanted, "spec")


def _annotations(content: Content) -> Content:
    """Return those that count: the controller writes its own beside the status."""
    found = content["metadata"].get("annotations") or {}
    return {name: said for name, said in found.items() if name != REVISION}


def _without_owners(content: Content) -> Content:
    metadata = {k: v for k, v in content["metadata"].items() if k != "managedFields"}
    status = content.get("status") or {}
    return {**content, "metadata": metadata, "status": status}


def _with_identity(kind: Kind, found: Content, wanted: Content) -> Content:
    """Give an object what a writer cannot change, and refuse who has read an older one."""
    old, new = found["metadata"], dict(wanted.get("metadata") or {})
    name = old["name"]
    version = new.get("resourceVersion")
    if version and version != old["resourceVersion"]:
        raise StatusError(
            409,
            f'Operation cannot be fulfilled on {_named(kind)} "{name}": the object has been '
            "modified; please apply your changes to the latest version and try again",
        )
    for field in ("name", "namespace", "uid"):
        if new.get(field) not in (None, old[field]):
            raise StatusError(422, f"metadata.{field}: Invalid value: field is immutable")
    for field in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp"):
        new[field] = old[field]
    for field in ("generation", "managedFields", "deletionTimestamp"):
        new.pop(field, None)
        if field in old:
            new[field] = old[field]
    return {**wanted, "apiVersion": kind.api_version, "kind": kind.kind, "metadata": new}


def _with_status(content: Content, status_of: Content) -> Content:
    """Return one object with the status of another; an empty one is none."""
    found = {name: each for name, each in content.items() if name != "status"}
    return {**found, "status": status_of["status"]} if status_of.get("status") else found


def _apply_conflict(conflicts: list[Any]) -> StatusError:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f'conflict with "{each.manager}"',
            "field": each.field,
        }
        for each in conflicts
    ]
    fields = ", ".join(f"{each.field} ({each.manager})" for each in conflicts)
    return StatusError(
        409, f"Apply failed with {len(conflicts)} conflicts: {fields}", causes=causes
    )

"""A strict double of the Kubernetes API over HTTP, on loopback, for tests of what talks to it.

It serves Deployments, ReplicaSets, Pods and Argo's Rollouts: get, list, watch, create, delete, the
three patches, server-side apply, the status subresource. It is stricter than an API server where
that helps: an unknown field is always refused. What it does not do: other kinds, PUT, admission,
defaults beyond `replicas`, a scheduler and a kubelet. The tests that use it are written to run as
they are against a real control plane, where KUBEBUILDER_ASSETS names one.

Nobody is authenticated; a token may be given a role, which is then enforced as RBAC enforces it.
"""

import json
import re
import threading
import urllib.parse
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Final, NamedTuple, Self

from deploymark.testing.kubernetes_controllers import reconcile
from deploymark.testing.kubernetes_patch import (
    PatchError,
    merge,
    merge_strategically,
    patch_json,
)
from deploymark.testing.kubernetes_rules import RuleError
from deploymark.testing.kubernetes_schema import KINDS, Kind
from deploymark.testing.kubernetes_select import field_selector, label_selector
from deploymark.testing.kubernetes_store import Content, Event, Key, StatusError, Store

_PATH: Final = re.compile(
    r"/(?P<group>api/v1|apis/[a-z.]+/[a-z0-9]+)"
    r"(?:/namespaces/(?P<namespace>[a-z0-9-]+))?"
    r"/(?P<plural>[a-z]+)(?:/(?P<name>[a-z0-9.-]+)(?:/(?P<part>[a-z]+))?)?"
)
_JSON, _MERGE, _STRATEGIC, _APPLY = (
    f"application/{name}"
    for name in (
        "json-patch+json",
        "merge-patch+json",
        "strategic-merge-patch+json",
        "apply-patch+yaml",
    )
)
_TICK_SECONDS: Final = 0.2


class Asked(NamedTuple):
    """One request, as far as its address tells.

    Attributes:
        name: "" for the whole collection.
        part: The subresource, "" for the object itself.
    """

    kind: Kind
    namespace: str
    name: str
    part: str
    query: Mapping[str, str]

    @property
    def key(self) -> Key:
        """Where the object stands."""
        return Key(self.kind.plural, self.namespace, self.name)


class KubernetesApi:
    """A running double; use it in `with`.

    Attributes:
        roles: `rules` of a Role by bearer token; any other token may do everything.
        away: Every request is answered with 503, and nothing is done.
        deaf_after_write: The next write is done, and neither it nor anything later is answered.
        mute_next_write: The next write is done and not answered.
    """

    def __init__(self) -> None:
        self.store = Store(reconcile)
        self.roles: dict[str, Sequence[Mapping[str, Any]]] = {}
        self.away = False
        self.deaf_after_write = False
        self.mute_next_write = False
        self.is_deaf = False
        self.stopping = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        """Where it answers, without a final slash."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def may(self, token: str, verb: str, asked: Asked) -> bool:
        """Tell whether the role of a token lets somebody do this."""
        if token not in self.roles:
            return True
        resource = f"{asked.kind.plural}/{asked.part}" if asked.part else asked.kind.plural
        group = asked.kind.api_version.rpartition("/")[0]
        return any(
            group in rule["apiGroups"]
            and resource in rule["resources"]
            and verb in rule["verbs"]
            and asked.name in (rule.get("resourceNames") or [asked.name])
            for rule in self.roles[token]
        )


def _handler_for(api: KubernetesApi) -> type["_Handler"]:
    class Bound(_Handler):
        """The handler of one double."""

        double: ClassVar[KubernetesApi] = api

    return Bound


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    double: ClassVar[KubernetesApi]

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Get, list or watch."""
        self._serve(self._read)

    def do_POST(self) -> None:
        """Create."""
        self._serve(self._create)

    def do_PATCH(self) -> None:
        """Patch or apply."""
        self._serve(self._patch)

    def do_DELETE(self) -> None:
        """Delete."""
        self._serve(self._delete)

    def do_PUT(self) -> None:
        """Replace, which the double does not do."""
        self._serve(_not_here)

    # Answering ----------------------------------------------------------------------------------

    def _serve(self, answer: Any) -> None:  # noqa: ANN401 - one of the methods below
        double = self.double
        self._body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            code, content = _away() if double.away else answer()
        except StatusError as error:
            code, content = error.code, error.document()
        except (RuleError, PatchError) as error:
            code, content = 422, StatusError(422, str(error)).document()
        if self.command != "GET":
            double.is_deaf = double.is_deaf or double.deaf_after_write
        if double.is_deaf or (double.mute_next_write and self.command != "GET"):
            double.mute_next_write = False
            self.close_connection = True
        elif content is not None:
            self._send(code, content)

    def _send(self, code: int, content: Content) -> None:
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _asked(self, verb: str) -> Asked:
        """Return what is asked for.

        Raises:
            StatusError: There is no such thing, or the role does not allow it.
        """
        address = urllib.parse.urlsplit(self.path)
        match = _PATH.fullmatch(address.path)
        kind = match and next(
            (
                each
                for each in KINDS
                if (each.group_path, each.plural) == (match["group"], match["plural"])
            ),
            None,
        )
        if not (match and kind) or match["part"] not in (None, "status"):
            raise StatusError(404, "the server could not find the requested resource")
        query = dict(urllib.parse.parse_qsl(address.query))
        asked = Asked(
            kind, match["namespace"] or "", match["name"] or "", match["part"] or "", query
        )
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if not self.double.may(token, verb, asked):
            raise StatusError(
                403,
                f'{asked.kind.plural} "{asked.name}" is forbidden: User "system:tests" cannot '
                f'{verb} resource "{asked.kind.plural}" in the namespace "{asked.namespace}"',
            )
        return asked

    # Verbs --------------------------------------------------------------------------------------

    def _read(self) -> tuple[int, Content | None]:
        if self.path == "/readyz":
            return 200, {"status": "ok"}
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        path = _PATH.fullmatch(urllib.parse.urlsplit(self.path).path)
        if path and path["name"]:
            asked = self._asked("get")
            return 200, self.double.store.get(asked.kind, asked.namespace, asked.name)
        if query.get("watch") in ("1", "true"):
            self._watch(self._asked("watch"))
            return 200, None
        return 200, self._list(self._asked("list"))

    def _list(self, asked: Asked) -> Content:
        store = self.double.store
        version, items = store.listed(asked.kind, asked.namespace, _selects(asked))
        start, at = 0, asked.query.get("continue", "")
        if at:
            old, start = (int(part) for part in at.split("."))
            with store.changed:
                store.since(old)  # 410 when it was forgotten
        limit = int(asked.query.get("limit") or 0) or len(items)
        metadata: Content = {"resourceVersion": str(version)}
        if start + limit < len(items):
            metadata["continue"] = f"{version}.{start + limit}"
        return {
            "apiVersion": asked.kind.api_version,
            "kind": f"{asked.kind.kind}List",
            "metadata": metadata,
            "items": items[start : start + limit],
        }

    def _create(self) -> tuple[int, Content]:
        content = self._content()
        if self.path == "/api/v1/namespaces":
            self.double.store.namespaces.add(content["metadata"]["name"])
            return 201, content
        asked = self._asked("create")
        if asked.name:
            raise StatusError(405, "POST is for collections")
        store = self.double.store
        return 201, store.create(asked.kind, asked.namespace, content, self._manager(asked))

    def _patch(self) -> tuple[int, Content]:
        asked = self._asked("patch")
        how = self.headers.get("Content-Type", "").partition(";")[0]
        patch, kind = self._content(), asked.kind
        dry, store = asked.query.get("dryRun") == "All", self.double.store
        if how == _APPLY:
            if "fieldManager" not in asked.query:
                raise StatusError(400, "fieldManager is required for apply patch")
            force = asked.query.get("force") == "true"
            manager = asked.query["fieldManager"]
            if asked.part:
                raise StatusError(405, "the double applies to no subresource")
            return 200, store.apply(kind, asked.key, patch, manager=manager, force=force, dry=dry)
        ways = {
            _MERGE: lambda found: merge(found, patch),
            _JSON: lambda found: patch_json(found, patch),
        }
        if kind.merges_lists:
            ways[_STRATEGIC] = lambda found: merge_strategically(found, patch, kind.model)
        if how not in ways:
            raise StatusError(
                415,
                "the body of the request was in an unknown format - accepted media types include: "
                + ", ".join(ways),
            )
        manager, status = self._manager(asked), bool(asked.part)
        changed = store.change(kind, asked.key, ways[how], manager=manager, status=status, dry=dry)
        return 200, changed

    def _delete(self) -> tuple[int, Content]:
        asked = self._asked("delete")
        told = self._content() if self._body else {}
        grace = asked.query.get("gracePeriodSeconds", told.get("gracePeriodSeconds"))
        ended = self.double.store.delete(
            asked.kind, asked.key, None if grace is None else int(grace)
        )
        return 200, ended

    def _content(self) -> Any:  # noqa: ANN401 - any JSON
        try:
            return json.loads(self._body)
        except ValueError as error:
            raise StatusError(400, f"the body is no JSON: {error}") from error

    def _manager(self, asked: Asked) -> str:
        agent = self.headers.get("User-Agent", "unknown")
        return asked.query.get("fieldManager") or agent.partition("/")[0]

    # Watching -----------------------------------------------------------------------------------

    def _watch(self, asked: Asked) -> None:
        """Send changes line by line until the client goes or the double stops."""
        store, selects = self.double.store, _selects(asked)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with suppress(ConnectionError):
            with store.changed:
                version, items = store.listed(asked.kind, asked.namespace, selects)
            start = asked.query.get("resourceVersion") or "0"
            if start == "0":
                for each in items:
                    self._tell("ADDED", each)
            else:
                version = int(start)
            self._follow(asked, version)
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def _follow(self, asked: Asked, version: int) -> None:
        store, selects = self.double.store, _selects(asked)
        left = float(asked.query.get("timeoutSeconds") or 3600)
        while left > 0 and not self.double.stopping.is_set():
            with store.changed:
                try:
                    events = store.since(version)
                except StatusError as error:
                    self._tell("ERROR", error.document())
                    return
                if not events:
                    store.changed.wait(_TICK_SECONDS)
                    left -= _TICK_SECONDS
            for event in events:
                version = event.version
                if _concerns(event, asked, selects):
                    self._tell(event.type, event.content)

    def _tell(self, event: str, content: Content) -> None:
        line = json.dumps({"type": event, "object": content}).encode() + b"\n"
        self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        self.wfile.flush()


def _away() -> tuple[int, Content]:
    raise StatusError(503, "the server is currently unable to handle the request")


def _not_here() -> tuple[int, Content]:
    raise StatusError(405, "the double does not replace objects")


def _selects(asked: Asked) -> Any:  # noqa: ANN401 - a function
    labels = label_selector(asked.query.get("labelSelector", ""))
    fields = field_selector(asked.query.get("fieldSelector", ""))
    return lambda content: labels(content) and fields(content)


def _concerns(event: Event, asked: Asked, selects: Any) -> bool:  # noqa: ANN401 - a function
    key = event.key
    return (
        key.plural == asked.kind.plural
        and asked.namespace in ("", key.namespace)
        and bool(selects(event.content))
    )

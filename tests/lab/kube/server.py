# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP face of the lab's API server: routes, authentication, faults on demand, a record of it all."""

from __future__ import annotations

import json
import re
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from ansible_collections.nodetrust.harbor.tests.lab.kube import actions, patches
from ansible_collections.nodetrust.harbor.tests.lab.kube.access import ADMIN, User
from ansible_collections.nodetrust.harbor.tests.lab.kube.pki import Authority
from ansible_collections.nodetrust.harbor.tests.lab.kube.selectors import (
    Match,
    field_selector,
    label_selector,
)
from ansible_collections.nodetrust.harbor.tests.lab.kube.status import (
    StatusError,
    bad_request,
    method_not_allowed,
    no_such_path,
    unauthorized,
    unsupported_media_type,
)
from ansible_collections.nodetrust.harbor.tests.lab.kube.store import Store

_NAME = r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?"
_NAMESPACE = rf"/namespaces/(?P<namespace>{_NAME})"
_LIST_PARAMETERS = {
    "limit", "continue", "labelSelector", "fieldSelector", "resourceVersion", "resourceVersionMatch",
    "timeoutSeconds", "pretty",
}  # fmt: skip
_PATCH_PARAMETERS = {"dryRun", "fieldManager", "fieldValidation", "force", "pretty"}


class Request(NamedTuple):
    """One request as it came in, and what it got."""

    method: str
    path: str
    query: dict[str, str]
    content_type: str
    user: str
    status: int
    body: Any
    # What it takes to be allowed, such as "patch nodes/status"; empty if it did not get as far as that.
    verb: str = ""


class Fault:
    """An answer other than the right one, for the next requests that match."""

    def __init__(
        self,
        method: str,
        path: str,
        *,
        status: int | None = None,
        times: int | None = 1,
        retry_after: int | None = None,
        delay: float = 0.0,
        cut: bool = False,
        text: bytes | None = None,
        before: Callable[[], None] | None = None,
    ) -> None:
        self.method, self.path = method, re.compile(path)
        self.status, self.times, self.retry_after = status, times, retry_after
        self.delay, self.cut, self.text, self.before = delay, cut, text, before

    def error(self) -> StatusError:
        reason = {
            429: "TooManyRequests",
            500: "InternalError",
            503: "ServiceUnavailable",
            401: "Unauthorized",
            403: "Forbidden",
            409: "Conflict",
            410: "Expired",
        }.get(self.status or 500, "Unknown")
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return StatusError(
            self.status or 500, reason, f"the lab was told to answer {self.status}", headers=headers
        )


class _Route(NamedTuple):
    method: str
    pattern: re.Pattern[str]
    verb: str
    group: str
    resource: str
    parameters: set[str]


def _route(method: str, path: str, verb: str, resource: str, parameters: set[str], group: str = "") -> _Route:
    return _Route(method, re.compile(f"^{path}$"), verb, group, resource, parameters)


_POD = rf"/api/v1{_NAMESPACE}/pods"
_BUDGETS = "/apis/policy/v1"
_ROUTES = [
    _route("GET", "/api/v1/nodes", "list", "nodes", _LIST_PARAMETERS),
    _route("POST", "/api/v1/nodes", "create", "nodes", _PATCH_PARAMETERS),
    _route("GET", f"/api/v1/nodes/(?P<name>{_NAME})", "get", "nodes", {"pretty"}),
    _route("PATCH", f"/api/v1/nodes/(?P<name>{_NAME})", "patch", "nodes", _PATCH_PARAMETERS),
    _route("DELETE", f"/api/v1/nodes/(?P<name>{_NAME})", "delete", "nodes", {"pretty"}),
    _route("PATCH", f"/api/v1/nodes/(?P<name>{_NAME})/status", "patch", "nodes/status", _PATCH_PARAMETERS),
    _route("GET", "/api/v1/pods", "list", "pods", _LIST_PARAMETERS),
    _route("GET", _POD, "list", "pods", _LIST_PARAMETERS),
    _route("GET", f"{_POD}/(?P<name>{_NAME})", "get", "pods", {"pretty"}),
    _route("POST", f"{_POD}/(?P<name>{_NAME})/eviction", "create", "pods/eviction", _PATCH_PARAMETERS),
    _route("GET", f"{_BUDGETS}/poddisruptionbudgets", "list", "poddisruptionbudgets",
           _LIST_PARAMETERS, "policy"),
    _route("GET", f"{_BUDGETS}{_NAMESPACE}/poddisruptionbudgets", "list", "poddisruptionbudgets",
           _LIST_PARAMETERS, "policy"),
    _route("PATCH", f"{_BUDGETS}{_NAMESPACE}/poddisruptionbudgets/(?P<name>{_NAME})/status", "patch",
           "poddisruptionbudgets/status", _PATCH_PARAMETERS, "policy"),
    _route("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "create",
           "selfsubjectaccessreviews", _PATCH_PARAMETERS, "authorization.k8s.io"),
]  # fmt: skip


class KubeApi:
    """A running API server. Steer it by its attributes and methods; stop it by leaving the with block."""

    def __init__(self, store: Store | None = None, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.store = store or Store()
        self.users: list[User] = [User("admin", ADMIN, token="admin-token")]
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self._temporary = TemporaryDirectory(prefix="kube-api-")
        self.directory = Path(self._temporary.name)
        self.authority = Authority(self.directory)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.authority.server())
        context.load_verify_locations(self.authority.path)
        context.verify_mode = ssl.CERT_OPTIONAL
        self._server = _Server((host, port), _Handler)
        self._server.api, self._server.tls = self, context
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        """Stop answering. What was written for clients stays until close."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def close(self) -> None:
        self.stop()
        self._temporary.cleanup()

    def __enter__(self) -> KubeApi:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def count(self, method: str, path: str) -> int:
        """How many requests of that method had a path that this expression matches in full."""
        return sum(
            1 for request in self.requests if request.method == method and re.fullmatch(path, request.path)
        )

    def fail(self, method: str, path: str, **how: Any) -> None:
        """Answer the next matching requests otherwise; see Fault."""
        self.faults.append(Fault(method, path, **how))

    def cluster(self, ca: bytes | None = None) -> dict[str, Any]:
        """This server as a kubeconfig's cluster; ca replaces the CA that clients are told to trust."""
        path = self.authority.path
        if ca is not None:
            path = self.directory / "other-ca.crt"
            path.write_bytes(ca)
        return {"server": self.url, "certificate-authority": str(path)}

    def kubeconfig(
        self, context: str = "lab", user: str = "admin", *, certificate: bool = False
    ) -> dict[str, Any]:
        """A kubeconfig with one context, for a user known by token, or by client certificate."""
        known = next(item for item in self.users if item.name == user)
        login: dict[str, Any] = {"token": known.token}
        if certificate:
            crt, key = self.authority.client(known.name, known.groups)
            login = {"client-certificate": str(crt), "client-key": str(key)}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": context,
            "clusters": [{"name": context, "cluster": self.cluster()}],
            "users": [{"name": f"{context}-{user}", "user": login}],
            "contexts": [{"name": context, "context": {"cluster": context, "user": f"{context}-{user}"}}],
        }

    def write_kubeconfig(self, path: Path, context: str = "lab", user: str = "admin", **how: Any) -> Path:
        path.write_text(json.dumps(self.kubeconfig(context, user, **how)), encoding="utf-8")
        return path


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    api: KubeApi
    tls: ssl.SSLContext

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that hangs up or refuses our certificate is what some tests are about


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    disable_nagle_algorithm = True

    def setup(self) -> None:
        # The handshake belongs in this thread: a client that is slow at it must not hold up the others.
        self.request.settimeout(30)
        self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._handle()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET  # noqa: N815 - http.server's names

    def _user(self) -> User:
        kind, _blank, token = self.headers.get("Authorization", "").partition(" ")
        for user in self.server.api.users:
            if token and kind.lower() == "bearer" and user.token == token and not user.expired:
                return user
        if not token and (peer := self.request.getpeercert()):
            common = {key: value for pair in peer["subject"] for key, value in pair}["commonName"]
            for user in self.server.api.users:
                if user.name == common and not user.expired:
                    return user
        raise unauthorized()

    def _handle(self) -> None:
        url = urlsplit(self.path)
        path, query = unquote(url.path), dict(parse_qsl(url.query, keep_blank_values=True))
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        content_type = (self.headers.get("Content-Type") or "").partition(";")[0].strip()
        name, body, verb = "", None, ""
        try:
            fault = self._fault(path)
            if fault and fault.cut:
                self.close_connection = True
                self.request.close()
                return
            if fault and fault.status:
                raise fault.error()
            user = self._user()
            name = user.name
            route, found = self._find(path)
            if unknown := set(query) - route.parameters:
                raise bad_request(f"the lab does not know the parameter {min(unknown)!r} of {path}")
            verb = f"{route.verb} {route.resource}"
            user.require(route.verb, route.group, route.resource, found.get("name") or "")
            if raw:
                body = self._body(route, raw, content_type)
            status, answer = self._answer(user, route, found, query, body, content_type)
            if fault and fault.text is not None:
                answer = fault.text
            headers: dict[str, str] = {}
        except StatusError as exc:
            status, answer, headers = exc.code, json.dumps(exc.body()).encode(), exc.headers
        self.server.api.requests.append(
            Request(self.command, path, query, content_type, name, status, body, verb)
        )
        self._send(status, answer, headers)

    def _fault(self, path: str) -> Fault | None:
        faults = self.server.api.faults
        with self.server.api.store.lock:
            fault = next((f for f in faults if f.method == self.command and f.path.fullmatch(path)), None)
            if fault is None:
                return None
            if fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    faults.remove(fault)
        if fault.before:
            fault.before()
        time.sleep(fault.delay)
        return fault

    def _find(self, path: str) -> tuple[_Route, dict[str, str]]:
        known = False
        for route in _ROUTES:
            if found := route.pattern.match(path):
                known = True
                if route.method == self.command:
                    return route, found.groupdict()
        raise method_not_allowed() if known else no_such_path()

    @staticmethod
    def _body(route: _Route, raw: bytes, content_type: str) -> Any:
        known = patches.KNOWN if route.method == "PATCH" else ["application/json"]
        # The real server takes a body without a type for its first one, except in a patch.
        if content_type not in known and (content_type or route.method == "PATCH"):
            raise unsupported_media_type(content_type, known)
        try:
            return json.loads(raw)
        except ValueError as exc:
            raise bad_request(f"error decoding the body: {exc}") from exc

    def _answer(
        self,
        user: User,
        route: _Route,
        found: dict[str, str],
        query: dict[str, str],
        body: Any,
        content_type: str,
    ) -> tuple[int, bytes]:
        store, resource = self.server.api.store, route.resource
        name, namespace = found.get("name") or "", found.get("namespace") or ""
        if route.verb == "list":
            return 200, self._list(route, namespace, query)
        if route.verb in ("patch", "create") and body is None:
            raise bad_request("the request has no body")
        if route.verb == "get":
            item = store.get(resource, name, namespace)
        elif route.verb == "delete":
            item = store.delete(resource, name, namespace)
        elif resource == "poddisruptionbudgets/status":
            item = actions.patch_budget_status(store, name, namespace, content_type, body)
        elif route.verb == "patch":
            item = actions.patch_node(store, user, name, resource.partition("/")[2], content_type, body)
        elif resource == "nodes":
            return 201, json.dumps(actions.create_node(store, body)).encode()
        elif resource == "pods/eviction":
            return 201, json.dumps(actions.evict(store, namespace, name, body)).encode()
        else:
            return 201, json.dumps(actions.review_access(user, body)).encode()
        return 200, json.dumps(item).encode()

    def _list(self, route: _Route, namespace: str, query: dict[str, str]) -> bytes:
        tests: list[Match] = []
        if query.get("labelSelector"):
            tests.append(label_selector(query["labelSelector"]))
        if query.get("fieldSelector"):
            tests.append(field_selector(route.resource, query["fieldSelector"]))
        if namespace:
            tests.append(lambda item: item["metadata"].get("namespace") == namespace)
        if not query.get("limit", "0").isdigit():
            raise bad_request(f'strconv.ParseInt: parsing "{query["limit"]}": invalid syntax')
        if query.get("continue") and query.get("resourceVersion", "0") != "0":
            raise bad_request("specifying resource version is not allowed when using continue")
        match: Match | None = (lambda item: all(test(item) for test in tests)) if tests else None
        page = self.server.api.store.page(
            route.resource, match, int(query.get("limit", "0")), query.get("continue", "")
        )
        metadata: dict[str, Any] = {"resourceVersion": str(page.version)}
        if page.token:
            metadata["continue"] = page.token
            if page.remaining is not None:
                metadata["remainingItemCount"] = page.remaining
        kind = {"nodes": "NodeList", "pods": "PodList"}.get(route.resource, "PodDisruptionBudgetList")
        version = f"{route.group}/v1" if route.group else "v1"
        head = json.dumps({"kind": kind, "apiVersion": version, "metadata": metadata})[:-1].encode()
        return head + b',"items":[' + b",".join(page.texts) + b"]}"

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

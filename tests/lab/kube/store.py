# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's etcd: immutable objects, one resource version for all, consistent paged lists."""

from __future__ import annotations

import base64
import copy
import json
import threading
from typing import Any, NamedTuple

from ansible_collections.nodetrust.harbor.tests.lab.kube.selectors import Match
from ansible_collections.nodetrust.harbor.tests.lab.kube.status import (
    already_exists,
    bad_request,
    conflict,
    expired,
    not_found,
)

RESOURCES = {"Node": "nodes", "Pod": "pods", "PodDisruptionBudget": "poddisruptionbudgets"}
_KEPT_LISTS = 20


class Stored(NamedTuple):
    """An object and its text as a member of a list, where kind and apiVersion are left out."""

    item: dict[str, Any]
    text: bytes


class Page(NamedTuple):
    texts: list[bytes]
    version: int
    token: str
    remaining: int | None


def _key(item: dict[str, Any]) -> tuple[str, str]:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


class Store:
    """All objects. Every method is safe to call from any thread."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._version = 1000
        # Whether an evicted pod takes its time: it is terminating then, until somebody deletes it.
        self.graceful = False
        self._objects: dict[str, dict[tuple[str, str], Stored]] = {name: {} for name in RESOURCES.values()}
        self._lists: dict[int, dict[str, list[Stored]]] = {}

    def _put(self, resource: str, item: dict[str, Any]) -> dict[str, Any]:
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)
        bare = {key: value for key, value in item.items() if key not in ("kind", "apiVersion")}
        self._objects[resource][_key(item)] = Stored(item, json.dumps(bare, separators=(",", ":")).encode())
        return item

    def add(self, *items: dict[str, Any]) -> None:
        """Create objects, in their resource by kind."""
        for item in items:
            self.create(RESOURCES[item["kind"]], item)

    def create(self, resource: str, item: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            if _key(item) in self._objects[resource]:
                raise already_exists(resource, item["metadata"]["name"])
            return self._put(resource, copy.deepcopy(item))

    def get(self, resource: str, name: str, namespace: str = "") -> dict[str, Any]:
        with self.lock:
            stored = self._objects[resource].get((namespace, name))
        if stored is None:
            raise not_found(resource, name)
        return stored.item

    def all(self, resource: str) -> list[dict[str, Any]]:
        with self.lock:
            return [stored.item for stored in self._objects[resource].values()]

    def replace(self, resource: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        """Write new over old. 409 if old is no longer what is stored, or new names another version."""
        with self.lock:
            current = self.get(resource, old["metadata"]["name"], old["metadata"].get("namespace", ""))
            version = current["metadata"]["resourceVersion"]
            if current is not old or new["metadata"].get("resourceVersion", version) != version:
                raise conflict(resource, old["metadata"]["name"])
            new["metadata"]["resourceVersion"] = version
            return current if new == current else self._put(resource, new)

    def edit(self, resource: str, name: str, change: Any, namespace: str = "") -> None:
        """Somebody else's change, for tests: change(copy of the object)."""
        with self.lock:
            new = copy.deepcopy(self.get(resource, name, namespace))
            change(new)
            self._put(resource, new)

    def delete(self, resource: str, name: str, namespace: str = "") -> dict[str, Any]:
        with self.lock:
            item = self.get(resource, name, namespace)
            del self._objects[resource][(namespace, name)]
            self._version += 1
            return item

    def expire_lists(self) -> None:
        """From now on every continue token handed out so far is too old."""
        with self.lock:
            self._lists.clear()

    def page(self, resource: str, match: Match | None, limit: int, token: str) -> Page:
        """One page in name order, from one state of the store however many pages it takes."""
        with self.lock:
            version, after = _read_token(token) if token else (self._version, ("", ""))
            if version == -1:  # the inconsistent continuation that a 410 offers
                version, token = self._version, ""
            if token:
                if version not in self._lists or resource not in self._lists[version]:
                    raise expired(_write_token(-1, after))
                everything = self._lists[version][resource]
            else:
                everything = [self._objects[resource][key] for key in sorted(self._objects[resource])]
                if limit and len(everything) > limit:
                    self._lists.setdefault(version, {})[resource] = everything
                    for old in sorted(self._lists)[:-_KEPT_LISTS]:
                        del self._lists[old]
        rest = (
            [stored for stored in everything if _key(stored.item) > after]
            if after != ("", "")
            else everything
        )
        found = [stored for stored in rest if match is None or match(stored.item)]
        page = found[:limit] if limit else found
        more = len(found) - len(page)
        return Page(
            [stored.text for stored in page],
            version,
            _write_token(version, _key(page[-1].item)) if more else "",
            more if more and match is None else None,
        )


def _write_token(version: int, after: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(
        json.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": after}).encode()
    ).decode()


def _read_token(token: str) -> tuple[int, tuple[str, str]]:
    try:
        data = json.loads(base64.urlsafe_b64decode(token.encode()))
        namespace, name = data["start"]
        return int(data["rv"]), (str(namespace), str(name))
    except (ValueError, KeyError, TypeError) as exc:
        raise bad_request(f"continue key is not valid: {exc}") from exc

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The three ways to patch an object, as far as core objects need them. Pure functions."""

from __future__ import annotations

import copy
from typing import Any

from ansible_collections.nodetrust.harbor.tests.lab.kube.status import StatusError, bad_request

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON = "application/json-patch+json"
KNOWN = [JSON, MERGE, STRATEGIC]

# Lists with a merge key in the published API (x-kubernetes-patch-merge-key). Every other list,
# spec.taints and status.images among them, is replaced as a whole.
_MERGE_KEYS = {
    ("status", "conditions"): "type",
    ("status", "addresses"): "type",
    ("metadata", "ownerReferences"): "uid",
}
_MERGED_SETS = {("metadata", "finalizers"), ("spec", "podCIDRs")}


def apply(content_type: str, current: dict[str, Any], patch: Any) -> dict[str, Any]:
    """A patched copy of current."""
    if content_type == JSON:
        if not isinstance(patch, list):
            raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
        return _json_patch(current, patch)
    if not isinstance(patch, dict):
        raise bad_request("json: cannot unmarshal array into Go value of type map[string]interface {}")
    if content_type == MERGE:
        merged: dict[str, Any] = _merge(current, patch)
        return merged
    return _strategic(current, patch, ())


def _merge(current: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = copy.deepcopy(current) if isinstance(current, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merge(result.get(key), value)
    return result


def _strategic(current: Any, patch: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    if patch.get("$patch") == "replace":
        return {key: copy.deepcopy(value) for key, value in patch.items() if key != "$patch"}
    result = copy.deepcopy(current) if isinstance(current, dict) else {}
    for key, value in patch.items():
        here = (*path, key)
        if key.startswith("$"):
            raise bad_request(f"the lab does not know the directive {key}")
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = _strategic(result.get(key), value, here)
        elif isinstance(value, list) and here in _MERGE_KEYS:
            result[key] = _merge_list(result.get(key) or [], value, _MERGE_KEYS[here])
        elif isinstance(value, list) and here in _MERGED_SETS:
            old = result.get(key) or []
            result[key] = old + [item for item in value if item not in old]
        else:
            result[key] = copy.deepcopy(value)
    return result


def _merge_list(current: list[dict[str, Any]], patch: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    result = copy.deepcopy(current)
    for item in patch:
        if key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        place = next((at for at, old in enumerate(result) if old.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            if place is not None:
                del result[place]
        elif place is None:
            result.append(copy.deepcopy(item))
        else:
            result[place] = _strategic(result[place], item, ())
    return result


def _json_patch(current: dict[str, Any], patch: list[Any]) -> dict[str, Any]:
    result: Any = copy.deepcopy(current)
    for step in patch:
        if not isinstance(step, dict) or step.get("op") not in ("add", "remove", "replace", "test"):
            raise bad_request(f"the lab does not know this JSON patch operation: {step!r}")
        path = str(step.get("path", ""))
        if not path.startswith("/"):
            raise bad_request(f"JSON patch path must begin with a slash: {path!r}")
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]
        try:
            target = result
            for part in parents:
                target = target[int(part)] if isinstance(target, list) else target[part]
            _json_step(step, target, last)
        except (KeyError, IndexError, ValueError, TypeError) as exc:
            raise StatusError(
                422,
                "Invalid",
                f"the server rejected our request due to an error in our request: {path}: {exc!r}",
            ) from exc
    return result


def _json_step(step: dict[str, Any], target: Any, last: str) -> None:
    op = step["op"]
    if isinstance(target, list):
        place = len(target) if last == "-" else int(last)
        if op == "add":
            if place > len(target):
                raise IndexError(last)
            target.insert(place, copy.deepcopy(step["value"]))
            return
        if op == "test" and target[place] != step["value"]:
            raise ValueError("testing value failed")
        if op == "remove":
            del target[place]
        elif op == "replace":
            target[place] = copy.deepcopy(step["value"])
        return
    if not isinstance(target, dict):
        raise TypeError(f"{last} is not in an object")
    if op != "add" and last not in target:
        raise KeyError(last)
    if op == "test" and target[last] != step["value"]:
        raise ValueError("testing value failed")
    if op == "remove":
        del target[last]
    elif op in ("add", "replace"):
        target[last] = copy.deepcopy(step["value"])

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Label and field selectors as the API server reads them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ansible_collections.nodetrust.harbor.tests.lab.kube.status import bad_request

_KEY = r"(?:[a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?"
_EQUALITY = re.compile(rf"^(?P<key>{_KEY})\s*(?P<op>=|==|!=)\s*(?P<value>{_VALUE})$")
_SET = re.compile(rf"^(?P<key>{_KEY})\s+(?P<op>in|notin)\s+\((?P<values>[^()]*)\)$")
_EXISTS = re.compile(rf"^(?P<op>!?)\s*(?P<key>{_KEY})$")

Match = Callable[[dict[str, Any]], bool]

# What may be selected by field, for each resource, and where it stands in the object.
FIELDS: dict[str, dict[str, tuple[tuple[str, ...], str]]] = {
    "nodes": {
        "metadata.name": (("metadata", "name"), ""),
        "spec.unschedulable": (("spec", "unschedulable"), "false"),
    },
    "pods": {
        "metadata.name": (("metadata", "name"), ""),
        "metadata.namespace": (("metadata", "namespace"), ""),
        "spec.nodeName": (("spec", "nodeName"), ""),
        "status.phase": (("status", "phase"), ""),
    },
    "poddisruptionbudgets": {
        "metadata.name": (("metadata", "name"), ""),
        "metadata.namespace": (("metadata", "namespace"), ""),
    },
}


def valid_label_key(key: str) -> bool:
    return len(key.rpartition("/")[2]) <= 63 and re.fullmatch(_KEY, key) is not None


def valid_label_value(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 63 and re.fullmatch(_VALUE, value) is not None


def label_selector(text: str) -> Match:
    """The test that a label selector stands for; 400 for one that does not parse."""
    tests = [_label_test(part.strip(), text) for part in re.split(r",(?![^(]*\))", text) if part.strip()]

    def match(item: dict[str, Any]) -> bool:
        labels = item["metadata"].get("labels") or {}
        return all(test(labels) for test in tests)

    return match


def _label_test(part: str, text: str) -> Match:
    if found := _SET.match(part):
        key, values = found["key"], {value.strip() for value in found["values"].split(",")}
        if found["op"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUALITY.match(part):
        key, value = found["key"], found["value"]
        if found["op"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTS.match(part):
        key, wanted = found["key"], not found["op"]
        return lambda labels: (key in labels) is wanted
    raise bad_request(f'unable to parse requirement: found {part!r} in label selector "{text}"')


def field_selector(resource: str, text: str) -> Match:
    """The test that a field selector stands for; 400 for a field the server does not index."""
    tests: list[tuple[tuple[str, ...], str, str, bool]] = []
    for part in filter(None, text.split(",")):
        found = re.match(r"^([^=!]+)(==|=|!=)(.*)$", part)
        if not found:
            raise bad_request(f"invalid field selector: {text!r}; can't understand {part!r}")
        name, op, value = found.groups()
        if name not in FIELDS.get(resource, {}):
            raise bad_request(
                f'Unable to find "{resource}" that match field selector "{text}": '
                f"field label not supported: {name}"
            )
        path, default = FIELDS[resource][name]
        tests.append((path, default, value, op != "!="))

    def match(item: dict[str, Any]) -> bool:
        return all((_field(item, path, default) == value) is equal for path, default, value, equal in tests)

    return match


def _field(item: dict[str, Any], path: tuple[str, ...], default: str) -> str:
    value: Any = item
    for key in path:
        value = (value or {}).get(key)
    if isinstance(value, bool):
        return str(value).lower()
    return default if value is None else str(value)

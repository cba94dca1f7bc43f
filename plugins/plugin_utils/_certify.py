# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to change on a node object so that it says what was proved, or no longer says it.

**PRIVATE** to the collection. Pure: one function from the node as it is and the wish to the patches.
Labels, annotations and taints of others are carried over untouched, or not named at all.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple, Optional

from ansible_collections.nodetrust.harbor.plugins.plugin_utils._standing import (
    ANNOTATION,
    CERTIFIED,
    CLOCKS,
    LABEL,
    LABEL_VALUE,
    TAINT,
    UNCERTIFIED,
    Proof,
    format_time,
    read_proof,
)

ABSENT = "absent"
STATES = (CERTIFIED, UNCERTIFIED, ABSENT)
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")

_REASONS = {CERTIFIED: "ImagePullProved", UNCERTIFIED: "ImagePullNotProved"}
_MESSAGES = {
    CERTIFIED: "An image was pulled from every registry with the pinned CA",
    UNCERTIFIED: "No pull with the pinned CA has been proved, or the proof was lost",
}


# A node, and the context that it is in: None for the current one, or the pod's own.
Key = tuple[Optional[str], str]


class Wish(NamedTuple):
    """What one node shall say. uid: only if it is still that node object. outdated: the time of a proof that no
    longer counts, and is not kept for being recent.
    """

    name: str
    state: str
    context: str | None = None
    uid: str | None = None
    registries: dict[str, list[str]] | None = None
    runtime: str | None = None
    time: datetime | None = None
    outdated: str | None = None

    @property
    def key(self) -> Key:
        return self.context, self.name


class Marks(NamedTuple):
    """The names under which it is said. An empty taint or condition is left alone."""

    label: str = LABEL
    annotation: str = ANNOTATION
    taint: str = TAINT
    effect: str = "NoSchedule"
    condition: str = ""
    # A proof that is younger than this is not written again when only its time is new.
    refresh: timedelta = timedelta(days=3.5)


class Observed(NamedTuple):
    """The part of a node object that is looked at."""

    name: str
    uid: str
    version: str
    labels: dict[str, Any]
    annotations: dict[str, Any]
    taints: list[dict[str, Any]]
    runtime: str
    condition: dict[str, Any] | None


class Plan(NamedTuple):
    """The patches, and what is different, in words and for a diff. Both patches None: nothing to do."""

    what: list[str]
    patch: dict[str, Any] | None
    status_patch: dict[str, Any] | None
    before: dict[str, Any]
    after: dict[str, Any]


def observe(node: dict[str, Any], marks: Marks) -> Observed:
    """What of a node object matters here, and no more: of 5,000 nodes the rest would be 60 MB."""
    metadata, spec, status = node["metadata"], node.get("spec") or {}, node.get("status") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    conditions = status.get("conditions") or []
    return Observed(
        metadata["name"],
        metadata.get("uid", ""),
        metadata.get("resourceVersion", ""),
        {key: labels[key] for key in (marks.label,) if key in labels},
        {key: annotations[key] for key in (marks.annotation,) if key in annotations},
        spec.get("taints") or [],
        (status.get("nodeInfo") or {}).get("containerRuntimeVersion", ""),
        next((item for item in conditions if marks.condition and item.get("type") == marks.condition), None),
    )


def plan(node: Observed, wish: Wish, marks: Marks, now: datetime) -> Plan:
    """The difference between the node and the wish, as patches that change nothing else."""
    label = LABEL_VALUE if wish.state == CERTIFIED else None
    annotation = _annotation(node, wish, marks, now) if wish.state == CERTIFIED else None
    taints = _taints(node.taints, wish.state, marks)
    what: list[str] = []
    metadata: dict[str, Any] = {}
    patch: dict[str, Any] = {}
    if node.labels.get(marks.label) != label:
        what.append("label")
        metadata["labels"] = {marks.label: label}
    if node.annotations.get(marks.annotation) != annotation:
        what.append("annotation")
        metadata["annotations"] = {marks.annotation: annotation}
    if taints != node.taints:
        what.append("taint")
        patch["spec"] = {"taints": taints or None}
    status_patch, condition = _condition(node.condition, wish.state, marks, now)
    if patch or metadata:
        # With the version, or a taint that somebody set in between would be lost with our list.
        patch["metadata"] = {**metadata, "resourceVersion": node.version}
    if status_patch:
        what.append("condition")
    return Plan(
        what,
        patch or None,
        status_patch,
        _shown(
            node.labels.get(marks.label), node.annotations.get(marks.annotation), node.taints, node.condition
        ),
        _shown(label, annotation, taints, condition),
    )


def _annotation(node: Observed, wish: Wish, marks: Marks, now: datetime) -> str:
    proof = Proof(wish.registries or {}, wish.time or now, wish.runtime or node.runtime)
    current = node.annotations.get(marks.annotation)
    try:
        old = read_proof(current or "")
    except (ValueError, RecursionError):
        return proof.to_text()
    same = proof._replace(time=old.time).to_text() == current
    # Writing the time at every run would be a patch for every node of the fleet, every time.
    fresh = proof.time - old.time < marks.refresh and old.time <= now + CLOCKS
    fresh = fresh and format_time(old.time) != wish.outdated
    return str(current) if same and fresh else proof.to_text()


def _taints(taints: list[dict[str, Any]], state: str, marks: Marks) -> list[dict[str, Any]]:
    if not marks.taint:
        return taints
    if state == UNCERTIFIED:
        there = any((item.get("key"), item.get("effect")) == (marks.taint, marks.effect) for item in taints)
        return taints if there else [*taints, {"key": marks.taint, "effect": marks.effect}]
    # The key is ours, whatever effect a kubelet was told to register it with.
    return [item for item in taints if item.get("key") != marks.taint]


def _condition(
    current: dict[str, Any] | None, state: str, marks: Marks, now: datetime
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    if not marks.condition:
        return None, None
    if state == ABSENT:
        gone = {"$patch": "delete", "type": marks.condition}
        return ({"status": {"conditions": [gone]}}, None) if current else (None, None)
    wanted = "True" if state == CERTIFIED else "False"
    if current and (current.get("status"), current.get("reason")) == (wanted, _REASONS[state]):
        return None, current
    moved = not current or current.get("status") != wanted
    condition = {
        "type": marks.condition,
        "status": wanted,
        "reason": _REASONS[state],
        "message": _MESSAGES[state],
        "lastHeartbeatTime": format_time(now),
        "lastTransitionTime": format_time(now) if moved else (current or {}).get("lastTransitionTime"),
    }
    return {"status": {"conditions": [condition]}}, condition


def _shown(
    label: Any, annotation: Any, taints: list[dict[str, Any]], condition: dict[str, Any] | None
) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "label": label,
        "proof": annotation,
        "taints": [f"{item.get('key')}:{item.get('effect')}" for item in taints],
    }
    if condition:
        shown["condition"] = condition.get("status")
    return shown

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one node's answer means: its entry in the fleet document, whatever it has answered.

**PRIVATE** to the collection. Pure. The state follows from fields that are checked against each other, never from
what a node says of itself alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_input import (
    LONG,
    MANY,
    Garbage,
    flag,
    kind,
    mapping,
    moment,
    name,
    pins,
    stamp,
    text,
    texts,
    words,
)

OK, DRIFTED, CORRECTED = "ok", "drifted", "corrected"
FAILED, UNREACHABLE, UNKNOWN = "failed", "unreachable", "unknown"
# From what nobody has to look at to what somebody must.
STATES = (OK, CORRECTED, DRIFTED, UNKNOWN, UNREACHABLE, FAILED)
PROOFS = ("proven", "failed", "none", "skipped", "pending_restart")

_DRIFT = "Run nodetrust.harbor.correct_drift; with --check --diff first to see what it would do."
_EXPIRED = (
    "Get the registry's new CA, and bring it to this node and all others with nodetrust.harbor.rotate_ca."
)
_ALONE = "Run the playbook for this node alone with -vvv."


@dataclass(frozen=True)
class Asked:
    """What the controller knows itself: fingerprints by registry, begin and end of the run, whose CAs have expired."""

    fingerprints: Mapping[str, frozenset[str]] = field(default_factory=dict)
    started: datetime | None = None
    ended: datetime | None = None
    expired: frozenset[str] = frozenset()


def node_from(entry: Mapping[str, Any], asked: Asked) -> dict[str, Any]:
    """One entry of `results` as an entry of `nodes`. Never raises for what a node has answered."""
    answer = entry.get("result")
    node = _blank(entry)
    if entry.get("unreachable") is True or mapping(answer).get("unreachable") is True:
        said = text(mapping(answer).get("msg"), LONG)
        node.update(
            state=UNREACHABLE,
            reason="unreachable",
            message=said or "Ansible could not connect to it.",
            next_step="Look whether the machine is up and takes SSH (ansible NODE -m ansible.builtin.ping -vvv); if it "
            "is gone for good, take it out of the inventory.",
        )
    elif answer is None:
        node.update(
            state=FAILED if entry.get("failed") is True else UNKNOWN,
            reason="no_result",
            message="There is no result of this node: the run ended before it was its turn.",
            next_step="Run the playbook again.",
        )
    elif not isinstance(answer, Mapping):
        _garbage(node, f"the answer is {kind(answer)}, not a dictionary")
    else:
        try:
            _read(node, answer, entry, asked)
        except Garbage as exc:
            _garbage(node, str(exc))
    if node["state"] in (FAILED, UNREACHABLE, UNKNOWN) and not node["registries"]:
        node["registries"] = [
            _unseen(registry, sorted(asked.fingerprints[registry])) for registry in asked.fingerprints
        ]
    return node


def _blank(entry: Mapping[str, Any]) -> dict[str, Any]:
    labels = {text(key): text(value) for key, value in list(mapping(entry.get("labels")).items())[:MANY]}
    return {
        "node": text(entry.get("node")),
        "cluster": text(entry.get("cluster")) or None,
        "groups": texts(entry.get("groups")),
        "labels": {key: value for key, value in labels.items() if key},
        "state": UNKNOWN,
        "reason": None,
        "message": "",
        "next_step": None,
        "found": "",
        "expected": "",
        "runtime": None,
        "restart_due": False,
        "changes": [],
        "clock_skew_seconds": None,
        "registries": [],
    }


def _garbage(node: dict[str, Any], what: str) -> None:
    node.update(
        state=UNKNOWN,
        reason="garbage_answer",
        message=f"The node's answer makes no sense: {text(what, LONG)}.",
        next_step="Look at what runs as Python and as the module on this node; keep pods away from it until you know. "
        + _ALONE,
        registries=[],
        changes=[],
    )


def _unseen(registry: str, expected: list[str]) -> dict[str, Any]:
    return {
        "registry": registry,
        "state": UNKNOWN,
        "in_sync": False,
        "in_effect": False,
        "found_fingerprints": [],
        "expected_fingerprints": expected,
        "files": [],
        "reasons": [],
        "proof": "none",
        "not_after": None,
    }


def _read(node: dict[str, Any], answer: Mapping[str, Any], entry: Mapping[str, Any], asked: Asked) -> None:
    """The answer of ca_fingerprint, registry_trust, the role's outcome, or of any task that failed."""
    failed = entry.get("failed") is True or answer.get("failed") is True or answer.get("ok") is False
    node["clock_skew_seconds"] = _skew(answer, asked)
    node["restart_due"] = answer.get("restart_due") is True
    runtime = mapping(answer.get("runtime"))
    if text(runtime.get("name")):
        node["runtime"] = {"name": text(runtime["name"]), "version": text(runtime.get("version"))}
    changed = answer.get("changed") is True and entry.get("action") != "audit"
    if changed and answer.get("rolled_back") is not True:
        node["changes"] = _changes(answer)
    try:
        node["registries"] = _registries(answer, changed, asked)
    except Garbage:
        # A task that failed need not have come so far as to say anything of a registry.
        if not failed:
            raise
    if failed:
        _failed(node, answer)
    else:
        _judged(node, answer, changed, asked)


def _changes(answer: Mapping[str, Any]) -> list[str]:
    restarted = ["the runtime was restarted"] if answer.get("restarted") is True else []
    return texts(answer.get("changes")) + restarted


def _failed(node: dict[str, Any], answer: Mapping[str, Any]) -> None:
    node.update(
        state=FAILED,
        reason=name(answer.get("reason")) or "failed",
        next_step=text(answer.get("next_step"), LONG) or _first_step(answer) or _ALONE,
        found=words(answer.get("found")),
        expected=words(answer.get("expected")),
    )
    node["message"] = _what(answer) or "The task failed and said nothing."
    about = text(answer.get("registry"))
    for item in node["registries"]:
        if item["registry"] == about:
            item["state"] = FAILED


def _first_step(answer: Mapping[str, Any]) -> str:
    """A list of registries with several mistakes has no step of its own; each of them has one."""
    errors = answer.get("errors")
    first = errors[0] if isinstance(errors, (list, tuple)) and errors else None
    return text(mapping(first).get("next_step"), LONG)


def _what(answer: Mapping[str, Any]) -> str:
    """The message without what has a field of its own: the node's name for itself, found, expected, next step."""
    said = text(answer.get("msg"), LONG)
    own = text(answer.get("node"))
    if own:
        said = said.removeprefix(f"{own}: ")
    if name(answer.get("reason")):
        for label, field_name in (("Next step", "next_step"), ("Expected", "expected"), ("Found", "found")):
            if words(answer.get(field_name)):
                said = said.partition(f" {label}: ")[0]
    return said


def _judged(node: dict[str, Any], answer: Mapping[str, Any], changed: bool, asked: Asked) -> None:
    registries = node["registries"]
    states = {item["state"] for item in registries}
    worst = max(states, key=STATES.index)
    node["state"] = CORRECTED if worst == OK and changed else worst
    node["message"] = text(answer.get("msg"), LONG)
    if worst == FAILED:
        pull = next((pull for pull in _pulls(answer) if pull.get("ok") is not True), {})
        node["reason"] = name(pull.get("reason")) or "proof_failed"
        node["message"] = text(pull.get("message"), LONG) or node["message"] or "The proof failed."
        node["next_step"] = text(pull.get("remedy"), LONG) or _ALONE
    elif worst == UNKNOWN:
        first = next(item for item in registries if item["state"] == UNKNOWN)
        node["reason"] = "contradiction"
        node["message"] = "; ".join(first["reasons"])
        node["next_step"] = f"Don't trust this node with pods until you know why it says so. {_ALONE}"
    elif worst == DRIFTED:
        waits = node["restart_due"] and all(item["in_sync"] for item in registries)
        node["reason"] = "restart_due" if waits else "drift"
        why = [reason for item in registries if item["state"] == DRIFTED for reason in item["reasons"]]
        why = why or [
            text(answer.get("restart_why"), LONG) or "the runtime does not use exactly the pinned CAs"
        ]
        node["message"] = text("; ".join(why), LONG)
        drifted = {item["registry"] for item in registries if item["state"] == DRIFTED}
        # That playbook leaves a CA that has expired alone.
        node["next_step"] = _EXPIRED if drifted <= asked.expired else _DRIFT


def _registries(answer: Mapping[str, Any], changed: bool, asked: Asked) -> list[dict[str, Any]]:
    given = answer.get("registries")
    if not isinstance(given, (list, tuple)):
        raise Garbage(f"registries is {kind(given)}, not a list")
    if not given and asked.fingerprints:
        raise Garbage("it says nothing of any registry")
    if len(given) > MANY and len(given) > len(asked.fingerprints):
        raise Garbage(f"registries has {len(given)} entries")
    found: dict[str, dict[str, Any]] = {}
    for item in given:
        if not isinstance(item, Mapping):
            raise Garbage(f"an entry of registries is {kind(item)}, not a dictionary")
        one = _registry(item, answer, changed, asked)
        if one["registry"] in found:
            raise Garbage(f"registries has {one['registry']} twice")
        found[one["registry"]] = one
    return list(found.values())


def _registry(
    item: Mapping[str, Any], answer: Mapping[str, Any], changed: bool, asked: Asked
) -> dict[str, Any]:
    host = text(item.get("registry"))
    if not host:
        raise Garbage(f"the registry of an entry is {kind(item.get('registry'))}, not a text")
    if asked.fingerprints and host not in asked.fingerprints:
        raise Garbage(f"it speaks of the registry {host}, for which it was not asked")
    one = _unseen(host, pins(item, "expected_fingerprints"))
    one["found_fingerprints"] = pins(item, "found_fingerprints")
    one["in_sync"], one["in_effect"] = flag(item, "in_sync"), flag(item, "in_effect")
    one["files"] = texts(item.get("files"))
    one["reasons"] = texts(item.get("reasons"), LONG)
    one["proof"] = _proof(host, answer)
    one["not_after"] = _earliest(item)
    known = asked.fingerprints.get(host)
    if known is not None and not set(one["expected_fingerprints"]) <= known:
        one["reasons"] = ["it compared with fingerprints that it was not given"]
    elif one["in_sync"] and one["found_fingerprints"] != one["expected_fingerprints"]:
        one["reasons"] = ["it says that it is in sync, but the fingerprints that it found are others"]
    elif one["in_effect"] and not one["in_sync"]:
        one["reasons"] = ["it says that a bundle is in effect that is not in sync"]
    elif one["proof"] == "failed":
        one["state"] = FAILED
    elif not (one["in_sync"] and one["in_effect"]):
        one["state"] = DRIFTED
    else:
        touched = any(host in change for change in texts(answer.get("changes"), LONG))
        one["state"] = CORRECTED if changed and touched else OK
    return one


def _pulls(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    given = answer.get("pulls")
    return [mapping(pull) for pull in given[:MANY]] if isinstance(given, (list, tuple)) else []


def _proof(host: str, answer: Mapping[str, Any]) -> str:
    overall = text(answer.get("proof"))
    mine = [pull.get("ok") is True for pull in _pulls(answer) if text(pull.get("registry")) == host]
    if overall == "pending_restart":
        return overall
    if mine:
        return "proven" if all(mine) else "failed"
    # A run with proof images for some registries has no proof for the others.
    return overall if overall in ("failed", "skipped") and not _pulls(answer) else "none"


def _certificates(item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    given = item.get("found")
    return [mapping(one) for one in given[:MANY]] if isinstance(given, (list, tuple)) else []


def _earliest(item: Mapping[str, Any]) -> str | None:
    ends = [end for one in _certificates(item) if (end := moment(one.get("not_after")))]
    return stamp(min(ends)) if ends else None


def _skew(answer: Mapping[str, Any], asked: Asked) -> float | None:
    """How far the node's clock is outside of the run, in seconds; 0 if it is within, None if it has said nothing.

    The moment of the answer is not known, only that it lies within the run. A process that started after the end of
    the run shows a clock that is ahead, also where the answer has no time.
    """
    if asked.started is None or asked.ended is None:
        return None
    told = moment(answer.get("node_time"))
    began = moment(mapping(mapping(answer.get("restart_evidence")).get("process")).get("started"))
    if told is None and began is not None and began > asked.ended:
        told = began
    if told is None:
        return None
    if told > asked.ended:
        return (told - asked.ended).total_seconds()
    return min((told - asked.started).total_seconds(), 0.0)

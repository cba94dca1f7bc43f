# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner of certification: what differs, and nothing else. And the reading of a request."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._certify import (
    ABSENT,
    STATES,
    Marks,
    Wish,
    observe,
    plan,
)
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._certify_request import wishes_from
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._standing import (
    ANNOTATION,
    CERTIFIED,
    LABEL,
    TAINT,
    UNCERTIFIED,
    Proof,
)
from ansible_collections.nodetrust.harbor.tests.lab.kube import make_node, patches

NOW = datetime(2026, 11, 23, 5, 0, 0, tzinfo=timezone.utc)
PIN = "SHA256:" + ":".join(["AB"] * 32)
OTHER = "SHA256:" + ":".join(["CD"] * 32)
HARBOR = {"harbor.example.com": [PIN]}
MARKS = Marks(condition="HarborTrusted")
FOREIGN = {"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}
OURS = {"key": TAINT, "effect": "NoSchedule"}


def wish(state: str = CERTIFIED, **how: Any) -> Wish:
    return Wish("n", state, registries=how.pop("registries", HARBOR), time=how.pop("time", NOW), **how)


def node(**how: Any) -> dict[str, Any]:
    made = make_node("n", **how)
    made["metadata"]["resourceVersion"] = "7"
    return made


def proof(
    pins: tuple[str, ...] = (PIN,), age: timedelta = timedelta(), runtime: str = "containerd://2.1.9"
) -> str:
    return Proof({"harbor.example.com": list(pins)}, NOW - age, runtime).to_text()


def certified(text: str | None = None, **how: Any) -> dict[str, Any]:
    return node(labels={LABEL: "true"}, annotations={ANNOTATION: text or proof()}, **how)


@pytest.mark.parametrize(
    ("current", "wanted", "what"),
    [
        (node(taints=[OURS]), wish(), ["label", "annotation", "taint"]),
        (node(), wish(), ["label", "annotation"]),
        (certified(), wish(), []),
        (certified(taints=[FOREIGN]), wish(), []),
        (certified(proof(age=timedelta(hours=1))), wish(), []),
        (certified(proof(age=timedelta(days=4))), wish(), ["annotation"]),
        (certified(proof(age=timedelta(hours=-1))), wish(), ["annotation"]),
        (certified(proof((OTHER,))), wish(), ["annotation"]),
        (certified(proof((PIN, OTHER))), wish(), ["annotation"]),
        (certified(proof(runtime="containerd://1.7.24")), wish(), ["annotation"]),
        (certified("{junk"), wish(), ["annotation"]),
        (certified("[" * 50_000), wish(), ["annotation"]),
        (node(labels={LABEL: "yes"}, annotations={ANNOTATION: proof()}), wish(), ["label"]),
        (certified(taints=[{"key": TAINT, "effect": "NoExecute"}]), wish(), ["taint"]),
        (certified(), wish(UNCERTIFIED), ["label", "annotation", "taint"]),
        (node(), wish(UNCERTIFIED), ["taint"]),
        (node(taints=[OURS]), wish(UNCERTIFIED), []),
        (node(taints=[{**OURS, "value": "x"}]), wish(UNCERTIFIED), []),
        (node(labels={LABEL: "false"}, taints=[OURS]), wish(UNCERTIFIED), ["label"]),
        (certified(taints=[OURS, FOREIGN]), wish(ABSENT), ["label", "annotation", "taint"]),
        (node(taints=[FOREIGN]), wish(ABSENT), []),
    ],
)
def test_only_what_differs(current: dict[str, Any], wanted: Wish, what: list[str]) -> None:
    marks = Marks()
    todo = plan(observe(current, marks), wanted, marks, NOW)
    assert todo.what == what
    assert (todo.patch is None) == (not what)
    assert (todo.before == todo.after) == (not what)
    if todo.patch:
        assert todo.patch["metadata"]["resourceVersion"] == "7"


@given(
    state=st.sampled_from(STATES),
    taints=st.lists(
        st.fixed_dictionaries(
            {
                "key": st.sampled_from(["a", "b", TAINT]),
                "effect": st.sampled_from(["NoSchedule", "NoExecute"]),
            }
        ),
        unique_by=lambda item: (item["key"], item["effect"]),
    ),
    label=st.sampled_from([None, "true", "false"]),
    text=st.sampled_from([None, proof(), proof((OTHER,)), "junk"]),
    condition=st.sampled_from([None, "True", "False"]),
)
def test_applied_once_nothing_is_left_and_what_is_foreign_stays(
    state: str, taints: list[dict[str, str]], label: str | None, text: str | None, condition: str | None
) -> None:
    current = node(taints=taints, labels={"mine": "x"}, annotations={"mine": "y"})
    if label:
        current["metadata"]["labels"][LABEL] = label
    if text:
        current["metadata"]["annotations"][ANNOTATION] = text
    if condition:
        current["status"]["conditions"].append({"type": "HarborTrusted", "status": condition})
    todo = plan(observe(current, MARKS), wish(state), MARKS, NOW)
    after = patches.apply(patches.STRATEGIC, current, todo.patch or {})
    after = patches.apply(patches.STRATEGIC, after, todo.status_patch or {})
    assert plan(observe(after, MARKS), wish(state), MARKS, NOW).what == []
    for section, ours in (("labels", LABEL), ("annotations", ANNOTATION)):
        before_items, after_items = current["metadata"][section], after["metadata"][section]
        assert {k: v for k, v in before_items.items() if k != ours} == {
            k: v for k, v in after_items.items() if k != ours
        }
        assert (ours in after_items) == (state == CERTIFIED)
    kept = [item for item in after["spec"].get("taints") or [] if item["key"] != TAINT]
    assert kept == [item for item in taints if item["key"] != TAINT]
    assert (OURS in (after["spec"].get("taints") or [])) == (state == UNCERTIFIED)
    assert [item for item in after["status"]["conditions"] if item["type"] != "HarborTrusted"] == [
        item for item in current["status"]["conditions"] if item["type"] != "HarborTrusted"
    ]


def test_a_taint_that_belongs_to_another_controller_is_left_alone() -> None:
    marks = Marks(taint="")
    for current in (node(taints=[OURS]), node()):
        for state in STATES:
            assert "taint" not in plan(observe(current, marks), wish(state), marks, NOW).what


def test_condition_moves_its_transition_only_when_its_status_does() -> None:
    old = {
        "type": "HarborTrusted",
        "status": "True",
        "reason": "SomethingElse",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    current = certified()
    current["status"]["conditions"].append(old)
    todo = plan(observe(current, MARKS), wish(), MARKS, NOW)
    assert todo.what == ["condition"]
    assert todo.status_patch is not None
    (new,) = todo.status_patch["status"]["conditions"]
    assert new["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    lost = plan(observe(current, MARKS), wish(UNCERTIFIED), MARKS, NOW).status_patch
    assert lost is not None
    assert lost["status"]["conditions"][0]["lastTransitionTime"] == "2026-11-23T05:00:00Z"


def test_a_proof_says_registries_pins_runtime_and_time() -> None:
    todo = plan(observe(node(), MARKS), wish(), MARKS, NOW)
    assert todo.patch is not None
    assert json.loads(todo.patch["metadata"]["annotations"][ANNOTATION]) == {
        "version": 1,
        "registries": HARBOR,
        "runtime": "containerd://2.1.9",
        "time": "2026-11-23T05:00:00Z",
    }


def request(**options: Any) -> dict[str, Any]:
    return {
        "nodes": [{"name": "n"}],
        "state": CERTIFIED,
        "context": None,
        "registries": [{"host": "harbor.example.com", "fingerprints": [PIN.lower()]}],
        **options,
    }


def test_a_request_is_sorted_by_context() -> None:
    nodes = [
        {"name": "a", "context": "x"},
        {"name": "a"},
        {"name": "b", "context": "x", "state": UNCERTIFIED},
    ]
    wishes = wishes_from(request(nodes=nodes), NOW)
    assert {context: [item.name for item in items] for context, items in wishes.items()} == {
        "x": ["a", "b"],
        None: ["a"],
    }
    assert wishes[None][0].registries == HARBOR


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"registries": []}, "nothing_proved"),
        ({"registries": [{"host": "harbor.example.com", "fingerprints": []}]}, "nothing_proved"),
        ({"registries": [{"host": "https://harbor.example.com", "fingerprints": [PIN]}]}, "invalid_registry"),
        ({"registries": [{"host": "harbor.example.com", "fingerprints": ["AB"]}]}, "invalid_pin"),
        ({"nodes": [{"name": "n"}, {"name": "n"}]}, "node_twice"),
        ({"nodes": [{"name": "n", "proved_at": "yesterday"}]}, "invalid_time"),
        ({"nodes": [{"name": "n", "proved_at": "2026-11-23T06:00:00Z"}]}, "invalid_time"),
    ],
)
def test_a_request_that_proves_nothing_is_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(TrustError) as caught:
        wishes_from(request(**options), NOW)
    assert caught.value.reason == reason


def test_nothing_has_to_be_proved_to_lose_a_certificate() -> None:
    assert wishes_from(request(registries=[], state=UNCERTIFIED), NOW)[None][0].state == UNCERTIFIED

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's variables become in the report: what was done, else what was found, else nothing."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_hosts import AUDIT, OUTCOME, results_of

FOUND, DONE = {"in_effect": False}, {"ok": True, "node_time": "later"}


@pytest.mark.parametrize(
    ("known", "check_mode", "result", "action"),
    [
        ({AUDIT: FOUND}, False, FOUND, "audit"),
        ({AUDIT: FOUND, OUTCOME: DONE}, False, DONE, "correct"),
        ({AUDIT: FOUND, OUTCOME: DONE}, True, DONE, "audit"),
        ({AUDIT: "<html>", OUTCOME: DONE}, False, DONE, "correct"),
        ({OUTCOME: "<html>"}, False, "<html>", "correct"),
        ({}, False, None, "audit"),
    ],
)
def test_one_host(known: dict[str, Any], check_mode: bool, result: Any, action: str) -> None:
    (entry,) = results_of(["a"], {"a": known}, check_mode, ["a"])
    assert entry == {
        "node": "a",
        "cluster": None,
        "groups": [],
        "labels": {},
        "result": result,
        "action": action,
    }


def test_a_node_of_a_cluster_says_which_and_what_stands_on_it() -> None:
    node = {"cluster": "prod", "labels": {"zone": "a"}}
    hostvars = {"a": {"cluster_node": node, "group_names": ["harbor_ca_to_correct_1", "worker"]}, "b": {}}
    first, second = results_of(["a", "b"], hostvars, False, ["a", "b"])
    assert (first["cluster"], first["labels"], first["groups"]) == ("prod", {"zone": "a"}, ["worker"])
    assert (second["cluster"], second["labels"], second["groups"]) == (None, {}, [])


def together(done: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    (entry,) = results_of(["a"], {"a": {AUDIT: found, OUTCOME: done}}, False, ["a"])
    result: dict[str, Any] = entry["result"]
    return result


def test_the_clock_that_only_the_audit_has_seen_is_kept() -> None:
    assert together({"ok": True}, {"node_time": "now"}) == {"ok": True, "node_time": "now"}


def test_a_registry_that_was_left_alone_is_as_the_audit_found_it() -> None:
    before = [{"registry": "a", "state": "before"}, {"registry": "b", "state": "before"}]
    after = [{"registry": "b", "state": "after"}]
    whole = together({"registries": after}, {"registries": before})
    assert whole["registries"] == [*after, before[0]]
    assert together({"ok": False}, {"registries": before}).get("registries") is None
    for junk in (7, "junk", [7]):
        assert together({"registries": junk}, {"registries": before})["registries"] is not None
        assert together({"registries": after}, {"registries": junk})["registries"][0] == after[0]


@pytest.mark.parametrize("outcome", [{"ok": True}, {}])
def test_what_another_playbook_of_the_run_has_done_is_not_told(outcome: dict[str, Any]) -> None:
    hostvars = {"a": {AUDIT: {"in_effect": False}, OUTCOME: outcome}}
    (entry,) = results_of(["a"], hostvars, False, [])
    assert (entry["result"], entry["action"]) == ({"in_effect": False}, "audit")
    (entry,) = results_of(["a"], hostvars, False, ["a"])
    assert (entry["action"] == "correct") is bool(outcome)

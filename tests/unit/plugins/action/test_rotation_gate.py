# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rotation_gate as a task: what the audit and the look at the registry said of each node decide together."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.nodetrust.harbor.plugins.action import rotation_gate
from ansible_collections.nodetrust.harbor.tests.unit.plugins.action.on_controller import run_action

HOST = "harbor.example.com"
GOOD = {"registry": HOST, "trusted": True, "reachable": True, "reason": None, "certificate": None}
TURN = {"host": HOST, "to_remove": ["SHA256:AB"], "fingerprints": ["SHA256:CD"], "proof_image": "x"}


def gate(served: Any, b_has: str = HOST) -> dict[str, Any]:
    nodes = {"a": HOST, "b": b_has}
    return run_action(
        rotation_gate,
        phase="remove",
        rotations=[{"hosts": [HOST], "ca_pem": "x"}],
        turns=[TURN],
        nodes={node: {"in_effect": True, "registries": [{"registry": has}]} for node, has in nodes.items()},
        served=served,
    )


def test_the_first_phase_needs_no_node_that_has_the_new_ca() -> None:
    result = run_action(
        rotation_gate,
        phase="add",
        rotations=[{"hosts": [HOST], "ca_pem": "x"}],
        turns=[TURN],
        nodes={"a": None},
    )
    assert not result.get("failed"), result
    assert (result["changed"], result["msg"]) == (False, "phase add may begin")


@pytest.mark.parametrize("phase", ["switch", "remove"])
def test_a_node_that_lacks_the_new_ca_stops_the_next_phase_and_is_named(phase: str) -> None:
    result = run_action(
        rotation_gate,
        phase=phase,
        rotations=[{"hosts": [HOST], "ca_pem": "x"}],
        turns=[TURN],
        nodes={"a": {"in_effect": True, "registries": [{"registry": HOST}]}, "b": None},
    )
    assert (result["failed"], result["reason"], result["nodes"]) == (True, "rotation_not_complete", ["b"])
    assert result["next_step"]


def test_a_rotation_that_cannot_be_carried_out_is_a_failure_with_fields() -> None:
    result = run_action(rotation_gate, phase="add", rotations=[None], turns=[])
    assert (result["failed"], result["reason"], result["nodes"]) == (True, "no_rotation", [])
    assert "harbor_ca_rotation" in result["found"] and result["next_step"]


@pytest.mark.parametrize("silent", [{"a": [GOOD], "b": []}, {"a": [GOOD]}])
def test_a_node_without_an_answer_stops_the_phase_and_is_named(silent: dict[str, Any]) -> None:
    result = gate(silent)
    assert (result["failed"], result["reason"], result["nodes"]) == (True, "new_ca_not_served", ["b"])
    assert (result["registry"], result["found"]) == (HOST, f"{HOST} on b: no answer")


def test_a_node_that_has_no_rotated_registry_does_not() -> None:
    assert not gate({"a": [GOOD], "b": []}, b_has="other.example.com").get("failed")
    assert not gate({"a": [GOOD], "b": [GOOD]}).get("failed")

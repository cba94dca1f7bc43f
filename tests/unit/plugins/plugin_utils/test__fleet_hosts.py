# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's variables become in the report: what was done, else what was found, else nothing."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_hosts import AUDIT, OUTCOME, results_of

FOUND, DONE = {"in_effect": False}, {"ok": True}


@pytest.mark.parametrize(
    ("known", "check_mode", "result", "action"),
    [
        ({AUDIT: FOUND}, False, FOUND, "audit"),
        ({AUDIT: FOUND, OUTCOME: DONE}, False, DONE, "correct"),
        ({AUDIT: FOUND, OUTCOME: DONE}, True, DONE, "audit"),
        ({}, False, None, "audit"),
    ],
)
def test_one_host(known: dict[str, Any], check_mode: bool, result: Any, action: str) -> None:
    (entry,) = results_of(["a"], {"a": known}, check_mode)
    assert entry == {"node": "a", "cluster": None, "result": result, "action": action}


def test_a_node_of_a_cluster_says_which() -> None:
    hostvars = {"a": {"cluster_node": {"cluster": "prod"}}, "b": {}}
    assert [entry["cluster"] for entry in results_of(["a", "b"], hostvars, False)] == ["prod", None]

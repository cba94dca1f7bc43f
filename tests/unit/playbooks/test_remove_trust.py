# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From which nodes remove_trust takes what the cluster says of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.nodetrust.harbor.tests.lab.kube import KubeApi, make_node
from tests.unit.playbooks.play import play

PLAYBOOK = Path(__file__).parents[3] / "playbooks" / "remove_trust.yml"
LABELS = {"harbor-certified": "true"}


def removal() -> list[dict[str, Any]]:
    """The tasks for the nodes, as they stand in the playbook."""
    (worker,) = [play for play in yaml.safe_load(PLAYBOOK.read_text()) if play["name"] == "Remove trust"]
    tasks: list[dict[str, Any]] = worker["tasks"]
    return tasks


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({}, "UNREACHABLE"),
        ({"harbor_ca_registries": "harbor.example.com"}, "harbor_ca_registries"),
        ({"harbor_ca_certify": False}, "harbor_ca_certify"),
    ],
    ids=["unreachable", "a wrong list", "a wrong word"],
)
def test_a_node_that_cannot_lose_its_trust_does_not_lose_its_certificate(
    tmp_path: Path, wrong: dict[str, Any], words: str
) -> None:
    with KubeApi() as api:
        api.store.add(make_node("a", labels=LABELS), make_node("b", labels=LABELS))
        kubeconfig = str(api.write_kubeconfig(tmp_path / "kubeconfig"))
        source = {"plugin": "nodetrust.harbor.cluster_nodes", "kubeconfig": "kubeconfig"}
        (tmp_path / "fleet.yml").write_text(json.dumps(source))
        given = {
            "harbor_ca_registries": [{"host": "harbor.example.com"}],
            "harbor_ca_kubeconfig": kubeconfig,
            "harbor_ca_lock_file": str(tmp_path / "lock"),
            "ansible_ssh_executable": "/bin/false",
            **wrong,
        }
        code, said = play(tmp_path, "nodetrust.harbor.remove_trust", given)
        assert code != 0, said
        assert words in said
        assert api.count("PATCH", ".*") == 0, said
        assert all(api.store.get("nodes", name)["metadata"]["labels"]["harbor-certified"] for name in "ab")


def test_the_others_lose_it_unless_their_cluster_is_to_be_left_alone(tmp_path: Path) -> None:
    (take,) = [task for task in removal() if task["name"] == "Take the certificate away"]
    tasks = [
        {"ansible.builtin.import_tasks": str(PLAYBOOK.parent / "tasks" / "needs.yml")},
        {"ansible.builtin.fail": {"msg": "not reached"}, "when": "inventory_hostname == 'b'"},
        take,
    ]
    (tmp_path / "play.yml").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars" / "a.yml").write_text("harbor_ca_certify: never\n")
    with KubeApi() as api:
        api.store.add(*(make_node(name, labels=LABELS) for name in "abc"))
        kubeconfig = str(api.write_kubeconfig(tmp_path / "kubeconfig"))
        source = {"plugin": "nodetrust.harbor.cluster_nodes", "kubeconfig": "kubeconfig"}
        (tmp_path / "fleet.yml").write_text(json.dumps(source))
        _code, said = play(tmp_path, "play.yml", {"harbor_ca_kubeconfig": kubeconfig})
        left = {
            name for name in "abc" if "harbor-certified" in api.store.get("nodes", name)["metadata"]["labels"]
        }
    assert left == {"a", "b"}, said


def test_the_first_look_is_no_outcome_of_a_node_whose_removal_fails(tmp_path: Path) -> None:
    role, fact = "ansible.builtin.import_role", "ansible.builtin.set_fact"
    look = {fact: {"harbor_ca_result": {"ok": True}}}
    fail = {"ansible.builtin.fail": {"msg": "locked"}, "when": "inventory_hostname == 'a'"}
    # With the role's outcome given: first that of the look in check mode, then a failure.
    steps = [(look if task.get("check_mode") else fail) if role in task else task for task in removal()]
    assert [step for step in steps if step in (look, fail)] == [look, fail]
    tasks = [step for step in steps if step == fail or fact in step]
    tell = {"ansible.builtin.debug": {"msg": "left is {{ hostvars['a'].harbor_ca_result }}."}}
    worker = {"hosts": "all", "gather_facts": False, "tasks": [*tasks, tell]}
    (tmp_path / "play.yml").write_text(json.dumps([worker]))
    (tmp_path / "fleet.yml").write_text(json.dumps({"all": {"hosts": {"a": None, "b": None}}}))
    code, said = play(tmp_path, "play.yml", {})
    assert code == 2, said
    assert "left is {}." in said, said

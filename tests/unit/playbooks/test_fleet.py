# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory knows of a node reaches the report of a real run, and is no more than text there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.nodetrust.harbor.tests.lab.kube import KubeApi, make_node
from tests.lab import pki
from tests.unit.playbooks.play import play

EVIL = "<script>alert(1)</script>"
TEMPLATE = "{{ 6 * 7 }}"


def test_labels_and_groups_of_a_node_stand_in_the_report(tmp_path: Path) -> None:
    with KubeApi() as api:
        api.store.add(make_node("w1", labels={"zone": "a", "evil": EVIL, "template": TEMPLATE}))
        api.write_kubeconfig(tmp_path / "kubeconfig")
        (tmp_path / "fleet.yml").write_text(
            json.dumps({"plugin": "nodetrust.harbor.cluster_nodes", "kubeconfig": "kubeconfig"})
        )
        code, said = play(
            tmp_path,
            "nodetrust.harbor.audit",
            {
                "harbor_ca_registries": [{"host": "harbor.invalid", "ca_pem": pki.make_ca("Harbor CA").pem}],
                "harbor_ca_check_served": False,
                "harbor_ca_report_file": "fleet.json",
                "harbor_ca_report_html": "fleet.html",
                "ansible_ssh_executable": "/bin/false",
            },
        )
    assert code == 2, said
    (node,) = json.loads((tmp_path / "fleet.json").read_text())["nodes"]
    assert (node["node"], node["state"]) == ("w1", "unreachable")
    labels = {key: node["labels"].get(key) for key in ("zone", "evil", "template")}
    assert labels == {"zone": "a", "evil": EVIL, "template": TEMPLATE}
    assert {"cluster_nodes", "worker"} <= set(node["groups"])
    page = (tmp_path / "fleet.html").read_text()
    assert page.count("<script") == 2
    assert "alert(1)" in page and "zone=a" in page


@pytest.mark.parametrize("where", ["inventory", "play"])
def test_the_report_knows_the_lists_of_the_nodes_or_that_of_the_play(tmp_path: Path, where: str) -> None:
    ca, other = pki.make_ca("Harbor CA"), pki.make_ca("Other CA")
    of_a, of_b = ([{"host": f"{name}.invalid", "ca_pem": ca.pem}] for name in "ab")
    nodes = {"a": {"harbor_ca_registries": of_a}, "b": {"harbor_ca_registries": of_b}}
    (tmp_path / "fleet.yml").write_text(json.dumps({"all": {"hosts": nodes}}))
    given: dict[str, Any] = {
        "harbor_ca_report_file": "fleet.json",
        "ansible_ssh_executable": "/bin/false",
    }
    expected = {("a.invalid", ca.fingerprint), ("b.invalid", ca.fingerprint)}
    if where == "play":
        given["harbor_ca_registries"] = [{"host": "play.invalid", "ca_pem": other.pem}]
        expected = {("play.invalid", other.fingerprint)}
    own = [{"ansible.builtin.import_playbook": "nodetrust.harbor.audit", "vars": given}]
    (tmp_path / "own.yml").write_text(json.dumps(own))
    code, said = play(tmp_path, "own.yml", {"harbor_ca_check_served": False})
    assert code == 2, said
    document = json.loads((tmp_path / "fleet.json").read_text())
    assert {(one["registry"], one["fingerprint"]) for one in document["expiry"]} == expected, said


def test_a_rotation_of_the_play_is_one(tmp_path: Path) -> None:
    old, new = pki.make_ca("Harbor CA"), pki.make_ca("Harbor CA")
    (tmp_path / "fleet.yml").write_text(json.dumps({"all": {"hosts": {"a": None}}}))
    given = {
        "harbor_ca_registries": [{"host": "harbor.invalid", "ca_pem": old.pem}],
        "harbor_ca_rotation": {"hosts": ["harbor.invalid"], "ca_pem": new.pem},
        "harbor_ca_lock_file": str(tmp_path / "lock"),
        "harbor_ca_report_file": "fleet.json",
        "ansible_ssh_executable": "/bin/false",
    }
    own = [{"ansible.builtin.import_playbook": "nodetrust.harbor.rotate_ca", "vars": given}]
    (tmp_path / "own.yml").write_text(json.dumps(own))
    variables = {"harbor_ca_check_served": False, "harbor_ca_rotation_phase": "add"}
    code, said = play(tmp_path, "own.yml", variables)
    assert code == 2, said
    assert "There is no rotation" not in said and "UNREACHABLE" in said, said
    document = json.loads((tmp_path / "fleet.json").read_text())
    assert {one["fingerprint"] for one in document["expiry"]} == {old.fingerprint, new.fingerprint}

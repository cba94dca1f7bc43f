# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory knows of a node reaches the report of a real run, and is no more than text there."""

from __future__ import annotations

import json
from pathlib import Path

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

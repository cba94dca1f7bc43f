# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What remove_trust takes from the cluster: nothing from a node that keeps its trust."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.nodetrust.harbor.tests.lab.kube import KubeApi, make_node
from tests.unit.playbooks.play import play

LABELS = {"harbor-certified": "true"}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({}, "UNREACHABLE"),
        ({"harbor_ca_registries": "harbor.example.com"}, "harbor_ca_registries"),
        ({"harbor_ca_certify": False}, "harbor_ca_certify"),
    ],
    ids=["unreachable", "a wrong list", "a wrong word"],
)
def test_a_node_that_keeps_its_trust_keeps_its_certificate(
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

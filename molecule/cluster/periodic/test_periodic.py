# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The periodic run and the removal, as the cluster sees them: who drifts for good loses the certificate."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from testinfra.host import Host

from tests.lab.verify import cluster, nodes

testinfra_hosts = ["ansible://node4"]
REPORT = nodes.RUN / "fleet.json"
DIRECTORY = f"/etc/containerd/certs.d/{nodes.REGISTRY}"
TAINTED = [f"{cluster.TAINT}:NoSchedule"]


def run(playbook: str, *flags: str, **variables: Any) -> tuple[int, str, dict[str, Any]]:
    """How it ended, what it said, and the report."""
    REPORT.unlink(missing_ok=True)
    given = {
        "harbor_ca_report_file": str(REPORT),
        "harbor_ca_lock_file": str(nodes.RUN / "lock"),
        **variables,
    }
    command = ["ansible-playbook", "-i", str(cluster.INVENTORY), f"nodetrust.harbor.{playbook}"]
    done = subprocess.run(
        [*command, "-e", json.dumps(given), *flags], capture_output=True, text=True, check=False
    )
    return (
        done.returncode,
        done.stdout + done.stderr,
        json.loads(REPORT.read_text()) if REPORT.exists() else {},
    )


@pytest.fixture(autouse=True)
def onboarded() -> None:
    """Both nodes trust and are certified, whatever another test has done to them."""
    code, said, _nodes = cluster.onboard()
    assert code == 0, said


@pytest.fixture
def mirror(host: Host) -> Iterator[None]:
    """Somebody's hosts.toml, which switches verification off."""
    text = f'[host."https://{nodes.REGISTRY}"]\\n  skip_verify = true\\n'
    host.run_expect([0], f"printf '{text}' > {DIRECTORY}/hosts.toml")
    yield
    host.run_expect([0], f"rm {DIRECTORY}/hosts.toml")


@pytest.mark.usefixtures("mirror")
def test_drift_that_only_a_person_can_cure_takes_the_certificate() -> None:
    assert cluster.marks("node4")[::2] == ("true", [])
    code, said, report = run("correct_drift")
    assert code == 2, said
    assert {node["node"]: node["state"] for node in report["nodes"]} == {"node2": "ok", "node4": "failed"}
    assert cluster.marks("node4") == (None, None, TAINTED), said
    assert cluster.marks("node2")[0] == "true"


def test_a_node_without_a_certificate_is_proved_although_nothing_drifted() -> None:
    cluster.patch(
        "node4", {"metadata": {"labels": {cluster.LABEL: None}, "annotations": {cluster.PROOF: None}}}
    )
    code, said, report = run("correct_drift")
    assert code == 0, said
    assert report["status"] == "clean", said
    assert cluster.marks("node4")[::2] == ("true", [])
    node2, node4 = report["nodes"]
    assert [node["registries"][0]["proof"] for node in (node2, node4)] == ["none", "proven"]


def test_a_removal_leaves_nothing_on_the_node_and_nothing_in_the_cluster(host: Host) -> None:
    code, said, _report = run("remove_trust", "--limit", "node4")
    assert code == 0, said
    assert cluster.marks("node4") == (None, None, [])
    assert cluster.marks("node2")[0] == "true"
    assert nodes.UNKNOWN_AUTHORITY in nodes.witness(host, nodes.HELLO)
    left = "find / -xdev '(' -name '*nodetrust*' -o -path '*/certs.d/*' ')' -not -path '/proc/*'"
    assert host.check_output(left) == ""

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the playbooks for a whole fleet share: a run, what it said, and the report that it wrote."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.lab.verify import nodes
from tests.lab.verify.pipeline import shell, witness

LOCK = nodes.RUN / "run.lock"
REPORT = nodes.RUN / "fleet.json"
METRICS = nodes.RUN / "fleet.prom"
# A node that was switched off: nothing listens at that port of the controller.
GONE = {"nodes": {"hosts": {"gone": {"ansible_host": "10.89.77.1", "ansible_port": 1}}}}
# A node with Docker among those with containerd. It has both, and no kubelet that says which one counts.
DOCKER = "engine2"
DOCKER_CERTS = "/etc/docker/certs.d"
_RUNTIMES = {"engines": {"hosts": {DOCKER: {"harbor_ca_runtime": "docker"}}}}


@dataclass(frozen=True)
class Run:
    """How a run ended."""

    code: int
    said: str
    document: dict[str, Any]
    metrics: str

    @property
    def status(self) -> str:
        return str(self.document["status"])

    @property
    def nodes(self) -> dict[str, dict[str, Any]]:
        return {node["node"]: node for node in self.document["nodes"]}

    @property
    def states(self) -> dict[str, str]:
        return {name: node["state"] for name, node in self.nodes.items()}


def run(playbook: str, *flags: str, gone: bool = False, **variables: Any) -> Run:
    """Run one of the fleet's playbooks on all nodes of the scenario, with one that is gone or without."""
    for file in (REPORT, METRICS):
        file.unlink(missing_ok=True)
    runtimes = nodes.RUN / "runtimes.json"
    runtimes.write_text(json.dumps(_RUNTIMES))
    flags = (*flags, "-i", str(runtimes))
    if gone:
        inventory = nodes.RUN / "gone.json"
        inventory.write_text(json.dumps(GONE))
        flags = (*flags, "-i", str(inventory))
    given = {
        "harbor_ca_nodes": f"nodes:{DOCKER}",
        "harbor_ca_lock_file": str(LOCK),
        "harbor_ca_report_file": str(REPORT),
        "harbor_ca_metrics_file": str(METRICS),
        **variables,
    }
    done = nodes.playbook(playbook, given, *flags)
    return Run(
        done.returncode,
        done.stdout + done.stderr,
        json.loads(REPORT.read_text()) if REPORT.exists() else {},
        METRICS.read_text() if METRICS.exists() else "",
    )


def pull(where: list[str], image: str = nodes.HELLO) -> dict[str, str]:
    """What each node's runtime says to a pull: `sha256:` in front if it succeeded."""
    said = witness([node for node in where if node != DOCKER], image)
    if DOCKER in where:
        said |= shell([DOCKER], f"docker pull -q {image} > /dev/null && echo sha256:pulled", ok=False)
    return said

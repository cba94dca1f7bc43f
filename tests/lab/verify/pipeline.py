# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of scenario `pipeline` share: several nodes at once, and a node as it was on its first day."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import testinfra
from testinfra.host import Host

from tests.lab.verify import nodes

ADDRESSES = {"node1": "10.89.77.11", "node2": "10.89.77.12", "node3": "10.89.77.13", "node4": "10.89.77.14"}
SHIM = "/run/lab-shim"

_FIRST_DAY = """
set -e
rm -rf /etc/systemd/system/containerd.service.d /etc/containerd /var/lib/nodetrust.harbor
rm -f /usr/local/bin/crictl /usr/local/bin/curl
cp -a /var/lib/lab/pristine /etc/containerd
systemctl daemon-reload
systemctl reset-failed containerd || :
systemctl restart containerd
"""


def host_of(node: str) -> Host:
    return testinfra.get_host(f"ansible://{node}", ansible_inventory=str(nodes.INVENTORY))


def call(where: str, module: str, options: dict[str, Any], *flags: str) -> dict[str, dict[str, Any]]:
    """Call a module on several nodes at the same time; the result of each."""
    return results(ad_hoc(where, module, options, *flags))


def ad_hoc(where: str, module: str, options: dict[str, Any], *flags: str) -> str:
    done = subprocess.run(
        ["ansible", "-i", str(nodes.INVENTORY), where, "-m", module, "-a", json.dumps(options), *flags],
        env={**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_FORCE_COLOR": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def results(output: str) -> dict[str, dict[str, Any]]:
    found = {}
    for match in re.finditer(r"(?m)^(\S+) \| [\w!]+ => (?=\{)", output):
        found[match.group(1)] = json.JSONDecoder().raw_decode(output[match.end() :])[0]
    assert found, output
    return found


def shell(where: str, script: str) -> dict[str, str]:
    """Run a script on several nodes at the same time; what each said."""
    answers = call(where, "ansible.builtin.shell", {"_raw_params": script})
    for node, answer in answers.items():
        assert answer.get("rc") == 0, f"{node}: {answer}"
    return {node: answer["stdout"] for node, answer in answers.items()}


def first_day(where: str) -> None:
    """Make these nodes what they were before anybody trusted anything."""
    shell(where, _FIRST_DAY)


def starts(where: str) -> dict[str, int]:
    """How often systemd has started containerd on each node."""
    count = "journalctl --sync; journalctl -u containerd -o cat | grep -c '^Started containerd'"
    return {node: int(answer) for node, answer in shell(where, count).items()}


def container_pids() -> dict[str, str]:
    pids: dict[str, str] = json.loads((nodes.RUN / "containers.json").read_text())
    return pids


def onboard(nodes_: list[str], **variables: Any) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Onboard some nodes of the lab for its registry; how the run ended, and the JSON that it wrote."""
    file = nodes.RUN / "outcome.json"
    file.unlink(missing_ok=True)
    request = nodes.request(nodes.REGISTRY, **{"harbor_ca_result_file": str(file), **variables})
    run = nodes.playbook("onboard_node", {**request, "harbor_ca_nodes": ",".join(nodes_)})
    return run, read(file) if file.exists() else {}


def read(file: Path) -> dict[str, Any]:
    outcome: dict[str, Any] = json.loads(file.read_text())
    return outcome

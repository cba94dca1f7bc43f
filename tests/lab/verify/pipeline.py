# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of scenario `pipeline` share: several nodes at once, and a node as it was on its first day."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.verify import nodes

ADDRESSES = {
    "harbor": "10.89.77.10",
    "node1": "10.89.77.11",
    "node2": "10.89.77.12",
    "node3": "10.89.77.13",
    "node4": "10.89.77.14",
    "engine2": "10.89.77.22",
}
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


def call(where: list[str], module: str, options: dict[str, Any], *flags: str) -> dict[str, dict[str, Any]]:
    """Call a module on several nodes at the same time; the result of each."""
    return results(ad_hoc(where, module, options, *flags))


def ad_hoc(where: list[str], module: str, options: dict[str, Any], *flags: str) -> str:
    done = subprocess.run(
        [
            "ansible",
            "-i",
            str(nodes.INVENTORY),
            ",".join(where),
            "-m",
            module,
            "-a",
            json.dumps(options),
            *flags,
        ],
        env={**os.environ, **nodes.AS_A_USER, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def results(output: str) -> dict[str, dict[str, Any]]:
    found = {}
    for match in re.finditer(r"(?m)^(\S+) \| ([\w!]+) => (?=\{)", output):
        found[match.group(1)] = json.JSONDecoder().raw_decode(output[match.end() :])[0]
        # Ansible's callback takes it out and writes a word in front instead.
        found[match.group(1)]["failed"] = match.group(2) == "FAILED!"
    assert found, output
    return found


def ssh(node: str, command: str, stdin: str = "") -> subprocess.Popen[str]:
    """Start a command on a node; without Ansible, which would take seconds for it."""
    options = {
        "UserKnownHostsFile": nodes.RUN / "known_hosts",
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
    }
    flags = [flag for name, value in options.items() for flag in ("-o", f"{name}={value}")]
    process = subprocess.Popen(
        ["ssh", "-i", nodes.RUN / "id_ed25519", *flags, f"root@{ADDRESSES[node]}", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(stdin)
    process.stdin.close()
    process.stdin = None
    return process


def shell(where: list[str], script: str, command: str = "sh -s", ok: bool = True) -> dict[str, str]:
    """Run a script on several nodes at the same time; what each said."""
    said = {}
    for node, process in {node: ssh(node, command, script) for node in where}.items():
        said[node] = process.communicate(timeout=120)[0].strip()
        assert process.returncode == 0 or not ok, f"{node}: {said[node]}"
    return said


def install(where: list[str], content: str, path: str) -> None:
    """Put an executable onto nodes."""
    shell(where, content, f"mkdir -p $(dirname {path}) && rm -f {path} && cat > {path} && chmod 755 {path}")


def witness(where: list[str], image: str = nodes.HELLO) -> dict[str, str]:
    """What containerd says to a pull through the CRI; shares no code with the collection."""
    return shell(where, (nodes.FILES / "cri_pull.py").read_text(), f"python3 - {image}", ok=False)


def snapshots(where: list[str]) -> dict[str, Any]:
    """All that a run without changes must leave alone."""
    said = shell(where, (nodes.FILES / "snapshot.py").read_text(), "python3 -")
    return {node: json.loads(answer) for node, answer in said.items()}


def first_day(where: list[str]) -> None:
    """Make these nodes what they were before anybody trusted anything."""
    shell(where, _FIRST_DAY)


def starts(where: list[str]) -> dict[str, int]:
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


def playbook_file(file: Path, variables: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run somebody's own playbook on the lab's nodes."""
    return subprocess.run(
        ["ansible-playbook", "-i", str(nodes.INVENTORY), str(file), "-e", json.dumps(variables)],
        env={**os.environ, **nodes.AS_A_USER},
        capture_output=True,
        text=True,
        check=False,
    )


def read(file: Path) -> dict[str, Any]:
    outcome: dict[str, Any] = json.loads(file.read_text())
    return outcome


@dataclass
class Pipeline:
    """Runs ansible-playbook in `directory` as somebody would who has only installed the collection."""

    directory: Path
    environment: dict[str, str]

    @property
    def outcome_file(self) -> Path:
        return self.directory / "outcome.json"

    @property
    def outcome(self) -> dict[str, Any]:
        outcome: dict[str, Any] = json.loads(self.outcome_file.read_text())
        return outcome

    def run(
        self,
        inventory: str,
        *flags: str,
        playbook: str = "nodetrust.harbor.onboard_node",
        user: str = "root",
        **variables: Any,
    ) -> subprocess.CompletedProcess[str]:
        given = {**nodes.request(nodes.REGISTRY), "harbor_ca_result_file": "outcome.json", **variables}
        given.pop("harbor_ca_nodes")
        given = {key: value for key, value in given.items() if value is not None}
        command = ["ansible-playbook", "-i", inventory, "-u", user, playbook, "-e", json.dumps(given), *flags]
        return subprocess.run(
            command, cwd=self.directory, env=self.environment, capture_output=True, text=True, check=False
        )

    def write(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.write_text(text)
        return path

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scenarios' tests ask of nodes, and how they call the collection as a user would."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from testinfra.host import Host

REPO = Path(__file__).resolve().parents[3]
RUN = Path(os.environ["LAB_RUN"])
INVENTORY = RUN / "inventory.yml"
FILES = REPO / "tests" / "lab" / "files"
UNKNOWN_AUTHORITY = "x509: certificate signed by unknown authority"
REGISTRY = "harbor.lab.internal"
HELLO = f"{REGISTRY}/library/hello:1"
# By node, as the suites of tests/lab/inventory.yml.in have them.
CONTAINERD_VERSIONS = {"node1": "1.6.", "node2": "1.7.", "node3": "2.1.", "node4": "1.7."}
# Molecule sends failures and what -v says to standard error; a user has all of it in one place.
AS_A_USER = {
    "ANSIBLE_DISPLAY_FAILED_STDERR": "false",
    "ANSIBLE_VERBOSE_TO_STDERR": "false",
    "ANSIBLE_FORCE_COLOR": "false",
    "COLUMNS": "1000",
}


def witness(host: Host, image: str) -> str:
    """What the node's containerd says to a pull through the CRI; shares no code with the collection."""
    return str(host.run("python3 -c %s %s", (FILES / "cri_pull.py").read_text(), image).stdout)


def snapshot(host: Host) -> dict[str, Any]:
    """All that a run without changes must leave alone."""
    facts: dict[str, Any] = json.loads(
        host.check_output("python3 -c %s", (FILES / "snapshot.py").read_text())
    )
    return facts


def ca_pem() -> str:
    return (RUN / "pki" / "ca.crt").read_text()


def module(node: str, name: str, options: dict[str, Any], *flags: str) -> dict[str, Any]:
    """Call a module of the collection on one node; its result, failed or not."""
    return modules(node, name, options, *flags)[node]


def modules(pattern: str, name: str, options: dict[str, Any], *flags: str) -> dict[str, dict[str, Any]]:
    """Call a module of the collection on several nodes at once; the result of each, failed or not."""
    done = subprocess.run(
        [
            "ansible",
            "-i",
            str(INVENTORY),
            pattern,
            "-m",
            f"nodetrust.harbor.{name}",
            "-a",
            json.dumps(options),
            *flags,
        ],
        env={**os.environ, **AS_A_USER, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
        capture_output=True,
        text=True,
        check=False,
    )
    results: dict[str, dict[str, Any]] = {}
    for head in re.finditer(r"^(\S+) \| (\S+) => (?=\{)", done.stdout, re.MULTILINE):
        result: dict[str, Any] = json.JSONDecoder().raw_decode(done.stdout[head.end() :])[0]
        # The command line says it in words where newer versions leave the field out.
        result.setdefault("failed", head[2] == "FAILED!")
        results[head[1]] = result
    assert results, f"no result from {pattern}:\n{done.stdout}\n{done.stderr}"
    return results


def playbook(name: str, variables: dict[str, Any], *flags: str) -> subprocess.CompletedProcess[str]:
    """Run one of the collection's playbooks on the lab's nodes."""
    return run_playbook(f"nodetrust.harbor.{name}", variables, *flags)


def run_playbook(playbook: str, variables: dict[str, Any], *flags: str) -> subprocess.CompletedProcess[str]:
    """The same for any playbook, by its name or its file."""
    return subprocess.run(
        [
            "ansible-playbook",
            "-i",
            str(INVENTORY),
            playbook,
            "-e",
            json.dumps(variables),
            *flags,
        ],
        env={**os.environ, **AS_A_USER},
        capture_output=True,
        text=True,
        check=False,
    )


def request(*registries: str, **more: Any) -> dict[str, Any]:
    """The variables that a user writes, for these registries of the lab."""
    entries = [
        {"host": registry, "ca_file": str(RUN / "pki" / "ca.crt"), "proof_image": "library/hello:1"}
        for registry in registries
    ]
    return {"harbor_ca_nodes": "nodes", "harbor_ca_registries": entries, **more}


def login() -> dict[str, str]:
    """User name and password of the listener on port 8444, as the option credentials wants them."""
    known = json.loads((RUN / "registry.json").read_text())
    return {"username": known["username"], "password": known["password"]}


def pin(name: str = "ca.crt") -> str:
    """The fingerprint of this run's CA, or of another certificate beside it, as openssl tells it."""
    command = ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", str(RUN / "pki" / name)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return "SHA256:" + said.strip().partition("=")[2]

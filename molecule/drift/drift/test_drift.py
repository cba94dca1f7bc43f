# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drift on all nodes at once, as the audit finds it and as two periodic runs and one person put it right.

The runs are fixtures that stand on each other; each test looks at one of them. For another node add its drift to DRIFT.
"""

from __future__ import annotations

import os
import re
from typing import Any

import pytest

from ansible_collections.nodetrust.harbor.plugins.plugin_utils import _lock
from tests.lab import pki
from tests.lab.verify import fleet, nodes
from tests.lab.verify.pipeline import shell, snapshots, starts

OTHER = f"{nodes.REGISTRY}:8443"
IMAGES = [nodes.HELLO, f"{OTHER}/library/hello:1"]
CERTS = "/etc/containerd/certs.d"
CA = f"{CERTS}/{nodes.REGISTRY}/ca.crt"
OTHER_CA = f"{CERTS}/{OTHER}/ca.crt"
SKIP_VERIFY = f'server = "https://{OTHER}"\n[host."https://{OTHER}"]\n  skip_verify = true\n'


def put(path: str, content: str) -> str:
    return f"cat > {path} <<'END'\n{content}END\n"


# What was done to each node by hand: a script, and what the audit has to say of it, by registry.
DRIFT: dict[str, tuple[str, dict[str, str]]] = {
    "node1": (
        put(CA, pki.make_ca("Somebody else").pem) + f"rm -r {CERTS}/{OTHER}\n",
        {nodes.REGISTRY: "not pinned", OTHER: f"no CA in {CERTS}/{OTHER}"},
    ),
    "node2": (
        f"cat >> {CA} <<'END'\n{pki.make_ca('One too many').pem}END\n"
        "cp /var/lib/pristine/config.toml /etc/containerd/config.toml && systemctl restart containerd\n",
        {nodes.REGISTRY: "not pinned", OTHER: "config_path is not set"},
    ),
    "node3": (
        put(CA, "-----BEGIN CERTIFICATE-----\nbroken\n") + put(f"{CERTS}/{OTHER}/hosts.toml", SKIP_VERIFY),
        {nodes.REGISTRY: "can't load", OTHER: "skip_verify"},
    ),
    # Made anew under its old name.
    "node4": (
        "rm -rf /etc/containerd /var/lib/nodetrust.harbor && cp -a /var/lib/pristine /etc/containerd\n"
        "systemctl restart containerd\n",
        {nodes.REGISTRY: "no CA", OTHER: "no CA"},
    ),
    fleet.DOCKER: (
        put(f"{fleet.DOCKER_CERTS}/{nodes.REGISTRY}/ca.crt", pki.make_ca("Somebody else").pem)
        + f"rm -r {fleet.DOCKER_CERTS}/{OTHER}\n",
        {nodes.REGISTRY: "not pinned", OTHER: f"no CA in {fleet.DOCKER_CERTS}/{OTHER}"},
    ),
}
NODES = list(DRIFT)
LOCKED, REFUSED = "node4", "node3"
REQUEST: dict[str, Any] = nodes.request(
    nodes.REGISTRY, OTHER, harbor_ca_serial=2, harbor_ca_nodes=f"nodes:{fleet.DOCKER}"
)


def pulls(where: list[str]) -> dict[str, bool]:
    """Does this node pull from both registries? Asked of its runtime itself."""
    said = [fleet.pull(where, image) for image in IMAGES]
    return {node: all(answer[node].startswith("sha256:") for answer in said) for node in where}


@pytest.fixture(scope="module")
def drifted() -> dict[str, Any]:
    """All nodes as somebody left them."""
    assert all(pulls(NODES).values())
    for node, (script, _reasons) in DRIFT.items():
        shell([node], f"set -e\n{script}")
    return snapshots(NODES)


@pytest.fixture(scope="module")
def audit(drifted: dict[str, Any]) -> fleet.Run:
    return fleet.run("audit", "-vvv", gone=True, **REQUEST)


@pytest.fixture(scope="module")
def after_audit(audit: fleet.Run) -> dict[str, Any]:
    return snapshots(NODES)


@pytest.fixture(scope="module")
def before(audit: fleet.Run, after_audit: dict[str, Any]) -> dict[str, int]:
    """How often containerd was started until the first periodic run."""
    return starts(NODES)


@pytest.fixture(scope="module")
def first(before: dict[str, int]) -> fleet.Run:
    """The periodic run, while another one works on one of the nodes."""
    hold = (
        "mkdir -p /var/lib/nodetrust.harbor && systemd-run --quiet --unit=holder flock /var/lib/nodetrust.harbor/lock "
        "sh -c 'touch /run/held; sleep infinity'; until [ -e /run/held ]; do sleep 0.1; done"
    )
    shell([LOCKED], hold)
    done = fleet.run("correct_drift", gone=True, **REQUEST)
    shell([LOCKED], "systemctl stop holder")
    return done


@pytest.fixture(scope="module")
def first_pulls(first: fleet.Run) -> dict[str, bool]:
    return pulls(NODES)


@pytest.fixture(scope="module")
def first_starts(first: fleet.Run) -> dict[str, int]:
    return starts(NODES)


@pytest.fixture(scope="module")
def second(first_pulls: dict[str, bool], first_starts: dict[str, int]) -> fleet.Run:
    """The next one, after a person has done what the report asked for."""
    shell([REFUSED], f"rm {CERTS}/{OTHER}/hosts.toml")
    return fleet.run("correct_drift", **REQUEST)


def test_the_audit_ends_with_a_failure_and_names_every_node(audit: fleet.Run) -> None:
    assert audit.code == 2, audit.said
    assert audit.status == "needs_a_person"
    assert audit.states == {**dict.fromkeys(NODES, "drifted"), "gone": "unreachable"}


@pytest.mark.parametrize("node", NODES)
def test_the_audit_says_what_was_done_to_the_node(audit: fleet.Run, node: str) -> None:
    found = {one["registry"]: " ".join(one["reasons"]) for one in audit.nodes[node]["registries"]}
    for registry, words in DRIFT[node][1].items():
        assert words in found[registry]


def test_the_audit_makes_one_call_to_each_node_and_touches_nothing(
    drifted: dict[str, Any], audit: fleet.Run, after_audit: dict[str, Any]
) -> None:
    modules = re.findall(r"Using module file .*/(\w+)\.py", audit.said)
    assert modules == ["ca_fingerprint"] * len(NODES)
    assert after_audit == drifted


def test_the_periodic_run_corrects_what_it_can_and_reports_the_rest(first: fleet.Run) -> None:
    assert first.code == 2, first.said
    assert first.status == "needs_a_person"
    assert first.states == {
        **dict.fromkeys(NODES, "corrected"),
        REFUSED: "failed",
        LOCKED: "failed",
        "gone": "unreachable",
    }
    assert first.nodes[REFUSED]["reason"] == "foreign_hosts_toml"
    assert f"{CERTS}/{OTHER}/hosts.toml" in first.nodes[REFUSED]["message"]
    assert first.nodes[REFUSED]["next_step"]
    assert first.nodes[LOCKED]["reason"] == "locked"


def test_what_was_corrected_pulls_and_what_was_refused_is_as_it_was(first_pulls: dict[str, bool]) -> None:
    assert first_pulls == {**dict.fromkeys(NODES, True), REFUSED: False, LOCKED: False}


def test_only_the_node_that_needed_it_was_restarted(
    before: dict[str, int], first: fleet.Run, first_starts: dict[str, int]
) -> None:
    assert {node: first_starts[node] - before[node] for node in NODES} == {
        **dict.fromkeys(NODES, 0),
        "node2": 1,
    }
    assert {node for node in NODES if "the runtime was restarted" in first.nodes[node]["changes"]} == {
        "node2"
    }


def test_the_metrics_count_the_nodes(first: fleet.Run) -> None:
    lines = [line for line in first.metrics.splitlines() if not line.startswith("#")]
    counts = {
        match.group(1): int(float(line.split()[-1]))
        for line in lines
        if line.startswith("nodetrust_nodes{") and (match := re.search(r'state="(\w+)"', line))
    }
    found = {state: count for state, count in counts.items() if count}
    assert found == {"corrected": len(NODES) - 2, "failed": 2, "unreachable": 1}


def test_the_next_run_finishes(second: fleet.Run) -> None:
    assert second.code == 0, second.said
    assert second.status == "corrected"
    assert second.states == {**dict.fromkeys(NODES, "ok"), REFUSED: "corrected", LOCKED: "corrected"}
    assert all(pulls(NODES).values())


def test_then_the_fleet_is_clean_and_a_run_changes_nothing(second: fleet.Run) -> None:
    there = snapshots(NODES)
    again = fleet.run("correct_drift", "-vvv", **REQUEST)
    assert (again.code, again.status) == (0, "clean"), again.said
    assert set(again.states.values()) == {"ok"}
    assert re.findall(r"Using module file .*/(\w+)\.py", again.said) == ["ca_fingerprint"] * len(NODES)
    assert snapshots(NODES) == there


def test_a_second_run_says_who_is_at_work_and_leaves(second: fleet.Run) -> None:
    there = snapshots(NODES)
    mine = _lock.holder_of(os.getpid(), "a test", "somebody")
    _lock.take(str(fleet.LOCK), mine)
    done = fleet.run("correct_drift", **REQUEST)
    _lock.release(str(fleet.LOCK), mine)
    assert done.code == 2
    assert f"a test of somebody, PID {os.getpid()}" in done.said
    assert done.document == {}
    assert snapshots(NODES) == there

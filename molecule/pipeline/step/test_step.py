# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook as one step of a pipeline: exit status and JSON tell all that the next step needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.verify import nodes
from tests.lab.verify.pipeline import ADDRESSES, Pipeline, first_day, shell, snapshots, starts, witness

NODES = ["node1", "node2"]
INLINE = "".join(f"{ADDRESSES[node]}," for node in NODES)
NOBODY = "10.89.77.99"


@pytest.fixture(autouse=True)
def _first_day() -> Iterator[None]:
    first_day(NODES)
    yield
    first_day(NODES)


def pulls() -> bool:
    return all(said.startswith("sha256:") for said in witness(NODES).values())


def untouched(before: dict[str, Any]) -> bool:
    return before == snapshots(NODES)


@pytest.fixture
def before() -> dict[str, Any]:
    return snapshots(NODES)


def test_addresses_on_the_command_line_are_enough(pipeline: Pipeline) -> None:
    run = pipeline.run(INLINE)
    assert run.returncode == 0, run.stdout
    outcome = pipeline.outcome
    assert outcome["ok"] is True and outcome["without_outcome"] == []
    assert set(outcome["nodes"]) == {ADDRESSES[node] for node in NODES}
    for result in outcome["nodes"].values():
        assert result["ok"] and result["proof"] == "proven" and result["restarted"]
        assert result["registries"][0]["in_sync"] and result["runtime"]["name"] == "containerd"
    assert pipeline.outcome_file.stat().st_mode & 0o777 == 0o600
    assert pulls()
    warnings = [line for line in run.stderr.splitlines() if "WARNING" in line]
    assert [line for line in warnings if "discovered Python interpreter" not in line] == []


def test_one_node_that_cannot_be_reached_does_not_hold_up_the_others(pipeline: Pipeline) -> None:
    run = pipeline.run(f"{NOBODY},{INLINE}")
    assert run.returncode == 2, run.stdout
    outcome = pipeline.outcome
    assert outcome["ok"] is False and outcome["without_outcome"] == []
    assert outcome["nodes"].pop(NOBODY)["reason"] == "node_unreachable"
    assert all(result["ok"] for result in outcome["nodes"].values()) and len(outcome["nodes"]) == 2
    assert pulls()


def test_no_node_can_be_reached_and_the_result_of_yesterday_is_not_left_behind(pipeline: Pipeline) -> None:
    pipeline.outcome_file.write_text('{"format": 1, "ok": true}')
    run = pipeline.run(f"{NOBODY},")
    assert run.returncode == 2, run.stdout
    outcome = pipeline.outcome
    assert outcome["ok"] is False and outcome["without_outcome"] == []
    assert outcome["nodes"][NOBODY]["reason"] == "node_unreachable"


def test_a_node_that_failed_ends_the_step_with_2_and_says_why(pipeline: Pipeline) -> None:
    entry = {**nodes.request(nodes.REGISTRY)["harbor_ca_registries"][0], "proof_image": "library/vanished:1"}
    run = pipeline.run(INLINE, harbor_ca_registries=[entry])
    assert run.returncode == 2, run.stdout
    assert pipeline.outcome["ok"] is False and pipeline.outcome["without_outcome"] == []
    for result in pipeline.outcome["nodes"].values():
        assert result["ok"] is False and result["reason"] == "not_found" and result["rolled_back"] is False
        assert result["registry"] == nodes.REGISTRY and result["next_step"] and result["node"] in NODES
        assert "Next step: " in result["msg"]
    # The trust itself is fine, and stays.
    assert pulls()


@pytest.mark.parametrize(
    ("name", "content"),
    [("empty.yml", "all: {hosts: {}}\n"), ("broken.yml", "all: [\n"), ("missing.yml", None)],
)
def test_an_inventory_without_a_node_is_a_failure(pipeline: Pipeline, name: str, content: str | None) -> None:
    pipeline.outcome_file.write_text('{"format": 1, "ok": true}')
    if content is not None:
        pipeline.write(name, content)
    run = pipeline.run(name)
    assert run.returncode == 2, run.stdout
    for words in ("No node is selected. Found: ", "Expected: ", "Next step: "):
        assert words in run.stdout, run.stdout
    assert pipeline.outcome["ok"] is False


def inventory(bad: str) -> str:
    """node1 as everybody, node2 with a request of its own."""
    return (
        "all:\n  hosts:\n"
        f"    node1: {{ansible_host: {ADDRESSES['node1']}}}\n"
        f"    node2:\n      ansible_host: {ADDRESSES['node2']}\n      harbor_ca_registries: {bad}\n"
        "  vars:\n    harbor_ca_registries:\n"
        f"      - {{host: {nodes.REGISTRY}, ca_file: {nodes.RUN}/pki/ca.crt, proof_image: 'library/hello:1'}}\n"
    )


@pytest.mark.parametrize(
    ("bad", "words", "serial"),
    [
        (f"[{{host: {nodes.REGISTRY}, ca_pem: junk}}]", "no certificate", None),
        (f"[{{host: {nodes.REGISTRY}, ca_fiel: ca.crt}}]", "ca_fiel", 1),
        ("[]", "no registry", 1),
    ],
    ids=["junk", "unknown key, serial", "no registry, serial"],
)
def test_one_bad_request_stops_all_nodes_before_any_is_touched(
    pipeline: Pipeline, before: dict[str, Any], bad: str, words: str, serial: int | None
) -> None:
    pipeline.write("nodes.yml", inventory(bad))
    run = pipeline.run("nodes.yml", harbor_ca_registries=None, harbor_ca_serial=serial)
    assert run.returncode == 2, run.stdout
    assert untouched(before), run.stdout
    results = pipeline.outcome["nodes"]
    assert set(results) == set(NODES) and pipeline.outcome["ok"] is False
    assert words in results["node2"]["msg"], results["node2"]["msg"]
    assert "node2" in results["node1"]["msg"] and "before this node was touched" in results["node1"]["msg"]
    assert results["node1"]["ok"] is False and results["node1"]["reason"] == "stopped"


def test_one_import_in_a_playbook_of_ones_own(pipeline: Pipeline) -> None:
    pipeline.write(
        "join.yml",
        "- import_playbook: nodetrust.harbor.onboard_node\n"
        "  vars:\n    harbor_ca_nodes: new\n"
        "- hosts: new\n  gather_facts: false\n  tasks:\n"
        "    - debug: {msg: 'joins, proof {{ harbor_ca_result.proof }}'}\n",
    )
    pipeline.write(
        "nodes.yml", f"new: {{hosts: {{{ADDRESSES['node1']}: }}}}\nold: {{hosts: {{{NOBODY}: }}}}\n"
    )
    run = pipeline.run("nodes.yml", playbook="join.yml")
    assert run.returncode == 0, run.stdout
    assert "joins, proof proven" in run.stdout
    assert set(pipeline.outcome["nodes"]) == {ADDRESSES["node1"]}


@pytest.fixture
def joiner() -> Iterator[str]:
    """A user of the nodes who is not root. The lab's nodes have no sudo; su without a password stands for it."""
    shell(
        NODES,
        "id joiner 2>/dev/null || useradd -m -s /bin/bash joiner; mkdir -p ~joiner/.ssh; passwd -d root;"
        " cp /root/.ssh/authorized_keys ~joiner/.ssh/; chown -R joiner: ~joiner/.ssh",
    )
    yield "joiner"
    shell(NODES, "usermod -p '*' root")


def test_the_role_alone_for_a_user_who_has_to_become_root(pipeline: Pipeline, joiner: str) -> None:
    pipeline.write(
        "role.yml",
        "- hosts: all\n  become: true\n  gather_facts: false\n"
        "  roles:\n    - role: nodetrust.harbor.harbor_ca\n",
    )
    run = pipeline.run(INLINE, playbook="role.yml", user=joiner, ansible_become_method="su")
    assert run.returncode == 0, run.stdout
    assert pulls()


def test_without_become_the_failure_says_so(pipeline: Pipeline, before: dict[str, Any], joiner: str) -> None:
    pipeline.write(
        "role.yml", "- hosts: all\n  gather_facts: false\n  roles:\n    - role: nodetrust.harbor.harbor_ca\n"
    )
    run = pipeline.run(INLINE, playbook="role.yml", user=joiner)
    assert run.returncode == 2
    assert "root" in run.stdout and "become: true" in run.stdout, run.stdout
    assert untouched(before)


def test_one_node_after_the_other(pipeline: Pipeline) -> None:
    count = starts(NODES)
    run = pipeline.run(INLINE, harbor_ca_serial=1)
    assert run.returncode == 0, run.stdout
    order = re.findall(r"changed: \[(\S+)\]", run.stdout)
    assert order == sorted(order) and len(set(order)) == 2, "the second began before the first was done"
    assert len(pipeline.outcome["nodes"]) == 2 and pipeline.outcome["ok"] is True
    assert starts(NODES) == {node: number + 1 for node, number in count.items()}


def test_one_after_the_other_stops_at_the_first_that_fails(pipeline: Pipeline) -> None:
    shell(["node1"], "systemctl stop containerd")
    run = pipeline.run(INLINE, harbor_ca_serial=1)
    assert run.returncode == 2, run.stdout
    outcome = pipeline.outcome
    assert outcome["ok"] is False and outcome["without_outcome"] == [ADDRESSES["node2"]]
    assert "systemctl start containerd" in outcome["nodes"][ADDRESSES["node1"]]["msg"]


def test_check_mode_promises_and_does_nothing(pipeline: Pipeline, before: dict[str, Any]) -> None:
    run = pipeline.run(INLINE, "--check", "--diff")
    assert run.returncode == 0, run.stdout
    assert untouched(before)
    for result in pipeline.outcome["nodes"].values():
        assert result["proof"] == "skipped" and result["restart_due"] and not result["restarted"]

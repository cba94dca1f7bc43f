# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the role restarts containerd, when it leaves that to others, and how it brings back what it broke.

Always on two nodes at once: 1.7, which tells what it runs with, and 2.1, which does not.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.verify import nodes
from tests.lab.verify.pipeline import (
    call,
    container_pids,
    first_day,
    onboard,
    playbook_file,
    shell,
    starts,
    witness,
)

NODES = ["node3", "node4"]


@pytest.fixture(autouse=True)
def _first_day() -> Iterator[None]:
    first_day(NODES)
    yield
    first_day(NODES)
    # Whatever the test did to containerd, the container did not notice.
    now = shell(NODES, "pgrep -x busybox")
    assert now == {node: container_pids()[node] for node in NODES}


def run(**variables: Any) -> tuple[subprocess.CompletedProcess[str], dict[str, dict[str, Any]]]:
    done, outcome = onboard(NODES, **variables)
    assert set(outcome["nodes"]) == set(NODES), done.stdout
    assert outcome["ok"] is (done.returncode == 0)
    return done, outcome["nodes"]


def restarts_of(before: dict[str, int]) -> set[int]:
    now = starts(NODES)
    return {now[node] - before[node] for node in NODES}


def test_one_restart_on_a_new_node_none_on_a_cured_one_and_always_means_always() -> None:
    before = starts(NODES)
    done, outcome = run()
    assert done.returncode == 0, done.stdout
    assert restarts_of(before) == {1}
    for result in outcome.values():
        assert result["restarted"] and result["proof"] == "proven" and not result["restart_due"]
        assert result["pulls_before"][0]["reason"] == "unknown_authority"
    done, outcome = run()
    assert done.returncode == 0, done.stdout
    assert restarts_of(before) == {1}
    assert not any(result["restarted"] or result["changed"] for result in outcome.values())
    done, outcome = run(harbor_ca_restart="always")
    assert done.returncode == 0, done.stdout
    assert restarts_of(before) == {2}
    assert all(result["restarted"] and result["proof"] == "proven" for result in outcome.values())


def test_where_containerd_reads_the_directory_already_nothing_is_restarted() -> None:
    for node in NODES:
        shell([node], set_config_path(node))
    before = starts(NODES)
    done, outcome = run()
    assert done.returncode == 0, done.stdout
    assert restarts_of(before) == {0}
    assert all(result["changes"] and result["proof"] == "proven" for result in outcome.values())


def set_config_path(node: str) -> str:
    section = "io.containerd.cri.v1.images" if node == "node3" else "io.containerd.grpc.v1.cri"
    version = 3 if node == "node3" else 2
    return (
        f'printf \'version = {version}\\n[plugins."{section}".registry]\\n'
        'config_path = "/etc/containerd/certs.d"\\n\' > /etc/containerd/config.toml && systemctl restart containerd'
    )


def test_never_leaves_the_restart_to_others_and_the_next_run_finishes() -> None:
    before = starts(NODES)
    done, outcome = run(harbor_ca_restart="never")
    assert done.returncode == 2
    assert restarts_of(before) == {0}
    for node, result in outcome.items():
        assert result["restart_due"] and not result["restarted"] and result["proof"] == "pending_restart"
        for words in (node, "Found: ", "Expected: ", "Next step: ", "systemctl restart containerd"):
            assert words in result["msg"], result["msg"]
    assert all("unknown authority" in said for said in witness(NODES).values())
    done, outcome = run()
    assert done.returncode == 0, done.stdout
    assert restarts_of(before) == {1}
    for result in outcome.values():
        assert result["restarted"] and result["changes"] == [] and result["proof"] == "proven"


def test_never_is_a_failure_also_where_no_proof_waits_for_it() -> None:
    entry = {"host": nodes.REGISTRY, "ca_file": str(nodes.RUN / "pki" / "ca.crt")}
    done, outcome = run(harbor_ca_restart="never", harbor_ca_registries=[entry])
    assert done.returncode == 2, done.stdout
    for result in outcome.values():
        assert result["restart_due"] and not result["ok"] and result["proof"] == "none"
        assert "harbor_ca_restart is never" in result["msg"]


def test_a_run_that_died_before_the_restart_is_finished_by_the_next() -> None:
    registries = [{"host": nodes.REGISTRY, "ca_pem": nodes.ca_pem()}]
    for result in call(NODES, "nodetrust.harbor.registry_trust", {"registries": registries}).values():
        assert result["restart_due"], result
    before = starts(NODES)
    done, outcome = run()
    assert done.returncode == 0, done.stdout
    assert restarts_of(before) == {1}
    assert all(result["restarted"] and result["changes"] == [] for result in outcome.values())


# With our setting in config.toml containerd does not start, or starts without its CRI.
_DROP_IN = "/etc/systemd/system/containerd.service.d/trap.conf"
_NO_START = "ExecStartPre=/bin/sh -c '! grep -q certs.d /etc/containerd/config.toml'"
_NO_CRI = (
    "ExecStartPre=/bin/sh -c 'rm -f /etc/containerd/trap/on.toml; ! grep -q certs.d /etc/containerd/config.toml"
    " || cp /etc/containerd/trap/off /etc/containerd/trap/on.toml'"
)


def set_trap(line: str) -> None:
    script = f"""
set -e
mkdir -p {Path(_DROP_IN).parent} /etc/containerd/trap
printf '%s\\n' '[Service]' "{line}" > {_DROP_IN}
printf 'version = 2\\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\\n' > /etc/containerd/trap/off
sed -i '1i imports = ["/etc/containerd/trap/*.toml"]' /etc/containerd/config.toml
systemctl daemon-reload
systemctl restart containerd
"""
    shell(NODES, script)


@pytest.mark.parametrize("trap", [_NO_START, _NO_CRI], ids=["no start", "no CRI"])
def test_a_change_that_breaks_the_runtime_is_taken_back(trap: str) -> None:
    set_trap(trap)
    config = shell(NODES, "cat /etc/containerd/config.toml")
    entries = nodes.request(nodes.REGISTRY, f"{nodes.REGISTRY}:8443")["harbor_ca_registries"]
    done, outcome = run(harbor_ca_registries=entries, harbor_ca_wait=5)
    assert done.returncode == 2, done.stdout
    for node, result in outcome.items():
        assert result["rolled_back"] is True, result["msg"]
        assert result["reason"] == ("restart_failed" if trap is _NO_START else "cri_not_loaded")
        for words in (node, "Found: ", "Expected: ", "Next step: ", "is back"):
            assert words in result["msg"], result["msg"]
    assert shell(NODES, "cat /etc/containerd/config.toml") == config
    assert set(shell(NODES, "ls /etc/containerd/certs.d 2>/dev/null || :").values()) == {""}
    assert set(shell(NODES, "systemctl is-active containerd").values()) == {"active"}
    # The CRI answers again, and it says what it said before.
    assert all("unknown authority" in said for said in witness(NODES).values())


_IDLE_SOON = r"""
file=/etc/containerd/config.toml
table='[plugins."io.containerd.grpc.v1.cri"]'
grep -qF "$table" $file || printf '\n%s\n' "$table" >> $file
sed -i '/^ *\[plugins."io.containerd.grpc.v1.cri"\]/a stream_idle_timeout = "soon"' $file
containerd config dump | grep -q soon
"""


def test_what_somebody_else_broke_is_named_and_left_alone() -> None:
    done, _outcome = run()
    assert done.returncode == 0, done.stdout
    # containerd's parser takes it, and its CRI does not start with it.
    shell(NODES, _IDLE_SOON)
    config = shell(NODES, "cat /etc/containerd/config.toml")
    done, outcome = run(harbor_ca_restart="always", harbor_ca_wait=2)
    assert done.returncode == 2, done.stdout
    for result in outcome.values():
        assert result["reason"] == "cri_not_loaded" and result["rolled_back"] is False, result
    assert shell(NODES, "cat /etc/containerd/config.toml") == config


def test_the_role_twice_in_one_play_tells_each_run_by_itself(tmp_path: Path) -> None:
    playbook = tmp_path / "twice.yml"
    playbook.write_text(
        """
- hosts: node3,node4
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: nodetrust.harbor.harbor_ca}
    - ansible.builtin.set_fact: {first: "{{ harbor_ca_result }}"}
    - ansible.builtin.import_role: {name: nodetrust.harbor.harbor_ca}
    - ansible.builtin.assert:
        that:
          - first.restarted and first.changed and first.pulls | length == 1
          - not harbor_ca_result.restarted
          - not harbor_ca_result.changed
          - harbor_ca_result.proof == 'proven'
"""
    )
    variables = nodes.request(nodes.REGISTRY)
    done = playbook_file(playbook, variables)
    assert done.returncode == 0, done.stdout

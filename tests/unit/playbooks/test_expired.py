# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The day on which a pinned CA expires: it is told, the other registries are put right, and nobody is onboarded."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.lab import pki
from tests.unit.playbooks.play import play

ROOT = Path(__file__).parents[3]
NOW = datetime.now(timezone.utc)
GOOD = pki.make_ca("Harbor CA")
EXPIRED = pki.make_ca("Mirror CA", not_before=NOW - timedelta(days=9), not_after=NOW - timedelta(days=2))
HARBOR, MIRROR = "harbor.example.com", "mirror.example.com"
LIST = [{"host": MIRROR, "ca_pem": EXPIRED.pem}, {"host": HARBOR, "ca_pem": GOOD.pem}]


def fleet(directory: Path, *hosts: str, **variables: Any) -> None:
    (directory / "fleet.yml").write_text(
        json.dumps({"all": {"hosts": {host: {} for host in hosts}, "vars": variables}})
    )


def test_the_report_says_it_of_this_registry_and_still_has_the_others(tmp_path: Path) -> None:
    fleet(tmp_path, "a.invalid", ansible_ssh_executable="/bin/false")
    code, said = play(
        tmp_path,
        "nodetrust.harbor.audit",
        {
            "harbor_ca_registries": LIST,
            "harbor_ca_check_served": False,
            "harbor_ca_report_file": "fleet.json",
            "harbor_ca_metrics_file": "fleet.prom",
        },
    )
    assert code == 2, said
    report = json.loads((tmp_path / "fleet.json").read_text())
    assert [node["state"] for node in report["nodes"]] == ["unreachable"]
    assert {one["registry"]: one["level"] for one in report["expiry"]} == {MIRROR: "expired", HARBOR: "ok"}
    assert any("expired 2 days ago" in line and MIRROR in line for line in report["warnings"])
    metrics = (tmp_path / "fleet.prom").read_text()
    assert metrics.count("\nnodetrust_certificate_expiry_timestamp_seconds{") == 2


PICK = """
- hosts: all
  gather_facts: false
  vars: {__harbor_ca_group: harbor_ca_to_correct_1}
  tasks:
    - ansible.builtin.set_fact:
        __harbor_ca_audit: "{{ audit }}"
    - ansible.builtin.import_tasks: TASKS/pick.yml
    - ansible.builtin.debug:
        msg: "picked: {{ groups['harbor_ca_to_correct_1'] | default([]) | sort | join(' ') }}."
      run_once: true
"""


def test_nodes_are_worked_on_for_what_can_be_cured(tmp_path: Path) -> None:
    right = {"in_effect": True, "curable": False, "expired": []}
    wrong = {"in_effect": False, "curable": True, "expired": []}
    audits = {
        "right": right,
        "wrong": wrong,
        "wrong-in-both": {**wrong, "expired": [MIRROR]},
        "wrong-in-the-expired": {**wrong, "curable": False, "expired": [MIRROR]},
        "unproven": right,
        "unproven-and-expired": {**right, "expired": [MIRROR]},
        "silent": {"failed": True},
    }
    hosts = {name: {"audit": audit} for name, audit in audits.items()}
    for name in ("unproven", "unproven-and-expired"):
        hosts[name]["cluster_node"] = {"certification": {"state": "stale"}}
    (tmp_path / "fleet.yml").write_text(json.dumps({"all": {"hosts": hosts}}))
    (tmp_path / "play.yml").write_text(PICK.replace("TASKS", str(ROOT / "playbooks" / "tasks")))
    code, said = play(tmp_path, "play.yml", {})
    assert code == 0, said
    assert "picked: unproven wrong wrong-in-both." in said, said
    code, said = play(tmp_path, "play.yml", {"harbor_ca_certify": "never"})
    assert "picked: wrong wrong-in-both." in said, said


ROLE = """
- hosts: all
  gather_facts: false
  connection: local
  tasks:
    - ansible.builtin.import_role: {name: nodetrust.harbor.harbor_ca}
    - ansible.builtin.debug:
        msg: "left alone: {{ harbor_ca_result.left_alone | join(' ') }}."
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change its root")
@pytest.mark.parametrize("leave", [True, False])
def test_the_role_leaves_it_alone_only_where_it_is_told_to(tmp_path: Path, leave: bool) -> None:
    for directory in ("etc/containerd", "usr/bin", "tmp", "var/lib"):
        (tmp_path / "image" / directory).mkdir(parents=True)
    program = tmp_path / "image/usr/bin/containerd"
    program.write_bytes(b"\x7fELF")
    program.chmod(0o755)
    fleet(tmp_path, "image")
    (tmp_path / "play.yml").write_text(ROLE)
    given = {
        "harbor_ca_registries": LIST,
        "harbor_ca_check_served": False,
        "harbor_ca_root": str(tmp_path / "image"),
        "ansible_python_interpreter": sys.executable,
        **({"__harbor_ca_leave_expired": True} if leave else {}),
    }
    code, said = play(tmp_path, "play.yml", given)
    certs = tmp_path / "image/etc/containerd/certs.d"
    if leave:
        assert code == 0, said
        assert f"left alone: {MIRROR}." in said
        assert os.listdir(certs) == [HARBOR]
        assert (certs / HARBOR / "ca.crt").read_text().endswith(GOOD.pem)
    else:
        assert code == 2
        assert "has expired" in said
        assert not certs.exists()


def test_the_periodic_run_tells_the_role_so_and_no_other_does() -> None:
    name = "__harbor_ca_leave_expired"
    files = [path.name for path in (ROOT / "playbooks").glob("**/*.yml") if name in path.read_text()]
    assert files == ["correct_drift.yml"]

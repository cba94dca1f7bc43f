# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbooks for the fleet refuse before they connect to the first node: here no node exists."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab import pki

NOW = datetime.now(timezone.utc)
OLD, NEW = pki.make_ca("Harbor CA"), pki.make_ca("Harbor CA")
EXPIRED = pki.make_ca("Harbor CA", not_before=NOW - timedelta(days=9), not_after=NOW - timedelta(days=2))
HOST = "harbor.example.com"
LIST = [{"host": HOST, "ca_pem": OLD.pem, "proof_image": "library/hello:1"}]


def run(
    tmp_path: Path, playbook: str, *flags: str, inventory: str = "a.invalid,b.invalid,", **variables: Any
) -> tuple[int, str]:
    """Run a playbook for two nodes that nobody can connect to; exit status and what was said."""
    given = {
        "harbor_ca_registries": LIST,
        "harbor_ca_check_served": False,
        "harbor_ca_lock_file": str(tmp_path / "lock"),
        "harbor_ca_report_file": str(tmp_path / "fleet.json"),
        "ansible_ssh_executable": "/bin/false",
        **variables,
    }
    program = str(Path(sys.executable).parent / "ansible-playbook")
    command = [program, "-i", inventory, f"nodetrust.harbor.{playbook}", "-e", json.dumps(given)]
    done = subprocess.run([*command, *flags], cwd=tmp_path, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def rotation(credential: pki.Credential, phase: str) -> dict[str, Any]:
    return {
        "harbor_ca_rotation": {"hosts": [HOST], "ca_pem": credential.pem},
        "harbor_ca_rotation_phase": phase,
    }


@pytest.mark.parametrize(
    ("playbook", "flags", "variables", "words"),
    [
        ("correct_drift", [], {"harbor_ca_nodes": "nobody"}, "No node is selected"),
        ("rotate_ca", [], rotation(NEW, ""), "Expected: add, switch or remove"),
        (
            "rotate_ca",
            ["--limit", "a.invalid"],
            rotation(NEW, "remove"),
            "--limit leaves out 1 nodes, such as b.invalid",
        ),
        ("rotate_ca", [], rotation(EXPIRED, "add"), "The new CA in harbor_ca_rotation has 1 problem"),
    ],
    ids=["nobody", "no phase", "a part of the nodes", "the new CA has expired"],
)
def test_refused_before_a_node_is_connected_to(
    tmp_path: Path, playbook: str, flags: list[str], variables: dict[str, Any], words: str
) -> None:
    code, said = run(tmp_path, playbook, *flags, **variables)
    assert code == 2, said
    assert words in " ".join(said.split()), said
    assert "UNREACHABLE" not in said


@pytest.mark.parametrize(
    ("playbook", "names"),
    [
        ("audit", ["nodes"]),
        ("correct_drift", ["nodes", "serial"]),
        ("onboard_node", ["nodes", "serial"]),
        ("remove_trust", ["nodes", "serial"]),
        ("rotate_ca", ["nodes", "serial", "rotation_phase"]),
    ],
)
def test_what_ansible_does_not_look_for_in_an_inventory_is_refused_there(
    tmp_path: Path, playbook: str, names: list[str]
) -> None:
    values = {
        "harbor_ca_nodes": "a.invalid",
        "harbor_ca_serial": 1,
        "harbor_ca_rotation_phase": "add",
    }
    inventory = tmp_path / "inventory.json"
    # Not of the first node alone: a group may have it for some.
    some = {"hosts": {"b.invalid": None}, "vars": values}
    inventory.write_text(json.dumps({"all": {"hosts": {"a.invalid": None}, "children": {"some": some}}}))
    code, said = run(tmp_path, playbook, inventory=str(inventory))
    assert code == 2, said
    idle = " and ".join(f"harbor_ca_{name}" for name in names)
    assert f"Found: {idle} in the inventory" in " ".join(said.split()), said
    assert "UNREACHABLE" not in said
    code, said = run(tmp_path, playbook, inventory=str(inventory), **values)
    assert "in the inventory, where" not in said and "No node is selected" not in said, said


@pytest.mark.parametrize(
    ("playbook", "state"),
    [
        ("remove_trust", "present"),
        ("onboard_node", "absent"),
        ("correct_drift", "absent"),
        ("rotate_ca", "absent"),
    ],
)
def test_a_state_of_the_command_line_does_not_turn_a_playbook_around(
    tmp_path: Path, playbook: str, state: str
) -> None:
    code, said = run(tmp_path, playbook, harbor_ca_state=state, harbor_ca_rotation_phase="add")
    assert code == 2, said
    assert f"Found: harbor_ca_state is {state}" in " ".join(said.split()), said
    assert "UNREACHABLE" not in said


def test_no_setting_changes_the_order_of_a_run() -> None:
    playbooks = [
        path for path in (Path(__file__).parents[3] / "playbooks").glob("*.yml") if "-" not in path.name
    ]
    plays = [play for path in playbooks for play in yaml.safe_load(path.read_text(encoding="utf-8"))]
    assert len(plays) > 10
    # With another strategy one node would be worked on while the request of the next is still read.
    assert {play["strategy"] for play in plays} == {"ansible.builtin.linear"}


@pytest.mark.parametrize("allowed", [False, True])
def test_an_empty_shard_is_no_failure_where_that_is_allowed(tmp_path: Path, allowed: bool) -> None:
    old = tmp_path / "fleet.json"
    old.write_text("of a run that had nodes")
    given = {"harbor_ca_nodes": "shard_2", "harbor_ca_allow_empty": allowed}
    code, said = run(tmp_path, "correct_drift", **given)
    assert (code, old.exists()) == ((0, False) if allowed else (2, True)), said
    assert ("nothing to do: no node of the inventory is in shard_2" in said) is allowed


def test_an_empty_inventory_is_a_failure_also_where_empty_shards_are_allowed(tmp_path: Path) -> None:
    # What is no node must not pass for one.
    (tmp_path / "none.yml").write_text("all: {hosts: {localhost: {}}}")
    given = {"harbor_ca_nodes": "shard_2", "harbor_ca_allow_empty": True}
    code, said = run(tmp_path, "correct_drift", inventory="none.yml", **given)
    assert code == 2, said
    assert "No node is selected" in said


@pytest.mark.parametrize("option", ["report_file", "report_html", "metrics_file"])
def test_a_report_that_cannot_be_written_stops_the_run_at_its_end_and_not_before(
    tmp_path: Path, option: str
) -> None:
    code, said = run(tmp_path, "correct_drift", **{f"harbor_ca_{option}": str(tmp_path / "no" / "fleet")})
    assert code == 2, said
    assert said.count("UNREACHABLE") == 2
    assert "2 nodes: 2 unreachable" in said
    assert "the report can't be written" in said.partition("End with a failure if the report")[2]
    # The next run is not told of a lock.
    assert not (tmp_path / "lock").read_text()


def test_a_bad_list_and_nodes_that_are_gone_are_reported_and_end_with_2(tmp_path: Path) -> None:
    bad = [{"host": HOST, "ca_pem": pki.issue(OLD, HOST).pem}]
    code, said = run(tmp_path, "audit", harbor_ca_registries="{{ mine }}", mine=LIST)
    assert code == 2, said
    report = json.loads((tmp_path / "fleet.json").read_text())
    assert {node["state"] for node in report["nodes"]} == {"unreachable"}
    code, said = run(tmp_path, "audit", harbor_ca_registries=bad)
    assert code == 2, said
    report = json.loads((tmp_path / "fleet.json").read_text())
    assert {(node["state"], node["reason"]) for node in report["nodes"]} == {("failed", "invalid_registries")}
    assert "is not a CA" in report["nodes"][0]["message"]
    assert report["run"]["complete"] is True


@pytest.mark.parametrize("playbook", ["audit", "correct_drift", "onboard_node", "rotate_ca"])
@pytest.mark.parametrize("other", [{}, {"host": "other.example.com", "ca_pem": "junk"}], ids=["good", "bad"])
def test_a_clients_key_is_never_shown(tmp_path: Path, playbook: str, other: dict[str, Any]) -> None:
    client = pki.issue(OLD, "client")
    entry = {**LIST[0], "client_cert_pem": client.pem, "client_key_pem": client.key_pem}
    given = {"harbor_ca_registries": "{{ mine }}", "mine": [entry, *([other] if other else [])]}
    if playbook == "rotate_ca":
        given |= rotation(NEW, "add")
    code, said = run(tmp_path, playbook, "-vvv", **given)
    assert code, said
    assert client.key_pem.splitlines()[1] not in said

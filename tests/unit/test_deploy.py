# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is shipped to run the periodic run fits together, and uses only what there is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_store import to_json
from ansible_collections.nodetrust.harbor.tests.report.fleet import answer, document, entry

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
PLAYBOOK = (ROOT / "playbooks" / "correct_drift.yml").read_text(encoding="utf-8")
UNITS = sorted((DEPLOY / "systemd").iterdir())


def manifest() -> dict[str, Any]:
    """The objects of the CronJob's manifest by their kind; of bindings the last."""
    items = yaml.safe_load((DEPLOY / "kubernetes" / "correct-drift.yml").read_text(encoding="utf-8"))["items"]
    return {item["kind"]: item for item in items}


def job() -> dict[str, Any]:
    spec: dict[str, Any] = manifest()["CronJob"]["spec"]["jobTemplate"]["spec"]
    return spec


def test_the_service_account_is_bound_to_roles_that_there_are() -> None:
    roles = set()
    for path in (DEPLOY / "rbac").glob("*.yml"):
        roles |= {
            item["metadata"]["name"]
            for item in yaml.safe_load(path.read_text(encoding="utf-8"))["items"]
            if item["kind"] == "ClusterRole"
        }
    items = yaml.safe_load((DEPLOY / "kubernetes" / "correct-drift.yml").read_text(encoding="utf-8"))["items"]
    bound = [item for item in items if item["kind"] == "ClusterRoleBinding"]
    assert len(bound) == 2
    account = manifest()["ServiceAccount"]["metadata"]
    for item in bound:
        assert item["roleRef"]["name"] in roles
        assert [(one["name"], one["namespace"]) for one in item["subjects"]] == [
            (account["name"], account["namespace"])
        ]
    assert job()["template"]["spec"]["serviceAccountName"] == account["name"]


def test_there_are_as_many_shards_as_pods() -> None:
    inventory = yaml.safe_load(manifest()["ConfigMap"]["data"]["cluster_nodes.yml"])
    shards = int(inventory["compose"]["shard"].rpartition("%")[2])
    assert job()["completionMode"] == "Indexed"
    assert job()["completions"] == job()["parallelism"] == shards > 1
    arguments = job()["template"]["spec"]["containers"][0]["args"]
    assert "harbor_ca_nodes=shard_$(JOB_COMPLETION_INDEX)" in arguments
    # By a hash one of them may have no node, which is nobody's fault.
    assert "harbor_ca_allow_empty=true" in arguments


def test_every_volume_is_there_and_a_run_never_overlaps_itself() -> None:
    pod = job()["template"]["spec"]
    (container,) = pod["containers"]
    assert {item["name"] for item in container["volumeMounts"]} == {item["name"] for item in pod["volumes"]}
    assert manifest()["CronJob"]["spec"]["concurrencyPolicy"] == "Forbid"


def test_ssh_finds_its_user_and_a_home_that_can_be_written() -> None:
    pod = job()["template"]["spec"]
    (container,) = pod["containers"]
    mounts = {item["mountPath"]: item for item in container["volumeMounts"]}
    assert (mounts["/etc/passwd"]["name"], mounts["/etc/passwd"]["subPath"]) == ("config", "passwd")
    users = [line.split(":") for line in manifest()["ConfigMap"]["data"]["passwd"].splitlines()]
    (home,) = [user[5] for user in users if int(user[2]) == pod["securityContext"]["runAsUser"]]
    volumes = {item["name"]: item for item in pod["volumes"]}
    assert "emptyDir" in volumes[mounts[home]["name"]]
    assert {"name": "HOME", "value": home} in container["env"]


def test_the_execution_environment_names_its_image_and_a_python_that_ansible_core_takes() -> None:
    path = DEPLOY / "execution-environment" / "execution-environment.yml"
    wanted = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert wanted["images"]["base_image"]["name"]
    python = wanted["dependencies"]["python_interpreter"]
    assert python["python_path"] == f"/usr/bin/{python['package_system']}"
    assert tuple(map(int, python["package_system"][len("python") :].split("."))) >= (3, 11)


@pytest.mark.parametrize(
    "path", [*UNITS, DEPLOY / "kubernetes" / "correct-drift.yml"], ids=lambda path: path.name
)
def test_every_variable_is_one_of_the_playbook_or_the_role(path: Path) -> None:
    role = (ROOT / "roles/harbor_ca/defaults/main.yml").read_text(encoding="utf-8")
    # Its comment says "as for audit" for the names of files.
    known = set(re.findall(r"harbor_ca_\w+", PLAYBOOK + role))
    assert set(re.findall(r"harbor_ca_\w+", path.read_text(encoding="utf-8"))) <= known


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_understands_the_unit(path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, check=False)
    wrong = [
        line for line in done.stderr.splitlines() if "is not executable" not in line and path.name in line
    ]
    assert wrong == []


STATUSES = {
    "clean": document([entry(result=answer())]),
    "corrected": document([entry(result=answer(changed=True), action="correct")]),
    "needs_a_person": document([entry(unreachable=True)]),
    "cut off": document([entry(result=answer())], complete=False),
}


def wrapped(directory: Path, wrote: str | None, code: int = 0, own: bool = True) -> tuple[int, str]:
    """Exit status of the wrapper around a stand-in that leaves this report and ends so, and what was said."""
    report = directory / "my fleet.json"
    if wrote is not None:
        (directory / "wrote").write_text(to_json(STATUSES[wrote]), encoding="utf-8")
    stand_in = directory / "ansible-playbook"
    stand_in.write_text(
        f"""#!/bin/sh
printf '%s\\n' "$@" > "{directory}/arguments"
for argument; do case $argument in harbor_ca_run_id=*) id=${{argument#*=}} ;; esac; done
[ {own:d} = 1 ] || id=another
[ ! -e "{directory}/wrote" ] || sed "s/^  \\"id\\": .*/  \\"id\\": \\"$id\\",/" "{directory}/wrote" > "{report}"
exit {code}
"""
    )
    stand_in.chmod(0o755)
    done = subprocess.run(
        [DEPLOY / "bin" / "correct-drift", report, "-i", "inventory.yml"],
        env={**os.environ, "PATH": f"{directory}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("wrote", "code", "expected"),
    [
        ("clean", 0, 0),
        ("corrected", 0, 3),
        ("corrected", 2, 2),
        ("needs_a_person", 2, 2),
        ("needs_a_person", 0, 2),
        ("cut off", 0, 2),
        ("cut off", 137, 2),
        ("clean", 1, 2),
        (None, 0, 2),
    ],
)
def test_the_exit_status_tells_clean_corrected_and_needs_a_person(
    tmp_path: Path, wrote: str | None, code: int, expected: int
) -> None:
    found, said = wrapped(tmp_path, wrote, code)
    assert found == expected, said
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert arguments[:3] == ["nodetrust.harbor.correct_drift", "-i", "inventory.yml"]
    assert f"harbor_ca_report_file='{tmp_path}/my fleet.json'" in arguments


def test_the_report_of_another_run_is_not_the_outcome_of_this_one(tmp_path: Path) -> None:
    found, said = wrapped(tmp_path, "clean", own=False)
    assert found == 2
    assert "this run has left no report" in said and "Next step: " in said


def test_the_unit_needs_nothing_of_a_home_that_is_read_only() -> None:
    unit = (DEPLOY / "systemd" / "nodetrust-correct-drift.service").read_text(encoding="utf-8")
    given = dict(re.findall(r"^Environment=(\w+)=(.*)$", unit, re.MULTILINE))
    made = [f"/var/lib/{name}" for name in re.findall(r"^StateDirectory=(\w+)$", unit, re.MULTILINE)]
    made += [f"/run/{name}" for name in re.findall(r"^RuntimeDirectory=(\w+)$", unit, re.MULTILINE)]
    # ssh's control sockets are in ~/.ansible/cp, wherever ANSIBLE_HOME is.
    for name in ("HOME", "ANSIBLE_HOME", "ANSIBLE_SSH_CONTROL_PATH_DIR"):
        assert given[name].startswith(tuple(made)), name
    # ANSIBLE_HOME moves the place of collections.
    assert f"-p {given['ANSIBLE_COLLECTIONS_PATH']} " in unit
    assert not re.search(r"^ReadWritePaths=[^-]", unit, re.MULTILINE)


def test_the_unit_runs_the_wrapper_and_takes_3_for_a_success() -> None:
    unit = (DEPLOY / "systemd" / "nodetrust-correct-drift.service").read_text(encoding="utf-8")
    assert re.search(r"^ExecStart=/usr/local/bin/nodetrust-correct-drift /\S+\.json ", unit, re.MULTILINE)
    assert "\nSuccessExitStatus=3\n" in unit


def test_the_stand_ins_reports_are_what_they_are_called() -> None:
    assert {name: one["status"] for name, one in STATUSES.items()} == {
        "clean": "clean",
        "corrected": "corrected",
        "needs_a_person": "needs_a_person",
        "cut off": "needs_a_person",
    }

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is shipped to run the periodic run fits together, and uses only what there is."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

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
    assert (
        "harbor_ca_nodes=shard_$(JOB_COMPLETION_INDEX)" in job()["template"]["spec"]["containers"][0]["args"]
    )


def test_every_volume_is_there_and_a_run_never_overlaps_itself() -> None:
    pod = job()["template"]["spec"]
    (container,) = pod["containers"]
    assert {item["name"] for item in container["volumeMounts"]} == {item["name"] for item in pod["volumes"]}
    assert manifest()["CronJob"]["spec"]["concurrencyPolicy"] == "Forbid"


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

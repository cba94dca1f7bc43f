# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's contract: what it documents is what it has, and it uses no variable that nobody sets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles" / "harbor_ca"
PLAYBOOKS = ROOT / "playbooks"
# Variables of the playbook, described in its head; the role knows nothing of them.
PLAYBOOK_VARIABLES = {
    f"harbor_ca_{name}"
    for name in (
        *(
            "nodes",
            "serial",
            "result_file",
            "label",
            "taint",
            "condition",
            "annotation",
            "proof_validity_hours",
        ),
        *(
            "report_file",
            "report_html",
            "metrics_file",
            "warning_days",
            "error_days",
            "run_id",
            "allow_empty",
        ),
        *(
            "fail_on",
            "lock_file",
            "to_correct_",
            "rotation_phase",
            "rotation_wait",
            "certificate",
            "keep_record",
        ),
    )
}
NOT_VARIABLES = {"harbor_ca"}  # the role's own name


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


DEFAULTS: dict[str, Any] = load(ROLE / "defaults" / "main.yml")
SPECS: dict[str, Any] = load(ROLE / "meta" / "argument_specs.yml")["argument_specs"]
OPTIONS: dict[str, Any] = SPECS["main"]["options"]
TASK_FILES = sorted([*ROLE.glob("tasks/*.yml"), *PLAYBOOKS.glob("**/*.yml")])


def tasks_of(node: Any) -> list[dict[str, Any]]:
    """Every play, block and task below a node of YAML."""
    if isinstance(node, list):
        return [task for item in node for task in tasks_of(item)]
    if not isinstance(node, dict):
        return []
    inner = [
        node.get(key) for key in ("block", "rescue", "always", "tasks", "pre_tasks", "post_tasks", "handlers")
    ]
    return [node, *(task for item in inner for task in tasks_of(item))]


def test_every_option_has_a_default_and_every_default_is_documented() -> None:
    assert set(DEFAULTS) == set(OPTIONS)


def test_the_check_before_the_first_node_knows_every_option() -> None:
    check = SPECS["check"]["options"]
    assert set(check) == set(OPTIONS)
    # The list is checked by a module of its own, which tells all its mistakes at once.
    assert {name for name in check if check[name] != OPTIONS[name]} == {"harbor_ca_registries"}


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_the_documented_default_is_the_default(name: str) -> None:
    assert "default" in OPTIONS[name]
    assert DEFAULTS[name] == OPTIONS[name]["default"]
    assert type(DEFAULTS[name]) is type(OPTIONS[name]["default"])


def test_every_choice_is_listed_in_the_description() -> None:
    for name, option in OPTIONS.items():
        text = str(option["description"])
        for choice in option.get("choices", []):
            assert choice in text or choice == "containerd", f"{name}: {choice}"


def test_every_secret_is_marked() -> None:
    logins = OPTIONS["harbor_ca_credentials"]["options"]
    assert logins["password"].get("no_log") is True


def set_by(task: dict[str, Any]) -> set[str]:
    facts = task.get("ansible.builtin.set_fact") or {}
    return {*facts, *task.get("vars", {}), *([task["register"]] if "register" in task else [])}


def test_every_variable_in_use_is_set_somewhere() -> None:
    known = {*DEFAULTS, *load(ROLE / "vars" / "main.yml"), *PLAYBOOK_VARIABLES, *NOT_VARIABLES}
    used: dict[str, str] = {}
    for path in [*TASK_FILES, ROLE / "vars" / "main.yml"]:
        for task in tasks_of(load(path)):
            known |= set_by(task)
        code = re.sub(r"(?m)^\s*#.*$", "", path.read_text(encoding="utf-8"))
        used.update(dict.fromkeys(re.findall(r"\b_{0,2}harbor_ca(?:_\w+)?\b", code), path.name))
    assert len(used) > 15
    assert {name: path for name, path in used.items() if name not in known} == {}


@pytest.mark.parametrize("path", TASK_FILES, ids=lambda path: path.name)
def test_every_task_has_a_name_of_its_own(path: Path) -> None:
    tasks = tasks_of(load(path))
    names = [task.get("name") for task in tasks]
    assert None not in names
    assert len(names) == len(set(names)), sorted(str(name) for name in names)


def test_whatever_restarts_a_runtime_takes_servers_one_at_a_time() -> None:
    restarts = [
        task
        for path in ROLE.glob("tasks/*.yml")
        for task in tasks_of(load(path))
        if (task.get("ansible.builtin.systemd_service") or {}).get("state") == "restarted"
    ]
    assert len(restarts) == 2
    assert all("runtime.is_server" in str(task.get("throttle")) for task in restarts)


def test_every_internal_variable_is_marked_as_internal() -> None:
    internal = {
        name for path in ROLE.glob("tasks/*.yml") for task in tasks_of(load(path)) for name in set_by(task)
    }
    public = {name for name in internal if not name.startswith("__harbor_ca_")}
    assert public == {"harbor_ca_result"}

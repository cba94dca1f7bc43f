# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""fleet_report as a task: files, status, and what fails the task."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.nodetrust.harbor.plugins.action import fleet_report
from ansible_collections.nodetrust.harbor.plugins.modules import fleet_report as contract
from ansible_collections.nodetrust.harbor.tests.report.fleet import answer, bundle, entry, registry
from ansible_collections.nodetrust.harbor.tests.unit.plugins.action.on_controller import run_action

GOOD = [entry(result=answer())]
BAD = [entry(result=answer(registry(found=[])))]


def report(**options: Any) -> dict[str, Any]:
    # The bundles of the tests have fixed dates.
    return run_action(fleet_report, warning_days=0, error_days=0, **options)


def test_options_are_those_of_the_documentation() -> None:
    documented = yaml.safe_load(contract.DOCUMENTATION)["options"]
    assert documented.keys() == fleet_report.ARGUMENT_SPEC.keys()
    for name, spec in fleet_report.ARGUMENT_SPEC.items():
        said = documented[name]
        assert (said["type"], said.get("default"), said.get("choices")) == (
            spec["type"],
            spec.get("default"),
            spec.get("choices"),
        ), name


def test_the_report_is_written_in_check_mode_too(tmp_path: Path) -> None:
    paths = {f"{kind}_file": tmp_path / f"fleet.{kind}" for kind in ("json", "html", "metrics")}
    options = {option: str(path) for option, path in paths.items()}
    result = report(results=GOOD, playbook="audit", check_mode=True, **options)
    assert (result["changed"], result["failed"], result["files"]) == (False, False, list(options.values()))
    assert json.loads(paths["json_file"].read_text())["run"]["playbook"] == "audit"
    assert paths["html_file"].read_text().startswith("<!DOCTYPE html>")
    assert 'nodetrust_run_complete{playbook="audit"} 1' in paths["metrics_file"].read_text()


@pytest.mark.parametrize(
    ("results", "fail_on", "failed", "status", "code"),
    [
        (GOOD, "not_clean", False, "clean", 0),
        (BAD, "never", False, "needs_a_person", 2),
        (BAD, "needs_a_person", True, "needs_a_person", 2),
        ([entry(result=answer(changed=True), action="correct")], "needs_a_person", False, "corrected", 3),
        ([entry(result=answer(changed=True), action="correct")], "not_clean", True, "corrected", 3),
    ],
)
def test_status_and_failure(
    tmp_path: Path, results: Any, fail_on: str, failed: bool, status: str, code: int
) -> None:
    path = tmp_path / "fleet.json"
    result = report(results=results, fail_on=fail_on, json_file=str(path))
    assert (result["failed"], result["status"], result["exit_code"]) == (failed, status, code)
    assert path.exists()
    assert result["msg"] == "; ".join(result["summary"][:2])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"results": "all"}, "bad_results"),
        ({"results": [7]}, "bad_results"),
        ({"results": GOOD, "registries": [{"hots": "x"}]}, "bad_registries"),
        ({"documents": ["nowhere.json"]}, "report_unfit"),
        ({"results": GOOD, "json_file": "no/such/directory/x.json"}, "report_not_written"),
    ],
)
def test_failures_are_reports(tmp_path: Path, monkeypatch: Any, options: dict[str, Any], reason: str) -> None:
    monkeypatch.chdir(tmp_path)
    result = report(**options)
    assert (result["failed"], result["reason"]) == (True, reason)
    assert result["next_step"].rstrip(".") in result["msg"]


def test_a_path_that_cannot_be_written_is_a_warning_at_the_beginning(tmp_path: Path) -> None:
    bad, good = str(tmp_path / "no" / "x.json"), str(tmp_path / "fleet.html")
    result = report(results=[], complete=False, json_file=bad, html_file=good)
    assert (result["failed"], result["files"]) == (False, [good])
    (warning,) = result["warnings"]
    assert "can't be written" in warning and "Next step: " in warning


def test_at_the_end_it_is_a_failure_that_still_tells_of_the_fleet(tmp_path: Path) -> None:
    bad, good = str(tmp_path / "no" / "x.json"), str(tmp_path / "fleet.html")
    for more in ({}, {"complete": False}):
        result = report(results=BAD, json_file=bad, html_file=good, **more)
        assert (result["failed"], result["reason"], result["files"]) == (True, "report_not_written", [good])
        assert (result["path"], result["counts"]["drifted"]) == (bad, 1)
        assert result["summary"]


def test_thresholds_in_the_wrong_order() -> None:
    result = run_action(fleet_report, results=GOOD, warning_days=5, error_days=10)
    assert (result["failed"], result["reason"]) == (True, "bad_thresholds")


def test_documents_become_one(tmp_path: Path) -> None:
    parts = [str(tmp_path / f"{number}.json") for number in range(2)]
    for number, part in enumerate(parts):
        report(results=[entry(f"n{number}", answer())], registries=[bundle()], json_file=part)
    result = report(documents=parts, json_file=str(tmp_path / "all.json"))
    assert result["counts"]["ok"] == 2


PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - nodetrust.harbor.fleet_report:
        results: "{{ answers }}"
        json_file: fleet.json
      register: fleet
    - ansible.builtin.debug:
        msg: "{{ fleet.summary | join(' ') }}"
"""


def test_no_text_of_a_node_is_a_template(tmp_path: Path) -> None:
    evil = "{{ lookup('ansible.builtin.pipe', 'touch " + str(tmp_path) + "/executed') }}"
    (tmp_path / "play.yml").write_text(PLAY)
    # As a module's result comes in: by a file that is read as data.
    (tmp_path / "answers.json").write_text(
        json.dumps([entry(evil, {"failed": True, "msg": evil, "reason": evil})])
    )
    play = PLAY.replace(
        '"{{ answers }}"', "\"{{ lookup('ansible.builtin.file', 'answers.json') | from_json }}\""
    )
    (tmp_path / "play.yml").write_text(play)
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local", "play.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lookup(" in done.stdout
    assert not (tmp_path / "executed").exists()

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""run_lock as a task: which file, who is named in it, and what is said of another run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ansible_collections.nodetrust.harbor.plugins.action import run_lock
from ansible_collections.nodetrust.harbor.plugins.plugin_utils import _lock
from ansible_collections.nodetrust.harbor.tests.unit.plugins.action.on_controller import run_action


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "lock")


@pytest.mark.parametrize("check_mode", [False, True])
def test_the_run_behind_the_task_holds_the_lock_and_gives_it_back(path: str, check_mode: bool) -> None:
    result = run_action(run_lock, check_mode, path=path, what="correct_drift")
    assert (result["changed"], result["path"], result.get("warnings")) == (False, path, None)
    holder = json.loads(Path(path).read_text())
    assert (holder["pid"], holder["what"]) == (os.getppid(), "correct_drift")
    assert not run_action(run_lock, check_mode, path=path, state="released").get("failed")
    assert not Path(path).read_text()


def test_another_run_is_a_failure_with_fields_and_keeps_its_lock(path: str) -> None:
    _lock.take(path, _lock.holder_of(os.getpid(), "rotate_ca", "jane"))
    result = run_action(run_lock, path=path)
    assert (result["failed"], result["reason"], result["changed"]) == (True, "another_run", False)
    assert "rotate_ca of jane" in result["found"] and path in result["next_step"]
    run_action(run_lock, path=path, state="released")
    assert json.loads(Path(path).read_text())["what"] == "rotate_ca"


def test_a_run_that_died_is_told(path: str) -> None:
    left = {**_lock.holder_of(os.getpid(), "rotate_ca", "jane"), "started": "1"}
    _lock.take(path, left)
    (said,) = run_action(run_lock, path=path)["warnings"]
    assert f"rotate_ca of PID {os.getpid()} on {left['host']}" in said and path in said


def test_without_a_path_it_is_in_the_home_of_ansible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lock.constants.config, "get_config_value", {"ANSIBLE_HOME": str(tmp_path)}.get)
    assert run_action(run_lock)["path"] == str(tmp_path / "nodetrust.harbor.lock")


def test_a_file_that_cannot_be_used_is_a_failure(tmp_path: Path) -> None:
    result = run_action(run_lock, path=str(tmp_path))
    assert (result["failed"], result["reason"]) == (True, "lock_unusable")
    assert result["next_step"]

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as a process: options in, one JSON answer out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.nodetrust.harbor.plugins.modules import registry_pull

IMAGE = "harbor.lab.internal/x:1"
# the directory that holds ansible_collections: pytest finds the collection by its loader, a process by its path
ROOT = str(Path(registry_pull.__file__).parents[5])


def run(place: Path, **options: Any) -> tuple[dict[str, Any], int]:
    """The module's answer to these options; nobody listens on its socket."""
    arguments = {"images": [IMAGE], "endpoint": str(place / "c.sock"), **options}
    command = [sys.executable, "-m", registry_pull.__name__]
    done = subprocess.run(
        command,
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([ROOT, *sys.path])},
    )
    return json.loads(done.stdout), done.returncode


def test_failure_carries_the_whole_report(tmp_path: Path) -> None:
    answer, status = run(tmp_path)
    assert status == 1
    assert answer["failed"] is True
    assert answer["changed"] is False
    assert answer["reason"] == "cri_unavailable"
    assert (answer["proven"], answer["pulls"], answer["runtime"]) == (False, [], None)
    assert answer["path"] == str(tmp_path / "c.sock")
    for field in ("found", "expected", "next_step"):
        assert answer[field] in answer["msg"]


def test_check_mode_touches_no_socket(tmp_path: Path) -> None:
    answer, status = run(tmp_path, _ansible_check_mode=True)
    assert status == 0
    assert (answer["changed"], answer["proven"]) == (False, False)
    assert "skipped" not in answer


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"endpoint": "tcp://10.0.0.1:1"}, "invalid_endpoint"),
        ({"images": ["docker://h.lab/x:1"]}, "invalid_image"),
    ],
)
def test_bad_options_are_told_before_anything_happens(
    tmp_path: Path, options: dict[str, Any], reason: str, check_mode: bool
) -> None:
    answer, status = run(tmp_path, _ansible_check_mode=check_mode, **options)
    assert (status, answer["reason"]) == (1, reason)


def test_a_password_is_not_echoed(tmp_path: Path) -> None:
    login = {"registry": "harbor.lab.internal", "username": "bob", "password": "s3cr:et!"}
    answer, _status = run(tmp_path, credentials=[login])
    assert answer["failed"] is True
    assert "s3cr:et!" not in json.dumps(answer)

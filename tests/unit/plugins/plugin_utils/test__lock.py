# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time: a living run is named, a dead one holds nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.plugin_utils import _lock

ME = _lock.holder_of(os.getpid(), "a test", "somebody")


def other(**changes: Any) -> dict[str, Any]:
    """Another run that goes on: the parent of this process is there as long as this one."""
    return {**_lock.holder_of(os.getppid(), "rotate_ca", "jane"), **changes}


def gone() -> int:
    """The number of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "new" / "lock")


def test_a_free_lock_is_taken_and_given_back(path: str) -> None:
    assert _lock.take(path, ME) is None
    assert json.loads(Path(path).read_text())["what"] == "a test"
    assert _lock.release(path, ME)
    assert _lock.take(path, other()) is None


def test_the_same_run_may_take_it_again(path: str) -> None:
    _lock.take(path, ME)
    assert _lock.take(path, ME) is None


@pytest.mark.parametrize("where", ["this machine", "another machine"])
def test_a_run_that_goes_on_is_named(path: str, where: str) -> None:
    them = other() if where == "this machine" else other(host="elsewhere", pid=gone())
    _lock.take(path, them)
    with pytest.raises(TrustError) as caught:
        _lock.take(path, ME)
    assert caught.value.reason == "another_run"
    for words in ("rotate_ca of jane", f"PID {them['pid']} on {them['host']}", path, "Next step: "):
        assert words in str(caught.value)
    assert json.loads(Path(path).read_text()) == them
    assert not _lock.release(path, ME)


@pytest.mark.parametrize(
    "left",
    [other(pid=gone()), other(started="1"), other(pid="x"), other(pid=0)],
    ids=["ended", "another process has its number", "no number", "nobody"],
)
def test_a_run_that_died_holds_nothing_and_is_told(path: str, left: dict[str, Any]) -> None:
    _lock.take(path, left)
    assert _lock.take(path, ME) == left


@pytest.mark.parametrize("content", ["", "{", "[]", '"x"'])
def test_a_file_that_says_nothing_is_free(path: str, content: str) -> None:
    Path(path).parent.mkdir()
    Path(path).write_text(content)
    assert _lock.take(path, ME) is None


def test_a_link_is_not_followed(path: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    Path(path).parent.mkdir()
    Path(path).symlink_to(victim)
    with pytest.raises(TrustError) as caught:
        _lock.take(path, ME)
    assert caught.value.reason == "lock_unusable"
    assert victim.read_text() == "mine"

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time: a living run is named, a dead one holds nothing."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.plugin_utils import _lock

ME = _lock.holder_of(os.getpid(), "a test", "somebody")


def other(**changes: Any) -> dict[str, Any]:
    """Another run that goes on: the parent of this process is there as long as this one."""
    return {**_lock.holder_of(os.getppid(), "rotate_ca", "jane"), **changes}


# A run of all tests collects this long before it gets here: what is "ago" is counted by the test itself.
def ago(**time: float) -> str:
    return (datetime.now(timezone.utc) - timedelta(**time)).strftime("%Y-%m-%dT%H:%M:%SZ")


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


@pytest.mark.parametrize(
    "described",
    [
        pytest.param(other, id="this machine"),
        pytest.param(lambda: other(host="elsewhere", boot="b", pid=gone()), id="another machine"),
        pytest.param(
            lambda: other(host="elsewhere", boot="b", pid=gone(), since=ago(hours=5.9)), id="for hours"
        ),
        pytest.param(lambda: other(pid_namespace="pid:[1]", pid=gone()), id="a container with our name"),
        pytest.param(lambda: other(host="a-pod", pid_namespace="pid:[1]", pid=gone()), id="a container"),
        pytest.param(
            lambda: other(machine="of an image", boot="b", pid=gone()), id="another machine with our name"
        ),
        pytest.param(lambda: other(host="a-pod", boot="b", pid=gone()), id="another machine from our image"),
    ],
)
def test_a_run_that_goes_on_is_named(path: str, described: Callable[[], dict[str, Any]]) -> None:
    them = described()
    _lock.take(path, them)
    with pytest.raises(TrustError) as caught:
        _lock.take(path, ME)
    assert caught.value.reason == "another_run"
    for words in ("rotate_ca of jane", f"PID {them['pid']} on {them['host']}", path, "Next step: "):
        assert words in str(caught.value)
    assert json.loads(Path(path).read_text()) == them
    assert not _lock.release(path, ME)


@pytest.mark.parametrize(
    "described",
    [
        pytest.param(lambda: other(pid=gone()), id="ended"),
        pytest.param(lambda: other(started="1"), id="another process has its number"),
        pytest.param(lambda: other(pid="x"), id="no number"),
        pytest.param(lambda: other(pid=0), id="nobody"),
        pytest.param(
            lambda: other(host="elsewhere", boot="b", since=ago(hours=6.1)), id="another machine, long ago"
        ),
        pytest.param(
            lambda: other(pid_namespace="pid:[1]", since=ago(hours=6.1)), id="a container, long ago"
        ),
        pytest.param(
            lambda: other(host="elsewhere", since=ago(days=-365)), id="a clock that is wrong by a year"
        ),
        pytest.param(lambda: other(host="elsewhere", since="x"), id="no time"),
        pytest.param(lambda: other(boot="b", machine="m"), id="before a reboot"),
    ],
)
def test_a_run_that_died_holds_nothing_and_is_told(
    path: str, described: Callable[[], dict[str, Any]]
) -> None:
    left = described()
    _lock.take(path, left)
    # Not every machine that runs this has a machine-id.
    assert _lock.take(path, {**ME, "machine": "m"}) == left


def test_a_process_that_nobody_may_look_at_goes_on(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _lock.take(path, other())
    monkeypatch.setattr(_lock, "_started", lambda _pid: "")
    with pytest.raises(TrustError):
        _lock.take(path, ME)


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o2775, 0o1777])
def test_who_may_write_the_directory_may_use_the_lock(path: str, mode: int) -> None:
    directory = Path(path).parent
    directory.mkdir()
    directory.chmod(mode)
    old = os.umask(0o077)
    try:
        _lock.take(path, ME)
    finally:
        os.umask(old)
    found = os.stat(path)
    assert stat.S_IMODE(found.st_mode) == mode & 0o666
    assert found.st_gid == directory.stat().st_gid


def test_a_group_that_cannot_be_given_gets_nothing(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    Path(path).parent.mkdir()
    Path(path).parent.chmod(0o775)
    monkeypatch.setattr(_lock.os, "fchown", refuse)
    _lock.take(path, ME)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o604


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

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files are replaced whole or not at all, and brought back as they were. Real files, no stand-ins."""

from __future__ import annotations

import os
import stat

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils import _node
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError


def leftovers(directory):
    return [name for name in os.listdir(directory) if "nodetrust" in name]


def test_a_missing_directory_appears_with_the_file_in_it(tmp_path):
    path = tmp_path / "certs.d" / "harbor.test" / "ca.crt"
    _node.write_whole(str(path), b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
    assert not leftovers(tmp_path / "certs.d")


def test_a_secret_in_a_new_directory_is_nobody_elses_at_any_moment(tmp_path, monkeypatch):
    seen = []

    def look(handle, mode):
        seen.append(stat.S_IMODE(os.fstat(handle).st_mode))
        chmod(handle, mode)

    chmod = os.fchmod
    monkeypatch.setattr(_node.os, "fchmod", look)
    path = tmp_path / "certs.d" / "harbor.test" / "client.key"
    mask = os.umask(0)
    try:
        _node.write_whole(str(path), b"key", 0o600)
    finally:
        os.umask(mask)
    assert seen == [0o600]


def test_mode_of_a_replaced_file_stays(tmp_path):
    path = tmp_path / "config.toml"
    path.write_bytes(b"old")
    path.chmod(0o600)
    _node.write_whole(str(path), b"new", like=_node.read_state(str(path)))
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not leftovers(tmp_path)


def test_a_failed_replacement_leaves_the_old_file_and_no_trace(tmp_path, monkeypatch):
    path = tmp_path / "config.toml"
    path.write_bytes(b"old")

    def refuse(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_node.os, "replace", refuse)
    with pytest.raises(TrustError) as caught:
        _node.write_whole(str(path), b"new")
    assert caught.value.reason == "disk_full"
    assert path.read_bytes() == b"old"
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("kind", ["absent", "file", "link", "dangling"])
def test_whatever_was_there_comes_back(tmp_path, kind):
    path, other = tmp_path / "ca.crt", tmp_path / "other"
    if kind == "file":
        path.write_bytes(b"old")
        path.chmod(0o640)
    elif kind in ("link", "dangling"):
        path.symlink_to(other)
    if kind == "link":
        other.write_bytes(b"behind the link")
    before = _node.read_state(str(path))
    _node.write_whole(str(path), b"new")
    assert not path.is_symlink() and path.read_bytes() == b"new"
    _node.bring_back(before)
    assert _node.read_state(str(path)) == before


def test_states_are_told_apart(tmp_path):
    (tmp_path / "dir").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to("nowhere")
    kinds = {
        name: _node.read_state(str(tmp_path / name)).kind for name in ("none", "dir", "pipe", "dangling")
    }
    assert kinds == {"none": "absent", "dir": "directory", "pipe": "other", "dangling": "link"}
    assert _node.read_state(str(tmp_path / "dangling")).dangling


def test_a_path_below_a_file_is_absent(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert _node.read_state(str(tmp_path / "file" / "ca.crt")).kind == "absent"


def test_too_large_is_refused_before_it_is_read(tmp_path):
    (tmp_path / "big").write_bytes(b"x" * 11)
    with pytest.raises(TrustError, match="11 bytes"):
        _node.read_state(str(tmp_path / "big"), limit=10)


def test_last_change_sees_an_old_file_moved_into_place(tmp_path):
    path = tmp_path / "config.toml"
    path.write_bytes(b"")
    os.utime(path, (1, 1))
    assert _node.last_change(str(path)) > 1000


def test_a_process_is_found_with_its_start_and_options(tmp_path):
    import subprocess
    import time

    before = time.time()
    child = subprocess.Popen(["cat", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None and child.stdout is not None
    try:
        # Its answer says that it runs: the kernel lets the parent go on before it has renamed the child.
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        found = [process for process in _node.processes("cat") if process.pid == child.pid]
    finally:
        child.kill()
        child.communicate()
    assert len(found) == 1
    assert before - 1 < found[0].started < time.time() + 1
    assert found[0].argv == ("cat", "-")


@pytest.mark.parametrize("quiet", range(3))
def test_work_that_comes_between_two_clocks_makes_no_process_older(
    monkeypatch: pytest.MonkeyPatch, quiet: int
) -> None:
    """A machine that started at 1000.0, and readings of which all but one are cut in pieces by other work."""
    uptime, calls = 50.0, 0

    def then(clock: float) -> float:
        nonlocal uptime, calls
        uptime += 0.000001 if calls // 3 == quiet else 0.03
        calls += 1
        return clock

    monkeypatch.setattr(_node.time, "clock_gettime", lambda _clock: then(uptime))
    monkeypatch.setattr(_node.time, "time", lambda: then(1000.0 + uptime))
    assert _node.boot_time() == pytest.approx(1000.0, abs=0.001)


@pytest.mark.parametrize(
    ("argv", "value"),
    [
        (("containerd", "--config", "/x"), "/x"),
        (("containerd", "--config=/x"), "/x"),
        (("containerd", "-c", "/x"), "/x"),
        (("containerd",), None),
        (("containerd", "--config"), None),
    ],
)
def test_options_in_both_spellings(argv, value):
    process = _node.Process(1, "containerd", argv, "/usr/bin/containerd", None, 0.0)
    assert process.option("--config", "-c") == value


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/containerd.service\n", "containerd.service"),
        ("4:cpu:/\n1:name=systemd:/system.slice/containerd.service\n", "containerd.service"),
        ("0::/system.slice/k3s.service/containerd\n", "k3s.service"),
        ("0::/user.slice\n", None),
    ],
)
def test_the_unit_of_a_process(cgroup, unit):
    assert _node._unit(cgroup) == unit


def test_running_a_program_that_is_not_there():
    assert _node.run(["/nonexistent/containerd"])[0] == 127


def test_a_program_that_hangs_is_given_up():
    status, _out, err = _node.run(["sleep", "60"], timeout=0.1)
    assert status == 124 and "0.1 seconds" in err


def test_a_process_that_may_not_be_looked_at_asks_for_root(monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(_node.os, "readlink", refuse)
    with open("/proc/self/comm", encoding="utf-8") as stream:
        name = stream.read().strip()
    with pytest.raises(TrustError) as caught:
        _node.processes(name)
    assert caught.value.reason == "not_root" and caught.value.next_step == "run with become: true"

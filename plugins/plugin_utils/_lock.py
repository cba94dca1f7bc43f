# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time on one controller, by a file that says who runs.

**PRIVATE** to the collection. Controller only. The work of a run is done by processes that come and go, and
a lock of the kernel would go with them. So the file names the process that stays, ansible-playbook itself,
and a run whose process is gone holds nothing. Only who sees the same processes can tell that: by a host's name alone
two pods with the host's network are one. Of a run elsewhere the word counts, for a time.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import stat
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError

# Longer than a run over a fleet, shorter than a night in which nobody sees that a pod died with the lock.
LONGEST_HOURS = 6
_TIME = "%Y-%m-%dT%H:%M:%SZ"


def take(path: str, holder: dict[str, Any]) -> dict[str, Any] | None:
    """Hold the lock for a run; None, or what is left of a run that died while it held it.

    Raises:
        TrustError: another run holds it, or the file can't be used.
    """
    with _open(path) as handle:
        before = _read(handle)
        mine = before is not None and _same_run(before, holder)
        if before is not None and not mine and _runs(before, holder):
            raise TrustError(
                "Another run is at work, so this one leaves. Nothing was changed by it.",
                reason="another_run",
                path=path,
                found=f"{before.get('what')} of {before.get('user')}, PID {before.get('pid')} on "
                f"{before.get('host')}, since {before.get('since')}",
                expected="no other run on this controller",
                next_step="wait for its end; the next run finds what is left to do. If that process is no run of "
                f"Ansible, remove {path}; on another machine or in another container it counts for "
                f"{LONGEST_HOURS} hours",
            )
        _write(handle, holder)
        return None if mine else before


def release(path: str, holder: dict[str, Any]) -> bool:
    """Give the lock back; False if it was not held by this run."""
    with _open(path) as handle:
        before = _read(handle)
        if before is None or not _same_run(before, holder):
            return False
        _write(handle, None)
        return True


def holder_of(pid: int, what: str, user: str) -> dict[str, Any]:
    """What the file says of a run."""
    return {
        "pid": pid,
        "started": _started(pid),
        "host": socket.gethostname(),
        "machine": _first_line("/etc/machine-id"),
        "boot": _first_line("/proc/sys/kernel/random/boot_id"),
        "pid_namespace": _pid_namespace(),
        "user": user,
        "what": what,
        "since": datetime.now(timezone.utc).strftime(_TIME),
    }


@contextlib.contextmanager
def _open(path: str) -> Iterator[int]:
    """The file, while nobody else may look at it or write it."""
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        handle = _open_or_create(path)
    except OSError as exc:
        raise TrustError(
            f"The lock file {path} can't be used.",
            reason="lock_unusable",
            path=path,
            found=exc.strerror,
            expected="a file that this user may write and others may not",
            next_step="name another file as harbor_ca_lock_file, in a directory that only the users who run Ansible "
            "may write, by their group; or remove this one, if nobody holds it and it came there otherwise",
        ) from exc
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def _open_or_create(path: str) -> int:
    """An old file is opened without O_CREAT: for one of another user in a sticky directory the kernel refuses that."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    with contextlib.suppress(FileNotFoundError):
        return os.open(path, flags)
    try:
        handle = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return os.open(path, flags)
    _share(handle, os.stat(os.path.dirname(path) or "."))
    return handle


def _share(handle: int, directory: os.stat_result) -> None:
    """Who may put files into the directory may use the lock, and nobody else: they could remove it anyway."""
    mode = stat.S_IMODE(directory.st_mode) & 0o666
    try:
        os.fchown(handle, -1, directory.st_gid)
    except OSError:
        mode &= ~0o060
    with contextlib.suppress(OSError):
        os.fchmod(handle, mode | 0o600)


def _read(handle: int) -> dict[str, Any] | None:
    text = os.pread(handle, 4096, 0)
    try:
        holder = json.loads(text)
    except ValueError:
        return None
    return holder if isinstance(holder, dict) else None


def _write(handle: int, holder: dict[str, Any] | None) -> None:
    os.ftruncate(handle, 0)
    if holder is not None:
        os.pwrite(handle, json.dumps(holder).encode("utf-8"), 0)


def _same_run(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return _sees_the_same(one, other) and all(one.get(key) == other.get(key) for key in ("pid", "started"))


def _sees_the_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether a number is the same process to both."""
    return all(one.get(key) == other.get(key) for key in ("host", "boot", "pid_namespace"))


def _runs(holder: dict[str, Any], me: dict[str, Any]) -> bool:
    """Whether that run can still be at work."""
    pid = holder.get("pid")
    if not isinstance(pid, int) or pid < 1 or _before_a_reboot(holder, me):
        return False
    if not _sees_the_same(holder, me):
        return _young(holder.get("since"))
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    # A number that went to another process in the meantime is no run. With hidepid nobody sees when it started.
    return _started(pid) in ("", holder.get("started"))


def _before_a_reboot(holder: dict[str, Any], me: dict[str, Any]) -> bool:
    """Both have to be the same, for images are made with a machine-id, and names given to more than one container."""
    same = all(me[key] and holder.get(key) == me[key] for key in ("host", "machine"))
    return same and bool(holder.get("boot")) and holder["boot"] != me["boot"]


def _young(since: object) -> bool:
    """A time far ahead is as good as none: a clock that was wrong by a year must not hold the lock for one."""
    try:
        began = datetime.strptime(str(since), _TIME).replace(tzinfo=timezone.utc)
    except ValueError:
        return False
    return abs(datetime.now(timezone.utc) - began) < timedelta(hours=LONGEST_HOURS)


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _first_line(path: str) -> str:
    """Empty where there is no such file, as on systems without /proc."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.readline(100).strip()
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When a process started, as its system counts it; empty where that can't be told."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            return stream.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""

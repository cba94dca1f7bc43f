# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time on one controller, by a file that says who runs.

**PRIVATE** to the collection. Controller only. The work of a run is done by processes that come and go, and
a lock of the kernel would go with them. So the file names the process that stays, ansible-playbook itself,
and a run whose process is gone holds nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError


def take(path: str, holder: dict[str, Any]) -> dict[str, Any] | None:
    """Hold the lock for a run; None, or what is left of a run that died while it held it.

    Raises:
        TrustError: another run holds it, or the file can't be used.
    """
    with _open(path) as handle:
        before = _read(handle)
        mine = before is not None and _same_run(before, holder)
        if before is not None and not mine and _runs(before):
            raise TrustError(
                "Another run is at work, so this one leaves. Nothing was changed by it.",
                reason="another_run",
                path=path,
                found=f"{before.get('what')} of {before.get('user')}, PID {before.get('pid')} on "
                f"{before.get('host')}, since {before.get('since')}",
                expected="no other run on this controller",
                next_step="wait for its end; the next run finds what is left to do. If that process is no run of "
                f"Ansible, remove {path}",
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
        "user": user,
        "what": what,
        "since": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


@contextlib.contextmanager
def _open(path: str) -> Iterator[int]:
    """The file, while nobody else may look at it or write it."""
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as exc:
        raise TrustError(
            f"The lock file {path} can't be used.",
            reason="lock_unusable",
            path=path,
            found=exc.strerror,
            next_step="name another file as harbor_ca_lock_file, one that only the users who run Ansible may write",
        ) from exc
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


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
    return all(one.get(key) == other.get(key) for key in ("pid", "started", "host"))


def _runs(holder: dict[str, Any]) -> bool:
    """Whether that run can still be at work. Of another machine nothing is known, so its word counts."""
    if holder.get("host") != socket.gethostname():
        return True
    pid = holder.get("pid")
    if not isinstance(pid, int) or pid < 1:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    # A number that went to another process in the meantime is no run.
    return holder.get("started") == _started(pid)


def _started(pid: int) -> str:
    """When a process started, as its system counts it; empty where that can't be told."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            return stream.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""

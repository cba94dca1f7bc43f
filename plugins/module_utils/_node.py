# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node holds: files as they are, written whole or not at all, and the processes that read them.

**PRIVATE** to the collection. The only file that touches a node's file system or process table.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
import time
from typing import NamedTuple

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._program import run as run_program

# No runtime reads a name that ends like this: `.crt`, `.cert`, `.key` are read, and `imports` globs say `*.toml`.
_TEMP_SUFFIX = ".nodetrust-tmp"
_READINGS = 5


class FileState(NamedTuple):
    """One path as it was found: enough to compare it and to bring it back.

    kind is one of absent, file, link, directory, other. For a link, content and mode are those of
    the file behind it, and content is None when nothing is there.
    """

    path: str
    kind: str
    content: bytes | None = None
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    target: str | None = None

    @property
    def dangling(self) -> bool:
        return self.kind == "link" and self.content is None


class Process(NamedTuple):
    """A running process, as the kernel tells it. started is in seconds since the epoch."""

    pid: int
    name: str
    argv: tuple[str, ...]
    exe: str
    unit: str | None
    started: float

    def option(self, *names: str) -> str | None:
        """The value of a command-line option, in both of its spellings."""
        for index, word in enumerate(self.argv):
            for name in names:
                if word == name and index + 1 < len(self.argv):
                    return self.argv[index + 1]
                if word.startswith(name + "="):
                    return word[len(name) + 1 :]
        return None


def read_state(path: str, limit: int = 1 << 20) -> FileState:
    """What lies at path, read up to limit bytes.

    Raises:
        TrustError: the path can't be read, or is larger than limit.
    """
    try:
        link = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return FileState(path, "absent")
    except OSError as exc:
        raise file_error(path, exc) from exc
    target = os.readlink(path) if stat.S_ISLNK(link.st_mode) else None
    try:
        info = os.stat(path)
    except OSError:
        return FileState(path, "link", None, target=target)
    if stat.S_ISDIR(info.st_mode):
        return FileState(
            path, "directory", None, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, target
        )
    if not stat.S_ISREG(info.st_mode):
        return FileState(path, "other", None, target=target)
    if info.st_size > limit:
        raise TrustError(
            f"{path} is larger than anything expected there",
            reason="file_too_large",
            path=path,
            found=f"{info.st_size} bytes",
            expected=f"at most {limit} bytes",
            next_step=f"look at {path} and move it away",
        )
    try:
        with open(path, "rb") as stream:
            content = stream.read()
    except OSError as exc:
        raise file_error(path, exc) from exc
    kind = "link" if target is not None else "file"
    return FileState(path, kind, content, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, target)


def list_directory(path: str) -> list[str]:
    """The names in a directory, sorted; nothing where there is no directory."""
    try:
        return sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as exc:
        raise file_error(path, exc) from exc


def last_change(path: str) -> float | None:
    """When a file last became what it is, in seconds since the epoch; None if there is none.

    The later of both times: a file moved here keeps its old mtime, and only ctime tells.
    """
    try:
        info = os.stat(path)
    except OSError:
        return None
    return max(info.st_mtime, info.st_ctime)


def write_whole(path: str, content: bytes, mode: int = 0o644, like: FileState | None = None) -> None:
    """Put content at path: the old file or the new one, never a part (runtime-facts §0.8).

    A missing parent directory appears together with the file in it, since an empty host directory
    already means something to a runtime (runtime-facts §3). Mode, owner and extended attributes are
    those of the file that is replaced, if there is one.
    """
    parent = os.path.dirname(path)
    try:
        if not os.path.isdir(parent):
            _make_directory_with(parent, os.path.basename(path), content, mode)
            return
        temp = _temp_beside(parent, content, mode, like)
        try:
            os.replace(temp, path)
        except BaseException:
            os.unlink(temp)
            raise
        _sync_directory(parent)
    except OSError as exc:
        raise file_error(path, exc, "nothing was replaced; make the place writable and run again") from exc


def sweep(directory: str) -> None:
    """Remove what a run that was killed has left half-made in a directory; only for whoever holds the lock."""
    for name in list_directory(directory):
        if not (name.startswith(".") and name.endswith(_TEMP_SUFFIX)):
            continue
        path = os.path.join(directory, name)
        try:
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        except OSError as exc:
            raise file_error(path, exc) from exc


def remove_file(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as exc:
        raise file_error(path, exc) from exc
    _sync_directory(os.path.dirname(path))


def remove_directory_if_empty(path: str) -> None:
    try:
        os.rmdir(path)
    except OSError as exc:
        if exc.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise file_error(path, exc) from exc


def bring_back(state: FileState) -> None:
    """Make a path what it was when state was read."""
    if state.kind == "absent":
        remove_file(state.path)
    elif state.kind == "link":
        temp = os.path.join(os.path.dirname(state.path), f".{os.path.basename(state.path)}{_TEMP_SUFFIX}")
        remove_file(temp)
        os.symlink(state.target or "", temp)
        os.replace(temp, state.path)
    elif state.kind == "file":
        write_whole(state.path, state.content or b"", state.mode, state)


def make_directories(path: str) -> None:
    try:
        os.makedirs(path, mode=0o755, exist_ok=True)
    except OSError as exc:
        raise file_error(path, exc) from exc


def run(argv: list[str], timeout: float = 30) -> tuple[int, str, str]:
    """Run a program: exit status, standard output, standard error. 127 if it isn't there, 124 on timeout."""
    try:
        done = run_program(argv, timeout)
    except TimeoutError as exc:
        return 124, "", str(exc)
    except FileNotFoundError:
        return 127, "", f"{argv[0]}: not found"
    except PermissionError:
        return 126, "", f"{argv[0]}: permission denied"
    except OSError as exc:
        if exc.errno != errno.ENOEXEC:
            raise
        return 126, "", f"{argv[0]}: a program for another architecture"
    return done.status, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def processes(*names: str) -> list[Process]:
    """The running processes with one of these names, oldest first."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        process = _process(int(entry), names)
        if process is not None:
            found.append(process)
    return sorted(found, key=lambda process: (process.started, process.pid))


def _process(pid: int, names: tuple[str, ...]) -> Process | None:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as stream:
            name = stream.read().strip()
        if name not in names:
            return None
        with open(f"/proc/{pid}/cmdline", "rb") as raw:
            argv = tuple(word.decode("utf-8", "replace") for word in raw.read().split(b"\0")[:-1])
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            # The name in brackets may hold blanks: count the fields from behind it.
            ticks = int(stream.read().rpartition(")")[2].split()[19])
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as stream:
            unit = _unit(stream.read())
        exe = _program(pid, name)
    except (OSError, ValueError, IndexError):
        return None  # it ended while it was looked at
    # Upgraded underneath: the file of that name is what the next start runs.
    exe = exe.removesuffix(" (deleted)")
    return Process(pid, name, argv, exe, unit, boot_time() + ticks / os.sysconf("SC_CLK_TCK"))


def boot_time() -> float:
    """When this machine started, in seconds since the epoch, by what its clock says now.

    It takes two clocks, and a node that is busy may let other work in between the two readings. That would make each
    process look older than it is, and a restart look due. So the readings between which the least went by count.
    """

    def reading() -> tuple[float, float]:
        before = time.clock_gettime(time.CLOCK_BOOTTIME)
        now = time.time()
        return time.clock_gettime(time.CLOCK_BOOTTIME) - before, now - before

    return min(reading() for _attempt in range(_READINGS))[1]


def _program(pid: int, name: str) -> str:
    link = f"/proc/{pid}/exe"
    try:
        return os.readlink(link)
    except PermissionError as exc:
        raise TrustError(
            f"{name} runs here as PID {pid}, and this account may not look at it",
            reason="not_root",
            found=f"user ID {os.geteuid()}",
            expected="root",
            next_step="run with become: true",
        ) from exc


def _unit(cgroup: str) -> str | None:
    for line in cgroup.splitlines():
        for part in reversed(line.split("/")):
            if part.endswith(".service"):
                return part
    return None


def _temp_beside(directory: str, content: bytes, mode: int, like: FileState | None) -> str:
    handle, temp = tempfile.mkstemp(prefix=".", suffix=_TEMP_SUFFIX, dir=directory)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(stream.fileno(), mode if like is None or like.kind != "file" else like.mode)
            if like is not None and like.kind == "file":
                if os.geteuid() == 0:
                    os.fchown(stream.fileno(), like.uid, like.gid)
                _copy_attributes(like.path, stream.fileno())
            os.fsync(stream.fileno())
    except BaseException:
        os.unlink(temp)
        raise
    return temp


def _copy_attributes(source: str, target: int) -> None:
    """SELinux context and the like: a file without its context may be unreadable to the runtime."""
    try:
        for name in os.listxattr(source):
            os.setxattr(target, name, os.getxattr(source, name))
    except OSError as exc:
        if exc.errno not in (errno.ENOTSUP, errno.ENODATA, errno.EPERM, errno.ENOENT):
            raise


def _make_directory_with(directory: str, name: str, content: bytes, mode: int) -> None:
    parent = os.path.dirname(directory)
    os.makedirs(parent, mode=0o755, exist_ok=True)
    temp = tempfile.mkdtemp(prefix=".", suffix=_TEMP_SUFFIX, dir=parent)
    inner = os.path.join(temp, name)
    try:
        os.chmod(temp, 0o755)
        # For nobody else's eyes until its mode is set: it may be a private key, in a directory that all may read.
        handle = os.open(inner, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.rename(temp, directory)
    except BaseException:
        if os.path.exists(inner):
            os.unlink(inner)
        os.rmdir(temp)
        raise
    _sync_directory(parent)


def _sync_directory(path: str) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_error(path: str, exc: OSError, next_step: str | None = None) -> TrustError:
    """What the file system refused, in the words of the person on call."""
    steps = {
        errno.ENOSPC: "free space on that file system and run again; nothing was changed",
        errno.EROFS: "the file system is mounted read-only: find out why, remount it, run again",
        errno.EACCES: "run with become: true",
        errno.EPERM: "run with become: true; if it already did, look for an immutable flag (lsattr)",
    }
    reasons = {
        errno.ENOSPC: "disk_full",
        errno.EROFS: "read_only",
        errno.EACCES: "not_root",
        errno.EPERM: "not_root",
    }
    code = exc.errno or 0
    wanted = (
        "root"
        if code in (errno.EACCES, errno.EPERM)
        else "a file system that takes what is read and written there"
    )
    return TrustError(
        f"{path} can't be used",
        reason=reasons.get(code, "file_error"),
        path=path,
        found=exc.strerror or str(exc),
        expected=wanted,
        next_step=steps.get(code) or next_step or f"look at {path} on the node",
    )

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine image or chroot: the same work on files that nothing runs on. No restart, no pull, no proof.

**PRIVATE** to the collection. The module goes into the root itself: so no link in the image leads out of it, and
what is asked of a runtime's own parser is asked of the one in the image.
"""

from __future__ import annotations

import codecs
import contextlib
import importlib
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils import _detect, _node
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import HostDirectory
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import Registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import (
    Change,
    Desired,
    Restart,
    Runtime,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtimes import RUNTIMES

# What is imported where it is needed, since most calls don't need it.
_LATE = (
    "_containerd_legacy",
    "_containerd_set",
    "_cri_curl",
    "_hosts_merge",
    "_hosts_toml",
    "_images",
    "_pem_faults",
    "_runtime_system",
    "_system_store",
    "_toml",
    "_toml_reader",
    "_upgrade",
)

NOTHING_RUNS = Restart(False, "nothing runs in an offline root", {})


@contextlib.contextmanager
def inside(root: str | None) -> Iterator[None]:
    """Be in this root, and come back however it ends. None stays where it is.

    Raises:
        TrustError: it can't be one, or this account may not go there.
    """
    if root is None:
        yield
        return
    _check(root)
    _load_what_is_loaded_late()
    temp, here, cwd = tempfile.tempdir, os.open("/", os.O_RDONLY | os.O_DIRECTORY), os.open(".", os.O_RDONLY)
    try:
        try:
            os.chroot(root)
        except OSError as exc:
            raise _node.file_error(root, exc) from exc
        os.chdir("/")
        tempfile.tempdir = None
        yield
    finally:
        tempfile.tempdir = temp
        os.fchdir(here)
        os.chroot(".")
        os.fchdir(cwd)
        os.close(cwd)
        os.close(here)


def detect(wanted: str) -> tuple[OfflineRuntime, str]:
    """The runtime that the image will pull with, by what is installed in it, and what decided.

    Raises:
        TrustError: none is installed, or several and nothing says which one counts.
    """
    present = _detect.installed()
    # What has no daemon is a tool wherever there is one that has.
    if wanted == "auto":
        present = [name for name in present if not RUNTIMES[name].daemonless] or present
    endpoint = _detect.endpoint_in_files()
    if wanted != "auto":
        if wanted not in present:
            raise _no_runtime(f"{wanted} is not installed in this root", present)
        return OfflineRuntime(RUNTIMES[wanted].offline()), "the runtime option names it"
    named = next((name for name in _detect.names_of_endpoint(endpoint or "") if name in present), None)
    if named is not None:
        return OfflineRuntime(RUNTIMES[named].offline()), f"kubelet's files in it point at {endpoint}"
    if len(present) > 1:
        raise TrustError(
            "several runtimes are installed in this root, and nothing in it says which one will pull",
            reason="several_runtimes",
            found=present,
            expected="one runtime, or the files of a kubelet that is pointed at one",
            next_step="set harbor_ca_runtime (the runtime option of the module) to the one that kubelet will use",
        )
    for name in present:
        return OfflineRuntime(RUNTIMES[name].offline()), "it is the only runtime that is installed in it"
    raise _no_runtime("no container runtime is installed in this root", present)


def check_for_tools() -> None:
    """The tools of the system store are scripts, and would leave a file dev/null in an image without devices.

    Raises:
        TrustError: there is no /dev/null in this root.
    """
    try:
        if stat.S_ISCHR(os.stat("/dev/null").st_mode):
            return
    except OSError:
        pass
    raise TrustError(
        "the root has no /dev/null, which the tool of the system store needs",
        reason="invalid_root",
        path="/dev/null",
        found="no device /dev/null",
        expected="a root with its devices",
        next_step="mount --bind /dev ROOT/dev, then run again",
    )


class _NoClient:
    """Nothing can be pulled in a root that nothing runs on."""

    endpoint: str = ""
    used: str | None = None

    def pull(self, image: str, auth: tuple[str, str] | None = None) -> str:
        raise AssertionError("a pull in an offline root")

    def wait_ready(self, seconds: float) -> dict[str, str]:
        raise AssertionError("a wait in an offline root")


class OfflineRuntime(Runtime):
    """A runtime of which only the files are there."""

    name = "offline"

    def __init__(self, inner: Runtime) -> None:
        self.inner = inner
        self.version = inner.version
        self.unit = inner.unit
        self.process = None
        self.client = inner.client = _NoClient()

    @classmethod
    def observe(cls, socket: str, timeout: float) -> Runtime:
        raise NotImplementedError("it is put around a runtime that was found in a root")

    def facts(self) -> dict[str, Any]:
        return {**self.inner.facts(), "endpoint": None, "pid": None, "offline": True}

    def read(self, registry: Registry) -> HostDirectory:
        return self.inner.read(registry)

    def restart(self, changes: Sequence[Change] = ()) -> Restart:
        return NOTHING_RUNS

    def restart_after_removal(self, changes: Sequence[Change]) -> Restart:
        return NOTHING_RUNS

    def reasons(self) -> list[str]:
        return [*self.inner.reasons(), NOTHING_RUNS.why]

    def obeys(self, restart: Restart) -> bool:
        return False

    def install(self, item: Desired, place: HostDirectory) -> list[Change]:
        return self.inner.install(item, place)

    def remove(self, place: HostDirectory) -> list[Change]:
        return self.inner.remove(place)

    def left_in_store(self, registry: Registry) -> list[str]:
        return self.inner.left_in_store(registry)

    def leave_store(self, registries: Sequence[Registry]) -> list[Change]:
        steps = super().leave_store(registries)
        if steps:
            check_for_tools()
        return steps

    def owns(self, place: HostDirectory, path: str) -> bool:
        return self.inner.owns(place, path)

    def settings(self, present: Sequence[Desired], absent: Sequence[Desired]) -> list[Change]:
        return self.inner.settings(present, absent)

    def complete(self, change: Change) -> Change:
        return self.inner.complete(change)


def _check(root: str) -> None:
    trouble = None
    if not os.path.isabs(root):
        trouble = "it is not an absolute path"
    elif not os.path.isdir(root):
        trouble = "there is no such directory"
    elif os.path.realpath(root) == "/":
        trouble = "it is the root of the running system"
    elif not os.path.isdir(os.path.join(root, "etc")) or not os.path.isdir(os.path.join(root, "usr")):
        trouble = "it has no etc and usr, so it is not the root of a system"
    if trouble:
        raise TrustError(
            f"{root} can't be prepared as an offline root",
            reason="invalid_root",
            path=root,
            found=trouble,
            expected="the directory under which the image of a machine is mounted",
            next_step="mount the image and name that directory; for the running system leave root out",
        )


def _load_what_is_loaded_late() -> None:
    """Once inside, Python's own library and this collection are out of reach, or are another version's."""
    list(RUNTIMES.values())
    for name in _LATE:
        importlib.import_module(f"{__name__.rpartition('.')[0]}.{name}")
    for encoding in ("utf-8", "latin-1", "ascii", "utf-16-be", "utf-32-be", "idna"):
        codecs.lookup(encoding)


def _no_runtime(message: str, present: list[str]) -> TrustError:
    return TrustError(
        message,
        reason="no_runtime",
        found=present or "no program of any known runtime",
        expected=f"one of {', '.join(RUNTIMES)}",
        next_step="install the runtime in the image first, then run again",
    )

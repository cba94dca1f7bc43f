# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MicroK8s: containerd with a certs.d of its own inside the snap's data, read at every pull (runtime-facts §12).

**PRIVATE** to the collection. A CA is put there in Docker's style, without a hosts.toml: the data directory
carries the revision of the snap in its name, and a path in a hosts.toml would end with that revision.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils import _node
from ansible_collections.nodetrust.harbor.plugins.module_utils._cri import Cri
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import (
    CONTAINERD_1,
    CONTAINERD_2,
    HostDirectory,
    read_host_directory,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import Registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import (
    Change,
    Desired,
    Restart,
    Runtime,
    iso,
    owner_of,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml import parse

DATA = "/var/snap/microk8s/current"
SOCKET = "/var/snap/microk8s/common/run/containerd.sock"
_UNIT = "snap.microk8s.daemon-containerd.service"
_SECTIONS = (
    ("plugins", "io.containerd.cri.v1.images", "registry", "config_path"),
    ("plugins", "io.containerd.grpc.v1.cri", "registry", "config_path"),
)


class MicroK8sRuntime(Runtime):
    """MicroK8s from 1.23 on."""

    name = "microk8s"
    sockets = (SOCKET,)
    programs = ("/snap/bin/microk8s", "/var/lib/snapd/snap/bin/microk8s")
    kubelet_inside = True

    def __init__(self, process: _node.Process, cri: Cri) -> None:
        self.client = cri
        self.process: _node.Process = process
        self.unit = process.unit or _UNIT
        self.cri_error: TrustError | None = None
        self.version = ""
        try:
            self.version = cri.version()["runtime_version"]
        except TrustError as exc:
            self.cri_error = exc
        self.reader = CONTAINERD_2 if self.version.lstrip("v").startswith("2.") else CONTAINERD_1
        self.certs_dir = os.path.join(DATA, "args/certs.d")
        self.template = os.path.join(DATA, "args/containerd-template.toml")
        # The wrapper fills in the template at each start and then becomes containerd, so this is what was read.
        self.config_file = os.path.join(DATA, "args/containerd.toml")
        self.running = _config_path(self.config_file)
        self.next_start = _config_path(self.template)

    @classmethod
    def observe(cls, socket: str, timeout: float) -> MicroK8sRuntime:
        return cls(owner_of(socket), Cri(f"unix://{socket}", timeout))

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "config_file": self.template, "config_path": self.running}

    def unusable(self) -> TrustError | None:
        if self._is_ours(self.running) or self._is_ours(self.next_start):
            return None if self.restart().due else self.cri_error
        return TrustError(
            "containerd of this MicroK8s doesn't read the directory that is meant for registries",
            reason="config_not_effective",
            path=self.template,
            found=f"config_path = {self.next_start!r}"
            if self.next_start
            else "no config_path (MicroK8s before 1.23)",
            expected='config_path = "${SNAP_DATA}/args/certs.d"',
            next_step=f"upgrade MicroK8s, or set this in {self.template}, "
            "run snap restart microk8s.daemon-containerd, then run again",
        )

    def reasons(self) -> list[str]:
        reasons = [f"the CRI doesn't answer: {self.cri_error}"] if self.cri_error else []
        if not self._is_ours(self.running):
            reasons.append(
                f"config_path is {self.running or 'not set'!r} in {self.config_file}, not {self.certs_dir}"
            )
        return reasons

    def obeys(self, restart: Restart) -> bool:
        return not restart.due and self._is_ours(self.running) and self.cri_error is None

    def read(self, registry: Registry) -> HostDirectory:
        return read_host_directory(self.certs_dir, registry, self.reader)

    def settings(self, present: Sequence[Desired], absent: Sequence[Desired]) -> list[Change]:
        return []

    def restart(self, changes: Sequence[Change] = ()) -> Restart:
        """By what the files say, not by their times: the wrapper writes one after the process has started."""
        evidence = {
            "process": {"pid": self.process.pid, "unit": self.unit, "started": iso(self.process.started)},
            "config_path": {"running": self.running, "next_start": self.next_start},
        }
        if self._is_ours(self.next_start) and not self._is_ours(self.running):
            return Restart(
                True,
                f"{self.template} names {self.certs_dir}, and {self.unit} was started without it",
                evidence,
            )
        return Restart(False, f"files under {self.certs_dir} are read at every pull", evidence)

    def _is_ours(self, config_path: str) -> bool:
        """The template says ${SNAP_DATA}, the running one the revision; `current` is a link to that."""
        filled = config_path.replace("${SNAP_DATA}", DATA)
        return os.path.realpath(filled) == os.path.realpath(self.certs_dir)


def _config_path(path: str) -> str:
    """config_path in a containerd configuration; "" if there is none. Not asked of containerd itself, which runs
    only inside the snap's environment."""
    state = _node.read_state(path)
    try:
        document = parse((state.content or b"").decode("utf-8"), path)
    except UnicodeDecodeError as exc:
        raise TrustError(
            f"{path} is not UTF-8 text",
            reason="config_broken",
            path=path,
            found=f"byte {exc.start} is not UTF-8",
            expected="UTF-8, as TOML wants it",
            next_step=f"save {path} as UTF-8, then run again",
        ) from exc
    found = next(filter(None, (document.get(section) for section in _SECTIONS)), "")
    return found if isinstance(found, str) else ""

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CRI-O: the same library and the same directories as podman, behind a CRI socket (runtime-facts §10).

**PRIVATE** to the collection.
"""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.nodetrust.harbor.plugins.module_utils import _containers_dirs, _node
from ansible_collections.nodetrust.harbor.plugins.module_utils._cri import Cri
from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import HostDirectory
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import Registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import (
    Change,
    Client,
    Restart,
    Runtime,
)


class CrioRuntime(Runtime):
    """CRI-O. It reads a registry's directory at every pull; only the system store needs a restart."""

    name = "crio"
    sockets = ("/run/crio/crio.sock",)
    programs = ("/usr/bin/crio", "/usr/local/bin/crio")

    def __init__(self, client: Client, version: str, process: _node.Process | None) -> None:
        self.client = client
        self.version = version
        self.process = process
        self.unit = (process.unit if process else None) or "crio.service"

    @classmethod
    def observe(cls, socket: str, timeout: float) -> CrioRuntime:
        cri = Cri(f"unix://{socket}", timeout)
        return cls(cri, cri.version()["runtime_version"], next(iter(_node.processes("crio")), None))

    @classmethod
    def offline(cls) -> CrioRuntime:
        return cls(Cri(f"unix://{cls.sockets[0]}", 1), "", None)

    def read(self, registry: Registry) -> HostDirectory:
        return _containers_dirs.read_containers_directory(registry, self.name)

    def remove(self, place: HostDirectory) -> list[Change]:
        return super().remove(_containers_dirs.ours(place.registry, self.name))

    def restart(self, changes: Sequence[Change] = ()) -> Restart:
        return Restart(False, "CRI-O reads the directory at every pull", {})

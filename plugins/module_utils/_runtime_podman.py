# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""podman: no daemon, no restart; a directory is read anew at every pull (runtime-facts §9).

**PRIVATE** to the collection.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from ansible_collections.nodetrust.harbor.plugins.module_utils import _containers_dirs
from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import HostDirectory
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import Registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._podman_client import PROGRAM, SCHEME, Podman
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import Change, Restart, Runtime


class PodmanRuntime(Runtime):
    """podman as root uses it."""

    name = "podman"
    programs = (PROGRAM, "/usr/local/bin/podman")
    daemonless = True

    def __init__(self, client: Podman, version: str) -> None:
        self.client = client
        self.version = version
        self.unit = None
        self.process = None

    @classmethod
    def listening(cls) -> str | None:
        """It doesn't listen: the program is what is there."""
        return next(filter(os.path.exists, cls.programs), None)

    @classmethod
    def observe(cls, socket: str, timeout: float) -> PodmanRuntime:
        podman = Podman(SCHEME + socket, timeout)
        return cls(podman, podman.version())

    @classmethod
    def offline(cls) -> PodmanRuntime:
        return cls(Podman(SCHEME + PROGRAM, 1), "")

    def read(self, registry: Registry) -> HostDirectory:
        return _containers_dirs.read_containers_directory(registry, self.name)

    def remove(self, place: HostDirectory) -> list[Change]:
        return super().remove(_containers_dirs.ours(place.registry, self.name))

    def restart(self, changes: Sequence[Change] = ()) -> Restart:
        return Restart(
            False, "podman reads the directory at every pull, and nothing runs between two pulls", {}
        )

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker: certs.d is read at every pull, so nothing here ever needs a restart (runtime-facts §8).

**PRIVATE** to the collection. Under cri-dockerd the files are the same and the proof goes through its CRI.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils import _docker_engine, _node
from ansible_collections.nodetrust.harbor.plugins.module_utils._cri import Cri
from ansible_collections.nodetrust.harbor.plugins.module_utils._docker_engine import Engine
from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import (
    HostDirectory,
    Problem,
    Reader,
    read_host_directory,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import Registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import (
    Change,
    Client,
    Restart,
    Runtime,
)

CERTS_DIR = "/etc/docker/certs.d"
CRI_SOCKET = "/run/cri-dockerd.sock"

# Docker 28 began to read the directory of its containerd image store as containerd does.
CLASSIC = Reader("docker", None, fallbacks=False, junk_breaks=False, directory_breaks=True, key_breaks=True)
STORE_28 = Reader("docker", 2, fallbacks=True, junk_breaks=True, directory_breaks=False)


class DockerRuntime(Runtime):
    """dockerd, with the classic image store or the one that lies in containerd."""

    name = "docker"
    sockets = (CRI_SOCKET, _docker_engine.DEFAULT_SOCKET)
    programs = ("/usr/bin/dockerd", "/usr/sbin/dockerd", "/usr/local/bin/dockerd")

    def __init__(self, info: dict[str, Any], process: _node.Process | None, client: Client) -> None:
        self.info = info
        self.client = client
        self.version = str(info.get("ServerVersion", ""))
        self.process = process
        self.unit = (process.unit if process else None) or "docker.service"
        self.image_store = "containerd" if _docker_engine.in_containerd(info) else "classic"

    @classmethod
    def observe(cls, socket: str, timeout: float) -> DockerRuntime:
        engine = Engine(_docker_engine.DEFAULT_SOCKET if socket == CRI_SOCKET else socket, timeout)
        client: Client = Cri(f"unix://{socket}", timeout) if socket == CRI_SOCKET else engine
        return cls(engine.info(), next(iter(_node.processes("dockerd")), None), client)

    @classmethod
    def offline(cls) -> DockerRuntime:
        # Its image store is chosen at its start; the classic one is what reads the fewest forms.
        return cls({}, None, Engine(_docker_engine.DEFAULT_SOCKET, 1))

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "image_store": self.image_store}

    def read(self, registry: Registry) -> HostDirectory:
        like_containerd = self.image_store == "containerd" and _docker_engine.number(self.version) >= (28, 0)
        place = read_host_directory(CERTS_DIR, registry, STORE_28 if like_containerd else CLASSIC)
        insecure = self._insecure_as(registry)
        if insecure is not None:
            place.problems.append(
                Problem(
                    "insecure_registry",
                    f"dockerd doesn't verify this registry: {insecure} stands in insecure-registries",
                    "/etc/docker/daemon.json",
                    f"take {insecure} out of insecure-registries in daemon.json, and leave [] if it was the only "
                    f"one, for a reload passes over a key that is gone; then systemctl reload {self.unit}, "
                    "and run again",
                )
            )
        return place

    def _insecure_as(self, registry: Registry) -> str | None:
        """What makes dockerd pass over its certificate: its name, or a range that its address lies in."""
        known = self.info.get("RegistryConfig") or {}
        index = (known.get("IndexConfigs") or {}).get(registry.name)
        if index is not None:
            return registry.name if index.get("Secure") is False else None
        try:
            address = ipaddress.ip_address(registry.host)
        except ValueError:
            return None
        ranges = known.get("InsecureRegistryCIDRs") or []
        return next((text for text in ranges if address in ipaddress.ip_network(text, strict=False)), None)

    def reasons(self) -> list[str]:
        if self.image_store == "containerd" and _docker_engine.heeds_no_token_ca(self.version):
            return [
                f"if the registry hands out tokens, as Harbor does: {_docker_engine.token_remedy(self.version)}"
            ]
        return []

    def stops_containers(self) -> str | None:
        if self.info.get("LiveRestoreEnabled"):
            return None
        return (
            "dockerd runs without live-restore, so its restart would stop every container of this node "
            '("live-restore": true in daemon.json and systemctl reload docker end that without a restart)'
        )

    def restart(self, changes: Sequence[Change] = ()) -> Restart:
        evidence: dict[str, Any] = {"live_restore": bool(self.info.get("LiveRestoreEnabled"))}
        if self.process is not None:
            evidence["process"] = {"pid": self.process.pid, "unit": self.unit}
        return Restart(False, f"dockerd reads {CERTS_DIR} at every pull", evidence)

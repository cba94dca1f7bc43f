# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runtimes that can be managed: one row for each file `_runtime_NAME.py`.

**PRIVATE** to the collection. A node has one of them, or two. To load the others would take longer than all that an
audit does, so a class is loaded when it is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Callable

from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import Runtime


def _containerd() -> type[Runtime]:
    from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_containerd import (
        ContainerdRuntime,
    )

    return ContainerdRuntime


def _crio() -> type[Runtime]:
    from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_crio import CrioRuntime

    return CrioRuntime


def _docker() -> type[Runtime]:
    from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_docker import DockerRuntime

    return DockerRuntime


def _k0s() -> type[Runtime]:
    from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_k0s import K0sRuntime

    return K0sRuntime


def _k3s() -> type[Runtime]:
    from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_k3s import K3sRuntime

    return K3sRuntime


def _microk8s() -> type[Runtime]:
    from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_microk8s import MicroK8sRuntime

    return MicroK8sRuntime


def _podman() -> type[Runtime]:
    from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_podman import PodmanRuntime

    return PodmanRuntime


def _rke2() -> type[Runtime]:
    from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_rke2 import Rke2Runtime

    return Rke2Runtime


# In the order in which messages name them.
_LOAD: dict[str, Callable[[], type[Runtime]]] = {
    "containerd": _containerd,
    "crio": _crio,
    "docker": _docker,
    "k0s": _k0s,
    "k3s": _k3s,
    "microk8s": _microk8s,
    "podman": _podman,
    "rke2": _rke2,
}
# The sockets and programs of each. Where none of them is, nothing listens and nothing is installed.
TRACES: dict[str, tuple[str, ...]] = {
    "containerd": ("/run/containerd/containerd.sock", "/usr/bin/containerd", "/usr/local/bin/containerd"),
    "crio": ("/run/crio/crio.sock", "/usr/bin/crio", "/usr/local/bin/crio"),
    "docker": (
        "/run/cri-dockerd.sock",
        "/run/docker.sock",
        "/usr/bin/dockerd",
        "/usr/sbin/dockerd",
        "/usr/local/bin/dockerd",
    ),
    "k0s": ("/run/k0s/containerd.sock", "/usr/local/bin/k0s", "/usr/bin/k0s"),
    "k3s": ("/run/k3s/containerd/containerd.sock", "/usr/local/bin/k3s", "/usr/bin/k3s", "/opt/bin/k3s"),
    "microk8s": (
        "/var/snap/microk8s/common/run/containerd.sock",
        "/snap/bin/microk8s",
        "/var/lib/snapd/snap/bin/microk8s",
    ),
    "podman": ("/usr/bin/podman", "/usr/local/bin/podman"),
    "rke2": (
        "/run/k3s/containerd/containerd.sock",
        "/usr/local/bin/rke2",
        "/usr/bin/rke2",
        "/opt/rke2/bin/rke2",
    ),
}


class _Runtimes(Mapping[str, type[Runtime]]):
    """The class of each runtime by its name."""

    def __getitem__(self, name: str) -> type[Runtime]:
        return _LOAD[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(_LOAD)

    def __len__(self) -> int:
        return len(_LOAD)

    def here(self) -> list[str]:
        """Those of which this node has a trace."""
        return [name for name in self if any(map(os.path.exists, TRACES[name]))]


RUNTIMES = _Runtimes()

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runtimes that can be managed: one row for each file `_runtime_NAME.py`.

**PRIVATE** to the collection.
"""

from __future__ import annotations

from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import Runtime
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_containerd import ContainerdRuntime
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_crio import CrioRuntime
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_docker import DockerRuntime
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_k0s import K0sRuntime
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_k3s import K3sRuntime
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_microk8s import MicroK8sRuntime
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_podman import PodmanRuntime
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_rke2 import Rke2Runtime

# In the order in which messages name them.
RUNTIMES: dict[str, type[Runtime]] = {
    runtime.name: runtime
    for runtime in (
        ContainerdRuntime,
        CrioRuntime,
        DockerRuntime,
        K0sRuntime,
        K3sRuntime,
        MicroK8sRuntime,
        PodmanRuntime,
        Rke2Runtime,
    )
}

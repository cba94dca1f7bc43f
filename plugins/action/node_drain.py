# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cordon or drain a node, or give it back. The contract stands in the module file of the same name."""

from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.nodetrust.harbor.plugins.plugin_utils._cluster_action import ClusterAction
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._drain import (
    Limits,
    cordon,
    drain,
    release,
    wait_ready,
)
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kubeconfig import own_pod

_JOBS = {"drained": drain, "ready": wait_ready, "released": release}


class ActionModule(ClusterAction):
    OPTIONS: ClassVar[dict[str, Any]] = {
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["cordoned", *_JOBS], "required": True},
        "timeout": {"type": "float", "default": 300.0},
        "interval": {"type": "float", "default": 5.0},
        "evict_bare_pods": {"type": "bool", "default": False},
        "evict_local_data": {"type": "bool", "default": True},
        "context": {"type": "str"},
    }

    def work(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        limits = Limits(
            options["timeout"],
            options["interval"],
            options["evict_bare_pods"],
            options["evict_local_data"],
            own_pod() if options["in_cluster"] else None,
        )
        node, check_mode = options["name"], self._task.check_mode
        with self.connect(options, options["context"]) as cluster:
            if options["state"] == "cordoned":
                return cordon(cluster, node, check_mode=check_mode)
            return _JOBS[options["state"]](cluster, node, limits, check_mode=check_mode)

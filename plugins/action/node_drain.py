# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cordon or drain a node, or give it back. The contract stands in the module file of the same name."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._drain import (
    Limits,
    cordon,
    drain,
    release,
)
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kube import connect
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kubeconfig import Access

ARGUMENT_SPEC = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["cordoned", "drained", "released"], "required": True},
    "timeout": {"type": "float", "default": 300.0},
    "interval": {"type": "float", "default": 5.0},
    "evict_bare_pods": {"type": "bool", "default": False},
    "evict_local_data": {"type": "bool", "default": True},
    "kubeconfig": {"type": "path"},
    "context": {"type": "str"},
    "in_cluster": {"type": "bool", "default": False},
    "request_timeout": {"type": "float", "default": 30.0},
}


class ActionModule(ActionBase):
    """Runs on the controller alone: no connection, no file transferred."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_async = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _valid, options = self.validate_argument_spec(ARGUMENT_SPEC)
        access = Access(
            options["kubeconfig"], options["context"], options["in_cluster"], options["request_timeout"]
        )
        limits = Limits(
            options["timeout"],
            options["interval"],
            options["evict_bare_pods"],
            options["evict_local_data"],
        )
        node, check_mode = options["name"], self._task.check_mode
        try:
            with connect(access) as cluster:
                if options["state"] == "cordoned":
                    done = cordon(cluster, node, check_mode=check_mode)
                else:
                    job = drain if options["state"] == "drained" else release
                    done = job(cluster, node, limits, check_mode=check_mode)
        except TrustError as exc:
            return {**result, "changed": False, "failed": True, "msg": str(exc), **exc.facts()}
        return {**result, **done}

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the actions that work on a cluster share: their options, the way there, and the shape of a failure.

**PRIVATE** to the collection. Action plugins and not modules that are delegated to localhost: they need the
kubernetes client of the Python that runs Ansible, which interpreter discovery on localhost often does not
find, and they share their client code with the inventory plugin, which modules cannot import.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ansible.plugins.action import ActionBase

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kube import Cluster, connect
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kubeconfig import Access

# As the documentation fragment _kube has them.
_KUBE_OPTIONS: dict[str, Any] = {
    "kubeconfig": {"type": "path"},
    "in_cluster": {"type": "bool", "default": False},
    "request_timeout": {"type": "float", "default": 30.0},
}


class ClusterAction(ActionBase):
    """Runs on the controller alone: no connection, no file transferred."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_async = False
    _supports_check_mode = True

    OPTIONS: ClassVar[dict[str, Any]] = {}
    # What else validate_argument_spec takes, such as mutually_exclusive.
    RELATIONS: ClassVar[dict[str, Any]] = {}

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _valid, options = self.validate_argument_spec({**self.OPTIONS, **_KUBE_OPTIONS}, **self.RELATIONS)
        result["changed"] = False
        try:
            result.update(self.work(options, task_vars or {}))
        except TrustError as exc:
            result.update(failed=True, msg=str(exc), **exc.facts())
        return result

    def work(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Do it; what the task returns. A TrustError becomes a failure with its fields."""
        raise NotImplementedError

    @staticmethod
    def connect(options: dict[str, Any], context: str | None) -> Cluster:
        return connect(
            Access(options["kubeconfig"], context, options["in_cluster"], options["request_timeout"])
        )

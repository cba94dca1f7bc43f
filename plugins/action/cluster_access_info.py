# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a cluster what we may do there. The contract stands in the module file of the same name."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._access import NEEDED, missing
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kube import connect
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kubeconfig import Access

ARGUMENT_SPEC = {
    "jobs": {"type": "list", "elements": "str", "choices": list(NEEDED), "required": True},
    "kubeconfig": {"type": "path"},
    "contexts": {"type": "list", "elements": "str", "default": []},
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
        clusters: dict[str, list[str]] = {}
        try:
            for context in list(dict.fromkeys(options["contexts"])) or [None]:
                access = Access(
                    options["kubeconfig"], context, options["in_cluster"], options["request_timeout"]
                )
                with connect(access) as cluster:
                    clusters[cluster.target.context] = missing(cluster, options["jobs"])
        except TrustError as exc:
            return {**result, "changed": False, "failed": True, "msg": str(exc), **exc.facts()}
        result.update(
            changed=False, clusters=[{"context": name, "missing": lack} for name, lack in clusters.items()]
        )
        if lacking := {name: lack for name, lack in clusters.items() if lack}:
            result.update(
                failed=True,
                reason="forbidden",
                msg="Not allowed what "
                + " and ".join(options["jobs"])
                + " needs. Missing: "
                + "; ".join(f"{', '.join(lack)} (context {name!r})" for name, lack in lacking.items())
                + ". Next step: apply "
                + " and ".join(f"deploy/rbac/{job}.yml" for job in options["jobs"])
                + " of this collection, and bind it to this user.",
            )
        return result

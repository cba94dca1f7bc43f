# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a cluster what we may do there. The contract stands in the module file of the same name."""

from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.nodetrust.harbor.plugins.plugin_utils._access import NEEDED, missing
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._cluster_action import ClusterAction


class ActionModule(ClusterAction):
    OPTIONS: ClassVar[dict[str, Any]] = {
        "jobs": {"type": "list", "elements": "str", "choices": list(NEEDED), "required": True},
        "contexts": {"type": "list", "elements": "str", "default": []},
    }

    def work(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        jobs = options["jobs"]
        clusters: dict[str, list[str]] = {}
        for context in list(dict.fromkeys(options["contexts"])) or [None]:
            with self.connect(options, context) as cluster:
                clusters[cluster.target.context] = missing(cluster, jobs)
        said = {"clusters": [{"context": name, "missing": lack} for name, lack in clusters.items()]}
        lacking = {name: lack for name, lack in clusters.items() if lack}
        if not lacking:
            return said
        listed = "; ".join(f"{', '.join(lack)} (context {name!r})" for name, lack in lacking.items())
        manifests = " and ".join(f"deploy/rbac/{job}.yml" for job in jobs)
        return {
            **said,
            "failed": True,
            "reason": "forbidden",
            "msg": f"Not allowed what {' and '.join(jobs)} needs. Missing: {listed}. "
            f"Next step: apply {manifests} of this collection, and bind it to this user.",
        }

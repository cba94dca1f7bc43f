# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certify all nodes of a run in one call. The contract stands in the module file of the same name."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, ClassVar

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._access import missing
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._certification import Report, certify
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._certify import EFFECTS, STATES, Marks, Wish
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._certify_request import (
    items_from_hosts,
    limit_losses,
    marks_from,
    said_of_hosts,
    wishes_from,
)
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._cluster_action import ClusterAction
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kube_errors import Forbidden
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._standing import (
    ANNOTATION,
    CERTIFIED,
    LABEL,
    TAINT,
)

_REGISTRIES = {
    "type": "list",
    "elements": "dict",
    "options": {
        "host": {"type": "str", "required": True},
        "fingerprints": {"type": "list", "elements": "str", "required": True},
    },
}


class ActionModule(ClusterAction):
    OPTIONS: ClassVar[dict[str, Any]] = {
        "nodes": {
            "type": "list",
            "elements": "dict",
            "options": {
                "name": {"type": "str", "required": True},
                "state": {"type": "str", "choices": list(STATES)},
                "context": {"type": "str"},
                "uid": {"type": "str"},
                "registries": _REGISTRIES,
                "runtime": {"type": "str"},
                "proved_at": {"type": "str"},
            },
        },
        "hosts": {"type": "list", "elements": "str"},
        "uncertify_at_most": {"type": "int", "default": 50},
        "state": {"type": "str", "choices": list(STATES), "default": CERTIFIED},
        "registries": {**_REGISTRIES, "default": []},
        "label": {"type": "str", "default": LABEL},
        "annotation": {"type": "str", "default": ANNOTATION},
        "taint": {"type": "str", "default": TAINT},
        "taint_effect": {"type": "str", "choices": list(EFFECTS), "default": EFFECTS[0]},
        "condition": {"type": "str", "default": ""},
        "proof_validity_hours": {"type": "int", "default": 168},
        "context": {"type": "str"},
    }
    RELATIONS: ClassVar[dict[str, Any]] = {
        "mutually_exclusive": [("nodes", "hosts")],
        "required_one_of": [("nodes", "hosts")],
    }

    def work(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        report = Report()
        hosts, hostvars = options["hosts"], task_vars.get("hostvars", {})
        result: dict[str, Any] = {}
        try:
            marks = marks_from(options)
            if hosts is not None:
                options["nodes"] = items_from_hosts(hosts, hostvars, options["state"])
                if options["state"] == CERTIFIED:
                    nodes = sum("cluster_node" in hostvars[host] for host in hosts)
                    limit_losses(options["nodes"], nodes, options["uncertify_at_most"])
            for context, wishes in wishes_from(options, datetime.now(timezone.utc)).items():
                self._certify(options, context, wishes, marks, report)
        except TrustError as exc:
            # What was done before the failure is said too: nobody should have to guess.
            result.update(failed=True, msg=str(exc), **exc.facts())
        result.update(self._said(report))
        if report.failed:
            names = ", ".join(item["name"] for item in report.failed)
            result.update(failed=True, msg=f"Not certified: {names}. {report.failed[0]['msg']}")
        if hosts is not None:
            problem = result["msg"] if result.get("failed") and not report.failed else ""
            result["hosts"] = said_of_hosts(hosts, hostvars, options["nodes"] or [], report, problem)
        if report.missing:
            result["warnings"] = [f"not in the cluster, so not marked: {', '.join(report.missing)}"]
        return result

    def _certify(
        self, options: dict[str, Any], context: str | None, wishes: list[Wish], marks: Marks, report: Report
    ) -> None:
        with self.connect(options, context) as cluster:
            try:
                certify(
                    cluster,
                    wishes,
                    marks,
                    report,
                    now=lambda: datetime.now(timezone.utc),
                    check_mode=self._task.check_mode,
                )
            except Forbidden as exc:
                jobs = ["certification", "condition"] if marks.condition else ["certification"]
                exc.found = [
                    exc.found,
                    f"missing: {', '.join(missing(cluster, jobs)) or 'nothing by its own word'}",
                ]
                raise

    def _said(self, report: Report) -> dict[str, Any]:
        return {
            "changed": bool(report.changes),
            "changes": report.changes,
            "unchanged": report.unchanged,
            "missing": report.missing,
            "failures": report.failed,
            **({"diff": report.diff} if self._task.diff else {}),
        }

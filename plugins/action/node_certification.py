# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certify all nodes of a run in one call. The contract stands in the module file of the same name."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, ClassVar

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._certification import Report, certify
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._certify import EFFECTS, STATES, Marks, Wish
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._certify_request import (
    check_one_way,
    items_from_hosts,
    limit_losses,
    marks_from,
    said_of_hosts,
    wishes_from,
)
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._cluster_action import ClusterAction
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._standing import (
    ANNOTATION,
    CERTIFIED,
    LABEL,
    TAINT,
)

# How many nodes a message names.
_NAMED = 10
_REGISTRIES = {
    "type": "list",
    "elements": "dict",
    "options": {
        "host": {"type": "str", "required": True},
        "fingerprints": {"type": "list", "elements": "str", "required": True},
    },
}


def _failure(exc: TrustError) -> dict[str, Any]:
    return {"failed": True, "msg": str(exc), **exc.facts()}


def _failures(failed: list[dict[str, Any]]) -> dict[str, Any]:
    """The first failure as that of the task, with the names of all."""
    names = [item["name"] for item in failed]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    facts = {key: value for key, value in failed[0].items() if key != "name"}
    return {
        **facts,
        "failed": True,
        "msg": f"Not certified: {', '.join(names[:_NAMED])}{more}. {failed[0]['msg']}",
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
        items = options["nodes"] or []
        try:
            marks = marks_from(options)
            if hosts is not None:
                items = options["nodes"] = items_from_hosts(hosts, hostvars, options["state"])
                check_one_way(hosts, hostvars, options["in_cluster"])
                if options["state"] == CERTIFIED:
                    try:
                        limit_losses(items, hosts, hostvars, marks, options["uncertify_at_most"])
                    except TrustError as exc:
                        # Who proved its trust is certified all the same.
                        result.update(_failure(exc))
                        options["nodes"] = [item for item in items if item["state"] == CERTIFIED]
            for context, wishes in wishes_from(options, datetime.now(timezone.utc)).items():
                self._certify(options, context, wishes, marks, report)
        except TrustError as exc:
            # What was done before the failure is said too: nobody should have to guess.
            result.update(_failure(exc))
        if hosts is not None:
            result["hosts"] = said_of_hosts(hosts, hostvars, items, report, result.get("msg", ""))
        result.update(self._said(report))
        if report.failed:
            result = {**_failures(list(report.failed.values())), **result}
        if report.missing:
            result["warnings"] = [f"not in the cluster, so not marked: {', '.join(report.gone())}"]
        return result

    def _certify(
        self, options: dict[str, Any], context: str | None, wishes: list[Wish], marks: Marks, report: Report
    ) -> None:
        """One cluster; that it fails is told of its nodes, and the others go on."""
        try:
            with self.connect(options, context) as cluster:
                certify(
                    cluster,
                    wishes,
                    marks,
                    report,
                    now=lambda: datetime.now(timezone.utc),
                    check_mode=self._task.check_mode,
                )
        except TrustError as exc:
            report.give_up(wishes, exc)

    def _said(self, report: Report) -> dict[str, Any]:
        return {
            "changed": bool(report.changes),
            "changes": report.changes,
            "unchanged": report.unchanged,
            "missing": list(report.missing.values()),
            "failures": list(report.failed.values()),
            **({"diff": report.diff} if self._task.diff else {}),
        }

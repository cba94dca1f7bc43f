# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the report of a run over many nodes. The contract stands in the module file of the same name."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import kind_of
from ansible_collections.nodetrust.harbor.plugins.plugin_utils import _fleet_metrics, _fleet_page
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet import EXIT_CODES, PERSON, build
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_expiry import check_thresholds, worst
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_hosts import results_of
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_store import (
    content,
    merge,
    read,
    to_json,
    write,
)
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_summary import lines
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._unsafe import mark_unsafe

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    # Not elements: dict, for 5,000 results would be copied and converted one by one.
    "results": {"type": "raw"},
    "hosts": {"type": "list", "elements": "str"},
    "worked_on": {"type": "list", "elements": "str"},
    "documents": {"type": "list", "elements": "path"},
    "registries": {"type": "list", "elements": "dict", "default": []},
    "playbook": {"type": "str", "default": ""},
    "run_id": {"type": "str", "default": ""},
    "started": {"type": "str", "default": ""},
    "complete": {"type": "bool", "default": True},
    "warning_days": {"type": "int", "default": 30},
    "error_days": {"type": "int", "default": 7},
    "json_file": {"type": "path"},
    "html_file": {"type": "path"},
    "metrics_file": {"type": "path"},
    "fail_on": {"type": "str", "choices": ["never", "needs_a_person", "not_clean"], "default": "never"},
}


class ActionModule(ActionBase):
    """Runs on the controller alone: no connection, no file transferred."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_async = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _valid, options = self.validate_argument_spec(
            ARGUMENT_SPEC,
            mutually_exclusive=[("results", "hosts", "documents")],
            required_one_of=[("results", "hosts", "documents")],
        )
        if options["hosts"] is not None:
            hostvars = (task_vars or {}).get("hostvars", {})
            worked_on = options["hosts"] if options["worked_on"] is None else options["worked_on"]
            check_mode = bool(self._task.check_mode)
            options["results"] = results_of(options["hosts"], hostvars, check_mode, set(worked_on))
        result["changed"] = False
        try:
            document = self._document(options, datetime.now(timezone.utc))
        except TrustError as exc:
            return {**result, "failed": True, "msg": str(exc), **exc.facts()}
        result["files"], problems = self._write(options, document)
        said = lines(document)
        failed = options["fail_on"] != "never" and (
            document["status"] == PERSON
            or (options["fail_on"] == "not_clean" and document["status"] != "clean")
        )
        result.update(
            mark_unsafe(
                {
                    "failed": failed,
                    "status": document["status"],
                    "exit_code": EXIT_CODES[document["status"]],
                    "counts": document["counts"],
                    "expiry": worst(document["expiry"]),
                    "summary": said,
                    "msg": "; ".join(said[:2]),
                }
            )
        )
        if problems and (options["complete"] or document["nodes"]):
            result.update(failed=True, msg=str(problems[0]), **problems[0].facts())
        elif problems:
            # A full disk here is no reason to leave the nodes alone. If it is still so at the end, that fails.
            result["warnings"] = [str(problem) for problem in problems]
        return result

    def _document(self, options: dict[str, Any], now: datetime) -> dict[str, Any]:
        thresholds = check_thresholds(options["warning_days"], options["error_days"])
        if options["documents"]:
            return merge([read(path) for path in options["documents"]], thresholds, now)
        if not isinstance(options["results"], (list, tuple)):
            raise TrustError(
                "results is not a list",
                reason="bad_results",
                found=kind_of(options["results"]),
                expected="a list with one entry for each host of the run",
                next_step="correct the playbook that calls fleet_report",
            )
        run = {"id": options["run_id"], **{key: options[key] for key in ("playbook", "started", "complete")}}
        return build(run, options["registries"], options["results"], thresholds, now)

    def _write(self, options: dict[str, Any], document: dict[str, Any]) -> tuple[list[str], list[TrustError]]:
        """What was written, and what could not be: one bad path leaves the others."""
        files = {name: options[name] for name in ("json_file", "html_file", "metrics_file") if options[name]}
        problems = {path: self._write_one(name, path, document) for name, path in files.items()}
        written = [path for path, problem in problems.items() if problem is None]
        return written, [problem for problem in problems.values() if problem is not None]

    def _write_one(self, name: str, path: str, document: dict[str, Any]) -> TrustError | None:
        """A report is no change of a node, so it is written in check mode too."""
        try:
            if name == "json_file":
                write(path, to_json(document))
            elif name == "html_file":
                write(path, _fleet_page.render(document))
            else:
                write(path, _fleet_metrics.render(document, content(path)))
        except TrustError as exc:
            return exc
        return None

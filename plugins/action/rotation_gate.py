# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a phase of a rotation may begin. The contract stands in the module file of the same name."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._rotation import (
    PHASES,
    check_nodes,
    check_served,
    check_turns,
)

ARGUMENT_SPEC = {
    "phase": {"type": "str", "choices": list(PHASES), "required": True},
    "rotations": {"type": "list", "elements": "raw", "required": True},
    "turns": {"type": "list", "elements": "dict", "required": True},
    "nodes": {"type": "dict", "default": {}},
    "served": {"type": "dict"},
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
        result["changed"] = False
        try:
            check_turns(options["rotations"], options["turns"])
            check_nodes(options["phase"], options["nodes"])
            if options["served"] is not None:
                check_served(options["served"], options["nodes"], options["turns"])
        except TrustError as exc:
            return {**result, "failed": True, "msg": str(exc), "nodes": [], **exc.facts()}
        return {**result, "msg": f"phase {options['phase']} may begin"}

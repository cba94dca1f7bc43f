# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time. The contract stands in the module file of the same name."""

from __future__ import annotations

import getpass
import os
from typing import Any

from ansible import constants
from ansible.plugins.action import ActionBase

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._lock import (
    LONGEST_HOURS,
    holder_of,
    release,
    take,
)

ARGUMENT_SPEC = {
    "state": {"type": "str", "choices": ["taken", "released"], "default": "taken"},
    "path": {"type": "path"},
    "what": {"type": "str", "default": "a run"},
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
        path = options["path"] or os.path.join(
            os.path.expanduser(constants.config.get_config_value("ANSIBLE_HOME")), "nodetrust.harbor.lock"
        )
        # A task is done by a process of its own; its parent is the run.
        holder = holder_of(os.getppid(), options["what"], _user())
        result.update(changed=False, path=path)
        try:
            if options["state"] == "released":
                release(path, holder)
                return result
            left = take(path, holder)
        except TrustError as exc:
            return {**result, "failed": True, "msg": str(exc), **exc.facts()}
        if left:
            result["warnings"] = [
                f"{left.get('what')} of PID {left.get('pid')} on {left.get('host')}, since {left.get('since')}, ended "
                f"without giving {path} back, or is taken for ended, as a run elsewhere after {LONGEST_HOURS} hours"
            ]
        return result


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return str(os.getuid())

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check CA bundles on the controller. The contract stands in the module file of the same name."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._served import look, warnings_of
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._rotation import check_with_rotation, notes_of
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._user_files import UserFiles

ARGUMENT_SPEC = {
    # The entries are checked by the core, which reports all problems at once and with a next step.
    "registries": {"type": "raw", "required": True},
    "rotation": {"type": "raw", "default": {}},
    "only_new": {"type": "bool", "default": False},
    "allow_expired": {"type": "bool", "default": False},
    "check_served": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):
    """Runs on the controller alone: no connection, no file transferred."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _valid, options = self.validate_argument_spec(ARGUMENT_SPEC)
        now = datetime.now(timezone.utc)
        result.update(changed=False, checked_at=f"{now:%Y-%m-%dT%H:%M:%SZ}")
        try:
            registries, turns = check_with_rotation(
                options["registries"],
                options["rotation"],
                UserFiles(self),
                now,
                options["only_new"],
                options["allow_expired"],
            )
        except TrustError as exc:
            return {**result, "failed": True, "msg": str(exc), "errors": [], **exc.facts()}
        warnings = notes_of(turns)
        ending = {turn.host: turn.to_remove for turn in turns}
        reports = []
        for registry in registries:
            mine = [pin for pin in ending.get(registry.host, []) if pin in registry.bundle.fingerprints]
            report = {
                **registry.to_dict(),
                "ending_fingerprints": mine,
                "expired": registry.expired(now),
            }
            warnings += registry.expiry_warnings(now, mine)
            if options["check_served"]:
                served = look(registry.host, registry.ca_pem)
                report["served"] = served.to_dict()
                warnings += warnings_of(registry.host, served, registry.certificates, now)
            reports.append(report)
        return {
            **result,
            "registries": reports,
            "rotation": [turn.to_dict() for turn in turns],
            "warnings": warnings,
        }

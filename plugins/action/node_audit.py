# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check a node's request here and its trust there. The contract stands in the module file of the same name.

One task and not two: for a fleet in which nothing has drifted, what Ansible does around a task is most of the cost.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._rotation import check_with_rotation
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._user_files import UserFiles

ARGUMENT_SPEC = {
    "registries": {"type": "raw", "required": True},
    "rotation": {"type": "raw", "default": {}},
    "runtime": {"type": "str", "default": "auto"},
    "store": {"type": "str", "default": "runtime"},
}
_QUESTION = "nodetrust.harbor.ca_fingerprint"


class ActionModule(ActionBase):
    """The request is checked on the controller; what goes to the node are the pins."""

    TRANSFERS_FILES = False
    _supports_async = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _valid, options = self.validate_argument_spec(ARGUMENT_SPEC)
        now = datetime.now(timezone.utc)
        try:
            # What a node holds can be compared with an expired CA too; that it has expired is for the report to say.
            wanted, turns = check_with_rotation(
                options["registries"], options["rotation"], UserFiles(self), now, allow_expired=True
            )
        except TrustError as exc:
            return {**result, "changed": False, "failed": True, "msg": str(exc), "errors": [], **exc.facts()}
        pins = {registry.host: registry.bundle.fingerprints for registry in wanted}
        extra = {registry.host: registry.extra.fingerprints for registry in wanted if registry.extra}
        clients = {registry.host: registry.client.leaf.fingerprint for registry in wanted if registry.client}
        new = {turn.host: turn.fingerprints for turn in turns}
        where = {key: options[key] for key in ("runtime", "store")}
        result.update(self._ask(pins, extra, clients, where, task_vars))
        if new and result.get("in_effect") is False:
            # The end of a rotation takes the old CA from one node after the other.
            again = self._ask({**pins, **new}, extra, clients, where, task_vars)
            if again.get("in_effect"):
                result.update(again, only_new=True)
        if "in_effect" in result:
            expired = [registry.host for registry in wanted if registry.expired(now)]
            result.update(expired=expired, curable=_curable(result, expired))
        return result

    def _ask(
        self,
        pins: dict[str, list[str]],
        extra: dict[str, list[str]],
        clients: dict[str, str],
        where: dict[str, str],
        task_vars: dict[str, Any] | None,
    ) -> dict[str, Any]:
        registries: list[dict[str, Any]] = [
            {"host": host, "fingerprints": mine, "extra_ca_fingerprints": extra.get(host, [])}
            for host, mine in pins.items()
        ]
        for registry in registries:
            if registry["host"] in clients:
                registry["client_fingerprint"] = clients[registry["host"]]
        said: dict[str, Any] = self._execute_module(
            module_name=_QUESTION,
            module_args={"registries": registries, **where},
            task_vars=task_vars,
        )
        return said


def _curable(answer: dict[str, Any], expired: list[str]) -> bool:
    """Whether a run could put something right: to bring back a CA that has expired would cure nothing."""
    entries = answer.get("registries")
    drifted = [
        entry.get("registry")
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict) and not entry.get("in_effect")
    ]
    return not answer["in_effect"] and (not drifted or any(host not in expired for host in drifted))

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check CA bundles on the controller. The contract stands in the module file of the same name."""

from __future__ import annotations

import os
import shlex
from datetime import datetime, timezone
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import MAX_PEM_BYTES
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._bundle import check_registries
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._ca_file import missing
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._served import look, warnings_of

ARGUMENT_SPEC = {
    # The entries are checked by the core, which reports all problems at once and with a next step.
    "registries": {"type": "raw", "required": True},
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
        try:
            registries = check_registries(options["registries"], self._find_ca_file, now, self._read_secret)
        except TrustError as exc:
            return {**result, "changed": False, "failed": True, "msg": str(exc), "errors": [], **exc.facts()}
        warnings: list[str] = []
        reports = []
        for registry in registries:
            report = registry.to_dict()
            warnings += registry.expiry_warnings(now)
            if options["check_served"]:
                served = look(registry.host, registry.ca_pem)
                report["served"] = served.to_dict()
                warnings += warnings_of(registry.host, served, registry.certificates, now)
            reports.append(report)
        return {**result, "changed": False, "registries": reports, "warnings": warnings}

    def _find_ca_file(self, path: str) -> str:
        """Where Ansible looks for files, then the directory in which the command was typed.

        The second matters for the playbooks of this collection: their own directory is not the user's.
        """
        try:
            return str(self._find_needle("files", path))
        except AnsibleError:
            in_cwd = os.path.abspath(os.path.expanduser(path))
            if os.path.lexists(in_cwd):
                return in_cwd
            relative = path[:1] not in ("/", "~")
            searched = [*self._task.get_search_path(), os.getcwd()] if relative else None
            raise missing(path, searched) from None

    def _read_secret(self, path: str) -> bytes:
        """A key file, decrypted if it lies in an Ansible vault."""
        try:
            real = self._loader.get_real_file(path, decrypt=True)
            try:
                with open(real, "rb") as stream:
                    return stream.read(MAX_PEM_BYTES)
            finally:
                self._loader.cleanup_tmp_file(real)
        except (AnsibleError, OSError) as error:
            raise TrustError(
                "The file with the client's key can't be read.",
                reason="client_key_unreadable",
                path=path,
                found=getattr(error, "strerror", None) or "Ansible can't open or decrypt it",
                expected="a file that the user who runs Ansible may read; in a vault, with the vault's password given",
                next_step=f"Look at it with ls -l {shlex.quote(path)}; for a vault add --ask-vault-pass or "
                "--vault-password-file",
            ) from None

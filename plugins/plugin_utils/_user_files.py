# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that a user names in a list of registries: where they lie, and what is in those in a vault.

**PRIVATE** to the collection. Controller only.
"""

from __future__ import annotations

import os
import shlex

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import MAX_PEM_BYTES
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._ca_file import missing


class UserFiles:
    """The files as a task sees them."""

    def __init__(self, action: ActionBase) -> None:
        self._action = action

    def find(self, path: str) -> str:
        """Where Ansible looks for files, then the directory in which the command was typed.

        The second matters for the playbooks of this collection: their own directory is not the user's.
        """
        try:
            return str(self._action._find_needle("files", path))
        except AnsibleError:
            in_cwd = os.path.abspath(os.path.expanduser(path))
            if os.path.lexists(in_cwd):
                return in_cwd
            relative = path[:1] not in ("/", "~")
            searched = [*self._action._task.get_search_path(), os.getcwd()] if relative else None
            raise missing(path, searched) from None

    def read_secret(self, path: str) -> bytes:
        """A key file, decrypted if it lies in an Ansible vault."""
        loader = self._action._loader
        try:
            real = loader.get_real_file(path, decrypt=True)
            try:
                with open(real, "rb") as stream:
                    return stream.read(MAX_PEM_BYTES)
            finally:
                loader.cleanup_tmp_file(real)
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

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A call on a node that is short stays short.

**PRIVATE** to the collection. Ansible sends a module and all that it imports as one zip file, and Python compiles
that on the node at each call. For a node on which nothing has drifted this is most of what an audit costs.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import zipimport


class _CompilesOnce(zipimport.zipimporter):
    """The importer of Python compiles a module twice: once only to tell the name of its file."""

    def get_filename(self, fullname: str) -> str:
        path = os.path.join(self.archive, self.prefix, fullname.rpartition(".")[2])
        return os.path.join(path, "__init__.py") if self.is_package(fullname) else f"{path}.py"


def quicken(package: str) -> None:
    """For the rest of this process, if a package comes from a zip file: import from it what is still to come faster."""
    for path in sys.modules[package].__path__:
        # In a directory Python compiles once, and keeps it.
        with contextlib.suppress(zipimport.ZipImportError):
            sys.path_importer_cache[path] = _CompilesOnce(path)
            # What Ansible has loaded by now is never garbage, and to look through it takes a sixth of the time.
            gc.freeze()

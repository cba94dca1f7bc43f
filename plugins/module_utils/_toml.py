# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TOML on nodes whose Python has no tomllib: read a text, set one string in it, take things out of it.

**PRIVATE** to the collection. `parse` gives the data that tomllib would give and knows on which
line everything stands. `set_string` and `remove` leave every other byte as it was.
"""

from __future__ import annotations

from ansible_collections.nodetrust.harbor.plugins.module_utils._toml_cut import remove
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml_edit import set_string
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml_model import Document, TomlError
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml_reader import Reader

__all__ = ["Document", "TomlError", "parse", "remove", "set_string"]


def parse(text: str, source: str | None = None) -> Document:
    """Read a TOML text; `source` is the file's name for messages. Raises TomlError."""
    return Reader(text, source).read()

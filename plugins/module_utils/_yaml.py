# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML on nodes whose Python has no PyYAML: read a text, set and remove strings in it.

**PRIVATE** to the collection. Made for registries.yaml of k3s and RKE2: what people write there is
read, anything else is refused with its line. An edit leaves every other byte as it was.
"""

from __future__ import annotations

from ansible_collections.nodetrust.harbor.plugins.module_utils._yaml_edit import remove, set_string
from ansible_collections.nodetrust.harbor.plugins.module_utils._yaml_model import Document, YamlError
from ansible_collections.nodetrust.harbor.plugins.module_utils._yaml_reader import Reader

__all__ = ["Document", "YamlError", "decode", "parse", "remove", "set_string"]


def parse(text: str, source: str | None = None) -> Document:
    """Read a YAML text; `source` is the file's name for messages. Raises YamlError."""
    return Reader(text, source).read()


def decode(data: bytes, source: str | None = None) -> str:
    """The text of a file, line ends and byte order mark untouched. Raises YamlError where it isn't UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise YamlError(
            "this isn't UTF-8 text",
            line=line,
            source=source,
            found=f"byte {error.start} is not UTF-8",
            expected="UTF-8",
            next_step="Save the file as UTF-8, then run again",
        ) from error

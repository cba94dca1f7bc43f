# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a TOML text says, for those who don't want to know where it says so.

**PRIVATE** to the collection.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib


def load(text: str) -> dict[str, Any]:
    """The data of a text, by Python's own reader where there is one: ours has to be compiled at each call.

    Raises:
        TomlError: it is no TOML.
    """
    if sys.version_info >= (3, 11):
        # What it refuses ours refuses too, in words for the person on call.
        with contextlib.suppress(tomllib.TOMLDecodeError):
            return tomllib.loads(text)
    from ansible_collections.nodetrust.harbor.plugins.module_utils._toml import parse

    return parse(text).data

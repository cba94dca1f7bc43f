# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a CA file of ours is told from one that somebody put there under the same name.

**PRIVATE** to the collection. The file itself is the record: runtimes pass over text before the first
block (runtime-facts §3), and each reader of it sees where it came from.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._node import FileState
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import passed_over, split, to_pem

# Made by the first change on a node, and left there.
STATE_DIR = "/var/lib/nodetrust.harbor"

_MARK = b"# Put here by nodetrust.harbor.\n"


def ca_content(ders: Sequence[bytes]) -> bytes:
    """A CA file as we write it."""
    return _MARK + to_pem(ders).encode("ascii")


def holds(state: FileState | None, ders: Sequence[bytes]) -> bool:
    """Are these certificates in it and no others, whoever wrote it? Then it is not written anew."""
    content = (state.content if state is not None else None) or b""
    return not passed_over(content) and set(_certificates(content)) == set(ders)


def is_ours(state: FileState | None) -> bool:
    """Did we put this file there? Nothing is ever written through a link, so one is not ours."""
    if state is None or state.kind != "file" or state.content is None:
        return False
    return state.content.startswith(_MARK) or _of_an_earlier_release(state.content)


def _of_an_earlier_release(content: bytes) -> bool:
    """0.1.0 wrote the blocks alone. Where nothing was ever changed, such a file came from somebody else."""
    ders = _certificates(content)
    return bool(ders) and content == to_pem(ders).encode("ascii") and os.path.isdir(STATE_DIR)


def _certificates(content: bytes) -> list[bytes]:
    try:
        return split(content)
    except TrustError:
        return []

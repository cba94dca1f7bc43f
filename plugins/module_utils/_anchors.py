# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the CAs of a node's system trust store lie, and which of them are ours.

**PRIVATE** to the collection. The family is told by the tool and the directories that are there, not by
the distribution's name.
"""

from __future__ import annotations

import os
import re
import shutil
from typing import NamedTuple

from ansible_collections.nodetrust.harbor.plugins.module_utils import _node
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import Registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import fingerprint

PREFIX = "nodetrust_"

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_NAME_LIMIT = 200


class Family(NamedTuple):
    """A kind of system store: where the administrator's CAs lie, and what makes the bundle from them.

    marks are paths of which one shows that the store is of this kind; links is the directory in which
    the tool leaves links that it does not clear away by itself.
    """

    name: str
    anchors: str
    command: tuple[str, ...]
    marks: tuple[str, ...]
    links: str | None = None


# SUSE and Debian call their tool by the same name; RHEL's can be installed beside it.
FAMILIES = (
    Family(
        "rhel",
        "/etc/pki/ca-trust/source/anchors",
        ("update-ca-trust", "extract"),
        ("/etc/pki/ca-trust/source",),
    ),
    Family("suse", "/etc/pki/trust/anchors", ("update-ca-certificates",), ("/etc/pki/trust",)),
    Family(
        "debian",
        "/usr/local/share/ca-certificates",
        ("update-ca-certificates",),
        ("/etc/ca-certificates.conf", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates"),
        links="/etc/ssl/certs",
    ),
)


def find_family() -> Family:
    """The kind of store that this node has.

    Raises:
        TrustError: none is known here.
    """
    for family in FAMILIES:
        if tool_of(family) is not None and any(os.path.isdir(m) or os.path.isfile(m) for m in family.marks):
            return family
    raise TrustError(
        "this node has no system trust store that is known here",
        reason="no_system_store",
        found="neither update-ca-certificates nor update-ca-trust with its directories",
        expected="the package ca-certificates, as Debian, RHEL or SUSE have it",
        next_step="install the package ca-certificates, or use store: runtime (harbor_ca_store)",
    )


def tool_of(family: Family) -> str | None:
    """Where the tool lies that makes the bundle."""
    return shutil.which(family.command[0], path=_PATH)


def path_of(family: Family, registry: Registry, pin: str) -> str:
    """Where a CA of a registry lies among the anchors.

    One certificate to a file: of a file with several, Debian's tool makes no link by hash, and says so in
    a warning. The name can't be that of another registry: `_` is in no host name, and the last part
    belongs to the certificate.
    """
    return os.path.join(
        family.anchors, f"{_stem(registry)}{pin.partition(':')[2].replace(':', '')[:16].lower()}.crt"
    )


def own_paths(family: Family, registry: Registry) -> list[str]:
    """Our files for a registry, whatever is in them."""
    stem = _stem(registry)
    return [
        os.path.join(family.anchors, name)
        for name in _node.list_directory(family.anchors)
        if name.startswith(stem) and re.fullmatch(r"[0-9a-f]{16}\.crt", name[len(stem) :])
    ]


def left_behind(registry: Registry) -> list[str]:
    """Our files for a registry whose CAs no longer belong into the store; none where there is no store."""
    try:
        return own_paths(find_family(), registry)
    except TrustError:
        return []


def _stem(registry: Registry) -> str:
    name = registry.name.replace(":", "_")
    if len(name) > _NAME_LIMIT:
        # A file name holds 255 bytes; the end of a long name is told by a sum of it.
        name = f"{name[:_NAME_LIMIT]}_{fingerprint(registry.name.encode('ascii'))[7:30].replace(':', '').lower()}"
    return f"{PREFIX}{name}_"

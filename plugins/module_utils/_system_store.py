# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The system trust store of a node: which family it is, what it holds, which files in it are ours.

**PRIVATE** to the collection. The family is told by the tool and the directories that are there, not by
the distribution's name. What counts is the bundle that the tool writes, for Go reads that, once for each
process (runtime-facts §2); a file among the anchors means nothing before the tool has run.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import shutil
from dataclasses import dataclass

from ansible_collections.nodetrust.harbor.plugins.module_utils import _node
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import Registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import fingerprint

# Where Go looks for the bundle on Linux, in its order: the first that can be read is the one.
BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
# Go reads these in place of the bundle, if the process was started with them.
OVERRIDES = ("SSL_CERT_FILE", "SSL_CERT_DIR")

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_PREFIX = "nodetrust_"
# Hooks of the tool may rebuild other stores too, Java's for example.
_TOOL_TIMEOUT = 120.0
_BUNDLE_LIMIT = 32 << 20
_NAME_LIMIT = 200
_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")


@dataclass(frozen=True)
class Family:
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


@dataclass(frozen=True)
class Store:
    """The system store as it is. changed is when the bundle became what it is, in seconds since the epoch."""

    family: Family
    bundle: str
    held: frozenset[str]
    changed: float | None


def find_family(families: tuple[Family, ...] = FAMILIES) -> Family:
    """The kind of store that this node has.

    Raises:
        TrustError: none is known here.
    """
    for family in families:
        if _tool(family) is not None and any(os.path.isdir(m) or os.path.isfile(m) for m in family.marks):
            return family
    raise TrustError(
        "this node has no system trust store that is known here",
        reason="no_system_store",
        found="neither update-ca-certificates nor update-ca-trust with its directories",
        expected="the package ca-certificates, as Debian, RHEL or SUSE have it",
        next_step="install the package ca-certificates, or use store: runtime (harbor_ca_store)",
    )


def read_store(family: Family, bundles: tuple[str, ...] = BUNDLES) -> Store:
    """What the bundle holds. Tolerant, as Go is: a block that is no certificate is passed over."""
    for path in bundles:
        state = _node.read_state(path, limit=_BUNDLE_LIMIT)
        if state.content is not None:
            return Store(family, path, frozenset(_fingerprints(state.content)), _node.last_change(path))
    return Store(family, bundles[0], frozenset(), None)


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
    pattern = re.compile(re.escape(_stem(registry)) + r"[0-9a-f]{16}\.crt")
    return [
        os.path.join(family.anchors, name)
        for name in _node.list_directory(family.anchors)
        if pattern.fullmatch(name)
    ]


def links_to(family: Family, path: str) -> list[str]:
    """The links that Debian's tool leaves behind when a local anchor goes: to the file, and by hash to that link.

    It would clear them with --fresh, but then every program that reads the directory finds it empty meanwhile.
    """
    if family.links is None:
        return []
    first = os.path.join(family.links, os.path.basename(path)[: -len(".crt")] + ".pem")
    if not os.path.islink(first) or os.readlink(first) != path:
        return []
    hashed = [
        link
        for name in _node.list_directory(family.links)
        for link in [os.path.join(family.links, name)]
        if os.path.islink(link) and os.readlink(link) == os.path.basename(first)
    ]
    return [*hashed, first]


def rebuild(family: Family) -> None:
    """Have the tool make the bundle from what lies among the anchors now.

    Raises:
        TrustError: the tool fails, with its own words.
    """
    tool = _tool(family)
    status, out, err = _node.run([tool or family.command[0], *family.command[1:]], _TOOL_TIMEOUT)
    if status != 0:
        raise TrustError(
            f"{' '.join(family.command)} failed, so the system store is not rebuilt",
            reason="store_tool_failed",
            path=tool or family.command[0],
            found=_last_words(err) or _last_words(out) or f"exit status {status}",
            expected="exit status 0",
            next_step=f"run {' '.join(family.command)} on the node, mend what it says, then run again",
        )


def override_of(pid: int) -> str | None:
    """The variable that makes a process read something else than the system store, if it was started with one."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as stream:
            words = stream.read().split(b"\0")
    except OSError:
        return None
    for word in words:
        name, _equals, value = word.decode("utf-8", "replace").partition("=")
        if name in OVERRIDES and value:
            return f"{name}={value}"
    return None


def _stem(registry: Registry) -> str:
    name = registry.name.replace(":", "_")
    if len(name) > _NAME_LIMIT:
        # A file name holds 255 bytes; the end of a long name is told by a sum of it.
        name = f"{name[:_NAME_LIMIT]}_{fingerprint(registry.name.encode('ascii'))[7:30].replace(':', '').lower()}"
    return f"{_PREFIX}{name}_"


def _fingerprints(data: bytes) -> list[str]:
    ders = (_der(match.group(1)) for match in _BLOCK.finditer(data))
    return [fingerprint(der) for der in ders if der]


def _der(text: bytes) -> bytes | None:
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        return None


def _tool(family: Family) -> str | None:
    return shutil.which(family.command[0], path=_PATH)


def _last_words(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""

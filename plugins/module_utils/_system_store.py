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
import json
import os
import re
import shutil
from dataclasses import dataclass
from typing import Any

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
# Go reads this in place of the bundle, if the process was started with it. SSL_CERT_DIR only adds to it.
_OVERRIDE = b"SSL_CERT_FILE="

NOTE = "/var/lib/nodetrust.harbor/system-store.json"

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_PREFIX = "nodetrust_"
# Hooks of the tool may rebuild other stores too, Java's for example.
_TOOL_TIMEOUT = 120.0
_BUNDLE_LIMIT = 32 << 20
_OURS = re.compile(re.escape(_PREFIX) + r".+_[0-9a-f]{16}\.crt")
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


def find_family() -> Family:
    """The kind of store that this node has.

    Raises:
        TrustError: none is known here.
    """
    for family in FAMILIES:
        if _tool(family) is not None and any(os.path.isdir(m) or os.path.isfile(m) for m in family.marks):
            return family
    raise TrustError(
        "this node has no system trust store that is known here",
        reason="no_system_store",
        found="neither update-ca-certificates nor update-ca-trust with its directories",
        expected="the package ca-certificates, as Debian, RHEL or SUSE have it",
        next_step="install the package ca-certificates, or use store: runtime (harbor_ca_store)",
    )


def read_store(family: Family) -> Store:
    """What the bundle holds. Tolerant, as Go is: a block that is no certificate is passed over."""
    for path in BUNDLES:
        state = _node.read_state(path, limit=_BUNDLE_LIMIT)
        if state.content is not None:
            return Store(family, path, frozenset(_fingerprints(state.content)), _node.last_change(path))
    return Store(family, BUNDLES[0], frozenset(), None)


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


def left_behind(registry: Registry) -> list[str]:
    """Our files for a registry whose CAs no longer belong into the store; none where there is no store."""
    try:
        return own_paths(find_family(), registry)
    except TrustError:
        return []


def own_held(store: Store) -> frozenset[str]:
    """Our CAs, of all registries, that the bundle holds."""
    family = store.family
    paths = [
        os.path.join(family.anchors, name)
        for name in _node.list_directory(family.anchors)
        if _OURS.fullmatch(name)
    ]
    return frozenset(pin for path in paths for pin in pins_in(path)) & store.held


def pins_in(path: str) -> list[str]:
    """The fingerprints of the certificates in a file; none if it holds none."""
    return _fingerprints(_node.read_state(path).content or b"")


def dangling(family: Family) -> list[str]:
    """The links that Debian's tool leaves behind when an anchor of ours goes: to the file, and by hash to that link.

    The tool would clear them with --fresh, but then every program that reads the directory finds it empty meanwhile.
    """
    if family.links is None:
        return []
    links = [os.path.join(family.links, name) for name in _node.list_directory(family.links)]
    lost = [
        link
        for link in links
        if os.path.basename(link).startswith(_PREFIX) and os.path.islink(link) and not os.path.exists(link)
    ]
    names = {os.path.basename(link) for link in lost}
    return [link for link in links if os.path.islink(link) and os.readlink(link) in names] + lost


def rebuild(family: Family) -> None:
    """Have the tool make the bundle from what lies among the anchors now.

    Raises:
        TrustError: the tool fails, with its own words, or leaves a CA of ours out.
    """
    tool = _tool(family)
    words = " ".join(family.command)
    status, out, err = _node.run([tool or family.command[0], *family.command[1:]], _TOOL_TIMEOUT)
    if status != 0:
        raise TrustError(
            f"{words} failed, so the system store is not rebuilt",
            reason="store_tool_failed",
            path=tool or family.command[0],
            found=_last_words(err) or _last_words(out) or f"exit status {status}",
            expected="exit status 0",
            next_step=f"run {words} on the node, mend what it says, then run again",
        )
    for link in dangling(family):
        _node.remove_file(link)
    store = read_store(family)
    left_out = [
        path
        for name in _node.list_directory(family.anchors)
        for path in [os.path.join(family.anchors, name)]
        if _OURS.fullmatch(name) and not set(pins_in(path)) <= store.held
    ]
    if left_out:
        raise TrustError(
            f"{words} ran, and {store.bundle} still lacks a CA",
            reason="store_not_effective",
            path=store.bundle,
            found=left_out,
            expected="a bundle that holds each of them",
            next_step="look for a blocklist that names this CA, and at what a hook of the tool does to the bundle",
        )
    _note(store)


def since(store: Store) -> tuple[float | None, tuple[int, float] | None]:
    """Since when the bundle holds our CAs, and no others of ours; and the process that is known to have read it since.

    Every run of the tool writes the bundle anew, also when a package brings new public CAs. Without the note
    each of them would look like a reason to restart. Without a note that fits, the bundle's own time counts.
    """
    note = _read_note()
    if note is None or note["pins"] != sorted(own_held(store)):
        return store.changed, None
    reader = note["reader"]
    return note["since"], (reader[0], reader[1]) if reader else None


def was_changed() -> bool:
    """Has the store ever been changed from here?"""
    return _read_note() is not None


def note_reader(store: Store, pid: int, started: float) -> None:
    """Keep that a process pulled with our CAs: it reads the bundle once, so it had not done so before."""
    note = _read_note()
    if note is not None and note["pins"] == sorted(own_held(store)):
        _write_note({**note, "reader": [pid, started]})


def _note(store: Store) -> None:
    note, pins = _read_note(), sorted(own_held(store))
    if note is None or note["pins"] != pins:
        _write_note({"pins": pins, "since": store.changed, "reader": None})


def _read_note() -> dict[str, Any] | None:
    content = _node.read_state(NOTE).content
    try:
        note = json.loads(content or b"null")
    except ValueError:
        return None
    return note if isinstance(note, dict) and {"pins", "since", "reader"} <= set(note) else None


def _write_note(note: dict[str, Any]) -> None:
    _node.write_whole(NOTE, json.dumps(note).encode("ascii"), 0o600)


def override_of(pid: int, store: Store) -> str | None:
    """The setting that makes a process read another file than the bundle, if it was started with one."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as stream:
            words = stream.read().split(b"\0")
    except OSError:
        return None
    for word in words:
        value = word[len(_OVERRIDE) :].decode("utf-8", "replace")
        if word.startswith(_OVERRIDE) and value and os.path.realpath(value) != os.path.realpath(store.bundle):
            return f"SSL_CERT_FILE={value}"
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

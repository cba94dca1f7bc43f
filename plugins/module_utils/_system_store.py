# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The system trust store of a node: what it holds, since when, and how it is made anew.

**PRIVATE** to the collection. What counts is the bundle that the tool writes, for Go reads that, once for each
process (runtime-facts §2); a file among the anchors means nothing before the tool has run.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from dataclasses import dataclass
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils import _node
from ansible_collections.nodetrust.harbor.plugins.module_utils._anchors import PREFIX, Family, tool_of
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
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

# Hooks of the tool may rebuild other stores too, Java's for example.
_TOOL_TIMEOUT = 120.0
_BUNDLE_LIMIT = 32 << 20
_OURS = re.compile(re.escape(PREFIX) + r".+_[0-9a-f]{16}\.crt")
_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")


@dataclass(frozen=True)
class Store:
    """The system store as it is. changed is when the bundle became what it is, in seconds since the epoch."""

    family: Family
    bundle: str
    held: frozenset[str]
    changed: float | None


def read_store(family: Family) -> Store:
    """What the bundle holds. Tolerant, as Go is: a block that is no certificate is passed over."""
    for path in BUNDLES:
        state = _node.read_state(path, limit=_BUNDLE_LIMIT)
        if state.content is not None:
            return Store(family, path, frozenset(_fingerprints(state.content)), _node.last_change(path))
    return Store(family, BUNDLES[0], frozenset(), None)


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
        if os.path.basename(link).startswith(PREFIX) and os.path.islink(link) and not os.path.exists(link)
    ]
    names = {os.path.basename(link) for link in lost}
    return [link for link in links if os.path.islink(link) and os.readlink(link) in names] + lost


def rebuild(family: Family) -> None:
    """Have the tool make the bundle from what lies among the anchors now.

    Raises:
        TrustError: the tool fails, with its own words, or leaves a CA of ours out.
    """
    tool = tool_of(family)
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


def _fingerprints(data: bytes) -> list[str]:
    ders = (_der(match.group(1)) for match in _BLOCK.finditer(data))
    return [fingerprint(der) for der in ders if der]


def _der(text: bytes) -> bytes | None:
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        return None


def _last_words(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""

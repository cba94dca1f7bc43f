# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""registries.conf of podman and CRI-O: where it switches verification off, or sends pulls to another host.

**PRIVATE** to the collection. With a location the directory that counts is that of the location's host
(runtime-facts §10). Nothing is written here: the file is the administrator's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils import _node
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import Problem
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import Registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._podman_client import home_of_root
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml import parse

SYSTEM = "/etc/containers"
_NAME = "registries.conf"


@dataclass(frozen=True)
class _Entry:
    """One [[registry]] table and the file in which it stands."""

    path: str
    prefix: str
    location: str
    insecure: bool
    mirrors: tuple[str, ...]

    def is_for(self, registry: Registry) -> bool:
        """Does it speak of every image of this registry?"""
        if self.prefix.startswith("*."):
            rest = self.prefix[1:]
            return registry.name.endswith(rest) or registry.host.endswith(rest)
        # The library takes a prefix without port for every port of that host.
        return self.prefix in (registry.name, registry.host)

    def asked(self, registry: Registry) -> str:
        """The host that is really asked: location takes the place of what the prefix covers."""
        if not self.location:
            return registry.name
        whole = registry.name.endswith(self.prefix.lstrip("*")) or not self.is_for(registry)
        return self.location.partition("/")[0] + ("" if whole else registry.name[len(registry.host) :])


def problems_of(registry: Registry, name: str) -> list[Problem]:
    """What these files say that a CA in the registry's directory would not mend.

    Parameters:
        name: the runtime in messages.
    """
    entries: dict[str, _Entry] = {}
    found = []
    for path in _files():
        try:
            read = _entries(path)
        except TrustError as exc:
            found.append(_broken(path, exc, name))
            continue
        # A later file replaces what an earlier one says for the same prefix.
        entries.update({entry.prefix: entry for entry in read})
    whole = [entry for entry in entries.values() if entry.is_for(registry)]
    parts = [entry for entry in entries.values() if entry.prefix.startswith(f"{registry.name}/")]
    # Of several the longest prefix counts.
    for entry in (*sorted(whole, key=lambda one: len(one.prefix))[-1:], *parts):
        found += _said(entry, registry, name)
    return found


def _files() -> list[str]:
    """In the order in which the library reads them. A file of root's own takes the place of the system's."""
    own = os.path.join(home_of_root(), ".config/containers")
    first = own if os.path.exists(os.path.join(own, _NAME)) else SYSTEM
    directories = [own] if first == own else [SYSTEM, own]
    drop_ins = [
        os.path.join(directory, f"{_NAME}.d", name)
        for directory in directories
        for name in _node.list_directory(os.path.join(directory, f"{_NAME}.d"))
        if name.endswith(".conf")
    ]
    return [os.path.join(first, _NAME), *drop_ins]


def _entries(path: str) -> list[_Entry]:
    data = parse((_node.read_state(path).content or b"").decode("utf-8", "replace"), path).data
    # The form of version 1 has one list of names without verification.
    old = _table(_table(data.get("registries")).get("insecure")).get("registries")
    result = [_Entry(path, host, host, True, ()) for host in old or [] if isinstance(host, str)]
    tables = data.get("registry")
    for table in filter(None, map(_table, tables if isinstance(tables, list) else [])):
        location = str(table.get("location", ""))
        mirrors = tuple(
            str(mirror.get("location", ""))
            for mirror in table.get("mirror") or []
            if isinstance(mirror, dict) and mirror.get("insecure") is True
        )
        prefix = str(table.get("prefix") or location).rstrip("/")
        result.append(_Entry(path, prefix, location, table.get("insecure") is True, mirrors))
    return result


def _said(entry: _Entry, registry: Registry, name: str) -> list[Problem]:
    found = []
    if entry.insecure:
        found.append(
            Problem(
                "insecure_registry",
                f"{name} doesn't verify {entry.prefix}: {entry.path} says insecure = true",
                entry.path,
                f"take insecure = true for {entry.prefix} out of {entry.path}; with the CA in place it is not "
                "needed; then run again",
            )
        )
    host = entry.asked(registry)
    if host != registry.name:
        all_of_it = entry.is_for(registry)
        found.append(
            Problem(
                "location_elsewhere",
                f"{entry.path} sends pulls of {entry.prefix} to {entry.location}, so {name} reads the directory of "
                f"{host} for them, not that of {registry.name}",
                entry.path,
                f"list {host} as a registry with its CA"
                + (f" in place of {registry.name}" if all_of_it else "")
                + ", or take location out; then run again",
                breaks=all_of_it,
                foreign=all_of_it,
            )
        )
    found += [
        Problem(
            "mirror_not_verified",
            f"{entry.path} asks {mirror} for images of {entry.prefix} too, and nobody checks who answers there",
            entry.path,
            "take insecure = true out of that mirror, and give it a CA in a directory of its own",
            breaks=False,
            foreign=False,
        )
        for mirror in entry.mirrors
    ]
    return found


def _broken(path: str, error: TrustError, name: str) -> Problem:
    return Problem(
        "registries_conf_unreadable",
        f"{path} can't be read, so what it says of registries is not known: {error.message}",
        path,
        f"mend it: {name} may refuse every pull because of it",
        breaks=False,
        foreign=False,
    )


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody's hosts.toml: does containerd obey it, and which CA does it lead a registry to?

**PRIVATE** to the collection. We never write one; runtime-facts §3 and §4 say what each shape does.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.nodetrust.harbor.plugins.module_utils import _node
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import Registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml import parse


@dataclass
class HostsToml:
    """obeyed: containerd follows this file and no longer looks at the .crt files beside it."""

    path: str
    obeyed: bool
    ca_paths: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    note: str | None = None

    def refers_to(self, path: str) -> bool:
        return self.obeyed and path in self.ca_paths


def read_hosts_toml(path: str, registry: Registry, major: int) -> HostsToml:
    """Read a hosts.toml as containerd of this major version does."""
    state = _node.read_state(path)
    if not state.content:
        # Nothing in it, or a link to nothing: the .crt files beside it count.
        return HostsToml(path, obeyed=False)
    try:
        data = parse(state.content.decode("utf-8")).data
    except (TrustError, UnicodeDecodeError) as exc:
        return HostsToml(path, obeyed=False, note=f"{path} is not valid TOML, containerd ignores it ({exc})")
    hosts = data.get("host")
    if major < 2 and not isinstance(hosts, dict):
        # 1.x rejects a file without a [host] table and reads the .crt files instead.
        note = f"{path} has no [host] table, containerd 1.x ignores it" if data else None
        return HostsToml(path, obeyed=False, note=note)
    result = HostsToml(path, obeyed=True)
    own = _own_entries(data, hosts if isinstance(hosts, dict) else {}, registry)
    for name, entry in own:
        if entry.get("skip_verify") is True:
            result.troubles.append(f"switches verification off (skip_verify = true, {name})")
    cas = [_ca_paths(entry, os.path.dirname(path)) for _name, entry in own]
    for paths in cas:
        result.ca_paths += [item for item in paths if item not in result.ca_paths]
    if not result.ca_paths:
        result.troubles.append(
            "names no CA for it (ca is missing), so the .crt files beside it are never read"
        )
    return result


def _own_entries(
    data: dict[str, Any], hosts: dict[str, Any], registry: Registry
) -> list[tuple[str, dict[str, Any]]]:
    """The entries whose connections end at the registry itself: the top level, and [host] tables that name it."""
    entries: list[tuple[str, dict[str, Any]]] = []
    if _netloc(str(data.get("server", ""))) in ("", registry.name):
        entries.append(("top level", {key: value for key, value in data.items() if key != "host"}))
    for url, entry in hosts.items():
        if isinstance(entry, dict) and _netloc(url) == registry.name:
            entries.append((f'[host."{url}"]', entry))
    return entries


def _netloc(url: str) -> str:
    return urlsplit(url if "//" in url else f"//{url}").netloc


def _ca_paths(entry: dict[str, Any], directory: str) -> list[str]:
    value = entry.get("ca", [])
    values = value if isinstance(value, list) else [value]
    return [os.path.normpath(os.path.join(directory, item)) for item in values if isinstance(item, str)]

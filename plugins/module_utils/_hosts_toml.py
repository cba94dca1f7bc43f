# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody's hosts.toml: does containerd obey it, and which CA does it lead a registry to?

**PRIVATE** to the collection. runtime-facts §3 and §4 say what each shape does; `_hosts_merge` is how
our CA gets into one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ansible_collections.nodetrust.harbor.plugins.module_utils import _hosts_merge, _node
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import Registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml import parse

_CAPABILITIES = ("pull", "resolve", "push")
_PORTS = {"https": 443, "http": 80}
# What runs on the node itself, as a peer-to-peer mirror does.
_LOOPBACK = ("127.", "localhost", "::1")
# Who is really asked for a registry that has no address of its own.
_ASKED = {"docker.io": "registry-1.docker.io"}


@dataclass
class HostsToml:
    """A hosts.toml as containerd takes it.

    obeyed: containerd follows this file and no longer looks at the .crt files beside it.
    tables: where `ca` has to stand so that each connection to the registry itself is verified by it.
    ca_paths: the files that `ca` names there. named: those that it names anywhere, also for mirrors.
    bare: those of the tables in which there is no `ca`.
    unverified: other hosts that are asked for the same images, and nobody checks who answers there.
    troubles: what a `ca` would not mend. note: why the file is not obeyed, if that is worth a word.
    target: where it leads if it is a link.
    """

    path: str
    text: str = ""
    obeyed: bool = False
    tables: list[tuple[str, ...]] = field(default_factory=list)
    ca_paths: list[str] = field(default_factory=list)
    named: list[str] = field(default_factory=list)
    bare: list[tuple[str, ...]] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    note: str | None = None
    target: str | None = None

    def refers_to(self, path: str) -> bool:
        """Would a pull through it fail without this file?"""
        return self.obeyed and path in self.named

    def merged(self, name: str, *, bare: bool = False) -> str:
        """The text with our file named where it has to be; bare: only where no other file is named."""
        return _hosts_merge.merge(self.text, self.bare if bare else self.tables, name, self.path)

    def unmerged(self, name: str) -> str:
        """The text without what `merged` put there."""
        return (
            _hosts_merge.unmerge(self.text, name, self.path)
            if _hosts_merge.is_merged(self.text)
            else self.text
        )

    def without_ours(self, name: str, registry: Registry) -> HostsToml:
        """The same file after `unmerged`, by the rules of containerd 2.x, which obeys more of them."""
        return parse_hosts_toml(self.path, self.unmerged(name), registry, 2)


def read_hosts_toml(path: str, registry: Registry, major: int) -> HostsToml:
    """Read a hosts.toml as containerd of this major version does."""
    state = _node.read_state(path)
    if not state.content:
        # Nothing in it, or a link to nothing: the .crt files beside it count.
        return HostsToml(path)
    try:
        text = state.content.decode("utf-8")
    except UnicodeDecodeError as exc:
        return HostsToml(path, note=f"{path} is not UTF-8, containerd ignores it ({exc})")
    return replace(parse_hosts_toml(path, text, registry, major), target=state.target)


def parse_hosts_toml(path: str, text: str, registry: Registry, major: int) -> HostsToml:
    """What containerd of this major version makes of a text."""
    try:
        data = parse(text).data
    except TrustError as exc:
        return HostsToml(path, text, note=f"{path} is not valid TOML, containerd ignores it ({exc})")
    hosts = data.get("host")
    if major < 2 and not isinstance(hosts, dict):
        # 1.x rejects a file without a [host] table and reads the .crt files instead.
        note = f"{path} has no [host] table, containerd 1.x ignores it" if data else None
        return HostsToml(path, text, note=note)
    hosts = hosts if isinstance(hosts, dict) else {}
    wrong = _wrong(data, hosts)
    if wrong is not None:
        return HostsToml(path, text, note=f"{path} has {wrong}, containerd ignores it")
    result = HostsToml(path, text, obeyed=True, named=_named(data, hosts, os.path.dirname(path)))
    own = _own_entries(data, hosts, registry)
    for name, where, entry in own:
        if entry.get("skip_verify") is True:
            result.troubles.append(f"switches verification off (skip_verify = true, {name})")
        if where and urlsplit(where[-1]).scheme == "http":
            result.troubles.append(f"asks it without TLS ({name}), so nothing is verified")
        result.tables.append(where)
        paths = _ca_paths(entry, os.path.dirname(path))
        if not paths:
            result.bare.append(where)
        for item in paths:
            if item not in result.ca_paths:
                result.ca_paths.append(item)
    result.unverified = [
        f"{url} ({how})"
        for url, entry in ((data.get("server", ""), data), *hosts.items())
        if url and isinstance(entry, dict) and not _is(url, registry) and (how := _unverified(url, entry))
    ]
    if not own:
        result.troubles.append(f"sends every pull elsewhere ({data['server']}), so a CA for it has no effect")
    return result


def _own_entries(
    data: dict[str, Any], hosts: dict[str, Any], registry: Registry
) -> list[tuple[str, tuple[str, ...], dict[str, Any]]]:
    """The entries whose connections end at the registry itself: the top level, and [host] tables that name it.

    Each with its name for people and its path.
    """
    entries: list[tuple[str, tuple[str, ...], dict[str, Any]]] = []
    server = str(data.get("server", ""))
    if not server or _is(server, registry):
        entries.append(("top level", (), {key: value for key, value in data.items() if key != "host"}))
    for url, entry in hosts.items():
        if isinstance(entry, dict) and _is(url, registry):
            entries.append((f'[host."{url}"]', ("host", url), entry))
    return entries


def _is(url: str, registry: Registry) -> bool:
    """Does a connection to this address end at the registry itself, however both are written?"""
    parts = _split(url)
    default = _PORTS.get(parts.scheme)
    same_port = (parts.port or default) == (registry.port or default)
    return same_port and parts.hostname in (registry.host, _ASKED.get(registry.name, registry.host))


def _unverified(url: str, entry: dict[str, Any]) -> str | None:
    """How another host is asked for images without a look at who answers; None if it isn't."""
    parts = _split(url)
    asked = {str(item).lower() for item in entry.get("capabilities") or _CAPABILITIES}
    if asked <= {"push"} or (parts.hostname or "").startswith(_LOOPBACK):
        return None
    if parts.scheme == "http":
        return "without TLS"
    return "skip_verify = true" if entry.get("skip_verify") is True else None


def _split(url: str) -> SplitResult:
    return urlsplit(url if "//" in url else f"https://{url}")


def _port(url: str) -> int | None:
    return _split(url).port


def _wrong(data: dict[str, Any], hosts: dict[str, Any]) -> str | None:
    """What makes containerd pass over the whole file: a value of a kind that it can't use (runtime-facts §3)."""
    try:
        # A port that is no number shows only when it is asked for.
        set(map(_port, (str(data.get("server", "")), *hosts)))
    except ValueError as exc:
        return f"an address that can't be read ({exc})"
    for entry in (data, *hosts.values()):
        if not isinstance(entry, dict):
            continue
        value = entry.get("ca", "")
        if not isinstance(value, str) and not (
            isinstance(value, list) and all(isinstance(item, str) for item in value)
        ):
            return "a ca that is neither a file nor a list of files"
        capabilities = entry.get("capabilities", [])
        if not isinstance(capabilities, list):
            return "capabilities that are no list"
        for item in capabilities:
            if str(item).lower() not in _CAPABILITIES:
                return f"an unknown capability ({item!r})"
    return None


def _named(data: dict[str, Any], hosts: dict[str, Any], directory: str) -> list[str]:
    entries = [data, *(entry for entry in hosts.values() if isinstance(entry, dict))]
    return [path for entry in entries for path in _ca_paths(entry, directory)]


def _ca_paths(entry: dict[str, Any], directory: str) -> list[str]:
    value = entry.get("ca", [])
    values = value if isinstance(value, list) else [value]
    return [os.path.normpath(os.path.join(directory, item)) for item in values if isinstance(item, str)]

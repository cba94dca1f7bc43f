# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a 1.x node's registry settings containerd 2.x would no longer do, or do otherwise.

**PRIVATE** to the collection. Pure: what was read goes in, findings come out. Each row was seen on the
real versions (runtime-facts §1, §3, §5, §6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml import Document, parse

_CRI = "io.containerd.grpc.v1.cri"
_LEGACY_STEP = (
    "run with harbor_ca_migrate_legacy (the migrate_legacy option of registry_trust) before the upgrade"
)


@dataclass(frozen=True)
class Finding:
    """One setting and what 2.x makes of it. breaks: pulls that work now would fail."""

    finding: str
    breaks: bool
    path: str
    line: int | None
    message: str
    next_step: str


@dataclass(frozen=True)
class Text:
    """A configuration file as it was read."""

    path: str
    text: str


def findings(main: Text, drop_ins: Sequence[Text], hosts: Sequence[Text]) -> list[dict[str, Any]]:
    """What would change with an upgrade to containerd 2.x.

    Parameters:
        main: config.toml.
        drop_ins: the files that it imports, in the order in which containerd reads them.
        hosts: the hosts.toml files of all registries.
    """
    found: list[Finding] = []
    documents = [
        (item, parsed) for item in (main, *drop_ins) for parsed in [_parsed(item)] if parsed is not None
    ]
    version = _version_of(_parsed(main))
    for item, document in documents:
        found += _version(item, document, version)
        for place in (("plugins", _CRI), ("plugins", "cri")):
            as_before = any(_pulls_as_before(other, (*place, "registry")) for _item, other in documents)
            found += _registry(item, document, (*place, "registry"), as_before)
    found += _merge(documents)
    for item in hosts:
        found += _hosts(item)
    return [asdict(item) for item in found]


def _version_of(main: Document | None) -> object:
    """The version by which all of them are read: that of config.toml."""
    return main.data.get("version", 1) if main is not None else None


def _version(item: Text, document: Document, version: object) -> list[Finding]:
    old = document.get(("plugins", "cri"))
    if version != 1 or not old:
        return []
    return [
        Finding(
            "version_1_section",
            True,
            item.path,
            document.line(("plugins", "cri")),
            f"[plugins.cri] of a version 1 file is not read any more (2.1, 2.2): {', '.join(sorted(old))}",
            f'rewrite it as version = 2 with [plugins."{_CRI}"], as `containerd config default` of 1.7 shows it',
        )
    ]


def _registry(item: Text, document: Document, place: tuple[str, ...], as_before: bool) -> list[Finding]:
    registry = document.get(place) or {}
    found = []
    config_path = registry.get("config_path", "")
    if isinstance(config_path, str) and ":" in config_path and not as_before:
        found.append(
            Finding(
                "colon_list",
                True,
                item.path,
                document.line((*place, "config_path")),
                f"config_path is a list ({config_path}), and 2.1 to 2.3 take it for the name of one directory",
                "name one directory, /etc/containerd/certs.d, and move what the others hold into it",
            )
        )
    for host, entry in (registry.get("configs") or {}).items():
        if isinstance(entry, dict) and entry.get("tls"):
            path = (*place, "configs", host, "tls")
            found.append(
                Finding(
                    "legacy_tls",
                    True,
                    item.path,
                    document.line(path),
                    f"the TLS settings for {host} (registry.configs) are passed over with a warning",
                    _LEGACY_STEP,
                )
            )
    found += [
        Finding(
            "legacy_mirror",
            False,
            item.path,
            document.line((*place, "mirrors", host)),
            f"the mirror for {host} (registry.mirrors) still works, with a deprecation, "
            "and keeps all pulls in the old local mode",
            _LEGACY_STEP,
        )
        for host in registry.get("mirrors") or {}
    ]
    return found


def _pulls_as_before(document: Document, place: tuple[str, ...]) -> bool:
    """Does something make 2.x pull as 1.x did, so that a list of directories goes on working?"""
    registry = document.get(place) or {}
    plugin = document.get(place[:-1]) or {}
    settings = plugin.get("containerd") or {}
    return bool(
        any(registry.get(key) for key in ("mirrors", "configs", "auths"))
        or settings.get("discard_unpacked_layers") is True
        or settings.get("disable_snapshot_annotations") is False
        or plugin.get("max_concurrent_downloads", 3) != 3
        or plugin.get("image_pull_with_sync_fs") is True
    )


def _merge(documents: list[tuple[Text, Document]]) -> list[Finding]:
    """1.x takes a plugin's whole section from the last file that has one; 2.x puts them together."""
    sections = [(item, document.get(("plugins", _CRI)) or {}, document) for item, document in documents]
    sections = [section for section in sections if section[1]]
    found = []
    for index, (item, section, document) in enumerate(sections[:-1]):
        later: list[dict[str, Any]] = [other for _item, other, _document in sections[index + 1 :]]
        hidden = sorted(key for key in _leaves(section) if not any(key in _leaves(other) for other in later))
        if hidden:
            found.append(
                Finding(
                    "drop_in_merge",
                    False,
                    item.path,
                    document.line(("plugins", _CRI)),
                    f"{sections[-1][0].path} hides these settings now, and they come to life again: "
                    + ", ".join(hidden),
                    "decide for each whether it is wanted, and remove those that are not",
                )
            )
    return found


def _hosts(item: Text) -> list[Finding]:
    document = _parsed(item)
    if document is None or not item.text or isinstance(document.get(("host",)), dict):
        return []
    return [
        Finding(
            "hosts_toml_obeyed",
            "ca" not in document.data,
            item.path,
            None,
            "it has no [host] table, so 1.x rejects it and reads the .crt files beside it; 2.x obeys it and reads "
            + ("none of them" if "ca" not in document.data else "what its ca names"),
            "remove it, or add ca and an empty [host] table to it before the upgrade",
        )
    ]


def _leaves(section: dict[str, Any], front: str = "") -> set[str]:
    result: set[str] = set()
    for key, value in section.items():
        result |= _leaves(value, f"{front}{key}.") if isinstance(value, dict) else {front + key}
    return result


def _parsed(item: Text) -> Document | None:
    try:
        return parse(item.text)
    except TrustError:
        return None  # what can't be read is told elsewhere, and stops a start of either version

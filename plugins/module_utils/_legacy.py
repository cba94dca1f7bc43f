# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Registry settings of the old kind (registry.mirrors, registry.configs.*.tls), said again as hosts.toml files.

**PRIVATE** to the collection. Pure: tables in, texts out. What containerd made of the old settings is
kept: the order of the endpoints, their paths as they are, the registry itself as the last try, and
the TLS settings by the host that is really asked, whichever registry it mirrors (runtime-facts §5, §13).
"""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.nodetrust.harbor.plugins.module_utils._hosts_merge import ADDED
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml_model import quote, quote_key

_ANY = "*"
_DEFAULT = "_default"
_ASKED = {"docker.io": "registry-1.docker.io"}
_LOCALHOST = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[?::1\]?)(:\d+)?")


@dataclass(frozen=True)
class Tls:
    """What registry.configs says about connections to one host."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    skip_verify: bool = False


@dataclass(frozen=True)
class Legacy:
    """The old settings. mirrors maps a registry to its endpoints; rewrites are k3s's, which upstream ignores."""

    mirrors: dict[str, list[str]] = field(default_factory=dict)
    rewrites: dict[str, dict[str, str]] = field(default_factory=dict)
    tls: dict[str, Tls] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.mirrors or self.tls)


def read(registry: dict[str, Any]) -> Legacy:
    """From the registry table of a configuration."""
    result = Legacy()
    for name, entry in _tables(registry.get("mirrors")):
        result.mirrors[name] = [item for item in entry.get("endpoint", []) if isinstance(item, str)]
        rewrites = {
            key: value for key, value in (entry.get("rewrite") or {}).items() if isinstance(value, str)
        }
        if rewrites:
            result.rewrites[name] = rewrites
    for name, entry in _tables(registry.get("configs")):
        said = entry.get("tls")
        if isinstance(said, dict) and said:
            result.tls[name] = Tls(
                ca_file=_absolute(said.get("ca_file")),
                cert_file=_absolute(said.get("cert_file")),
                key_file=_absolute(said.get("key_file")),
                skip_verify=said.get("insecure_skip_verify") is True,
            )
    return result


def directories(legacy: Legacy, own: list[str]) -> dict[str, str]:
    """Directory under certs.d to registry, for every registry that needs one so that nothing changes for it.

    Parameters:
        own: the registries that get a directory with our CA: no setting for everybody reaches them any more.
    """
    names = [name for name in (*legacy.mirrors, *legacy.tls) if name != _ANY]
    # The TLS settings for the host that is asked for Docker Hub's images hold for them.
    names += [registry for registry, asked in _ASKED.items() if asked in legacy.tls]
    if _ANY in legacy.mirrors:
        names += own
    result = {name: name for name in names}
    if _ANY in legacy.mirrors:
        result[_DEFAULT] = _ANY
    return result


def unverified(legacy: Legacy, own: list[str]) -> list[str]:
    """The hosts whose certificate nobody checks, those apart that get a pinned CA now."""
    return [name for name, tls in legacy.tls.items() if tls.skip_verify and name not in own]


def hosts_toml(legacy: Legacy, registry: str, own: list[str], ca_name: str, source: str) -> str | None:
    """The hosts.toml that says the same for one registry; None where a CA file alone says all.

    Parameters:
        own: the registries whose CA we pin: its file takes the place of ca_file and insecure_skip_verify.
        ca_name: the name of that file in the registry's directory.
        source: where the settings were.
    """
    tries = _endpoints(legacy, registry)
    server = "" if registry == _ANY else tries.pop()
    parts = urlsplit(server)
    plain = not tries and parts.path in ("", "/", "/v2")
    if plain and (registry in own) and not legacy.tls.get(parts.netloc, Tls()).cert_file:
        return None
    lines = [f"# From registry.mirrors and registry.configs of {source}, moved here by nodetrust.harbor."]
    if server:
        lines += [f"server = {quote(server)}", *_settings(legacy, server, registry, own, ca_name)]
    lines += ["", "[host]"]
    seen = set()
    for url in tries:
        if url in seen:
            continue  # a second table of that name would be an error, and a second try changes nothing
        seen.add(url)
        lines += ["", f"[host.{quote(url)}]", '  capabilities = ["pull", "resolve"]']
        lines += [f"  {line}" for line in _settings(legacy, url, registry, own, ca_name)]
        rewrites = legacy.rewrites.get(registry, {})
        if rewrites:
            lines.append(f"  [host.{quote(url)}.rewrite]")
            lines += [f"    {quote_key(key)} = {quote(value)}" for key, value in rewrites.items()]
    return "\n".join(lines) + "\n"


def old_paths(place: tuple[str, ...], registry: dict[str, Any]) -> list[tuple[str, ...]]:
    """What goes from the configuration: mirrors, and of configs all but the logins."""
    paths: list[tuple[str, ...]] = []
    if "mirrors" in registry:
        paths.append((*place, "mirrors"))
    for name, entry in _tables(registry.get("configs")):
        if set(entry) <= {"tls"}:
            paths.append((*place, "configs", name))
        elif "tls" in entry:
            paths.append((*place, "configs", name, "tls"))
    return paths


def _endpoints(legacy: Legacy, registry: str) -> list[str]:
    """Who is asked for a registry's images, in this order; the registry itself last, unless it is there already."""
    said = legacy.mirrors.get(registry, legacy.mirrors.get(_ANY, []))
    tries = [item if "://" in item else f"{_scheme(item)}://{item}" for item in said]
    if registry == _ANY:
        return tries
    if any(urlsplit(item).netloc == registry for item in tries):
        return tries  # wherever it stands and with whatever path, it is not asked once more
    default = _ASKED.get(registry, registry)
    return [*tries, f"{_scheme(default)}://{default}"]


def _settings(legacy: Legacy, url: str, registry: str, own: list[str], ca_name: str) -> list[str]:
    """The lines for connections to one address."""
    parts = urlsplit(url)
    lines = []
    if parts.path and not posixpath.normpath(parts.path).endswith("/v2"):
        lines.append("override_path = true")
    if parts.scheme != "https":
        return lines
    tls = legacy.tls.get(parts.netloc, Tls())
    if parts.netloc == registry and registry in own:
        lines.append(f"ca = {quote(ca_name)} {ADDED}")
    elif tls.ca_file:
        lines.append(f"ca = {quote(tls.ca_file)}")
    elif parts.netloc in own:
        # Our registry as somebody's mirror.
        lines.append(f"ca = {quote(posixpath.join('..', parts.netloc, ca_name))}")
    if tls.cert_file and tls.key_file:
        lines.append(f"client = [[{quote(tls.cert_file)}, {quote(tls.key_file)}]]")
    return lines


def _scheme(endpoint: str) -> str:
    return "http" if _LOCALHOST.fullmatch(endpoint.partition("/")[0]) else "https"


def _absolute(path: object) -> str:
    # containerd runs in the root directory.
    return os.path.normpath(os.path.join("/", path)) if isinstance(path, str) and path else ""


def _tables(value: object) -> list[tuple[str, dict[str, Any]]]:
    return (
        [(key, item) for key, item in value.items() if isinstance(item, dict)]
        if isinstance(value, dict)
        else []
    )

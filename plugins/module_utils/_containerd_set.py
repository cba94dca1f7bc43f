# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How to set the directory that containerd reads, in its own configuration.

**PRIVATE** to the collection. containerd's own parser decides which place is the right one: runtime-facts §1, §2, §5.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils import _containerd, _node
from ansible_collections.nodetrust.harbor.plugins.module_utils._containerd import (
    CERTS_DIR,
    GRPC,
    IMAGES,
    OLD,
    Containerd,
    decode,
    images_section,
    imported,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml import remove, set_string
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml_data import load


def abandoned(config_path: str, major: int, local_pull: bool) -> list[str]:
    """The registries that are served by another directory now and would no longer be, if CERTS_DIR took over."""
    directories = [os.path.normpath(item) for item in config_path.split(":") if item]
    if len(directories) > 1 and major >= 2 and not local_pull:
        return []  # nothing is served by a list that isn't obeyed
    kept = set(_node.list_directory(CERTS_DIR))
    return [
        os.path.join(directory, name)
        for directory in directories
        if directory != CERTS_DIR
        for name in _node.list_directory(directory)
        if name not in kept and not name.startswith(".") and os.path.isdir(os.path.join(directory, name))
    ]


def with_config_path(containerd: Containerd, old: Sequence[tuple[str, ...]] = ()) -> bytes:
    """The configuration file with config_path set to CERTS_DIR and every other byte as it was.

    The place is tried by the file's own version, and containerd's parser decides: what it then sees
    must differ from what it saw by config_path and by nothing else.

    Parameters:
        old: paths of the registry settings of the old kind, which go in the same step.

    Raises:
        TrustError: no place makes the setting effective (a drop-in overrides it, for example).
    """
    config = containerd.config
    text = remove(decode(config.file), list(old), config.file.path) if old else decode(config.file)
    base = config.dump
    if config.file.content is None:
        text = f"version = {2 if containerd.major < 2 else 3}\n"
        base = _tried(containerd.process.exe, config.file.path, text)
    version = load(text).get("version", 1)
    seen = []
    for place in places(version, containerd.major):
        candidate = set_string(text, (*place, "config_path"), CERTS_DIR)
        dump = _tried(containerd.process.exe, config.file.path, candidate)
        registry = images_section(dump).get("registry", {})
        effective = str(registry.get("config_path", ""))
        if effective == CERTS_DIR and _rest(dump, bool(old)) == _rest(base, bool(old)):
            return candidate.encode("utf-8")
        seen.append(effective)
    drop_ins = ", ".join(imported(config.imports, config.file.path) or config.imports)
    raise TrustError(
        f"config_path can't be made effective in {config.file.path}",
        reason="config_overridden" if config.imports else "config_not_effective",
        path=config.file.path,
        found=f"containerd still sees {seen[0]!r}" + (f"; imports: {drop_ins}" if drop_ins else ""),
        expected=CERTS_DIR,
        next_step=(
            f"set config_path in the drop-in that overrides it ({drop_ins})"
            if config.imports
            else f"set config_path by hand and see `containerd --config {config.file.path} config dump`"
        )
        + ", then run again",
    )


def places(version: object, major: int) -> list[tuple[str, ...]]:
    """The registry tables that containerd of this major version may read in a file of this version."""
    if version == 1:
        return [OLD, IMAGES] if major < 2 else [IMAGES, OLD]
    if version == 2:
        return [GRPC]
    # 1.6 takes a version 3 file without a word, and reads the 1.x section in it.
    return [IMAGES, GRPC]


def _tried(binary: str, path: str, text: str) -> dict[str, Any]:
    """What containerd's parser sees in a text, with the file and its directory still untouched.

    Relative imports are resolved from where the file lies, so the trial lies among links to its neighbours.
    """
    directory = os.path.dirname(path)
    with tempfile.TemporaryDirectory(prefix="nodetrust-") as trial:
        for name in _node.list_directory(directory):
            if name != os.path.basename(path):
                os.symlink(os.path.join(directory, name), os.path.join(trial, name))
        file = os.path.join(trial, os.path.basename(path))
        with open(file, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
        return _containerd.dump_config(binary, file)


def _rest(dump: dict[str, Any], without_old: bool) -> dict[str, Any]:
    """A dump without config_path and without the file's own name among the imports of 1.x.

    Parameters:
        without_old: also without what goes when the old settings move.
    """
    rest = dict(dump)
    rest.pop("imports", None)
    plugins = dict(rest.get("plugins", {}))
    for _top, plugin, registry in (IMAGES, GRPC):
        said = plugins.get(plugin, {}).get(registry)
        if isinstance(said, dict):
            kept = {key: value for key, value in said.items() if key != "config_path"}
            if without_old:
                kept.pop("mirrors", None)
                logins = {
                    host: {key: value for key, value in entry.items() if key != "tls"}
                    for host, entry in (kept.pop("configs", None) or {}).items()
                    if isinstance(entry, dict)
                }
                kept["configs"] = {host: entry for host, entry in logins.items() if entry}
            plugins[plugin] = {**plugins[plugin], registry: kept}
    rest["plugins"] = plugins
    return rest

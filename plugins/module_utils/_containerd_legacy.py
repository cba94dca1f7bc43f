# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From registry.mirrors and registry.configs.*.tls in config.toml to hosts.toml files, on request.

**PRIVATE** to the collection. `_legacy` says what the old settings mean; here is what has to be true of
the node before they may move. Nothing is changed here: steps come out.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from ansible_collections.nodetrust.harbor.plugins.module_utils import (
    _containerd,
    _hosts_merge,
    _legacy,
    _node,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._containerd import CERTS_DIR, Containerd
from ansible_collections.nodetrust.harbor.plugins.module_utils._containerd_set import places
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import CA_FILE
from ansible_collections.nodetrust.harbor.plugins.module_utils._hosts_toml import parse_hosts_toml
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import parse_registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import split
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import Change
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml import parse


def refusal(containerd: Containerd, consequence: str) -> TrustError:
    """What to say where nobody has asked for the move."""
    config = containerd.config
    return TrustError(
        f"registry settings of the old kind in {config.file.path} can't stand beside config_path: {consequence}",
        reason="legacy_registry_config",
        path=config.file.path,
        found=[f"{path}:{line}: {text}" if line else f"{path}: {text}" for path, line, text in config.legacy],
        expected="neither registry.mirrors nor registry.configs.*.tls",
        next_step="set harbor_ca_migrate_legacy (the migrate_legacy option of the module) to have them moved to "
        f"hosts.toml files under {CERTS_DIR}, look at the plan with --check --diff, then run again",
    )


def steps(containerd: Containerd, own: list[str], pairs: Sequence[str] = ()) -> list[Change]:
    """The hosts.toml files first, the configuration without the old settings last.

    Parameters:
        own: the registries whose CA is pinned and installed in the same run.
        pairs: those that get a client certificate of ours in the same run.

    Raises:
        TrustError: moving them would change what a pull does, and nobody has decided that.
    """
    config = containerd.config
    legacy = _read(containerd)
    _check(containerd, legacy, own)
    changes = []
    for name, registry in _legacy.directories(legacy, [*own, *pairs]).items():
        path = os.path.join(CERTS_DIR, name, "hosts.toml")
        said = _without_pair(legacy, registry) if registry in pairs else legacy
        text = _legacy.hosts_toml(said, registry, own, CA_FILE, config.file.path)
        if text is not None and registry in pairs:
            # A hosts.toml that names no client certificate ends the search for one beside it (runtime-facts §3).
            tables = parse_hosts_toml(path, text, parse_registry(registry), 2).tables
            text = _hosts_merge.with_client(text, tables, path)
        if text is None or _already(path, text):
            continue
        changes.append(
            Change("text", path, f"create {path} from the old settings for {registry}", text.encode("utf-8"))
        )
    dropped = [name for name, tls in legacy.tls.items() if tls.skip_verify and name in own]
    note = f"; insecure_skip_verify of {', '.join(dropped)} goes, its pinned CA counts" if dropped else ""
    summary = (
        f"take registry.mirrors and registry.configs.*.tls out of {config.file.path}, "
        f"and set config_path to {CERTS_DIR}{note}"
    )
    return [*changes, Change("config", config.file.path, summary)]


def _without_pair(legacy: _legacy.Legacy, registry: str) -> _legacy.Legacy:
    """The old settings without the client certificate that ours takes the place of."""
    tls = legacy.tls.get(registry, _legacy.Tls())
    return replace(legacy, tls={**legacy.tls, registry: replace(tls, cert_file="", key_file="")})


def old_paths(containerd: Containerd) -> list[tuple[str, ...]]:
    """The paths in config.toml that go."""
    place = _place(containerd)
    registry = parse(_containerd.decode(containerd.config.file)).get(place, {})
    return _legacy.old_paths(place, registry)


def _place(containerd: Containerd) -> tuple[str, ...]:
    """The table in which the old settings stand that count."""
    document = parse(_containerd.decode(containerd.config.file), containerd.config.file.path)
    tried = places(document.data.get("version", 1), containerd.major)
    for place in tried:
        if _legacy.read(document.get(place) or {}):
            return place
    return tried[0]


def _read(containerd: Containerd) -> _legacy.Legacy:
    config = containerd.config
    document = parse(_containerd.decode(config.file), config.file.path)
    found = _legacy.read(document.get(_place(containerd)) or {})
    effective = _legacy.read(_containerd.images_section(config.dump).get("registry", {}))
    # 2.x doesn't show the TLS settings, for it no longer heeds them: what the file says was meant.
    foreign = sorted((set(effective.mirrors) - set(found.mirrors)) | (set(effective.tls) - set(found.tls)))
    if foreign or not found:
        raise TrustError(
            f"old registry settings don't come from {config.file.path} itself, so they can't be moved",
            reason="legacy_in_drop_in",
            path=config.file.path,
            found=[f"settings for {name}" for name in foreign]
            or [text for _path, _line, text in config.legacy],
            expected=f"registry.mirrors and registry.configs in {config.file.path} alone",
            next_step=f"move them from the drop-in ({', '.join(config.imports)}) into {config.file.path}, "
            "then run again",
        )
    return found


def _check(containerd: Containerd, legacy: _legacy.Legacy, own: list[str]) -> None:
    path = containerd.config.file.path
    unverified = _legacy.unverified(legacy, own)
    if unverified:
        raise TrustError(
            f"insecure_skip_verify for {', '.join(unverified)}: nobody checks who answers there, and that is not moved",
            reason="legacy_skip_verify",
            path=path,
            found=[f'registry.configs."{name}".tls: insecure_skip_verify = true' for name in unverified],
            expected="a CA for each of them",
            next_step="add each with its CA to harbor_ca_registries, or take its insecure_skip_verify out of "
            f"{path}, then run again",
        )
    for name in (*legacy.mirrors, *legacy.tls):
        if "/" in name or name.startswith(("_", ".")) or not name:
            raise TrustError(
                f"{name!r} in {path} is no registry that can have a directory of its own",
                reason="legacy_name",
                path=path,
                found=name,
                expected="host or host:port",
                next_step=f"correct or remove it in {path}, then run again",
            )
    for name, tls in legacy.tls.items():
        for file in (tls.ca_file, tls.cert_file, tls.key_file):
            if file and not (name in own and file == tls.ca_file):
                _check_file(name, file, is_ca=file == tls.ca_file)


def _check_file(name: str, file: str, *, is_ca: bool) -> None:
    """The old settings pass over a CA file that holds none; in a hosts.toml it breaks the registry."""
    state = _node.read_state(file)
    what = None if state.content is not None else f"a {state.kind} path"
    if is_ca and state.content is not None:
        try:
            split(state.content)
        except TrustError as exc:
            what = exc.message
    if what is not None:
        raise TrustError(
            f"{file}, which the old settings name for {name}, can't be used",
            reason="legacy_file_unusable",
            registry=name,
            path=file,
            found=what,
            expected="a readable file" + (" with a CA in PEM form" if is_ca else ""),
            next_step=f"mend {file}, or take it out of the old settings, then run again",
        )


def _already(path: str, text: str) -> bool:
    state = _node.read_state(path)
    if state.kind == "absent":
        return False
    if state.content == text.encode("utf-8"):
        return True
    raise TrustError(
        f"{path} is there already, and it says something else than the old settings",
        reason="legacy_target_exists",
        path=path,
        found=f"a {state.kind} of {len(state.content or b'')} bytes",
        expected="nothing, or:\n" + text,
        next_step=f"move {path} away, or take the settings for this registry out of the configuration, then run again",
    )

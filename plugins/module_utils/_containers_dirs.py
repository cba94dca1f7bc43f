# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where podman and CRI-O look for a registry's CA: three places, of which the first that exists wins whole.

**PRIVATE** to the collection. Even an empty directory hides those behind it (runtime-facts §9).
"""

from __future__ import annotations

import os

from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import (
    HostDirectory,
    Problem,
    Reader,
    read_host_directory,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import Registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._podman_client import home_of_root
from ansible_collections.nodetrust.harbor.plugins.module_utils._registries_conf import problems_of
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_docker import DockerRuntime

# Ours to write: the library's own place, and the one that it shares with Docker.
PLACES = ("/etc/containers/certs.d", "/etc/docker/certs.d")


def read_containers_directory(registry: Registry, name: str) -> HostDirectory:
    """What the library takes for a registry. Where there is no directory yet it is the first of ours.

    A directory under root's home hides both of ours. It is root's own, so it is read and named, and
    nothing is written while it is wrong.
    """
    home = os.path.join(home_of_root(), ".config/containers/certs.d")
    if not os.path.exists(os.path.join(home, registry.name)):
        found = read_host_directory(_first(PLACES, registry), registry, _reader(name))
        found.problems += problems_of(registry, name)
        return found
    found = read_host_directory(home, registry, _reader(name))
    found.problems += problems_of(registry, name)
    found.problems.append(
        Problem(
            "shadowed_by_home_directory",
            f"{name} run by root reads {found.path} and nothing else for this registry",
            found.path,
            f"move it away (mv {found.path} {found.path}.old) and run again: then {PLACES[0]} counts",
            breaks=False,
        )
    )
    return found


def ours(registry: Registry, name: str) -> HostDirectory:
    """The directory that we would have written to, whatever hides it now.

    Where dockerd is installed, Docker's directory is Docker's: it may need the file that we honoured there.
    """
    places = PLACES[:1] if DockerRuntime.installed() else PLACES
    return read_host_directory(_first(places, registry), registry, _reader(name))


def _first(places: tuple[str, ...], registry: Registry) -> str:
    exists = (place for place in places if os.path.exists(os.path.join(place, registry.name)))
    return next(exists, places[0])


def _reader(name: str) -> Reader:
    return Reader(name, None, fallbacks=False, junk_breaks=False, directory_breaks=True, key_breaks=True)

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files lead k3s and RKE2 to a CA, and which of them are ours. The runtime itself is in `_rancher.py`.

**PRIVATE** to the collection.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from ansible_collections.nodetrust.harbor.plugins.module_utils import _node
from ansible_collections.nodetrust.harbor.plugins.module_utils._client_pair import CERT_FILE, KEY_FILE
from ansible_collections.nodetrust.harbor.plugins.module_utils._generated import Generated
from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import CA_FILE
from ansible_collections.nodetrust.harbor.plugins.module_utils._registries_yaml import (
    CA,
    CERT,
    KEY,
    RegistriesYaml,
    Setting,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import Change, Desired

# Beside registries.yaml: kept with the rest of /etc, read by nobody else, and not under the data
# directory, which k3s wipes and fills again.
OWN_DIRECTORY = "nodetrust.harbor"
_OWN_NAMES = {CA: CA_FILE, CERT: CERT_FILE, KEY: KEY_FILE}
_PRIVATE_REGISTRY = re.compile(r"^[\"']?private-registry[\"']?[ ]*:[ ]+[\"']?([^\s\"'#]+)", re.MULTILINE)


class RancherFiles:
    """What the files of a node say: what is wanted (registries), what was made of it at the last start (generated).

    Parameters:
        config_dir: where registries.yaml lies, unless config.yaml there names another one.
        containerd_config: the config.toml that containerd was started with.
        major: the major version of that containerd.
    """

    def __init__(self, config_dir: str, containerd_config: str, major: int) -> None:
        self.registries = RegistriesYaml(registries_file(config_dir))
        self.configured = self.registries.files()
        self.generated = Generated(containerd_config, major)

    @property
    def path(self) -> str:
        return self.registries.path

    @property
    def own_root(self) -> str:
        return os.path.join(os.path.dirname(self.path), OWN_DIRECTORY)

    def own_directory(self, name: str) -> str:
        return os.path.join(self.own_root, name)

    def own_file(self, name: str, key: str = CA) -> str:
        return os.path.join(self.own_directory(name), _OWN_NAMES[key])

    def resolved(self, name: str, path: str) -> str:
        """A path as containerd takes it: from the directory of the hosts.toml that names it."""
        return os.path.normpath(os.path.join(self.generated.certs_dir, name, path))

    def additions(self, item: Desired, ca: bool) -> dict[Setting, str | None]:
        """What registries.yaml lacks for a registry; ca says whether it lacks a CA file.

        A registry without pins has its CA in the system store, and none is wanted here.
        """
        name = item.registry.name
        keys = []
        if item.client is not None and Setting(name, CERT) not in self.configured:
            keys += [CERT, KEY]
            # Once the file names a registry, k3s deletes a directory made by hand for it (runtime-facts §12).
            ca = ca or not self.registries.names(item.registry)
        if ca and item.pins and Setting(name, CA) not in self.configured:
            keys.insert(0, CA)
        return {Setting(name, key): self.own_file(name, key) for key in keys}

    def removals(self, items: Sequence[Desired], *keys: str) -> dict[Setting, str | None]:
        """Those of the settings that lead to files of ours."""
        places = [Setting(item.registry.name, key) for item in items for key in keys]
        return {place: None for place in places if self.configured.get(place) == self.own_file(*place)}

    def leading_to(self, name: str) -> list[Setting]:
        """The settings of other registries that lead to files of ours for this one."""
        root = self.own_directory(name) + os.sep
        return [
            place
            for place, path in self.configured.items()
            if place.name != name and self.resolved(place.name, path).startswith(root)
        ]

    def change(self, wanted: Mapping[Setting, str | None]) -> list[Change]:
        """The step that makes registries.yaml say so, if it doesn't.

        Raises:
            YamlError: the change can't be made without touching more.
        """
        text = self.registries.changed_text(wanted)
        if text == self.registries.text:
            return []
        words = [f"{'set' if path else 'remove'} tls.{key} of {name}" for (name, key), path in wanted.items()]
        # Nothing but blanks and a document start: the file was ours alone.
        content = b"" if text.strip("\ufeff \r\n-") == "" else text.encode("utf-8")
        return [Change("config", self.path, f"{', '.join(words)} in {self.path}", content)]

    def outdated(self, asked: set[str]) -> list[str]:
        """Which of these registries, or of those with files of ours, containerd is led elsewhere for than
        registries.yaml says."""
        root = self.own_root + os.sep
        missing = [
            place.name
            for place, path in self.configured.items()
            if (place.name in asked or path.startswith(root)) and not self._is_generated(place, path)
        ]
        named = {place.name for place in self.configured}
        left = [name for name in self.generated.leading_into(root) if name not in named]
        return sorted({*missing, *left})

    def _is_generated(self, place: Setting, path: str) -> bool:
        if place.key == CA:
            return self.generated.leads(place.name, path)
        return self.generated.mentions(place.name, path)


def registries_file(config_dir: str) -> str:
    """registries.yaml, or what the private-registry option in config.yaml names instead."""
    drop_ins = os.path.join(config_dir, "config.yaml.d")
    files = [os.path.join(config_dir, "config.yaml")]
    files += [
        os.path.join(drop_ins, name) for name in _node.list_directory(drop_ins) if name.endswith(".yaml")
    ]
    found = os.path.join(config_dir, "registries.yaml")
    for path in files:
        text = (_node.read_state(path).content or b"").decode("utf-8", "replace")
        for match in _PRIVATE_REGISTRY.finditer(text):
            found = match.group(1)
    return found

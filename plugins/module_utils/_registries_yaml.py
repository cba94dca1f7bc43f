# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""registries.yaml, where k3s and RKE2 take their registries from: what it says of one, and how to add ours.

**PRIVATE** to the collection. Everything in it is read at the start of k3s and nothing later (runtime-facts §12).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from ansible_collections.nodetrust.harbor.plugins.module_utils import _node
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import Problem
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import Registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._yaml import decode, parse, remove, set_string

CA, CERT, KEY = "ca_file", "cert_file", "key_file"
_ALL = "*"


class Setting(NamedTuple):
    """One file for one registry, as the key in `configs` names it."""

    name: str
    key: str

    @property
    def path(self) -> tuple[str, ...]:
        return ("configs", self.name, "tls", self.key)


class RegistriesYaml:
    """The file as it is.

    Raises:
        TrustError: it isn't a file, or can't be read without guessing.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.state = _node.read_state(path)
        if self.state.kind not in ("absent", "file"):
            target = self.state.target
            raise TrustError(
                f"{path} is a link to {target}; a change would replace the link"
                if target is not None
                else f"{path} is a {self.state.kind}, not a file",
                reason="config_not_a_file",
                path=path,
                found=self.state.kind,
                expected="a file, or nothing",
                next_step=f"replace it by a file with the same content (cp -L {path} ...), then run again"
                if target is not None
                else f"look at what put it there, move it away (mv {path} {path}.old) and run again",
            )
        self.text = decode(self.state.content or b"", path)
        self.document = parse(self.text, path)

    @property
    def changed(self) -> float | None:
        """When it last became what it is; for a file that is gone, when something last left its directory."""
        there = self.state.kind != "absent"
        return _node.last_change(self.path if there else os.path.dirname(self.path))

    def files(self) -> dict[Setting, str]:
        """Every file that the file leads to."""
        places = [Setting(name, key) for name in self.document.keys(("configs",)) for key in (CA, CERT, KEY)]
        found = {place: self.document.string(place.path) for place in places}
        return {place: path for place, path in found.items() if path is not None}

    def names(self, registry: Registry) -> bool:
        """Does k3s make a directory for this registry?"""
        sections = (self.document.keys(("configs",)), self.document.keys(("mirrors",)))
        return any(registry.name in keys for keys in sections)

    def key_for(self, registry: Registry) -> str:
        """The entry of configs that holds for a registry: its own one, or the one for all."""
        return registry.name if self.names(registry) else _ALL

    def problems(self, registry: Registry) -> list[Problem]:
        """What the file says of a registry that stands in our way, or that somebody should know."""
        return [*self._not_verified(registry), *self._wildcard(registry), *self._elsewhere(registry)]

    def changed_text(self, wanted: Mapping[Setting, str | None]) -> str:
        """The text with these files set, or taken away where None is wanted.

        Raises:
            YamlError: the change can't be made without touching more.
        """
        text = self.text
        for place, path in wanted.items():
            if path is None:
                text = remove(text, place.path, self.path)
            else:
                text = set_string(text, place.path, path, self.path)
        return text

    def _not_verified(self, registry: Registry) -> list[Problem]:
        place = ("configs", self.key_for(registry), "tls", "insecure_skip_verify")
        if not self.document.is_true(place):
            return []
        return [
            Problem(
                "verification_off",
                f"{self.path}, line {self.document.line(place)}: insecure_skip_verify switches verification off",
                self.path,
                "take this line out, then run again: with the CA in place it is not needed",
            )
        ]

    def _wildcard(self, registry: Registry) -> list[Problem]:
        if self.names(registry):
            return []
        has_mirror = self.document.node(("mirrors", _ALL, "endpoint")) is not None
        if not has_mirror and not self.document.keys(("configs", _ALL)):
            return []  # `"*":` alone only switches k3s's own peer-to-peer mirror on
        section = "mirrors" if has_mirror else "configs"
        return [
            Problem(
                "wildcard_registry",
                f'{self.path}, line {self.document.line((section, _ALL))}: {section}."*" speaks for this registry; '
                "an entry of its own would take it away from there",
                self.path,
                f'add an entry for {registry.name} by hand, with what of {section}."*" shall hold for it, '
                "then run again",
                breaks=False,
            )
        ]

    def _elsewhere(self, registry: Registry) -> list[Problem]:
        """Settings that look as if they were for this registry, or send its pulls to another host."""
        found = [
            Problem(
                "registry_key_with_scheme",
                f"{self.path}, line {self.document.line(('configs', key))}: the key has a scheme, "
                f"so it is not read for {registry.name}",
                self.path,
                f"write {registry.name} without scheme and path",
                breaks=False,
                foreign=False,
            )
            for key in self.document.keys(("configs",))
            if "://" in key and urlsplit(key).netloc == registry.name
        ]
        mirror = ("mirrors", registry.name)
        kinds = [kind for kind in ("endpoint", "rewrite") if self.document.node((*mirror, kind)) is not None]
        if kinds:
            found.append(
                Problem(
                    "mirrored",
                    f"{self.path}, line {self.document.line(mirror)}: {' and '.join(kinds)} send pulls of this "
                    "registry elsewhere first; the hosts named there need CAs of their own",
                    self.path,
                    "list these hosts as registries too if they have a private CA",
                    breaks=False,
                    foreign=False,
                )
            )
        return found

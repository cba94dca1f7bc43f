# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What k3s and RKE2 share: registries.yaml says which CA, and containerd reads what they made of it at their start.

**PRIVATE** to the collection. Three things are told apart here: what registries.yaml asks for, what the
running process was started with (the hosts.toml files that it wrote), and what lies in a CA file, which
is read at every pull (runtime-facts §12).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any, ClassVar

from ansible_collections.nodetrust.harbor.plugins.module_utils import _node
from ansible_collections.nodetrust.harbor.plugins.module_utils._client_pair import (
    CERT_FILE,
    KEY_FILE,
    FoundPair,
    read_pair,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._cri import Cri
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._generated import Generated
from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import (
    CA_FILE,
    HostDirectory,
    Problem,
    take_file,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import Registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._registries_yaml import (
    CA,
    CERT,
    KEY,
    RegistriesYaml,
    Setting,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import (
    Change,
    Desired,
    Restart,
    Runtime,
    is_socket,
    iso,
    started_before,
)

SOCKET = "/run/k3s/containerd/containerd.sock"
# Beside registries.yaml: kept with the rest of /etc, read by nobody else, and not under the data
# directory, which k3s wipes and fills again.
OWN_DIRECTORY = "nodetrust.harbor"

_PRIVATE_REGISTRY = re.compile(r"^[\"']?private-registry[\"']?[ ]*:[ ]+[\"']?([^\s\"'#]+)", re.MULTILINE)


class Rancher(Runtime):
    """k3s or RKE2, server or agent."""

    sockets = (SOCKET,)
    kubelet_inside = True

    config_dir: ClassVar[str]
    data_dir: ClassVar[str]
    process_names: ClassVar[tuple[str, ...]]

    process: _node.Process

    def __init__(self, process: _node.Process, containerd: _node.Process | None, cri: Cri) -> None:
        self.client = cri
        self.process = process
        self.is_server = _is_server(process)
        self.unit = process.unit or self.default_unit(self.is_server)
        self.cri_error: TrustError | None = None
        self.version = ""
        try:
            self.version = cri.version()["runtime_version"]
        except TrustError as exc:
            self.cri_error = exc
        self.registries = RegistriesYaml(self.registries_file())
        self.configured = self.registries.files()
        config = containerd.option("--config", "-c") if containerd else None
        default = os.path.join(self.data_dir, "agent/etc/containerd/config.toml")
        self.generated = Generated(config or default, 2 if self.version.lstrip("v").startswith("2.") else 1)

    @classmethod
    def default_unit(cls, server: bool) -> str:
        raise NotImplementedError

    @classmethod
    def listening(cls) -> str | None:
        # Both listen at the same place; the one that runs, or else has its directory, is meant.
        if not is_socket(cls.sockets[0]):
            return None
        return cls.sockets[0] if cls.own_process() is not None else None

    @classmethod
    def own_process(cls) -> _node.Process | None:
        """The process that reads registries.yaml; containerd's start is later and would hide a change."""
        running = _node.processes(*cls.process_names)
        return running[0] if running else None

    @classmethod
    def observe(cls, socket: str, timeout: float) -> Rancher:
        process = cls.own_process()
        if process is None:
            raise TrustError(
                f"no process of {cls.name} runs any more",
                reason="runtime_stopped",
                path=socket,
                found="a socket without its owner",
                expected=f"one of {', '.join(cls.process_names)}",
                next_step=f"systemctl start {cls.default_unit(True)} (or {cls.default_unit(False)}); journalctl -u "
                "tells why it stopped; then run again",
            )
        children = [child for child in _node.processes("containerd") if child.unit == process.unit]
        return cls(process, children[0] if children else None, Cri(f"unix://{socket}", timeout))

    def registries_file(self) -> str:
        """registries.yaml, or what the private-registry option in config.yaml names instead."""
        drop_ins = os.path.join(self.config_dir, "config.yaml.d")
        files = [os.path.join(self.config_dir, "config.yaml")]
        files += [
            os.path.join(drop_ins, name) for name in _node.list_directory(drop_ins) if name.endswith(".yaml")
        ]
        found = os.path.join(self.config_dir, "registries.yaml")
        for path in files:
            text = (_node.read_state(path).content or b"").decode("utf-8", "replace")
            for match in _PRIVATE_REGISTRY.finditer(text):
                found = match.group(1)
        return found

    def facts(self) -> dict[str, Any]:
        return {
            **super().facts(),
            "config_file": self.registries.path,
            "config_path": self.generated.certs_dir,
            "is_server": self.is_server,
        }

    def unusable(self) -> TrustError | None:
        if self.cri_error is None or self.restart().due:
            return None
        return self.cri_error

    def reasons(self) -> list[str]:
        return [f"the CRI doesn't answer: {self.cri_error}"] if self.cri_error else []

    def obeys(self, restart: Restart) -> bool:
        return not restart.due and self.cri_error is None

    # What is there

    @property
    def own_root(self) -> str:
        return os.path.join(os.path.dirname(self.registries.path), OWN_DIRECTORY)

    def own_directory(self, name: str) -> str:
        return os.path.join(self.own_root, name)

    def own_file(self, name: str, key: str = CA) -> str:
        return os.path.join(self.own_directory(name), {CA: CA_FILE, CERT: CERT_FILE, KEY: KEY_FILE}[key])

    def read(self, registry: Registry) -> HostDirectory:
        name = registry.name
        place = HostDirectory(registry, self.own_directory(name))
        place.ca_file = _node.read_state(self.own_file(name))
        place.others = [other for other in _node.list_directory(place.path) if other != CA_FILE]
        place.problems += self.registries.problems(registry)
        if not self.registries.names(registry) and self.generated.is_hand_made(name):
            self._take_hand_made(place)
            return place
        key = self.registries.key_for(registry)
        cert, private = (self.configured.get(Setting(key, part)) for part in (CERT, KEY))
        if cert is not None:
            pair = [_node.read_state(self._resolved(name, path or "")) for path in (cert, private)]
            place.client = FoundPair(*pair)
        configured = self.configured.get(Setting(key, CA))
        if configured is None:
            return place
        path = self._resolved(name, configured)
        place.exists = path == self.own_file(name)
        take_file(place, path, self.generated.reader, ours=place.exists)
        if not self.restart().due:
            place.problems += self._not_generated(registry, path)
        return place

    def _resolved(self, name: str, path: str) -> str:
        """A path as containerd takes it: from the directory of the hosts.toml that names it."""
        return os.path.normpath(os.path.join(self.generated.certs_dir, name, path))

    def _take_hand_made(self, place: HostDirectory) -> None:
        found = self.generated.read(place.registry)
        place.certificates = found.certificates
        place.problems += [problem for problem in found.problems if problem.breaks]
        place.problems.append(
            Problem(
                "hand_made_directory",
                f"{found.path} was made by hand; {self.name} deletes it at its start as soon as "
                f"{self.registries.path} names this registry",
                found.path,
                f"remove it (mv {found.path} to a place outside {self.generated.certs_dir}), then run again: "
                "the CA will come from registries.yaml",
                breaks=False,
            )
        )

    def _not_generated(self, registry: Registry, path: str) -> list[Problem]:
        made = self.generated.ca_paths(registry)
        if path in made.ca_paths:
            return []
        if made.note is not None:
            # runtime-facts §12: the releases of March 2024
            what, then = (
                made.note,
                f"upgrade {self.name}: the next patch release writes it so that containerd reads it",
            )
        else:
            what = (
                f"{self.name} was started after {self.registries.path} was last changed, "
                f"and yet containerd is not led to {path}"
            )
            then = f"look for --private-registry or a template of its own in the options of {self.unit}, then run again"
        return [Problem("not_generated", what, self.generated.certs_dir, then)]

    # What is to do

    def install(self, item: Desired, place: HostDirectory) -> list[Change]:
        name = item.registry.name
        configured = self.configured.get(Setting(name, CA))
        if configured is not None and configured != self.own_file(name):
            line = self.registries.document.line(Setting(name, CA).path)
            raise TrustError(
                f"{self.registries.path} gives this registry a CA file of somebody else",
                reason="foreign_ca_file",
                registry=name,
                path=self.registries.path,
                found=f"line {line}: {configured}, holding {', '.join(sorted(place.fingerprints)) or 'no CA'}",
                expected=sorted(item.pins),
                next_step="let its owner put the pinned CA there, or take ca_file out of that entry; then run again",
            )
        return super().install(item, place)

    def remove(self, place: HostDirectory) -> list[Change]:
        # Whether registries.yaml leads to it or not: an earlier run may have got half-way.
        place.exists = bool(place.ca_file and place.ca_file.kind != "absent")
        place.client = read_pair(place.path)
        return super().remove(place)

    def settings(self, present: Sequence[Desired], absent: Sequence[Desired]) -> list[Change]:
        wanted: dict[Setting, str | None] = {}
        for item in present:
            name = item.registry.name
            # Where another file, or a directory made by hand, leads to the very same CAs, nothing is missing.
            if (
                Setting(name, CA) not in self.configured
                and self.read(item.registry).fingerprints != item.pins
            ):
                wanted[Setting(name, CA)] = self.own_file(name, CA)
            if item.client is not None and Setting(name, CERT) not in self.configured:
                wanted.update({Setting(name, key): self.own_file(name, key) for key in (CERT, KEY)})
        gone = [Setting(item.registry.name, key) for item in absent for key in (CA, CERT, KEY)]
        gone += [
            Setting(item.registry.name, key) for item in present if item.client is None for key in (CERT, KEY)
        ]
        wanted.update({place: None for place in gone if self._leads_to_ours(place)})
        changes = []
        text = self.registries.changed_text(wanted)
        if text != self.registries.text:
            changes.append(Change("config", self.registries.path, self._summary(wanted), _bytes(text)))
        left = set(_node.list_directory(self.own_root)) - {item.registry.name for item in absent}
        if absent and not left and _node.read_state(self.own_root).kind == "directory":
            changes.append(Change("rmdir", self.own_root, f"remove the empty {self.own_root}"))
        return changes

    def _leads_to_ours(self, place: Setting) -> bool:
        return self.configured.get(place) == self.own_file(place.name, place.key)

    def _summary(self, wanted: dict[Setting, str | None]) -> str:
        words = [
            f"{'set' if path else 'remove'} tls.{place.key} of {place.name}" for place, path in wanted.items()
        ]
        return f"{', '.join(words)} in {self.registries.path}"

    def restart(self, changes: Sequence[Change] = ()) -> Restart:
        path, changed = self.registries.path, self.registries.changed
        process = self.process
        outdated = self._outdated()
        evidence = {
            "process": {"pid": process.pid, "unit": self.unit, "started": iso(process.started)},
            "config_file": {"path": path, "changed": iso(changed)},
            "generated": {"path": self.generated.certs_dir, "outdated": outdated},
        }
        who = f"{self.unit} (PID {process.pid}, started {iso(process.started)})"
        if any(change.kind == "config" for change in changes):
            return Restart(True, f"{path} changes, and {who} read it only at start", evidence)
        if not outdated:
            return Restart(False, f"what {who} made of {path} holds for every registry in it", evidence)
        if started_before(process, changed):
            return Restart(True, f"{who} is older than {path} (changed {iso(changed)})", evidence)
        return Restart(False, f"a restart alone would not help: {who} is younger than {path}", evidence)

    def restart_after_removal(self, changes: Sequence[Change]) -> Restart:
        # Until then containerd looks for a file that is gone, and pulls from this registry fail.
        return self.restart(changes)

    def _outdated(self) -> list[str]:
        """The registries for which containerd is led to other files than registries.yaml says."""
        missing = [
            place.name for place, path in self.configured.items() if not self._is_generated(place, path)
        ]
        ours = self.generated.leading_into(self.own_root + os.sep)
        left = [name for name in ours if not any(place.name == name for place in self.configured)]
        return sorted({*missing, *left})

    def _is_generated(self, place: Setting, path: str) -> bool:
        if place.key == CA:
            return self.generated.leads(place.name, path)
        return self.generated.mentions(place.name, path)


def _is_server(process: _node.Process) -> bool:
    """Servers bounce the control plane when they are restarted, so in doubt it is one."""
    words = " ".join(process.argv).split()
    return not (process.name.endswith("-agent") or "agent" in words[1:2] or "-agent" in (process.unit or ""))


def _bytes(text: str) -> bytes:
    # Nothing but blanks and a document start: the file was ours alone.
    return b"" if text.strip("\ufeff \r\n-") == "" else text.encode("utf-8")

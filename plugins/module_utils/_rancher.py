# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What k3s and RKE2 share: registries.yaml says which CA, and containerd reads what they made of it at their start.

**PRIVATE** to the collection. Three things are told apart here: what registries.yaml asks for, what the
running process was started with (the hosts.toml files that it wrote), and what lies in a CA file, which
is read at every pull (runtime-facts §12).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, ClassVar

from ansible_collections.nodetrust.harbor.plugins.module_utils import _node
from ansible_collections.nodetrust.harbor.plugins.module_utils._client_pair import (
    FoundPair,
    read_pair,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._cri import Cri
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import (
    CA_FILE,
    HostDirectory,
    Problem,
    take_file,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import Registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._rancher_files import RancherFiles
from ansible_collections.nodetrust.harbor.plugins.module_utils._registries_yaml import (
    CA,
    CERT,
    KEY,
    Setting,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import (
    Change,
    Client,
    Desired,
    Restart,
    Runtime,
    is_socket,
    iso,
    started_before,
)

SOCKET = "/run/k3s/containerd/containerd.sock"


class Rancher(Runtime):
    """k3s or RKE2, server or agent."""

    sockets = (SOCKET,)
    kubelet_inside = True
    leads_by_settings = True

    config_dir: ClassVar[str]
    data_dir: ClassVar[str]
    process_names: ClassVar[tuple[str, ...]]

    def __init__(
        self, process: _node.Process | None, containerd: _node.Process | None, cri: Client, version: str
    ) -> None:
        self.client = cri
        self.version = version
        self.process = process
        self.is_server = _is_server(process)
        self.unit = (process.unit if process else None) or self.default_unit(self.is_server)
        self.cri_error: TrustError | None = None
        # The registries that somebody wants to know about: a restart for others is not ours to make.
        self.asked: set[str] = set()
        config = containerd.option("--config", "-c") if containerd else None
        default = os.path.join(self.data_dir, "agent/etc/containerd/config.toml")
        major = 2 if version.lstrip("v").startswith("2.") else 1
        self.files = RancherFiles(self.config_dir, config or default, major)

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
        cri, version, error = Cri(f"unix://{socket}", timeout), "", None
        try:
            version = cri.version()["runtime_version"]
        except TrustError as exc:
            error = exc
        found = cls(process, children[0] if children else None, cri, version)
        found.cri_error = error
        return found

    @classmethod
    def offline(cls) -> Rancher:
        # Both files are read at the first start, so a node of this image is born trusting.
        return cls(None, None, Cri(f"unix://{cls.sockets[0]}", 1), "")

    def facts(self) -> dict[str, Any]:
        return {
            **super().facts(),
            "config_file": self.files.registries.path,
            "config_path": self.files.generated.certs_dir,
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

    def read(self, registry: Registry) -> HostDirectory:
        name = registry.name
        self.asked |= {name, self.files.registries.key_for(registry)}
        place = HostDirectory(registry, self.files.own_directory(name))
        place.ca_file = _node.read_state(self.files.own_file(name))
        place.others = [other for other in _node.list_directory(place.path) if other != CA_FILE]
        place.problems += self.files.registries.problems(registry)
        if not self.files.registries.names(registry) and self.files.generated.is_hand_made(name):
            self._take_hand_made(place)
            return place
        key = self.files.registries.key_for(registry)
        cert, private = (self.files.configured.get(Setting(key, part)) for part in (CERT, KEY))
        if cert is not None:
            pair = [_node.read_state(self.files.resolved(name, path or "")) for path in (cert, private)]
            place.client = FoundPair(*pair)
        configured = self.files.configured.get(Setting(key, CA))
        if configured is None:
            return place
        path = self.files.resolved(name, configured)
        place.exists = path == self.files.own_file(name)
        take_file(place, path, self.files.generated.reader, ours=place.exists)
        if self.process is not None and not self.restart().due:
            place.problems += self._not_generated(registry, path)
        return place

    def _take_hand_made(self, place: HostDirectory) -> None:
        found = self.files.generated.read(place.registry)
        place.certificates = found.certificates
        place.problems += [problem for problem in found.problems if problem.breaks]
        place.problems.append(
            Problem(
                "hand_made_directory",
                f"{found.path} was made by hand; {self.name} deletes it at its start as soon as "
                f"{self.files.registries.path} names this registry",
                found.path,
                f"remove it (mv {found.path} to a place outside {self.files.generated.certs_dir}), then run again: "
                "the CA will come from registries.yaml",
                breaks=False,
            )
        )

    def _not_generated(self, registry: Registry, path: str) -> list[Problem]:
        made = self.files.generated.ca_paths(registry)
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
                f"{self.name} was started after {self.files.registries.path} was last changed, "
                f"and yet containerd is not led to {path}"
            )
            then = f"look for --private-registry or a template of its own in the options of {self.unit}, then run again"
        return [Problem("not_generated", what, self.files.generated.certs_dir, then)]

    # What is to do

    def install(self, item: Desired, place: HostDirectory) -> list[Change]:
        name = item.registry.name
        configured = self.files.configured.get(Setting(name, CA))
        if configured is not None and configured != self.files.own_file(name):
            if place.fingerprints == item.pins:
                return []  # it holds the very same CAs: only the client certificate is missing
            line = self.files.registries.document.line(Setting(name, CA).path)
            raise TrustError(
                f"{self.files.registries.path} gives this registry a CA file of somebody else",
                reason="foreign_ca_file",
                registry=name,
                path=self.files.registries.path,
                found=f"line {line}: {configured}, holding {', '.join(sorted(place.fingerprints)) or 'no CA'}",
                expected=sorted(item.pins),
                next_step="let its owner put the pinned CA there, or take ca_file out of that entry; then run again",
            )
        return super().install(item, place)

    def remove(self, place: HostDirectory) -> list[Change]:
        # Whether registries.yaml leads to it or not: an earlier run may have got half-way.
        place.exists = bool(place.ca_file and place.ca_file.kind != "absent")
        place.client = read_pair(place.path)
        if place.exists:
            self._refuse_to_pull_away(place.registry.name)
        return super().remove(place)

    def _refuse_to_pull_away(self, name: str) -> None:
        leading = self.files.leading_to(name)
        if not leading:
            return
        raise TrustError(
            f"{self.files.path} leads other registries to files of this one; their pulls would fail without them",
            reason="foreign_ca_file",
            registry=name,
            path=self.files.path,
            found=[
                f"line {self.files.registries.document.line(at.path)}: {at.key} of {at.name}"
                for at in leading
            ],
            expected=f"nothing but the entry of {name} that leads into {self.files.own_directory(name)}",
            next_step="name another file there, or take these lines out; then run again",
        )

    def put_there(self, ca_file: _node.FileState | None) -> bool:
        # The whole directory is ours.
        return ca_file is not None and ca_file.kind not in ("absent", "directory")

    def settings(self, present: Sequence[Desired], absent: Sequence[Desired]) -> list[Change]:
        wanted: dict[Setting, str | None] = {}
        for item in present:
            # Where another file, or a directory made by hand, leads to the very same CAs, nothing is missing.
            added = self.files.additions(item, self.read(item.registry).fingerprints != item.pins)
            if added:
                self._refuse_entry_beside_wildcard(item.registry)
            wanted.update(added)
        wanted.update(self.files.removals([item for item in present if item.client is None], CERT, KEY))
        wanted.update(self.files.removals([item for item in present if not item.pins], CA))
        wanted.update(self.files.removals(absent, CA, CERT, KEY))
        changes = self.files.change(wanted)
        left = set(_node.list_directory(self.files.own_root)) - {item.registry.name for item in absent}
        if absent and not left and _node.read_state(self.files.own_root).kind == "directory":
            changes.append(Change("rmdir", self.files.own_root, f"remove the empty {self.files.own_root}"))
        return changes

    def _refuse_entry_beside_wildcard(self, registry: Registry) -> None:
        for problem in self.files.registries.problems(registry):
            if problem.reason == "wildcard_registry":
                raise problem.error(registry.name)

    def restart(self, changes: Sequence[Change] = ()) -> Restart:
        path, changed = self.files.registries.path, self.files.registries.changed
        process = self.process
        if process is None:
            return Restart(False, f"{self.name} doesn't run here", {})
        outdated = self.files.outdated(self.asked)
        evidence = {
            "process": {"pid": process.pid, "unit": self.unit, "started": iso(process.started)},
            "config_file": {"path": path, "changed": iso(changed)},
            "generated": {"path": self.files.generated.certs_dir, "outdated": outdated},
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


def _is_server(process: _node.Process | None) -> bool:
    """Servers bounce the control plane when they are restarted, so in doubt it is one."""
    if process is None:
        return True
    words = " ".join(process.argv).split()
    return not (process.name.endswith("-agent") or "agent" in words[1:2] or "-agent" in (process.unit or ""))

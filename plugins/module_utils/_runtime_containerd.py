# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd as its packages run it: one directory, which config_path in config.toml has to name.

**PRIVATE** to the collection. What it reads is asked of its own parser, see `_containerd.py`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils import _containerd
from ansible_collections.nodetrust.harbor.plugins.module_utils._containerd import Containerd
from ansible_collections.nodetrust.harbor.plugins.module_utils._cri import Cri
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import (
    CONTAINERD_1,
    CONTAINERD_2,
    HostDirectory,
    read_host_directory,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import Registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import (
    Change,
    Client,
    Desired,
    Restart,
    Runtime,
    iso,
    owner_of,
    started_before,
)

# No restart and no file gives this node a CRI that can be asked; a change here could never be proved.
_NEVER_ASKED = ("no_cri_client", "cri_v1alpha2_only")


class ContainerdRuntime(Runtime):
    """containerd with its CRI plugin, as kubeadm clusters have it."""

    name = "containerd"
    sockets = (_containerd.DEFAULT_SOCKET,)
    programs = ("/usr/bin/containerd", "/usr/local/bin/containerd")

    def __init__(self, containerd: Containerd, client: Client) -> None:
        self.containerd = containerd
        self.client = client
        self.version = containerd.version
        self.unit = containerd.unit
        self.process = containerd.process

    @classmethod
    def observe(cls, socket: str, timeout: float) -> ContainerdRuntime:
        cri = Cri(f"unix://{socket}", timeout)
        return cls(_containerd.observe(owner_of(socket, _containerd.DEFAULT_SOCKET), cri), cri)

    @classmethod
    def offline(cls) -> Runtime:
        if cls is not ContainerdRuntime:
            return super().offline()
        binary = next(filter(os.path.exists, cls.programs))
        return cls(_containerd.observe_offline(binary), Cri(f"unix://{_containerd.DEFAULT_SOCKET}", 1))

    def facts(self) -> dict[str, Any]:
        config = self.containerd.config
        return {**super().facts(), "config_file": config.file.path, "config_path": config.config_path}

    def read(self, registry: Registry) -> HostDirectory:
        reader = CONTAINERD_1 if self.containerd.major < 2 else CONTAINERD_2
        config_path = self.containerd.config.config_path
        if self._migrates or not self._covered(config_path):
            # This run sets it, to the one directory.
            return read_host_directory(_containerd.CERTS_DIR, registry, reader)
        return read_host_directory(_containerd.directory_for(config_path, registry), registry, reader)

    def unusable(self) -> TrustError | None:
        containerd, failure = self.containerd, self.containerd.cri_error
        if failure is not None and failure.reason in _NEVER_ASKED:
            return failure
        if not self._migrates and _containerd.keeps_cri_out(containerd):
            # Whatever restarts it next, this run above all, would take the node down.
            state = "runs" if self._without_cri else "would start next"
            return self._legacy_refusal(f"containerd {state} without its CRI")
        if failure is None or not self._without_cri or self.restart().due:
            return None
        if containerd.config.legacy:
            if self.migrate_legacy:
                return None  # what is wrong with it goes in this run
            return self._legacy_refusal("containerd runs without its CRI")
        path = containerd.config.file.path
        return TrustError(
            f"{self.unit} runs without its CRI, so nothing can be pulled here ({path})",
            reason=failure.reason,
            path=path,
            found=str(failure).partition(" Next step:")[0],
            expected="a containerd that answers at its CRI",
            next_step=f"journalctl -u {self.unit} | grep 'failed to load plugin' tells why; without such a line look "
            f"for cri in disabled_plugins of {path}; mend it, restart containerd, run again",
        )

    def reasons(self) -> list[str]:
        config = self.containerd.config
        reasons = []
        if self.containerd.cri_error:
            reasons.append(f"the CRI doesn't answer: {self.containerd.cri_error}")
        if _containerd.keeps_cri_out(self.containerd):
            reasons.append(
                f"registry settings of the old kind stand beside config_path in {config.file.path}; "
                "containerd starts without its CRI with them"
            )
        if not self._covered(config.config_path):
            value = repr(config.config_path) if config.config_path else "not set"
            reasons.append(
                f"config_path is {value} in {config.file.path}; containerd doesn't read {_containerd.CERTS_DIR}"
            )
        return reasons

    def obeys(self, restart: Restart) -> bool:
        running = self.containerd.running_config_path
        if running is None:
            running = "" if restart.due else self.containerd.config.config_path
        return self._covered(running) and not restart.due and not self._without_cri

    def settings(self, present: Sequence[Desired], absent: Sequence[Desired]) -> list[Change]:
        # config_path stays when a registry goes: others may use it.
        if present and self._migrates:
            own = [item.registry.name for item in present if item.pins]
            pairs = [item.registry.name for item in present if item.client is not None]
            from ansible_collections.nodetrust.harbor.plugins.module_utils import _containerd_legacy

            steps = _containerd_legacy.steps(self.containerd, own, pairs)
            return [*self._files_for(steps, present), *steps]
        if not present or self._covered(self.containerd.config.config_path):
            return []
        return [self._set_config_path()]

    def complete(self, change: Change) -> Change:
        old: Sequence[tuple[str, ...]] = ()
        if self._migrates:
            from ansible_collections.nodetrust.harbor.plugins.module_utils import _containerd_legacy

            old = _containerd_legacy.old_paths(self.containerd)
        from ansible_collections.nodetrust.harbor.plugins.module_utils import _containerd_set

        content = _containerd_set.with_config_path(self.containerd, old)
        return Change(change.kind, change.path, change.summary, content, change.registry)

    def restart(self, changes: Sequence[Change] = ()) -> Restart:
        """1.x tells its config_path in the CRI status; for 2.x the start of the process is compared with
        the last change of the files."""
        config, running = self.containerd.config, self.containerd.running_config_path
        process = self.containerd.process
        evidence = {
            "process": {"pid": process.pid, "unit": self.unit, "started": iso(process.started)},
            "config_file": {"path": config.file.path, "changed": iso(config.changed)},
            "config_path": {"running": running, "next_start": config.config_path},
        }
        who = f"{self.unit} (PID {process.pid}, started {iso(process.started)})"
        when = f"{config.file.path} (changed {iso(config.changed)})"
        if any(change.kind == "config" for change in changes):
            if running is not None and self._covered(running) and not self._migrates:
                return Restart(False, f"{who} runs with config_path {running} already", evidence)
            return Restart(
                True, f"config_path in {config.file.path} changes, and {who} read it only at start", evidence
            )
        if not self._covered(config.config_path):
            return Restart(
                False, f"a restart alone would not help: config_path is {config.config_path!r}", evidence
            )
        if running is not None:
            if os.path.normpath(running) == os.path.normpath(config.config_path):
                return Restart(False, f"{who} runs with config_path {running}", evidence)
            return Restart(
                True, f"{who} runs with config_path {running!r}, not {config.config_path!r}", evidence
            )
        if started_before(process, config.changed):
            return Restart(True, f"{who} is older than {when}", evidence)
        return Restart(False, f"{who} is younger than {when}", evidence)

    def _covered(self, config_path: str) -> bool:
        return _containerd.covers(config_path, self.containerd.major, self.containerd.config.local_pull)

    def _files_for(self, steps: Sequence[Change], present: Sequence[Desired]) -> list[Change]:
        """The CA under our name, for a registry that has it under another one, which a hosts.toml would hide."""
        made = {change.path for change in steps}
        changes = []
        for item in present:
            place = self.read(item.registry)
            # Without a pin its CA is in the system store, and none belongs here.
            hidden = place.fingerprints == item.pins != frozenset() and (
                place.ca_file is None or place.ca_file.kind == "absent"
            )
            if hidden and os.path.join(place.path, "hosts.toml") in made:
                changes += self.install(item, place)
        return changes

    def upgrade_findings(self) -> list[dict[str, Any]]:
        if self.containerd.major >= 2:
            return []
        from ansible_collections.nodetrust.harbor.plugins.module_utils import _upgrade

        return _upgrade.findings(*_containerd.texts(self.containerd.config))

    @property
    def _migrates(self) -> bool:
        return self.migrate_legacy and bool(self.containerd.config.legacy)

    @property
    def _without_cri(self) -> bool:
        # A configuration that the CRI plugin rejects leaves containerd running without it (runtime-facts §5).
        # curl before 8 loses every second answer that says so, and only sees the call broken off.
        failure = self.containerd.cri_error
        return failure is not None and failure.reason in ("cri_not_loaded", "cri_unavailable")

    def _legacy_refusal(self, consequence: str) -> TrustError:
        from ansible_collections.nodetrust.harbor.plugins.module_utils import _containerd_legacy

        return _containerd_legacy.refusal(self.containerd, consequence)

    def _set_config_path(self) -> Change:
        config = self.containerd.config
        if config.legacy:
            raise self._legacy_refusal("containerd would start without its CRI, or without heeding them")
        from ansible_collections.nodetrust.harbor.plugins.module_utils import _containerd_set

        lost = _containerd_set.abandoned(config.config_path, self.containerd.major, config.local_pull)
        if lost:
            raise TrustError(
                f"config_path in {config.file.path} is {config.config_path}, and what lies there would no longer "
                "be read",
                reason="other_certs_directory",
                path=config.file.path,
                found=lost,
                expected=f"config_path = {_containerd.CERTS_DIR}, the one directory that works on every version",
                next_step=f"copy these into {_containerd.CERTS_DIR} (cp -a), then run again",
            )
        found = repr(config.config_path) if config.config_path else "nothing"
        return Change(
            "config",
            config.file.path,
            f"set config_path to {_containerd.CERTS_DIR} in {config.file.path} (was {found})",
        )

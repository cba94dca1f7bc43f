# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""k0s: its own containerd, configured by drop-ins, which it restarts by itself when one appears (runtime-facts §12).

**PRIVATE** to the collection. Where somebody has set config_path already, that directory is used. Else a
drop-in of ours names the documented one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from time import monotonic, sleep
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils import _containerd, _node
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
    Desired,
    Restart,
    iso,
    owner_of,
    started_before,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_containerd import ContainerdRuntime

SOCKET = "/run/k0s/containerd.sock"
CONFIG = "/etc/k0s/containerd.toml"
DROP_INS = "/etc/k0s/containerd.d"
_DROP_IN = "nodetrust-harbor.toml"
_MANAGED = b"# k0s_managed=true"
# k0s waits 3 seconds for further changes, then ends containerd and starts it again.
_OWN_RESTART = 60.0
_POLL = 0.5

_TEXT = {
    1: """\
# Written by nodetrust.harbor: lets containerd read {directory}.
# k0s 1.36 refuses this form: move the file away before that upgrade, run nodetrust.harbor.harbor_ca after it.
version = 2

[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{directory}"
""",
    2: """\
# Written by nodetrust.harbor: lets containerd read {directory}.
version = 3

[plugins."io.containerd.cri.v1.images".registry]
config_path = "{directory}"
""",
}


class K0sRuntime(ContainerdRuntime):
    """A k0s worker, or a controller that runs one."""

    name = "k0s"
    sockets = (SOCKET,)
    programs = ("/usr/local/bin/k0s", "/usr/bin/k0s")
    kubelet_inside = True

    @classmethod
    def observe(cls, socket: str, timeout: float) -> K0sRuntime:
        cri = Cri(f"unix://{socket}", timeout)
        return cls(_containerd.observe(owner_of(socket), cri), cri)

    @property
    def drop_in(self) -> str:
        return os.path.join(DROP_INS, _DROP_IN)

    @property
    def certs_dir(self) -> str:
        """What config_path names; before it is set, what our drop-in will name."""
        return os.path.normpath(self._configured or os.path.join(DROP_INS, "certs.d"))

    @property
    def _configured(self) -> str:
        """config_path of the next start: on 1.x k0s merges the drop-ins itself, and only then."""
        config = self.containerd.config
        if not config.config_path and _node.read_state(self.drop_in).content == self._drop_in_text():
            return os.path.join(DROP_INS, "certs.d")
        return config.config_path

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "is_server": "controller" in (self.unit or "")}

    def read(self, registry: Registry) -> HostDirectory:
        reader = CONTAINERD_1 if self.containerd.major < 2 else CONTAINERD_2
        return read_host_directory(self.certs_dir, registry, reader)

    def reasons(self) -> list[str]:
        reasons = []
        if self.containerd.cri_error:
            reasons.append(f"the CRI doesn't answer: {self.containerd.cri_error}")
        if not self._configured:
            reasons.append(f"config_path is not set in {CONFIG} or {DROP_INS}; containerd reads no directory")
        elif self._is_list:
            reasons.append(
                f"config_path is a list, {self._configured!r}, which containerd 2 takes for one name"
            )
        return reasons

    def obeys(self, restart: Restart) -> bool:
        return bool(self._configured) and not self._is_list and not restart.due and not self._without_cri

    def settings(self, present: Sequence[Desired], absent: Sequence[Desired]) -> list[Change]:
        # The drop-in stays when a registry goes: others may use it.
        if not present or (self._configured and not self._is_list):
            return []
        self._check_drop_ins()
        summary = f"let containerd read {self.certs_dir} by {self.drop_in}"
        return [Change("config", self.drop_in, summary, self._drop_in_text())]

    def complete(self, change: Change) -> Change:
        return change

    def restart(self, changes: Sequence[Change] = ()) -> Restart:
        process = self.containerd.process
        files = [CONFIG, *(os.path.join(DROP_INS, name) for name in _node.list_directory(DROP_INS))]
        times = {path: _node.last_change(path) for path in files if path.endswith(".toml")}
        newest = max(times, key=lambda path: times[path] or 0.0)
        evidence = {
            "process": {"pid": process.pid, "unit": self.unit, "started": iso(process.started)},
            "config_file": {"path": newest, "changed": iso(times[newest])},
            "config_path": {
                "running": self.containerd.running_config_path,
                "next_start": self._configured,
            },
        }
        who = f"containerd of {self.unit} (PID {process.pid}, started {iso(process.started)})"
        if any(change.kind == "config" for change in changes):
            return Restart(
                True, f"{who} is restarted by k0s itself as soon as {self.drop_in} appears", evidence
            )
        running = self.containerd.running_config_path
        if running is not None and os.path.normpath(running or ".") == self.certs_dir:
            return Restart(False, f"{who} runs with config_path {running}", evidence)
        if started_before(process, times[newest]):
            return Restart(True, f"{who} is older than {newest} (changed {iso(times[newest])})", evidence)
        return Restart(False, f"{who} is younger than {newest}", evidence)

    def settle(self, changes: Sequence[Change], restart: Restart) -> Restart:
        """Wait for the restart that k0s makes by itself, as long as it may take."""
        if not any(change.kind == "config" for change in changes):
            return restart
        end = monotonic() + _OWN_RESTART
        while monotonic() < end:
            sleep(_POLL)
            try:
                self.client.wait_ready(end - monotonic())
                now = type(self).observe(SOCKET, 60.0).restart()
            except TrustError:
                continue  # between its end and its start
            if not now.due:
                return now
        return restart

    @property
    def _is_list(self) -> bool:
        return ":" in self._configured

    def _drop_in_text(self) -> bytes:
        return (
            _TEXT[self.containerd.major].format(directory=os.path.join(DROP_INS, "certs.d")).encode("ascii")
        )

    def _check_drop_ins(self) -> None:
        """Will k0s take a drop-in, and can it stand beside what is there?"""
        config = self.containerd.config
        first = (_node.read_state(CONFIG).content or _MANAGED).partition(b"\n")[0].strip()
        if first != _MANAGED:
            raise TrustError(
                f"{CONFIG} is managed by hand, so k0s takes no drop-in",
                reason="config_not_managed",
                path=CONFIG,
                found=first.decode("utf-8", "replace"),
                expected=_MANAGED.decode("ascii"),
                next_step=f"set config_path there to {os.path.join(DROP_INS, 'certs.d')} by hand and restart k0s, "
                "or give the file back to k0s (move it away and restart k0s); then run again",
            )
        if self._is_list:
            raise TrustError(
                "config_path is a list of directories, which containerd 2 takes for the name of one",
                reason="config_not_effective",
                path=CONFIG,
                found=self._configured,
                expected="one directory",
                next_step=f"name one directory in the drop-in under {DROP_INS} that sets it, then run again",
            )
        if config.legacy:
            raise self._legacy_refusal("containerd would start without its CRI")

    def _legacy_refusal(self, consequence: str) -> TrustError:
        # They stand in drop-ins, which are not edited.
        config = self.containerd.config
        return TrustError(
            f"registry settings of the old kind can't stand beside config_path: {consequence}",
            reason="legacy_registry_config",
            path=config.file.path,
            found=[f"{path}:{line}: {text}" for path, line, text in config.legacy],
            expected="neither registry.mirrors nor registry.configs.*.tls",
            next_step=f"move each of them to a hosts.toml under {os.path.join(DROP_INS, 'certs.d')}, "
            f"take them out of the drop-ins in {DROP_INS}, then run again",
        )

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every container runtime answers here, and the words it is asked in. One file `_runtime_NAME.py` for each.

**PRIVATE** to the collection. A runtime says: am I here, what do I read for a registry, what has to change
so that I read it, what is in effect, what would need a restart, how do I pull. The rest is the same for all.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, ClassVar, NamedTuple, Protocol

from ansible_collections.nodetrust.harbor.plugins.module_utils import _anchors, _mark, _node
from ansible_collections.nodetrust.harbor.plugins.module_utils._client_pair import ClientPair
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import CA_FILE, HostDirectory
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import Registry

# Start times come in hundredths of a second.
_TICK = 0.01


class Desired(NamedTuple):
    """The trust wanted for one registry. ders holds the certificates, pins their fingerprints.

    extra are those of the pins that are there for another host of the registry, which hands out its
    tokens or its blobs: runtimes look for them in this registry's directory (runtime-facts §4).
    client_pin is the fingerprint of the client certificate for a caller who has no key to compare with.
    """

    registry: Registry
    ders: tuple[bytes, ...]
    pins: frozenset[str]
    proof_image: str | None = None
    extra: frozenset[str] = frozenset()
    client: ClientPair | None = None
    client_pin: str | None = None


class Change(NamedTuple):
    """One step. kind is write, secret, text, remove, rmdir, store or config; summary is the line for people.

    A secret is written for root's eyes only, and shown to nobody. store has the system trust store rebuilt.

    A text step changes somebody's file, and a config step one that is read only at a start.
    A config step may be planned without content: the runtime's `complete` writes it out. One with empty
    content takes the file away.
    """

    kind: str
    path: str
    summary: str
    content: bytes | None = None
    registry: str | None = None


class Restart(NamedTuple):
    """Is a restart due, why, and what the system said that makes it so.

    pull_decides: the process may not have read yet what changes. A pull that succeeds shows that it has not, and
    none is due; a pull before the change would make it read the old state.
    """

    due: bool
    why: str
    evidence: dict[str, Any]
    pull_decides: bool = False


class Client(Protocol):
    """What carries a pull: the CRI socket, an engine's API, a program.

    A pull that fails raises CriError with the runtime's own words in detail, and a code.
    """

    endpoint: str
    used: str | None

    def pull(self, image: str, auth: tuple[str, str] | None = None) -> str:
        """Pull, and return the reference under which the runtime knows the image."""

    def wait_ready(self, seconds: float) -> dict[str, str]:
        """Wait until the runtime itself answers; runtime_name, runtime_version and api_version."""


class Runtime(ABC):
    """One runtime on this node, as it was found. Everything is read when it is made; nothing is changed here.

    Attributes:
        version: as the runtime says, "" if it does not.
        unit: the systemd unit to restart, None where nothing runs between two pulls.
        process: the process that reads at its start what a restart is about, None where there is none.
        client: what carries a pull.
        client_pairs: does it take a client certificate from the registry's directory?
        migrate_legacy: move registry settings of an old kind where they stand in the way.
    """

    name: ClassVar[str]
    client_pairs: ClassVar[bool] = True
    sockets: ClassVar[tuple[str, ...]] = ()
    programs: ClassVar[tuple[str, ...]] = ()
    # A tool for people, which counts only where nothing else that pulls is installed.
    daemonless: ClassVar[bool] = False
    # A setting for each registry leads it to our files, and is read at its start only.
    leads_by_settings: ClassVar[bool] = False
    # It brings its own kubelet, so it is the one that pulls wherever it runs.
    kubelet_inside: ClassVar[bool] = False

    version: str
    unit: str | None
    process: _node.Process | None
    client: Client
    migrate_legacy: bool = False

    @classmethod
    def listening(cls) -> str | None:
        """Where it listens now. A socket file without a listener is told by the runtime's own check."""
        return next(filter(is_socket, cls.sockets), None)

    @classmethod
    def installed(cls) -> bool:
        return any(os.path.exists(program) for program in cls.programs)

    @classmethod
    @abstractmethod
    def observe(cls, socket: str, timeout: float) -> Runtime:
        """Ask the running system, once.

        Parameters:
            socket: where it listens, as `listening` found it.
            timeout: seconds that one pull may take.

        Raises:
            TrustError: what it reads can't be told.
        """

    @classmethod
    def offline(cls) -> Runtime:
        """The runtime of a machine image in which it does not run, from its files alone.

        Raises:
            TrustError: what it would read can't be told.
        """
        raise TrustError(
            f"{cls.name} can't be prepared in an image that it doesn't run in",
            reason="offline_unsupported",
            found=cls.name,
            expected="a runtime whose files alone tell what it would read",
            next_step="prepare the node after its first start, before kubeadm join",
        )

    @abstractmethod
    def read(self, registry: Registry) -> HostDirectory:
        """Which certificates it takes for a registry now, and what is in the way."""

    @abstractmethod
    def restart(self, changes: Sequence[Change] = ()) -> Restart:
        """Is a restart due, as things are and after these changes? From evidence (runtime-facts §2)."""

    def restart_after_removal(self, changes: Sequence[Change]) -> Restart:
        """The same for state absent: files that are read at every pull need none."""
        after = self.restart(changes)
        if any(change.kind == "config" for change in changes):
            return after
        return Restart(False, "what was removed is read at every pull", after.evidence)

    def stops_containers(self) -> str | None:
        """Why a restart of the unit would stop the node's containers; None if they live on (runtime-facts §11)."""
        return None

    def proved(self) -> None:
        """A pull has decided that no restart is due: keep that, for the next run asks the clock."""
        return

    def facts(self) -> dict[str, Any]:
        """What a result says of the runtime."""
        return {
            "name": self.name,
            "version": self.version,
            "endpoint": self.client.endpoint,
            "unit": self.unit,
            "pid": self.process.pid if self.process else None,
            "config_file": None,
            "config_path": None,
        }

    def unusable(self) -> TrustError | None:
        """Why nothing can be pulled here whatever is installed, unless a restart mends it."""
        return None

    def reasons(self) -> list[str]:
        """What stands between an installed CA and a pull, one sentence each."""
        return []

    def upgrade_findings(self) -> list[dict[str, Any]]:
        """What the next major version would no longer do, or do otherwise."""
        return []

    def obeys(self, restart: Restart) -> bool:
        """Does the running process look where `read` looked?"""
        return not restart.due

    def install(self, item: Desired, place: HostDirectory) -> list[Change]:
        """The steps for a registry that is not in sync: its CA file, and its hosts.toml if that one decides."""
        path = os.path.join(place.path, CA_FILE)
        name = item.registry.name
        changes = []
        if not _mark.holds(place.ca_file, item.ders):
            verb = "replace" if place.ca_file is not None and place.ca_file.kind != "absent" else "create"
            changes.append(Change("write", path, f"{verb} {path}", _mark.ca_content(item.ders), name))
        hosts = place.hosts_toml
        if hosts is not None and hosts.obeyed:
            text = hosts.merged(CA_FILE, bare=place.fingerprints == item.pins)
            if text != hosts.text:
                changes.append(
                    Change("text", hosts.path, f"add ca to {hosts.path}", text.encode("utf-8"), name)
                )
        return changes

    def remove(self, place: HostDirectory) -> list[Change]:
        """The steps that take away what we put there, and nothing else."""
        if place.elsewhere:
            return []
        path = os.path.join(place.path, CA_FILE)
        name = place.registry.name
        changes = []
        hosts = place.hosts_toml
        if hosts is not None and hosts.unmerged(CA_FILE) != hosts.text:
            text = hosts.unmerged(CA_FILE).encode("utf-8")
            changes.append(Change("text", hosts.path, f"take our ca out of {hosts.path}", text, name))
        if place.exists and self.put_there(place.ca_file):
            changes.append(Change("remove", path, f"remove {path}", registry=name))
            if not place.others:
                changes.append(Change("rmdir", place.path, f"remove the empty {place.path}", registry=name))
        return changes

    def put_there(self, ca_file: _node.FileState | None) -> bool:
        """Is the CA file in a registry's directory ours?"""
        return _mark.is_ours(ca_file)

    def owns(self, place: HostDirectory, path: str) -> bool:
        """Is this file, from which CAs are taken for a registry, ours to replace?"""
        return path == os.path.join(place.path, CA_FILE)

    def left_in_store(self, registry: Registry) -> list[str]:
        """Our files in the system store, from when that was the choice. Trust adds up (runtime-facts §2)."""
        return _anchors.left_behind(registry)

    def leave_store(self, registries: Sequence[Registry]) -> list[Change]:
        """The steps that take them away. A process that has read them trusts them until its next start."""
        steps = [
            Change("remove", path, f"remove {path}", registry=registry.name)
            for registry in registries
            for path in self.left_in_store(registry)
        ]
        if not steps:
            return []
        from ansible_collections.nodetrust.harbor.plugins.module_utils import _system_store

        store = _system_store.read_store(_anchors.find_family())
        tool = " ".join(store.family.command)
        return [*steps, Change("store", store.bundle, f"rebuild {store.bundle} ({tool})")]

    def settings(self, present: Sequence[Desired], absent: Sequence[Desired]) -> list[Change]:
        """The steps beyond each registry's own files: the switch to them, one file for several registries.

        Raises:
            TrustError: something that isn't ours is in the way.
        """
        return []

    def complete(self, change: Change) -> Change:
        """A config step with its content, accepted by the runtime's own parser."""
        return change

    def settle(self, changes: Sequence[Change], restart: Restart) -> Restart:
        """After the steps: wait for a restart that the runtime makes by itself, and judge again."""
        return restart


def owner_of(socket: str, default: str = "") -> _node.Process:
    """The containerd that listens at a socket; without an address of its own one listens at the default.

    Docker, k0s and others run further ones.
    """
    running = _node.processes("containerd")
    for process in running:
        address = process.option("--address", "-a") or default
        if address.partition("://")[2] == socket or address == socket:
            return process
    raise TrustError(
        f"nothing listens at {socket} any more",
        reason="runtime_stopped",
        path=socket,
        found=[f"PID {process.pid}: {' '.join(process.argv)}" for process in running]
        or "no containerd process",
        expected="a running containerd",
        next_step="systemctl start containerd; journalctl -u containerd tells why it stopped; then run again",
    )


def is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def started_before(process: _node.Process, changed: float | None) -> bool:
    """Is a process older than what a file became, so that it can't have read it?"""
    return changed is not None and changed > process.started + _TICK


def iso(seconds: float | None) -> str | None:
    """A time as ISO 8601 in UTC."""
    if seconds is None:
        return None
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

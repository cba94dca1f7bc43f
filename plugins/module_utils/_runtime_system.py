# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any runtime, with its CAs in the system trust store instead of a directory of its own.

**PRIVATE** to the collection. Trust adds up: what the runtime's own directory holds counts as well, so a CA there
that isn't pinned is as wrong as ever (runtime-facts §2).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils import _anchors, _node, _system_store
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import (
    CA_FILE,
    FoundCertificate,
    HostDirectory,
    Problem,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import Registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import (
    describe,
    fingerprint,
    split,
    to_pem,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import (
    Change,
    Desired,
    Restart,
    Runtime,
    iso,
    started_before,
)

# Which of a runtime's directories wins says nothing about the system store, and it holds where no ca is named.
_NOT_ABOUT_THE_STORE = (
    "shadowed_by_underscore_directory",
    "location_elsewhere",
    "hosts_toml_without_ca",
    "hosts_toml_ca_incomplete",
)


class SystemStoreRuntime(Runtime):
    """The runtime of a node, asked about and changed in the system store."""

    name = "system"

    def __init__(
        self, inner: Runtime, pins: Mapping[Registry, frozenset[str]], with_pairs: bool = False
    ) -> None:
        """with_pairs: a client certificate is wanted, and for that the runtime's own directory counts as ever."""
        self.inner = inner
        self.pins = pins
        self.with_pairs = with_pairs
        self.family = _anchors.find_family()
        self.store = _system_store.read_store(self.family)
        self.version = inner.version
        self.unit = inner.unit
        self.process = inner.process
        self.client = inner.client
        self.places: dict[Registry, HostDirectory] = {}

    @classmethod
    def observe(cls, socket: str, timeout: float) -> Runtime:
        raise NotImplementedError("it is put around a runtime that was observed")

    def facts(self) -> dict[str, Any]:
        return {**self.inner.facts(), "store": "system", "store_file": self.store.bundle}

    def unusable(self) -> TrustError | None:
        override = _system_store.override_of(self.process.pid, self.store) if self.process else None
        if override is None or self.process is None:
            return self.inner.unusable()
        return TrustError(
            f"{self.unit} was started with {override}, so it doesn't read the system store",
            reason="store_overridden",
            path=self.store.bundle,
            found=override,
            expected="no SSL_CERT_FILE in the environment of the runtime",
            next_step=f"take it out of the unit (systemctl cat {self.unit}), restart it, run again; "
            "or use store: runtime",
        )

    def stops_containers(self) -> str | None:
        return self.inner.stops_containers()

    def reasons(self) -> list[str]:
        if self.with_pairs:
            return self.inner.reasons()
        # What keeps the runtime from its own directories is nothing to the store; what keeps it from pulling is.
        failure = self.unusable()
        return [str(failure)] if failure is not None else []

    def upgrade_findings(self) -> list[dict[str, Any]]:
        return self.inner.upgrade_findings()

    def obeys(self, restart: Restart) -> bool:
        usable = not restart.due and self.unusable() is None
        return usable and (not self.with_pairs or self.inner.obeys(self.inner.restart()))

    def read(self, registry: Registry) -> HostDirectory:
        own = self.places[registry] = self.inner.read(registry)
        pins = self.pins.get(registry, frozenset())
        place = replace(
            own,
            searched=self.store.bundle,
            certificates=[item for item in own.certificates if item.fingerprint not in pins],
            problems=[
                item for item in own.problems if item.breaks and item.reason not in _NOT_ABOUT_THE_STORE
            ],
        )
        place.problems += self._not_ours_to_remove(own, place.certificates)
        held = []
        for path in _anchors.own_paths(self.family, registry):
            certificates = _certificates(path)
            taken = [item for item in certificates if item.fingerprint in self.store.held]
            held += taken
            if not certificates or len(taken) < len(certificates):
                place.problems.append(_pending(path, self.store.bundle))
        known = {item.fingerprint for item in held}
        # Somebody else may have put it there; then it is left to them.
        held += [
            FoundCertificate(pin, None, None, None, True, self.store.bundle)
            for pin in sorted(pins & self.store.held - known)
        ]
        place.certificates += held
        return place

    def _not_ours_to_remove(self, own: HostDirectory, unpinned: Sequence[FoundCertificate]) -> list[Problem]:
        """A CA file under our name that somebody else put there: trust adds up, so it can't stay as it is."""
        path = os.path.join(own.path, CA_FILE)
        if self.inner.put_there(own.ca_file) or not any(item.path == path for item in unpinned):
            return []
        return [
            Problem(
                "extra_ca",
                f"{path} adds a CA that isn't pinned, and it was not put there by nodetrust.harbor",
                path,
                f"pin it as well if it belongs there, or move {path} away; then run again",
                breaks=False,
            )
        ]

    def install(self, item: Desired, place: HostDirectory) -> list[Change]:
        changes = []
        name = item.registry.name
        wanted = {}
        for der in item.ders:
            pin = fingerprint(der)
            path = _anchors.path_of(self.family, item.registry, pin)
            wanted[path] = to_pem([der]).encode("ascii")
            state = _node.read_state(path)
            if state.content != wanted[path] and (state.kind != "absent" or pin not in self.store.held):
                verb = "create" if state.kind == "absent" else "replace"
                changes.append(Change("write", path, f"{verb} {path}", wanted[path], name))
        changes += [change for change in self._removal(item.registry) if change.path not in wanted]
        stale = os.path.join(place.path, CA_FILE)
        if any(found.path == stale for found in place.certificates):
            changes += self.inner.remove(self.places[item.registry])
        return changes

    def remove(self, place: HostDirectory) -> list[Change]:
        # The directory's file too: it may be from the time before the store was chosen, and trust adds up.
        own = self.places[place.registry]
        changes = self._removal(place.registry) + self.inner.remove(own)
        place.client = own.client  # of a run that got half-way, which k3s only looks for here
        return changes

    def left_in_store(self, registry: Registry) -> list[str]:
        return []  # there they belong

    def owns(self, place: HostDirectory, path: str) -> bool:
        own = self.inner.owns(place, path)
        return own or path in _anchors.own_paths(self.family, place.registry)

    def settings(self, present: Sequence[Desired], absent: Sequence[Desired]) -> list[Change]:
        changes = []
        steps = [change for item in present for change in self.install(item, self.read(item.registry))]
        steps += [change for item in absent for change in self._removal(item.registry)]
        if (
            any(os.path.dirname(step.path) == self.family.anchors for step in steps)
            or any(item.pins - self.store.held for item in present)
            or _system_store.dangling(self.family)
        ):
            tool = " ".join(self.family.command)
            changes.append(Change("store", self.store.bundle, f"rebuild {self.store.bundle} ({tool})"))
        return changes + self._inner_settings(present, absent)

    def _inner_settings(self, present: Sequence[Desired], absent: Sequence[Desired]) -> list[Change]:
        """What leads the runtime to files of ours: to client certificates, and no longer to a CA, which is in the
        store. A line that leads to a file that is gone would fail every pull."""
        wanted = [item._replace(ders=(), pins=frozenset()) for item in present if item.client]
        changes = self.inner.settings(wanted, [*absent, *(item for item in present if not item.client)])
        # A CA from the time before the store was chosen stays if it is pinned, and its directory with it.
        return [change for change in changes if absent or change.kind != "rmdir"]

    def complete(self, change: Change) -> Change:
        return self.inner.complete(change)

    def settle(self, changes: Sequence[Change], restart: Restart) -> Restart:
        theirs = self._inner_restart(changes)
        if theirs is None or not theirs.due:
            return restart
        return _both(self._store_restart(changes), self.inner.settle(changes, theirs))

    def restart(self, changes: Sequence[Change] = ()) -> Restart:
        return _both(self._store_restart(changes), self._inner_restart(changes))

    def _inner_restart(self, changes: Sequence[Change]) -> Restart | None:
        """What the runtime's own files ask for; None where they are none of our business."""
        config = [change for change in changes if change.kind == "config"]
        if config or self.with_pairs or self.inner.leads_by_settings:
            return self.inner.restart(config)
        return None

    def _store_restart(self, changes: Sequence[Change]) -> Restart:
        """A Go process reads the bundle when it first verifies a certificate, and never again (runtime-facts §2)."""
        bundle, process = self.store.bundle, self.process
        if process is None:
            return Restart(False, "nothing runs between two pulls, and each reads the system store anew", {})
        changed, reader = _system_store.since(self.store)
        foreign = any(pins - _system_store.own_held(self.store) for pins in self.pins.values())
        if foreign:
            changed, reader = self.store.changed, None  # others' files have no note of ours
        evidence = {
            "process": {"pid": process.pid, "unit": self.unit, "started": iso(process.started)},
            "store_file": {
                "path": bundle,
                "changed": iso(self.store.changed),
                "holds_it_since": iso(changed),
            },
        }
        who = f"{self.unit} (PID {process.pid}, started {iso(process.started)})"
        read_it = reader is not None and reader[0] == process.pid and abs(reader[1] - process.started) < 1
        due = started_before(process, changed) and not read_it
        if any(change.kind == "store" for change in changes):
            why = f"{bundle} changes, and {who} reads it only once"
            return Restart(True, why, evidence, pull_decides=self._only_adds(changes))
        if due:
            why = f"{who} is older than {bundle} (changed {iso(changed)}) and reads it only once"
            return Restart(True, why, evidence, pull_decides=foreign)
        if read_it:
            return Restart(False, f"{who} has pulled with {bundle} as it is", evidence)
        return Restart(False, f"{who} is younger than {bundle} (changed {iso(changed)})", evidence)

    def restart_after_removal(self, changes: Sequence[Change]) -> Restart:
        after = self._store_restart(changes)
        if not changes and not _system_store.was_changed():
            after = Restart(False, f"nothing of ours has been in {self.store.bundle}", after.evidence)
        elif after.due:
            after = after._replace(why=f"{after.why}: until then it trusts what was removed")
        return _both(after, self._inner_restart(changes))

    def proved(self) -> None:
        if self.process is not None:
            store = _system_store.read_store(self.family)
            _system_store.note_reader(store, self.process.pid, self.process.started)

    def _only_adds(self, changes: Sequence[Change]) -> bool:
        """Can a pull that succeeds only mean that the process has read the bundle after the change?"""
        return all(change.kind in ("write", "secret", "store") for change in changes) and not any(
            place.certificates or place.hosts_toml for place in self.places.values()
        )

    def _removal(self, registry: Registry) -> list[Change]:
        return [
            Change("remove", path, f"remove {path}", registry=registry.name)
            for path in _anchors.own_paths(self.family, registry)
        ]


def _both(store: Restart, theirs: Restart | None) -> Restart:
    """The restart that the store asks for and the one for the runtime's own files: it is one process."""
    if theirs is None or not theirs.due:
        return store
    why = f"{theirs.why}; {store.why}" if store.due else theirs.why
    return Restart(True, why, {**store.evidence, **theirs.evidence})


def _certificates(path: str) -> list[FoundCertificate]:
    try:
        ders = split(_node.read_state(path).content or b"")
        facts = [describe(der) for der in ders]
    except TrustError:
        return []
    return [
        FoundCertificate(one.fingerprint, one.subject, one.not_before, one.not_after, one.is_ca, path)
        for one in facts
    ]


def _pending(path: str, bundle: str) -> Problem:
    return Problem(
        "store_not_rebuilt",
        f"{path} is not in {bundle}",
        path,
        "run again: the store is rebuilt",
        foreign=False,
    )

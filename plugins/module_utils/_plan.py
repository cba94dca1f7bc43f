# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Desired trust and observed trust in, one plan out. Apply, check mode, diff and report all read that plan.

**PRIVATE** to the collection. Nothing here reads or writes anything.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from ansible_collections.nodetrust.harbor.plugins.module_utils._client_steps import (
    install_pair,
    with_pair_removed,
    without_lead,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import CA_FILE, HostDirectory
from ansible_collections.nodetrust.harbor.plugins.module_utils._judge import Verdict, judge
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import (
    Change,
    Desired,
    Restart,
    Runtime,
)


@dataclass
class Plan:
    """changes in the order in which they are applied: files first, the switch to them last."""

    verdicts: list[Verdict]
    restart: Restart
    changes: list[Change] = field(default_factory=list)
    restart_after: Restart | None = None

    @property
    def changed(self) -> bool:
        return bool(self.changes)


def plan_present(desired: Sequence[Desired], directories: Sequence[HostDirectory], runtime: Runtime) -> Plan:
    """What has to change so that every registry is trusted by exactly its pinned CAs.

    Raises:
        TrustError: something that isn't ours is in the way; nothing has been touched.
    """
    unusable = runtime.unusable()
    if unusable is not None:
        raise unusable
    plan = _judged(desired, directories, runtime)
    for item, directory, verdict in zip(desired, directories, plan.verdicts):
        blocker = None if verdict.cas_in_sync else _blocker(item, directory, runtime)
        if blocker is not None:
            raise blocker
        pair = install_pair(item, directory, runtime)
        # A directory that appears takes the registry away from what spoke for it so far (runtime-facts §3).
        wanting = not verdict.cas_in_sync or (pair and not directory.exists)
        steps = runtime.install(item, directory) if wanting else []
        _refuse_if_led_to(directory, steps)
        if item.client is None:
            steps = with_pair_removed(directory, without_lead(item, directory, steps))
        plan.changes += steps + pair
    plan.changes += runtime.settings(desired, ())
    plan.changes += runtime.leave_store([item.registry for item in desired])
    plan.restart_after = runtime.restart(plan.changes)
    return plan


def plan_absent(desired: Sequence[Desired], directories: Sequence[HostDirectory], runtime: Runtime) -> Plan:
    """What has to go so that nothing of ours is left for these registries.

    Raises:
        TrustError: a foreign hosts.toml leads to our file.
    """
    plan = _judged(desired, directories, runtime)
    for directory in directories:
        changes = runtime.remove(directory)
        _refuse_if_led_to(directory, changes)
        plan.changes += with_pair_removed(directory, changes)
    plan.changes += runtime.settings((), desired)
    plan.changes += runtime.leave_store([item.registry for item in desired])
    plan.restart_after = runtime.restart_after_removal(plan.changes)
    return plan


def _judged(desired: Sequence[Desired], directories: Sequence[HostDirectory], runtime: Runtime) -> Plan:
    now = runtime.restart()
    return Plan([judge(item, directory, runtime, now) for item, directory in zip(desired, directories)], now)


def _blocker(desired: Desired, directory: HostDirectory, runtime: Runtime) -> TrustError | None:
    name = desired.registry.name
    for problem in directory.problems:
        if problem.foreign:
            return problem.error(name)
    if not directory.exists:
        return None
    foreign = [
        item
        for item in directory.certificates
        if item.fingerprint not in desired.pins and not runtime.owns(directory, item.path)
    ]
    hosts = directory.hosts_toml
    if foreign and hosts is not None and hosts.obeyed:
        return TrustError(
            f"{hosts.path} decides for this registry, and it leads to other CAs",
            reason="foreign_hosts_toml",
            registry=name,
            path=hosts.path,
            found=sorted(directory.fingerprints),
            expected=sorted(desired.pins),
            next_step="let its owner set ca there (at the top level and in the [host] table of this registry), "
            "or remove the file if nobody owns it; then run again",
        )
    if foreign:
        return TrustError(
            "another file in this registry's directory adds a CA that isn't pinned",
            reason="extra_ca",
            registry=name,
            path=foreign[0].path,
            found=[f"{item.fingerprint} ({item.subject}) in {item.path}" for item in foreign],
            expected=sorted(desired.pins),
            next_step=f"pin it as well if it belongs there, or move {foreign[0].path} away; then run again",
        )
    return None


def _refuse_if_led_to(directory: HostDirectory, changes: Sequence[Change]) -> None:
    removed = [change.path for change in changes if change.kind == "remove"]
    for path in _still_leading(directory, removed):
        raise TrustError(
            f"{path} leads to {', '.join(removed)}; without that file every pull through it would fail",
            reason="foreign_hosts_toml",
            registry=directory.registry.name,
            path=path,
            found=f"ca in {path}",
            expected="no hosts.toml that leads to what goes",
            next_step="take ca out of that hosts.toml, or remove it if nobody owns it; then run again",
        )


def _still_leading(directory: HostDirectory, removed: Sequence[str]) -> list[str]:
    """The hosts.toml files that lead to what goes, after our own entry has gone from them."""
    if not removed:
        return []
    hosts = directory.hosts_toml
    own = hosts.without_ours(CA_FILE, directory.registry) if hosts is not None else None
    leading = [own.path] if own is not None and any(own.refers_to(path) for path in removed) else []
    return leading + (directory.referrers if os.path.join(directory.path, CA_FILE) in removed else [])

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe a node and compare: what every module begins with, and all that an audit does.

**PRIVATE** to the collection. Takes plain values, returns plain values, raises TrustError.

Python compiles what is imported here at each call on each node, so what only changes something stays out.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any, NamedTuple

from ansible_collections.nodetrust.harbor.plugins.module_utils import _detect
from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import HostDirectory
from ansible_collections.nodetrust.harbor.plugins.module_utils._judge import judge
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import Desired, Restart, Runtime


class Request(NamedTuple):
    """What a module was asked for. credentials maps a registry to user name and password."""

    desired: list[Desired]
    runtime: str = "auto"
    credentials: Mapping[str, tuple[str, str]] = MappingProxyType({})
    timeout: float = 60.0
    migrate_legacy: bool = False
    store: str = "runtime"
    root: str | None = None


class Observation(NamedTuple):
    """One read of a node, for all registries."""

    why: str
    runtime: Runtime
    directories: list[HostDirectory]

    def facts(self) -> dict[str, Any]:
        return {**self.runtime.facts(), "chosen_because": self.why}


def observe(request: Request) -> Observation:
    """Read everything once: the runtime, its configuration, each registry's directory.

    Raises:
        TrustError: no runtime can be worked with, or something can't be read.
    """
    if request.root is not None:
        return _observe_offline(request)
    runtime, why = _detect.detect(request.runtime, request.timeout)
    runtime.migrate_legacy = request.migrate_legacy
    if request.store == "system":
        runtime = _with_system_store(runtime, request)
    return Observation(why, runtime, [runtime.read(item.registry) for item in request.desired])


def _observe_offline(request: Request) -> Observation:
    from ansible_collections.nodetrust.harbor.plugins.module_utils import _offline

    found, why = _offline.detect(request.runtime)
    found.inner.migrate_legacy = request.migrate_legacy
    if request.store == "system":
        _offline.check_for_tools()
        found = _offline.OfflineRuntime(_with_system_store(found.inner, request))
    return Observation(why, found, [found.read(item.registry) for item in request.desired])


def _with_system_store(runtime: Runtime, request: Request) -> Runtime:
    from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_system import SystemStoreRuntime

    pins = {item.registry: item.pins for item in request.desired}
    return SystemStoreRuntime(runtime, pins, any(item.client or item.client_pin for item in request.desired))


def check(request: Request) -> dict[str, Any]:
    """Compare only. Never changes anything, and pulls nothing."""
    seen = observe(request)
    restart = seen.runtime.restart()
    verdicts = [
        judge(item, directory, seen.runtime, restart)
        for item, directory in zip(request.desired, seen.directories)
    ]
    return {
        "changed": False,
        "registries": [verdict.to_dict(restart) for verdict in verdicts],
        "in_sync": all(verdict.in_sync for verdict in verdicts),
        "in_effect": all(verdict.in_effect for verdict in verdicts),
        "runtime": seen.facts(),
        "upgrade_findings": seen.runtime.upgrade_findings(),
        "node_time": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        **restart_fields(restart, seen.runtime),
    }


def restart_fields(restart: Restart, runtime: Runtime | None = None) -> dict[str, Any]:
    return {
        "restart_due": restart.due,
        "restart_why": restart.why,
        "restart_evidence": restart.evidence,
        "restart_stops": runtime.stops_containers() if restart.due and runtime is not None else None,
    }

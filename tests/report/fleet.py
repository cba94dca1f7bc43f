# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fleets for tests: answers in the form that ca_fingerprint and registry_trust give, and documents made of them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet import build

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=timezone.utc)
STARTED = NOW - timedelta(minutes=5)
THRESHOLDS = {"warning_days": 30, "error_days": 7}
HARBOR, MIRROR = "harbor.example.com", "mirror.example.com:8443"


def pin(number: int) -> str:
    return "SHA256:" + ":".join(f"{(number * 7 + byte) % 256:02X}" for byte in range(32))


def iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def certificate(number: int, days: float = 300, subject: str | None = None) -> dict[str, Any]:
    """A certificate that ends so many days from NOW."""
    return {
        "fingerprint": pin(number),
        "subject": subject or f"CN=Harbor CA {number},O=Example",
        "issuer": subject or f"CN=Harbor CA {number},O=Example",
        "not_before": iso(NOW - timedelta(days=65)),
        "not_after": iso(NOW + timedelta(days=days)),
        "is_ca": True,
    }


def bundle(host: str = HARBOR, number: int = 1, days: float = 300, **served: Any) -> dict[str, Any]:
    """An entry of ca_bundle_info. served: days, trusted."""
    told: dict[str, Any] = {
        "host": host,
        "ca_pem": "",
        "fingerprints": [pin(number)],
        "certificates": [certificate(number, days)],
    }
    if served:
        told["served"] = {
            "reachable": True,
            "reason": None,
            "trusted": served.get("trusted", True),
            "name_matches": True,
            "certificate": certificate(number + 100, served.get("days", 80), f"CN={host}"),
        }
    return told


def registry(
    host: str = HARBOR, number: int = 1, found: list[int] | None = None, **more: Any
) -> dict[str, Any]:
    numbers = [number] if found is None else found
    in_sync = numbers == [number]
    path = f"/etc/containerd/certs.d/{host}/ca.crt"
    return {
        "registry": host,
        "path": path,
        "files": [path] if numbers else [],
        "found": [{**certificate(one), "path": path} for one in numbers],
        "found_fingerprints": sorted(pin(one) for one in numbers),
        "expected_fingerprints": [pin(number)],
        "in_sync": in_sync,
        "in_effect": in_sync,
        "restart_due": False,
        "reasons": [] if in_sync else [f"{path} holds other certificates than the pinned ones"],
        **more,
    }


def answer(*registries: dict[str, Any], **more: Any) -> dict[str, Any]:
    items = list(registries) or [registry()]
    return {
        "changed": False,
        "registries": items,
        "in_sync": all(item["in_sync"] is True for item in items),
        "in_effect": all(item["in_effect"] is True for item in items),
        "runtime": {
            "name": "containerd",
            "version": "2.1.4",
            "endpoint": "unix:///run/containerd/containerd.sock",
        },
        "restart_due": False,
        "restart_why": "",
        "restart_evidence": {"process": {"pid": 7, "started": "2026-11-01T00:00:00.000Z"}},
        **more,
    }


def entry(node: str = "node1", result: Any = None, **more: Any) -> dict[str, Any]:
    return {"node": node, "result": result, "unreachable": False, "failed": False, "action": "audit", **more}


def document(
    entries: list[dict[str, Any]], bundles: list[dict[str, Any]] | None = None, **run: Any
) -> dict[str, Any]:
    return build(
        {"playbook": "audit", "id": "run-1", "started": iso(STARTED), "complete": True, **run},
        [bundle()] if bundles is None else bundles,
        entries,
        THRESHOLDS,
        NOW,
    )


def sample_entries(size: int) -> list[dict[str, Any]]:
    """Two clusters, in which one of each thing that can be is repeated every 24 nodes."""
    own = "nothing listens at /run/containerd/containerd.sock any more"
    stopped = {
        "failed": True,
        "reason": "runtime_stopped",
        "msg": f"{own}. Found: no containerd process. Expected: a running containerd.",
        "found": "no containerd process",
        "expected": "a running containerd",
        "next_step": "systemctl start containerd; journalctl -u containerd tells why it stopped; then run again",
    }
    made = {"changed": True, "changes": [f"create /etc/containerd/certs.d/{MIRROR}/ca.crt"]}
    second = registry(MIRROR, 2)
    kinds: dict[int, dict[str, Any]] = {
        3: {"result": answer(registry(found=[]), second)},
        5: {"result": stopped, "failed": True},
        8: {
            "result": {"msg": "Failed to connect to the host via ssh: Connection refused"},
            "unreachable": True,
        },
        9: {"result": "<html>"},
        11: {"result": answer(registry(found=[1, 2]), second)},
        14: {"result": answer(registry(), second, **made), "action": "correct"},
        15: {"result": answer(registry(), second, **made), "action": "correct"},
        17: {"result": answer(registry(), second, node_time=iso(NOW + timedelta(days=365)))},
    }
    good = {"result": answer(registry(), second)}
    entries = []
    for number in range(size):
        cluster = "north" if number % 2 else "south"
        entries.append(
            entry(
                f"worker-{number:02d}.{cluster}.example.com",
                cluster=cluster,
                groups=["role_worker"],
                labels={"zone": f"{cluster}-a"},
                **kinds.get(number % 24, good),
            )
        )
    return entries


def sample(size: int) -> dict[str, Any]:
    """The document of such a fleet."""
    bundles = [bundle(trusted=True), bundle(MIRROR, 2, days=23, trusted=True)]
    return document(sample_entries(size), bundles, playbook="correct_drift")

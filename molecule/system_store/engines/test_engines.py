# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same store for the engines: podman needs no restart, and what dockerd's would stop is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.verify import engines, nodes, pipeline

NODE = "engine2"


def pull(engine: str) -> str:
    return pipeline.shell([NODE], f"timeout 60 {engine} pull -q {nodes.HELLO}", ok=False)[NODE]


def trust(engine: str, **more: Any) -> dict[str, Any]:
    registry = {"host": nodes.REGISTRY, "ca_pem": nodes.ca_pem(), "proof_image": "library/hello:1"}
    options = {"registries": [registry], "store": "system", "runtime": engine, **more}
    return pipeline.call([NODE], "nodetrust.harbor.registry_trust", options)[NODE]


@pytest.fixture(autouse=True)
def gone_afterwards() -> Iterator[None]:
    yield
    trust("podman", state="absent")


def test_the_versions_are_the_ones_of_the_support_table() -> None:
    versions = {"podman": engines.PODMAN_VERSIONS[NODE], "dockerd": engines.DOCKER_VERSIONS[NODE]}
    for program, version in versions.items():
        assert version in pipeline.shell([NODE], f"{program} --version")[NODE]


def test_podman_reads_the_store_at_every_pull() -> None:
    assert nodes.UNKNOWN_AUTHORITY in pull("podman")
    result = trust("podman")
    assert (result["changed"], result["proof"], result["restart_due"]) == (True, "proven", False), result
    assert nodes.UNKNOWN_AUTHORITY not in pull("podman")
    assert not trust("podman")["changed"]
    result = trust("podman", state="absent")
    assert (result["changed"], result["restart_due"]) == (True, False), result
    assert nodes.UNKNOWN_AUTHORITY in pull("podman")


def test_dockerd_needs_a_restart_and_it_is_said_what_that_would_stop() -> None:
    pipeline.shell([NODE], "systemctl start docker")
    assert nodes.UNKNOWN_AUTHORITY in pull("docker")
    result = trust("docker")
    assert (result["changed"], result["proof"], result["restart_due"]) == (True, "pending_restart", True), (
        result
    )
    assert "live-restore" in result["restart_stops"]
    assert nodes.UNKNOWN_AUTHORITY in pull("docker")
    pipeline.shell([NODE], "systemctl restart docker")
    result = trust("docker")
    assert (result["changed"], result["proof"], result["restart_due"]) == (False, "proven", False), result
    assert nodes.UNKNOWN_AUTHORITY not in pull("docker")

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Before: each registry says no in its own way, and what is missing is named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.verify import nodes, pipeline, ports

NODES = ["node1", "node3"]


def reasons(registry: str, **more: Any) -> set[str]:
    """Why the proof fails with what a request gives."""
    entry = {"host": registry, "ca_pem": nodes.ca_pem(), "proof_image": "library/hello:1", **more}
    found = pipeline.call(NODES, "nodetrust.harbor.registry_trust", {"registries": [entry]})
    assert len(found) == len(NODES) and all(result["failed"] for result in found.values()), found
    return {result["reason"] for result in found.values()}


@pytest.fixture(autouse=True)
def forgotten_afterwards() -> Iterator[None]:
    yield
    pipeline.shell(NODES, "rm -rf /etc/containerd/certs.d /var/lib/nodetrust.harbor")


@pytest.mark.parametrize("registry", ports.ALL)
def test_no_registry_is_trusted(registry: str) -> None:
    for said in pipeline.witness(NODES, ports.hello(registry)).values():
        assert nodes.UNKNOWN_AUTHORITY in said


def test_the_ca_alone_does_not_open_a_registry_that_asks_for_a_certificate() -> None:
    assert reasons(ports.MTLS) == {"client_cert_required"}


def test_the_ca_of_the_registry_says_nothing_for_its_token_and_blob_hosts() -> None:
    assert reasons(ports.ELSEWHERE) == {"token_unknown_authority"}
    assert reasons(ports.ELSEWHERE, extra_ca_pem=ports.pem("token-ca.crt")) == {"blob_unknown_authority"}

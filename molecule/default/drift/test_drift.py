# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drift, made by hand on a trusted node: seen by the runtime, found by us, cured without a restart."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from testinfra.host import Host

from tests.lab import pki
from tests.lab.verify import nodes

testinfra_hosts = ["ansible://node4"]
CA_FILE = f"/etc/containerd/certs.d/{nodes.REGISTRY}/ca.crt"


@pytest.fixture(autouse=True)
def cured_afterwards(host: Host) -> Iterator[None]:
    yield
    nodes.module(
        "node4", "registry_trust", {"registries": [{"host": nodes.REGISTRY, "ca_pem": nodes.ca_pem()}]}
    )


def lay(host: Host, content: str) -> None:
    host.run_expect([0], "printf '%%s' %s > %s", content, CA_FILE)


@pytest.mark.parametrize("how", ["another CA", "junk", "nothing"])
def test_a_tampered_ca_is_found_and_cured(host: Host, how: str) -> None:
    content = {"another CA": pki.make_ca("Somebody else").pem, "junk": "-----BEGIN", "nothing": ""}[how]
    lay(host, content)
    assert not nodes.witness(host, nodes.HELLO).startswith("sha256:")
    pid = nodes.snapshot(host)["containerd"]
    run = nodes.playbook("onboard_node", nodes.request(nodes.REGISTRY), "--limit", "node4")
    assert run.returncode == 0, run.stdout
    assert nodes.witness(host, nodes.HELLO).startswith("sha256:")
    assert nodes.snapshot(host)["containerd"] == pid


def test_a_rogue_ca_beside_the_right_one_is_found_although_pulls_work(host: Host) -> None:
    lay(host, nodes.ca_pem() + pki.make_ca("Rogue").pem)
    assert nodes.witness(host, nodes.HELLO).startswith("sha256:")
    result = nodes.module(
        "node4", "ca_fingerprint", {"registries": [{"host": nodes.REGISTRY, "fingerprints": [nodes.pin()]}]}
    )
    assert not result["in_sync"] and any(
        "not pinned" in reason for reason in result["registries"][0]["reasons"]
    )


def test_a_proof_that_our_change_broke_brings_the_old_ca_back(host: Host) -> None:
    before = host.file(CA_FILE).content_string
    result = nodes.module(
        "node4",
        "registry_trust",
        {
            "registries": [
                {
                    "host": nodes.REGISTRY,
                    "ca_pem": pki.make_ca("Not the signer").pem,
                    "proof_image": "library/hello:1",
                }
            ]
        },
    )
    assert result["failed"] and result["reason"] == "unknown_authority" and result["rolled_back"]
    assert result["node"] == "node4" and result["registry"] == nodes.REGISTRY and result["next_step"]
    assert host.file(CA_FILE).content_string == before
    assert nodes.witness(host, nodes.HELLO).startswith("sha256:")


def test_an_image_that_vanished_is_no_reason_to_take_trust_back(host: Host) -> None:
    lay(host, "junk")
    result = nodes.module(
        "node4",
        "registry_trust",
        {
            "registries": [
                {"host": nodes.REGISTRY, "ca_pem": nodes.ca_pem(), "proof_image": "library/vanished:1"}
            ]
        },
    )
    assert result["failed"] and result["reason"] == "not_found" and not result["rolled_back"]
    assert nodes.witness(host, nodes.HELLO).startswith("sha256:")

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After one run: every registry is pulled from, each with what is meant for it and nothing more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.lab.verify import nodes, pipeline, ports

NODES = ["node1", "node3"]
CERTS_DIR = "/etc/containerd/certs.d"


@pytest.mark.parametrize("registry", ports.ALL)
def test_the_nodes_pull(registry: str) -> None:
    for said in pipeline.witness(NODES, ports.hello(registry)).values():
        assert said.startswith("sha256:")


def test_the_same_server_under_another_port_is_another_registry() -> None:
    for said in pipeline.witness(NODES, ports.hello(f"{nodes.REGISTRY}:443")).values():
        assert nodes.UNKNOWN_AUTHORITY in said


def test_the_key_is_for_root_alone_and_nowhere_else() -> None:
    find = f"find {CERTS_DIR} -name '*.key' -printf '%u %m %P\\n'"
    assert set(pipeline.shell(NODES, find).values()) == {f"root 600 {ports.MTLS}/client.key"}


def test_the_extra_cas_are_shown_beside_the_pinned_one() -> None:
    extra = sorted(nodes.pin(name) for name in ("token-ca.crt", "blob-ca.crt"))
    for given, expected in ((extra, True), (extra[:1], False)):
        registry = {"host": ports.ELSEWHERE, "fingerprints": [nodes.pin()], "extra_ca_fingerprints": given}
        found = pipeline.call(NODES, "nodetrust.harbor.ca_fingerprint", {"registries": [registry]})
        for result in found.values():
            assert result["in_effect"] is expected, result
            assert result["registries"][0]["extra_ca_fingerprints"] == given


def test_the_client_certificate_is_told_by_its_fingerprint() -> None:
    for given, expected in ((nodes.pin("client.crt"), True), (nodes.pin("ip.crt"), False)):
        registry = {"host": ports.MTLS, "fingerprints": [nodes.pin()], "client_fingerprint": given}
        found = pipeline.call(NODES, "nodetrust.harbor.ca_fingerprint", {"registries": [registry]})
        for result in found.values():
            assert result["in_effect"] is expected, result


def test_a_client_certificate_that_the_registry_refuses_is_taken_back() -> None:
    registry = {
        "host": ports.MTLS,
        "ca_pem": nodes.ca_pem(),
        "proof_image": "library/hello:1",
        "client_cert_pem": ports.pem("ip.crt"),
        "client_key_pem": ports.pem("ip.key"),
    }
    for result in pipeline.call(
        NODES, "nodetrust.harbor.registry_trust", {"registries": [registry]}
    ).values():
        assert result["failed"] and result["rolled_back"], result
        assert result["reason"] in ("client_cert_refused", "client_cert_required"), result
    for said in pipeline.witness(NODES, ports.hello(ports.MTLS)).values():
        assert said.startswith("sha256:")


def test_a_second_run_changes_nothing_and_never_tells_the_key() -> None:
    before = pipeline.snapshots(NODES)
    converge = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"], "molecule/mtls_and_ports/converge.yml")
    run = nodes.run_playbook(str(converge), {}, "-vvv", "--diff", "--limit", "localhost,node1,node3")
    assert run.returncode == 0, run.stdout
    assert pipeline.snapshots(NODES) == before
    assert not any(line in run.stdout + run.stderr for line in ports.pem("client.key").splitlines()[1:-1])

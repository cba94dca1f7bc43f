# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A proof that is lost: the certificate goes, the taint comes back, and both are put right by the next run."""

from __future__ import annotations

import http.server
import re
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from testinfra.host import Host

from tests.lab import pki
from tests.lab.verify import cluster, nodes

testinfra_hosts = ["ansible://node4"]
CONTROLLER = "10.89.77.1"
TAINTED = [f"{cluster.TAINT}:NoSchedule"]


@pytest.fixture
def impostor(tmp_path: Path) -> Iterator[None]:
    """Somebody else's registry, under another CA."""
    certificate = pki.issue(pki.make_ca("Somebody else"), nodes.REGISTRY)
    (tmp_path / "tls.pem").write_text(certificate.pem + certificate.key_pem)
    server = http.server.HTTPServer((CONTROLLER, 443), http.server.BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield
    server.shutdown()
    server.server_close()


class Hosts:
    """The file that leads this node to its registry, or astray."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.before = host.file("/etc/hosts").content_string

    def lead_astray(self) -> None:
        wrong = re.sub(r"(?m)^10\.89\.77\.10(?=\s+harbor\.lab)", CONTROLLER, self.before)
        assert wrong != self.before
        lay(self.host, wrong, "/etc/hosts")

    def restore(self) -> None:
        lay(self.host, self.before, "/etc/hosts")


@pytest.fixture
def hosts(host: Host) -> Iterator[Hosts]:
    hosts = Hosts(host)
    yield hosts
    hosts.restore()


@pytest.fixture
def ghosts() -> Iterator[None]:
    """Two nodes in the cluster that no longer run. The address is nobody's."""
    names = ("node5", "node6")
    for number, name in enumerate(names, 55):
        node = cluster.node("node4")
        metadata = {"name": name, "labels": {"kubernetes.io/hostname": name}}
        addresses = [{"type": "InternalIP", "address": f"10.89.77.{number}"}]
        body = {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {}}
        cluster.call("POST", "/api/v1/nodes", {**body, "status": {**node["status"], "addresses": addresses}})
    yield
    for name in names:
        cluster.call("DELETE", f"/api/v1/nodes/{name}")


def lay(host: Host, content: str, path: str) -> None:
    host.run_expect([0], "printf '%%s' %s > %s", content, path)


@pytest.mark.usefixtures("impostor", "ghosts")
def test_a_refused_pull_takes_the_certificate_and_the_next_proof_brings_it_back(hosts: Hosts) -> None:
    hosts.lead_astray()
    code, said, outcome = cluster.onboard(harbor_ca_serial=2)
    assert code != 0
    assert cluster.marks("node4") == (None, None, TAINTED), said
    result = outcome["node4"]
    assert (result["ok"], result["reason"]) == (False, "unknown_authority")
    assert (result["certified"], result["certified_why"]) == (False, "its pull was refused")
    assert (outcome["node2"]["certified"], cluster.marks("node2")[0]) == (True, "true")
    assert cluster.groups()["uncertified"] == {"node4", "node5", "node6"}
    # The batch was finished, and the next one not begun.
    assert set(outcome) == {"node2", "node4"}

    hosts.restore()
    code, said, outcome = cluster.onboard(harbor_ca_nodes="uncertified:stale", harbor_ca_serial=2)
    assert cluster.marks("node4")[::2] == ("true", []), said
    assert outcome["node4"]["ok"] is True
    # A node that cannot be reached counts as one that failed: the rollout ends with its batch.
    assert code != 0
    assert (outcome["node5"]["reason"], outcome["node5"]["certified"]) == ("node_unreachable", False)
    assert set(outcome) == {"node4", "node5"}


def test_a_registry_that_is_down_takes_nobodys_certificate(hosts: Hosts) -> None:
    # Nothing listens there: a registry that is down looks the same.
    hosts.lead_astray()
    code, said, outcome = cluster.onboard("--limit", "node4")
    assert code != 0, said
    assert outcome["node4"]["reason"] == "connection_refused"
    assert (outcome["node4"]["certified"], cluster.marks("node4")[::2]) == (True, ("true", []))


def test_the_cluster_can_be_left_alone() -> None:
    asked = len(cluster.audit())
    code, said, outcome = cluster.onboard(
        "--limit", "node4", harbor_ca_certify="never", harbor_ca_drain="never"
    )
    assert code == 0, said
    assert (outcome["node4"]["certified"], outcome["node4"]["certified_why"]) == (
        None,
        "harbor_ca_certify is never",
    )
    assert [request["path"] for request in cluster.audit()[asked:]] == ["/api/v1/nodes"]

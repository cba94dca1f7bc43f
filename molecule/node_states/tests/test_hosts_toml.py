# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody's hosts.toml, where the versions of containerd differ: what we say is what the runtime does."""

from __future__ import annotations

import pytest

from tests.lab import pki
from tests.lab.verify import nodes

testinfra_hosts = ["ansible://node1", "ansible://node3"]
HOST_DIR = f"/etc/containerd/certs.d/{nodes.REGISTRY}"
HOSTS_TOML = f"{HOST_DIR}/hosts.toml"
SERVER = f'server = "https://{nodes.REGISTRY}"\n'
OWN_HOST = f'[host."https://{nodes.REGISTRY}"]\n'


@pytest.mark.parametrize(
    ("content", "obeyed_by_1", "obeyed_by_2"),
    [
        ("# nothing but a comment\n", False, True),
        (SERVER, False, True),
        (OWN_HOST + '  capabilities = ["pull", "resolve"]\n', True, True),
        ("server = [broken\n", False, False),
    ],
    ids=["comment only", "no host table", "no ca", "broken"],
)
def test_a_file_that_names_no_ca(node, content, obeyed_by_1, obeyed_by_2) -> None:
    node.put(HOSTS_TOML, content)
    node.put(f"{HOST_DIR}/ca.crt", nodes.ca_pem())
    obeyed = obeyed_by_2 if node.major == 2 else obeyed_by_1
    assert node.pulls() is not obeyed
    result = node.trust()
    assert result["changed"] is obeyed and not result["restart_due"], result["msg"]
    assert node.pulls()
    node.gone()
    assert node.content(HOSTS_TOML) == content.encode()


@pytest.mark.parametrize(
    "content",
    [
        SERVER + 'ca = "site.pem"\n[host]\n',
        SERVER + 'ca = "site.pem"\n' + OWN_HOST + '  ca = ["site.pem"]\n',
    ],
)
def test_a_file_that_leads_to_the_right_ca_is_accepted(node, content) -> None:
    node.put(HOSTS_TOML, content)
    node.put(f"{HOST_DIR}/site.pem", nodes.ca_pem())
    before = node.state()
    result = node.trust(registries=[nodes_entry()])
    assert not result["failed"] and result["changed"] is False and result["proof"] == "proven", result["msg"]
    assert node.state() == before


def test_a_ca_in_one_table_alone_hides_that_a_tag_is_missing(node) -> None:
    # The form that is copied everywhere: 1.x tries again at the top level, and tells how that ended.
    content = SERVER + OWN_HOST + '  ca = "site.pem"\n'
    missing = f"{nodes.REGISTRY}/library/hello:none"
    node.put(HOSTS_TOML, content)
    node.put(f"{HOST_DIR}/site.pem", nodes.ca_pem())
    misled = node.major == 1
    assert node.pulls()
    assert (nodes.UNKNOWN_AUTHORITY in nodes.witness(node.host, missing)) is misled
    result = node.trust(registries=[nodes_entry()])
    assert result["changed"] is misled and result["proof"] == "proven", result["msg"]
    assert "not found" in nodes.witness(node.host, missing)
    node.gone()
    assert node.content(HOSTS_TOML) == content.encode()


def nodes_entry() -> dict[str, str]:
    return {"host": nodes.REGISTRY, "ca_pem": nodes.ca_pem(), "proof_image": "library/hello:1"}


def test_a_file_that_leads_to_another_ca_is_named(node) -> None:
    other = pki.make_ca("Somebody else")
    node.put(HOSTS_TOML, SERVER + 'ca = "site.pem"\n[host]\n')
    node.put(f"{HOST_DIR}/site.pem", other.pem)
    assert nodes.UNKNOWN_AUTHORITY in node.witness()
    result = node.refuses("foreign_hosts_toml")
    assert result["path"] == HOSTS_TOML
    assert (result["found"], result["expected"]) == ([other.fingerprint], [nodes.pin()])


def test_verification_switched_off_is_no_trust(node) -> None:
    node.put(HOSTS_TOML, SERVER + OWN_HOST + "  skip_verify = true\n")
    assert node.pulls()
    result = node.refuses("foreign_hosts_toml")
    assert "skip_verify" in result["msg"]
    assert node.check()["in_sync"] is False

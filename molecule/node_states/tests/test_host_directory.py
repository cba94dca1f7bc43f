# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""certs.d and a registry's directory in it, where all versions do the same."""

from __future__ import annotations

import pytest

from tests.lab import pki
from tests.lab.verify import nodes

testinfra_hosts = ["ansible://node3"]
CERTS_DIR = "/etc/containerd/certs.d"
HOST_DIR = f"{CERTS_DIR}/{nodes.REGISTRY}"
ON_PORT = f"{nodes.REGISTRY}:8443"


@pytest.mark.parametrize(
    ("lay", "reason", "path"),
    [
        (f"touch {CERTS_DIR}", "certs_d_not_a_directory", CERTS_DIR),
        (f"mkdir /opt/certs.d; ln -s /opt/certs.d {CERTS_DIR}", "certs_d_is_a_link", CERTS_DIR),
        (f"ln -s /opt/nowhere {CERTS_DIR}", "certs_d_is_a_link", CERTS_DIR),
        (f"mkdir {CERTS_DIR}; touch {HOST_DIR}", "host_directory_not_a_directory", HOST_DIR),
        (
            f"mkdir {CERTS_DIR} /opt/certs.d; ln -s /opt/certs.d {HOST_DIR}",
            "host_directory_is_a_link",
            HOST_DIR,
        ),
        (f"mkdir {CERTS_DIR}; ln -s /opt/nowhere {HOST_DIR}", "host_directory_not_a_directory", HOST_DIR),
        (f"mkdir -p {HOST_DIR}/ca.crt", "crt_is_a_directory", f"{HOST_DIR}/ca.crt"),
        (f"mkdir -p {HOST_DIR}; echo junk > {HOST_DIR}/z.crt", "ca_file_unusable", f"{HOST_DIR}/z.crt"),
        (f"mkdir -p {HOST_DIR}; : > {HOST_DIR}/z.crt", "ca_file_unusable", f"{HOST_DIR}/z.crt"),
    ],
    ids=lambda value: value if "_" in value and "/" not in value else "",
)
def test_what_is_in_the_way_is_named(node, lay, reason, path) -> None:
    node.sh(lay)
    assert not node.pulls()
    result = node.refuses(reason)
    assert result["path"] == path and result["registry"] == nodes.REGISTRY


def test_a_stray_cert_is_named(node) -> None:
    node.put(f"{HOST_DIR}/ca.crt", nodes.ca_pem())
    node.put(f"{HOST_DIR}/ca.cert", nodes.ca_pem())
    assert "failed to load X509 key pair" in node.witness()
    assert node.refuses("stray_cert")["path"] == f"{HOST_DIR}/ca.cert"


def test_a_ca_that_nobody_pinned_is_named(node) -> None:
    other = pki.make_ca("Somebody else")
    node.put(f"{HOST_DIR}/ca.crt", nodes.ca_pem())
    node.put(f"{HOST_DIR}/old.crt", other.pem)
    assert node.pulls()
    result = node.refuses("extra_ca")
    assert result["path"] == f"{HOST_DIR}/old.crt" and other.fingerprint in result["found"][0]


def test_an_empty_host_directory_is_filled(node) -> None:
    node.sh(f"mkdir -p {HOST_DIR}")
    result = node.trust()
    assert result["changes"] == [f"create {HOST_DIR}/ca.crt"] and not result["restart_due"]
    assert node.pulls()


def test_our_own_file_as_a_link_to_nothing_is_replaced(node) -> None:
    node.sh(f"mkdir -p {HOST_DIR}; ln -s /opt/nowhere {HOST_DIR}/ca.crt")
    assert "unable to read CA cert" in node.witness()
    assert node.trust()["changed"]
    assert node.pulls() and not node.host.file(f"{HOST_DIR}/ca.crt").is_symlink


def test_the_underscore_form_hides_the_colon_form(node) -> None:
    node.put(f"{CERTS_DIR}/{ON_PORT}/ca.crt", nodes.ca_pem())
    node.put(f"{CERTS_DIR}/{nodes.REGISTRY}_8443_/ca.crt", pki.make_ca("Somebody else").pem)
    assert nodes.UNKNOWN_AUTHORITY in nodes.witness(node.host, f"{ON_PORT}/library/hello:1")
    result = node.refuses(
        "shadowed_by_underscore_directory", registries=[{"host": ON_PORT, "ca_pem": nodes.ca_pem()}]
    )
    assert result["path"] == f"{CERTS_DIR}/{nodes.REGISTRY}_8443_" and result["registry"] == ON_PORT


def test_a_hosts_toml_for_everybody_keeps_its_say(node) -> None:
    node.put(f"{CERTS_DIR}/_default/hosts.toml", '[host."https://mirror.test"]\n')
    result = node.refuses("default_hosts_toml")
    assert result["path"] == f"{CERTS_DIR}/_default/hosts.toml"

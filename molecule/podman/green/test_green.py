# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After: podman pulls; the CA lies in the directory that was there already, else in podman's own."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from tests.lab.verify import engines, nodes

testinfra_hosts = ["ansible://engines"]
FILES = {
    "engine1": ["/etc/containers/certs.d/harbor.lab.internal/ca.crt"],
    "engine2": ["/etc/docker/certs.d/harbor.lab.internal/ca.crt"],
    "engine3": [
        "/etc/containers/certs.d/harbor.lab.internal/ca.crt",
        "/etc/docker/certs.d/harbor.lab.internal/ca.crt",
    ],
}


@pytest.mark.parametrize("registry", engines.REGISTRIES)
def test_podman_pulls(host: Host, registry: str) -> None:
    assert engines.pull(host, "podman", f"{registry}/theater/movie-service:latest") == "pulled"


def test_a_registry_nobody_asked_for_is_still_not_trusted(host: Host) -> None:
    said = engines.pull(host, "podman", f"{nodes.REGISTRY}:8444/library/hello:1")
    assert nodes.UNKNOWN_AUTHORITY in said


def test_no_directory_was_made_that_hides_another(host: Host) -> None:
    places = "/etc/containers/certs.d /etc/docker/certs.d"
    found = host.run(f"find {places} -path '*/{nodes.REGISTRY}/*' -name '*.crt'").stdout
    assert sorted(found.split()) == FILES[host.backend.get_hostname()]


def test_the_fingerprint_module_agrees() -> None:
    for result in engines.check("podman").values():
        assert result["in_effect"] and result["registries"][0]["reasons"] == []
        assert result["registries"][0]["found_fingerprints"] == [nodes.pin()]

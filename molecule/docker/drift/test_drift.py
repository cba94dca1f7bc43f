# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drift on Docker with the classic store, made by hand: seen by Docker, found by us, cured live or refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from testinfra.host import Host

from tests.lab import pki
from tests.lab.verify import engines, nodes

testinfra_hosts = ["ansible://engine2"]
PLACE = f"/etc/docker/certs.d/{nodes.REGISTRY}"


def sh(host: Host, script: str) -> str:
    return str(host.check_output("sh -c %s", script))


def trust(**options: Any) -> dict[str, Any]:
    return engines.trust("docker", "engine2", **options)["engine2"]


def test_junk_that_docker_passes_over_in_silence_is_found_and_cured_live(host: Host) -> None:
    dockerd = sh(host, "pgrep -x dockerd")
    sh(host, f"echo junk > {PLACE}/ca.crt")
    assert nodes.UNKNOWN_AUTHORITY in engines.pull(host, "docker")
    result = trust()
    assert (result["changed"], result["proof"], result["restart_due"]) == (True, "proven", False)
    assert engines.pull(host, "docker") == "pulled"
    assert sh(host, "pgrep -x dockerd") == dockerd


def test_a_rogue_ca_beside_the_right_one_is_found_although_pulls_work(host: Host) -> None:
    sh(host, f"cat > {PLACE}/rogue.crt <<'PEM'\n{pki.make_ca('Rogue').pem}PEM")
    try:
        assert engines.pull(host, "docker") == "pulled"
        result = engines.check("docker", "engine2")["engine2"]
        assert not result["in_sync"] and "not pinned" in str(result["registries"][0]["reasons"])
        assert trust()["reason"] == "extra_ca"
    finally:
        sh(host, f"rm {PLACE}/rogue.crt")


@pytest.mark.parametrize(
    ("make", "reason", "said"),
    [
        ("mkdir x.crt", "crt_is_a_directory", "is a directory"),
        ("cp ca.crt ca.cert", "stray_cert", "missing key"),
        ("cp ca.crt client.key", "stray_key", "missing client certificate"),
    ],
)
def test_what_breaks_every_pull_is_named_and_left_alone(
    host: Host, make: str, reason: str, said: str
) -> None:
    before = sh(host, f"ls {PLACE}")
    sh(host, f"cd {PLACE} && {make}")
    try:
        assert said in engines.pull(host, "docker")
        result = trust()
        assert result["reason"] == reason and result["path"].startswith(PLACE) and not result["changed"]
    finally:
        sh(host, f"cd {PLACE} && rm -rf x.crt ca.cert client.key")
    assert sh(host, f"ls {PLACE}") == before


def test_a_proof_that_our_change_broke_brings_the_old_ca_back(host: Host) -> None:
    before = sh(host, f"cat {PLACE}/ca.crt")
    wrong = pki.make_ca("Not the signer").pem
    result = trust(registries=[{"host": nodes.REGISTRY, "ca_pem": wrong, "proof_image": "library/hello:1"}])
    assert result["failed"] and result["reason"] == "unknown_authority" and result["rolled_back"]
    assert sh(host, f"cat {PLACE}/ca.crt") == before
    assert engines.pull(host, "docker") == "pulled"


def insecure(host: Host, *registries: str) -> None:
    # The daemon's own reload, so that this needs no restart either. A key that is not there changes nothing.
    config = json.dumps({"insecure-registries": registries})
    sh(host, f"echo '{config}' > /etc/docker/daemon.json; systemctl reload docker")


def test_a_registry_that_docker_does_not_verify_is_drift(host: Host) -> None:
    insecure(host, nodes.REGISTRY)
    try:
        result = engines.check("docker", "engine2")["engine2"]
        assert not result["in_sync"] and "insecure-registries" in str(result["registries"][0]["reasons"])
        refused = trust()
        assert refused["reason"] == "insecure_registry" and "[]" in refused["next_step"]
    finally:
        insecure(host)
        sh(host, "rm /etc/docker/daemon.json")
    assert engines.check("docker", "engine2")["engine2"]["in_effect"]


def test_with_a_login_the_proof_goes_through(host: Host) -> None:
    registry = f"{nodes.REGISTRY}:8444"
    entry = {"host": registry, "ca_pem": nodes.ca_pem(), "proof_image": "library/hello:1"}
    refused = trust(registries=[entry])
    assert refused["reason"] == "unauthorized" and not refused["rolled_back"], refused["msg"]
    login = {"registry": registry, **nodes.login()}
    assert trust(registries=[entry], credentials=[login])["proof"] == "proven"
    assert trust(state="absent", registries=[{"host": registry}])["changed"]

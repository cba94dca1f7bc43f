# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody may do to a trusted node that has podman: found, and cured or refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from testinfra.host import Host

from tests.lab import pki
from tests.lab.verify import engines, nodes

testinfra_hosts = ["ansible://engine1"]
LIBRARY = ".config/containers"
PLACE = f"/etc/containers/certs.d/{nodes.REGISTRY}"
HOME = f"/root/{LIBRARY}/certs.d/{nodes.REGISTRY}"


def sh(host: Host, script: str) -> str:
    return str(host.check_output("sh -c %s", script))


def trust(**options: Any) -> dict[str, Any]:
    return engines.trust("podman", "engine1", **options)["engine1"]


@pytest.mark.parametrize("make", ["echo junk > ca.crt", ": > ca.crt", "ln -sf /nowhere ca.crt", "rm ca.crt"])
def test_what_podman_passes_over_in_silence_is_found_and_cured(host: Host, make: str) -> None:
    sh(host, f"cd {PLACE} && {make}")
    assert nodes.UNKNOWN_AUTHORITY in engines.pull(host, "podman")
    result = trust()
    assert (result["changed"], result["proof"]) == (True, "proven"), result["msg"]
    assert engines.pull(host, "podman") == "pulled"


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
    sh(host, f"cd {PLACE} && {make}")
    try:
        assert said in engines.pull(host, "podman")
        result = trust()
        assert result["reason"] == reason and result["path"].startswith(PLACE) and not result["changed"]
    finally:
        sh(host, f"cd {PLACE} && rm -rf x.crt ca.cert client.key")


def test_a_directory_under_roots_home_hides_ours_and_is_named(host: Host) -> None:
    sh(host, f"mkdir -p {HOME} && cat > {HOME}/other.crt <<'PEM'\n{pki.make_ca('Another').pem}PEM")
    try:
        assert nodes.UNKNOWN_AUTHORITY in engines.pull(host, "podman")
        result = trust()
        assert result["reason"] == "shadowed_by_home_directory" and HOME in result["next_step"]
        # Taking away goes past it, to what is ours.
        removed = trust(state="absent")
        assert f"remove {PLACE}/ca.crt" in removed["changes"]
    finally:
        sh(host, f"rm -rf /root/{LIBRARY}")
    assert trust()["proof"] == "proven"


def test_with_the_right_ca_under_roots_home_nothing_is_written(host: Host) -> None:
    sh(host, f"mkdir -p {HOME} && cp {PLACE}/ca.crt {HOME}/mine.crt")
    try:
        result = trust()
        assert not result["changed"] and result["proof"] == "proven"
        assert any(HOME in reason for reason in result["registries"][0]["reasons"])
    finally:
        sh(host, f"rm -rf /root/{LIBRARY}")


def test_verification_that_is_switched_off_is_drift_and_makes_no_proof(host: Host) -> None:
    conf = "/etc/containers/registries.conf.d/site.conf"
    sh(host, f"cat > {conf} <<'END'\n[[registry]]\nlocation = '{nodes.REGISTRY}'\ninsecure = true\nEND")
    sh(host, f"mv {PLACE}/ca.crt /root/kept.crt")
    try:
        assert engines.pull(host, "podman") == "pulled", "nothing is verified"
        asked = {"endpoint": "podman:", "images": [nodes.HELLO]}
        assert nodes.module("engine1", "registry_pull", asked)["reason"] == "unknown_authority"
        sh(host, f"mv /root/kept.crt {PLACE}/ca.crt")
        seen = engines.check("podman", "engine1")["engine1"]["registries"][0]
        assert not seen["in_sync"] and conf in str(seen["reasons"])
        assert trust()["reason"] == "insecure_registry"
    finally:
        sh(host, f"rm {conf}; [ ! -e /root/kept.crt ] || mv /root/kept.crt {PLACE}/ca.crt")
    assert trust()["proof"] == "proven"


def test_a_proof_that_our_change_broke_brings_the_old_ca_back(host: Host) -> None:
    wrong = pki.make_ca("Not the signer").pem
    result = trust(registries=[{"host": nodes.REGISTRY, "ca_pem": wrong, "proof_image": "library/hello:1"}])
    assert result["failed"] and result["reason"] == "unknown_authority" and result["rolled_back"]
    assert engines.pull(host, "podman") == "pulled"


def test_a_port_where_nobody_listens_is_told_in_the_time_that_was_given(host: Host) -> None:
    # podman alone would try for minutes.
    entry = {
        "host": f"{nodes.REGISTRY}:9",
        "ca_pem": nodes.ca_pem(),
        "proof_image": f"{nodes.REGISTRY}:9/library/hello:1",
    }
    result = trust(registries=[entry], timeout=5)
    assert result["reason"] == "connection_refused" and not result["rolled_back"], result["msg"]
    assert trust(state="absent", registries=[{"host": f"{nodes.REGISTRY}:9"}])["changed"]


def test_only_a_login_that_is_given_counts(host: Host) -> None:
    registry = f"{nodes.REGISTRY}:8444"
    entry = {"host": registry, "ca_pem": nodes.ca_pem(), "proof_image": "library/hello:1"}
    login = nodes.login()
    assert trust(registries=[entry], credentials=[{"registry": registry, **login}])["proof"] == "proven"
    host.run_expect([0], "podman login -u %s -p %s %s", login["username"], login["password"], registry)
    assert trust(registries=[entry])["reason"] == "unauthorized"
    assert trust(state="absent", registries=[{"host": registry}])["changed"]


def test_where_nothing_else_is_installed_podman_is_the_runtime(host: Host) -> None:
    daemons = "/usr/bin/containerd /usr/sbin/dockerd"
    sh(host, f"for file in {daemons}; do mv $file $file.away; done")
    try:
        result = engines.check("auto", "engine1")["engine1"]
        assert result["runtime"]["name"] == "podman" and result["in_effect"]
    finally:
        sh(host, f"for file in {daemons}; do mv $file.away $file; done")

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A full rotation while every node pulls, what each phase refuses, and the registry that changed first.

The runs are fixtures that stand on each other; each test looks at one of them. For another node add its name to NODES.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.lab import pki
from tests.lab.verify import fleet, nodes
from tests.lab.verify.pipeline import shell, snapshots

NODES = ["node1", "node2", "node3", fleet.DOCKER]
INSTANCES = {"blue": 4431, "green": 4432}
# As Harbor's chart does it: another CA under the same name.
NEW, NEWER = pki.make_ca("Lab CA"), pki.make_ca("Lab CA")

_LOOP = f"""set -e
mkdir -p /var/lib/pulls
cat > /var/lib/pulls/pull.py <<'END'
{(nodes.FILES / "cri_pull.py").read_text()}END
cat > /var/lib/pulls/loop <<'END'
pull() {{
  [ -S /run/docker.sock ] || {{ python3 /var/lib/pulls/pull.py {nodes.HELLO}; return; }}
  docker pull -q {nodes.HELLO} > /var/lib/pulls/said && echo sha256:pulled
}}
while [ ! -e /var/lib/pulls/stop ]; do pull; sleep 1; done
END
systemd-run --quiet --unit=pulls sh -c 'sh /var/lib/pulls/loop > /var/lib/pulls/log 2>&1'
"""
_STOP = "touch /var/lib/pulls/stop; while systemctl is-active -q pulls; do sleep 0.1; done"


def serve(issuer: pki.Credential, instance: str) -> None:
    """Let the registry answer with a certificate of this CA from the next connection on."""
    leaf = pki.issue(issuer, nodes.REGISTRY)
    script = f"""set -e
cd /etc/docker/registry
cat > {instance}.crt <<'END'
{leaf.pem}END
cat > {instance}.key <<'END'
{leaf.key_pem}END
systemctl restart lab-registry@{instance}
until (echo > /dev/tcp/127.0.0.1/{INSTANCES[instance]}) 2> /dev/null; do sleep 0.1; done
echo {INSTANCES[instance]} > /run/front.new && mv /run/front.new /run/front.port
"""
    shell(["harbor"], script, "bash -s")


def log(node: str) -> list[str]:
    """What every pull so far has ended with."""
    return shell([node], "cat /var/lib/pulls/log")[node].splitlines()


def counts() -> dict[str, int]:
    return {node: len(log(node)) for node in NODES}


def fingerprints() -> dict[str, list[str]]:
    """Of the file that containerd or Docker reads, as openssl tells them."""
    split = (
        f"for who in containerd docker; do cat /etc/$who/certs.d/{nodes.REGISTRY}/ca.crt 2> /dev/null; done | "
        "awk '/BEGIN/ {n++} n {print > \"/tmp/ca.\" n}'; for file in /tmp/ca.*; do "
        "openssl x509 -noout -fingerprint -sha256 -in $file; done; rm -f /tmp/ca.*"
    )
    return {
        node: sorted("SHA256:" + line.partition("=")[2] for line in said.splitlines())
        for node, said in shell(NODES, split).items()
    }


def all_hold(*pins: str) -> dict[str, list[str]]:
    return {node: sorted(pins) for node in NODES}


def rotate(phase: str, old: str, new: pki.Credential, **variables: Any) -> fleet.Run:
    request = nodes.request(nodes.REGISTRY)
    request["harbor_ca_registries"][0] |= {"ca_file": None, "ca_pem": old}
    given = {
        **request,
        "harbor_ca_nodes": ",".join(NODES),
        "harbor_ca_rotation": {
            "hosts": [nodes.REGISTRY],
            "ca_pem": new.pem,
            "fingerprints": [new.fingerprint],
        },
        "harbor_ca_rotation_phase": phase,
    }
    return fleet.run("rotate_ca", **{**given, **variables})


@dataclass(frozen=True)
class Phase:
    """A run, what nodes held afterwards, and how many pulls there had been."""

    run: fleet.Run
    held: dict[str, list[str]]
    pulls: dict[str, int]


def phase(name: str, new: pki.Credential = NEW, old: str | None = None, **variables: Any) -> Phase:
    done = rotate(name, old or nodes.ca_pem(), new, **variables)
    return Phase(done, fingerprints(), counts())


@pytest.fixture(scope="module")
def pulling() -> Iterator[None]:
    """Every node pulls, one pull after the other."""
    shell(NODES, _LOOP)
    yield
    shell(NODES, _STOP)


@pytest.fixture(scope="module")
def too_early(pulling: None) -> Phase:
    return phase("switch")


@pytest.fixture(scope="module")
def added(too_early: Phase) -> Phase:
    return phase("add")


@pytest.fixture(scope="module")
def unserved(added: Phase) -> Phase:
    """Asked for the end while the registry still has its old certificate."""
    return phase("remove")


@pytest.fixture(scope="module")
def switched(unserved: Phase) -> Phase:
    serve(NEW, "green")
    return phase("switch")


@pytest.fixture(scope="module")
def removed(switched: Phase) -> Phase:
    return phase("remove")


def test_a_phase_is_refused_before_the_one_in_front_of_it(too_early: Phase) -> None:
    assert too_early.run.code == 2
    for words in ("rotation_not_complete", "4 of 4 nodes", *NODES, "missing: " + NEW.fingerprint):
        assert words in too_early.run.said, words
    assert too_early.held == all_hold(nodes.pin())


def test_the_first_phase_puts_the_new_ca_beside_the_old(added: Phase) -> None:
    assert added.run.code == 0, added.run.said
    assert added.held == all_hold(nodes.pin(), NEW.fingerprint)
    for node in added.run.nodes.values():
        assert (node["state"], node["registries"][0]["proof"]) == ("corrected", "proven")


def test_the_old_ca_stays_as_long_as_the_registry_needs_it(unserved: Phase) -> None:
    assert unserved.run.code == 2
    for words in ("new_ca_not_served", *NODES, "Born in a test"):
        assert words in unserved.run.said, words
    assert unserved.held == all_hold(nodes.pin(), NEW.fingerprint)


def test_the_second_phase_sees_the_new_certificate_from_every_node(switched: Phase) -> None:
    assert switched.run.code == 0, switched.run.said
    assert {node["registries"][0]["proof"] for node in switched.run.nodes.values()} == {"proven"}


def test_the_third_phase_takes_the_old_ca_away(removed: Phase) -> None:
    assert removed.run.code == 0, removed.run.said
    assert removed.held == all_hold(NEW.fingerprint)
    for node in removed.run.nodes.values():
        assert (node["state"], node["registries"][0]["proof"]) == ("corrected", "proven")


def test_not_one_pull_failed_and_there_were_pulls_in_every_phase(
    too_early: Phase, added: Phase, unserved: Phase, switched: Phase, removed: Phase
) -> None:
    for node in NODES:
        done = log(node)
        assert [line for line in done if not line.startswith("sha256:")] == []
        steps = [done_.pulls[node] for done_ in (too_early, added, unserved, switched, removed)]
        assert all(later > earlier for earlier, later in zip(steps, steps[1:])), steps
        print(f"{node}: {len(done)} pulls, none failed; after each run {steps}")


def test_a_phase_that_is_complete_changes_nothing_when_it_is_run_again(removed: Phase) -> None:
    there = snapshots(NODES)
    again = phase("remove")
    assert again.run.code == 0, again.run.said
    assert again.held == removed.held
    assert snapshots(NODES) == there


def test_one_command_brings_the_fleet_back_when_the_registry_changed_first(removed: Phase) -> None:
    shell(NODES, _STOP)
    serve(NEWER, "blue")
    assert all(nodes.UNKNOWN_AUTHORITY in said for said in fleet.pull(NODES).values())
    back = phase("add", NEWER, NEW.pem)
    assert back.run.code == 0, back.run.said
    assert all(said.startswith("sha256:") for said in fleet.pull(NODES).values())
    assert json.dumps(back.run.document).count("proven") >= len(NODES)

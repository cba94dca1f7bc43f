# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order around a restart: budgets and Ready are waited for, and a node is given back only if it was ours."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from testinfra.host import Host

from tests.lab.verify import cluster, nodes

testinfra_hosts = ["ansible://node4"]
EVICTION = "/api/v1/namespaces/default/pods/web-1/eviction"
RESTART = {"harbor_ca_restart": "always", "harbor_ca_drain": "always"}


def allow(disruptions: int) -> None:
    cluster.call("PATCH", cluster.BUDGET, {"status": {"disruptionsAllowed": disruptions}})


@pytest.fixture(autouse=True)
def in_service() -> Iterator[None]:
    yield
    cluster.set_cordon("node4", False, True)
    cluster.set_ready("node4", True)


def test_a_budget_that_never_gives_in_stops_the_rollout_before_a_restart(host: Host) -> None:
    before = nodes.snapshot(host)["containerd"]
    code, said, outcome = cluster.onboard(**RESTART, harbor_ca_drain_timeout=1, harbor_ca_serial=1)
    assert code != 0
    result = outcome["node2"]
    assert (result["reason"], result["restarted"]) == ("drain_timeout", False), said
    assert "disruption budget" in result["msg"]
    assert "db-0" in cluster.pods()
    assert not cluster.cordoned("node2")
    # It lost nothing of its trust, and the node of the next batch was not begun.
    assert cluster.marks("node2")[0] == "true"
    assert "node4" not in outcome
    assert nodes.snapshot(host)["containerd"] == before


STEPS = [
    "Keep pods away from the node",
    "Restart the runtime",
    "Wait for the runtime itself",
    "Wait until the cluster calls the node Ready",
    "Pull the proof",
    "Give the node back when it is Ready",
]


def test_an_eviction_is_asked_for_again_until_the_budget_allows_it(host: Host) -> None:
    assert "web-1" in cluster.pods(), "this cluster has seen the test before"
    asked = len(cluster.audit())
    before = nodes.snapshot(host)["containerd"]
    run = cluster.start("--limit", "node4", **RESTART)

    def evictions() -> list[int]:
        return [request["status"] for request in cluster.audit()[asked:] if request["path"] == EVICTION]

    cluster.wait_for(lambda: 429 in evictions(), run)
    assert cluster.cordoned("node4")
    assert "web-1" in cluster.pods()
    # From here on the restart leaves a node that is not Ready, and nothing is proved or given back.
    cluster.set_ready("node4", False)
    allow(1)
    cluster.wait_for(lambda: looks(asked) > 0, run)
    assert nodes.snapshot(host)["containerd"] != before
    assert cluster.cordoned("node4")
    cluster.set_ready("node4", True)
    said = run.communicate(timeout=300)[0]
    assert run.returncode == 0, said
    assert re.findall("|".join(map(re.escape, STEPS)), said) == STEPS
    assert evictions()[-1] == 201
    assert set(evictions()[:-1]) == {429}
    assert "web-1" not in cluster.pods()
    assert "agent-1" in cluster.pods(), "pods of a DaemonSet belong to the node"
    assert not cluster.cordoned("node4")
    assert "eviction of 1 pods" in said


def looks(since: int) -> int:
    """How often the node was looked at after its pod was evicted."""
    requests = [(request["path"], request["status"]) for request in cluster.audit()[since:]]
    if (EVICTION, 201) not in requests:
        return 0
    return requests[requests.index((EVICTION, 201)) :].count(("/api/v1/nodes/node4", 200))


def test_a_node_that_is_not_ready_after_the_restart_stays_cordoned_until_it_is() -> None:
    cluster.set_ready("node4", False)
    marks = cluster.marks("node4")
    code, said, outcome = cluster.onboard("--limit", "node4", harbor_ca_restart="always", harbor_ca_wait=1)
    assert code != 0
    result = outcome["node4"]
    assert (result["reason"], result["node"]) == ("node_not_ready", "node4"), said
    for field, words in {
        "found": "Ready False, KubeletNotReady: PLEG is not healthy",
        "expected": "Ready True",
        "next_step": "journalctl -u kubelet",
    }.items():
        assert words in result[field] and words in result["msg"]
    assert "stays cordoned" in result["msg"]
    assert (result["restarted"], result["proof"], result["pulls"]) == (True, "none", [])
    assert (result["cordoned"], result["uncordoned"], result["rolled_back"]) == (True, False, False)
    # This run proved nothing, so it certifies nothing, and it disproved nothing.
    assert result["certified_why"].startswith("as before")
    assert cluster.marks("node4") == marks
    assert cluster.cordoned("node4")

    cluster.set_ready("node4", True)
    code, said, outcome = cluster.onboard("--limit", "node4")
    assert code == 0, said
    assert outcome["node4"]["uncordoned"] is True
    assert not cluster.cordoned("node4")


def test_without_a_drain_too_the_node_is_ready_before_the_proof() -> None:
    cluster.set_ready("node4", False)
    asked = len(cluster.audit())
    code, said, outcome = cluster.onboard(
        "--limit", "node4", harbor_ca_restart="always", harbor_ca_drain="never", harbor_ca_wait=1
    )
    assert code != 0
    result = outcome["node4"]
    assert (result["reason"], result["restarted"], result["pulls"]) == ("node_not_ready", True, []), said
    assert "cordoned" not in result["msg"]
    assert cluster.writes(asked) == []


def test_a_cordon_of_somebody_else_stays() -> None:
    cluster.set_cordon("node4", True, ours=False)
    code, said, outcome = cluster.onboard("--limit", "node4", harbor_ca_restart="always")
    assert code == 0, said
    assert (outcome["node4"]["cordoned"], outcome["node4"]["uncordoned"]) == (False, False)
    assert outcome["node4"]["restarted"] is True
    assert cluster.cordoned("node4")

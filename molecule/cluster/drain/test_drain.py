# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restart with eviction: budgets are waited for, what belongs to the node stays, and it is given back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from testinfra.host import Host

from tests.lab.verify import cluster, nodes

testinfra_hosts = ["ansible://node4"]
EVICTION = "/api/v1/namespaces/default/pods/web-1/eviction"
RESTART = {"harbor_ca_restart": "always", "harbor_ca_drain": "always"}


def allow(disruptions: int) -> None:
    cluster.call("PATCH", cluster.BUDGET, {"status": {"disruptionsAllowed": disruptions}})


def set_cordon(name: str, on: bool, ours: bool) -> None:
    mark = {cluster.CORDONED: "true" if on and ours else None}
    cluster.patch(name, {"metadata": {"annotations": mark}, "spec": {"unschedulable": on or None}})


@pytest.fixture(autouse=True)
def in_service() -> Iterator[None]:
    yield
    set_cordon("node4", False, True)


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
    allow(1)
    said = run.communicate(timeout=120)[0]
    assert run.returncode == 0, said
    assert evictions()[-1] == 201
    assert set(evictions()[:-1]) == {429}
    assert "web-1" not in cluster.pods()
    assert "agent-1" in cluster.pods(), "pods of a DaemonSet belong to the node"
    assert nodes.snapshot(host)["containerd"] != before
    assert not cluster.cordoned("node4")
    assert "eviction of 1 pods" in said


def test_what_a_run_that_died_left_cordoned_is_given_back() -> None:
    set_cordon("node4", True, ours=True)
    code, said, outcome = cluster.onboard("--limit", "node4")
    assert code == 0, said
    assert outcome["node4"]["uncordoned"] is True
    assert not cluster.cordoned("node4")


def test_a_cordon_of_somebody_else_stays() -> None:
    set_cordon("node4", True, ours=False)
    code, said, outcome = cluster.onboard("--limit", "node4", harbor_ca_restart="always")
    assert code == 0, said
    assert (outcome["node4"]["cordoned"], outcome["node4"]["uncordoned"]) == (False, False)
    assert outcome["node4"]["restarted"] is True
    assert cluster.cordoned("node4")

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""node_drain against an API server that counts disruption budgets."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.nodetrust.harbor.plugins.action import node_drain
from ansible_collections.nodetrust.harbor.plugins.plugin_utils import _access
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._drain import (
    CORDONED,
    Clock,
    DrainFailed,
    Limits,
    drain,
    release,
    wait_ready,
)
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kube import Cluster, connect
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kube_errors import KubeError
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kubeconfig import Access
from ansible_collections.nodetrust.harbor.tests.lab.kube import KubeApi, User, make_node, make_pdb, make_pod
from ansible_collections.nodetrust.harbor.tests.lab.kube.access import rules_from_manifest
from ansible_collections.nodetrust.harbor.tests.unit.plugins.action.on_controller import run_action

ROOT = Path(__file__).parents[4]
LIMITS = Limits(timeout=60, interval=5)


class FakeClock:
    """Time that passes only when somebody sleeps, and what happens meanwhile."""

    def __init__(self) -> None:
        self.time = 0.0
        self.events: list[tuple[float, Callable[[], Any]]] = []

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        due = [event for at, event in self.events if at <= self.time]
        self.events = [(at, event) for at, event in self.events if at > self.time]
        for event in due:
            event()

    def clock(self) -> Clock:
        return Clock(lambda: self.time, self.sleep)


class Lab:
    def __init__(self, api: KubeApi, directory: Path) -> None:
        self.api = api
        self.time = FakeClock()
        documents = yaml.safe_load((ROOT / "deploy/rbac/drain.yml").read_text())["items"]
        api.users = [User("runner", rules_from_manifest(documents), token="runner")]
        self.kubeconfig = str(api.write_kubeconfig(directory / "kubeconfig", user="runner"))
        api.store.add(make_node("n"), make_node("other"))

    def cluster(self) -> Cluster:
        return connect(Access(self.kubeconfig), sleep=lambda seconds: None)

    def drain(self, **how: Any) -> dict[str, Any]:
        with self.cluster() as cluster:
            return drain(cluster, "n", how.pop("limits", LIMITS), clock=self.time.clock(), **how)

    def release(self, **how: Any) -> dict[str, Any]:
        with self.cluster() as cluster:
            return release(cluster, "n", LIMITS, clock=self.time.clock(), **how)

    def wait_ready(self, timeout: float = 60) -> dict[str, Any]:
        with self.cluster() as cluster:
            return wait_ready(cluster, "n", LIMITS._replace(timeout=timeout), clock=self.time.clock())

    def set_ready(self, status: str) -> None:
        said = {"status": status, "reason": "KubeletNotReady", "message": "PLEG is\nnot healthy"}
        self.api.store.edit("nodes", "n", lambda node: node["status"]["conditions"][3].update(said))

    def is_cordoned(self) -> bool:
        return self.api.store.get("nodes", "n")["spec"].get("unschedulable") is True

    def pods(self) -> set[str]:
        return {pod["metadata"]["name"] for pod in self.api.store.all("pods")}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with KubeApi() as api:
        yield Lab(api, tmp_path)


def test_drain_and_release(lab: Lab) -> None:
    lab.api.store.add(
        make_pod("web", "n", empty_dir=True),
        make_pod("agent", "n", owner="DaemonSet"),
        make_pod("apiserver", "n", namespace="kube-system", mirror=True),
        make_pod("done", "n", owner="Job", phase="Succeeded"),
        make_pod("elsewhere", "other"),
    )
    assert lab.drain(check_mode=True)["evicted"] == ["default/web"]
    assert not lab.is_cordoned()
    result = lab.drain()
    assert (result["changed"], result["cordoned"], result["evicted"]) == (True, True, ["default/web"])
    assert lab.is_cordoned()
    assert lab.pods() == {"agent", "apiserver", "done", "elsewhere"}
    assert lab.drain()["changed"] is False
    assert lab.release() == {"changed": True, "uncordoned": True}
    assert not lab.is_cordoned()
    assert CORDONED not in lab.api.store.get("nodes", "n")["metadata"]["annotations"]
    assert lab.release()["changed"] is False


def annotate(lab: Lab, mark: str | None, *, cordoned: bool, since: str | None = None) -> None:
    def change(node: dict[str, Any]) -> None:
        node["metadata"]["annotations"].update({CORDONED: mark} if mark else {})
        node["spec"]["unschedulable"] = cordoned
        taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
        if cordoned:
            node["spec"]["taints"] = [{**taint, **({"timeAdded": since} if since else {})}]

    lab.api.store.edit("nodes", "n", change)


@pytest.mark.parametrize(
    ("mark", "since", "ours"),
    [
        ("2026-11-23T05:00:00Z", "2026-11-23T05:00:02Z", True),
        ("2026-11-23T05:00:00Z", "2026-11-23T04:58:00Z", True),  # clocks of two machines
        ("2026-11-23T05:00:00Z", None, True),
        ("true", "2026-11-23T05:00:02Z", True),
        ("2026-11-23T05:00:00Z", "2026-11-23T05:20:00Z", False),
    ],
)
def test_a_cordon_that_is_clearly_younger_than_ours_is_somebody_elses(
    lab: Lab, mark: str, since: str | None, ours: bool
) -> None:
    annotate(lab, mark, cordoned=True, since=since)
    assert lab.release() == {"changed": True, "uncordoned": ours}
    assert lab.is_cordoned() is not ours
    assert CORDONED not in lab.api.store.get("nodes", "n")["metadata"]["annotations"]
    assert lab.release()["changed"] is False


def test_the_mark_of_a_cordon_that_a_person_took_back_is_removed(lab: Lab) -> None:
    annotate(lab, "2026-11-23T05:00:00Z", cordoned=False)
    lab.set_ready("False")
    assert lab.release() == {"changed": True, "uncordoned": False}
    assert lab.time.time == 0, "there is nothing to wait for"
    assert CORDONED not in lab.api.store.get("nodes", "n")["metadata"]["annotations"]
    assert not lab.is_cordoned()


def test_a_new_cordon_has_its_own_time(lab: Lab) -> None:
    annotate(lab, "2026-01-01T00:00:00Z", cordoned=False)
    lab.drain()
    mark = lab.api.store.get("nodes", "n")["metadata"]["annotations"][CORDONED]
    assert mark[:4].isdigit() and mark > "2026-01-01T00:00:00Z"


def test_a_cordon_of_somebody_else_stays(lab: Lab) -> None:
    lab.api.store.edit("nodes", "n", lambda node: node["spec"].update(unschedulable=True))
    assert lab.drain()["cordoned"] is False
    assert lab.release()["uncordoned"] is False
    assert lab.is_cordoned()


def test_a_budget_is_waited_for(lab: Lab) -> None:
    lab.api.store.add(*(make_pod(name, "n", labels={"app": "web"}) for name in ("a", "b")))
    lab.api.store.add(make_pdb("web", {"app": "web"}, allowed=1))

    def replica_is_ready() -> None:
        lab.api.store.edit(
            "poddisruptionbudgets", "web", lambda item: item["status"].update(disruptionsAllowed=1), "default"
        )

    lab.time.events.append((20, replica_is_ready))
    lab.drain()
    assert lab.pods() == set()
    assert 20 <= lab.time.time < 60
    assert {item.status for item in lab.api.requests if item.path.endswith("/eviction")} == {201, 429}


def test_a_budget_that_never_has_room_ends_in_a_name_and_a_node_that_works(lab: Lab) -> None:
    lab.api.store.add(make_pod("a", "n", labels={"app": "web"}), make_pdb("web", {"app": "web"}, allowed=0))
    with pytest.raises(DrainFailed) as caught:
        lab.drain()
    assert caught.value.reason == "drain_timeout"
    assert "default/a" in str(caught.value)
    assert "disruption budget" in str(caught.value)
    assert lab.pods() == {"a"}
    assert not lab.is_cordoned()


def test_two_budgets_for_one_pod_are_named(lab: Lab) -> None:
    lab.api.store.add(make_pod("a", "n", labels={"app": "web"}))
    lab.api.store.add(make_pdb("x", {"app": "web"}, allowed=1), make_pdb("y", {"app": "web"}, allowed=1))
    with pytest.raises(DrainFailed, match="more than one PodDisruptionBudget"):
        lab.drain()


@pytest.mark.parametrize(
    ("pod", "allow"),
    [
        (make_pod("a", "n", owner=None), "evict_bare_pods"),
        (make_pod("a", "n", empty_dir=True), "evict_local_data"),
    ],
)
def test_what_would_be_lost_for_good_needs_a_word(lab: Lab, pod: dict[str, Any], allow: str) -> None:
    lab.api.store.add(pod)
    refusing = LIMITS._replace(evict_bare_pods=False, evict_local_data=False)
    with pytest.raises(DrainFailed) as caught:
        lab.drain(limits=refusing)
    assert (caught.value.reason, lab.is_cordoned(), lab.pods()) == ("pods_not_evictable", False, {"a"})
    lab.drain(limits=refusing._replace(**{allow: True}))
    assert lab.pods() == set()


def test_the_next_pod_of_the_same_name_is_not_evicted(lab: Lab) -> None:
    lab.api.store.add(make_pod("db-0", "n", owner="StatefulSet"))

    def moved() -> None:
        lab.api.store.delete("pods", "db-0", "default")
        again = make_pod("db-0", "other", owner="StatefulSet")
        again["metadata"]["uid"] = "another"
        lab.api.store.add(again)

    lab.api.fail("POST", ".*/eviction", before=moved)
    lab.drain()
    assert lab.pods() == {"db-0"}


def test_a_pod_that_lands_before_the_cordon_goes_too(lab: Lab) -> None:
    lab.api.store.add(make_pod("a", "n"))
    lab.api.fail("PATCH", ".*/nodes/n", before=lambda: lab.api.store.add(make_pod("late", "n")))
    assert lab.drain()["evicted"] == ["default/a", "default/late"]
    assert lab.pods() == set()


def test_a_bare_pod_that_shows_up_on_the_way_is_not_evicted(lab: Lab) -> None:
    lab.api.store.add(make_pod("a", "n", labels={"app": "web"}), make_pdb("web", {"app": "web"}, allowed=0))
    lab.time.events.append((5, lambda: lab.api.store.add(make_pod("bare", "n", owner=None))))
    with pytest.raises(DrainFailed) as caught:
        lab.drain()
    assert (caught.value.reason, lab.is_cordoned()) == ("pods_not_evictable", False)
    assert lab.pods() == {"a", "bare"}
    assert "harbor_ca_evict_bare_pods" in str(caught.value)


@pytest.mark.parametrize("path", [".*/eviction", "/api/v1/pods"])
def test_a_lost_connection_is_no_answer_yet(lab: Lab, path: str) -> None:
    lab.api.store.add(make_pod("a", "n"))
    lab.api.fail("POST" if "eviction" in path else "GET", path, cut=True, times=None)
    lab.time.events.append((20, lab.api.faults.clear))
    assert lab.drain()["evicted"] == ["default/a"]
    assert (lab.pods(), lab.time.time) == (set(), 20)


def test_a_cluster_that_stays_away_is_why_a_drain_failed_and_the_cordon_is_told(lab: Lab) -> None:
    lab.api.store.add(make_pod("a", "n", labels={"app": "web"}), make_pdb("web", {"app": "web"}, allowed=0))

    def gone() -> None:
        lab.api.fail("GET", ".*/nodes/n", status=403, times=None)
        lab.api.fail("GET", "/api/v1/pods", cut=True, times=None)

    lab.time.events.append((30, gone))
    with pytest.raises(KubeError) as caught:
        lab.drain()
    assert (caught.value.reason, lab.time.time) == ("unreachable", 60)
    assert "the node stays cordoned" in str(caught.value)
    lab.api.faults.clear()
    assert lab.is_cordoned()
    assert lab.release()["uncordoned"] is True


def test_a_pod_that_takes_its_time_is_waited_for_and_asked_once(lab: Lab) -> None:
    lab.api.store.graceful = True
    lab.api.store.add(make_pod("a", "n"))
    lab.time.events.append((15, lambda: lab.api.store.delete("pods", "a", "default")))
    assert lab.drain()["evicted"] == ["default/a"]
    assert lab.time.time == 15
    assert lab.api.count("POST", ".*/eviction") == 1
    lab.api.store.add(make_pod("b", "n"))
    with pytest.raises(DrainFailed, match="default/b: still terminating"):
        lab.drain()


def test_a_conflict_is_not_an_eviction(lab: Lab) -> None:
    lab.api.store.add(make_pod("a", "n"))
    lab.api.fail("POST", ".*/eviction", status=409)
    lab.drain()
    assert lab.pods() == set()
    assert lab.time.time == 5


def test_a_drain_uses_every_right_that_it_asks_for(lab: Lab) -> None:
    lab.api.store.add(make_pod("a", "n"))
    lab.drain()
    lab.release()
    assert {item.verb for item in lab.api.requests} == {str(right) for right in _access.NEEDED["drain"]}


def test_a_run_in_a_pod_does_not_evict_itself(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kubernetes.config import incluster_config

    name = "nodetrust-correct-drift-" + "x" * 45
    (tmp_path / "namespace").write_text("nodetrust\n")
    (tmp_path / "token").write_text("runner")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(lab.api.authority.path))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", lab.api.url.rpartition(":")[2])
    monkeypatch.setattr(socket, "gethostname", lambda: name[:63])
    lab.api.store.add(
        make_pod(name, "n", namespace="nodetrust", owner="Job"),
        make_pod(name, "n", namespace="other", owner="Job"),
    )
    result = run_action(node_drain, state="drained", name="n", in_cluster=True)
    assert result["evicted"] == [f"other/{name}"], result
    assert result["left"] == [f"nodetrust/{name}"]


def test_a_server_error_while_draining_gives_the_node_back(lab: Lab) -> None:
    lab.api.store.add(make_pod("a", "n"))
    lab.api.fail("POST", ".*/eviction", status=403, times=None)
    with pytest.raises(KubeError) as caught:
        lab.drain()
    assert (caught.value.reason, lab.is_cordoned()) == ("forbidden", False)


def test_release_waits_until_the_node_is_ready(lab: Lab) -> None:
    lab.drain()
    lab.set_ready("False")
    lab.time.events.append((15, lambda: lab.set_ready("True")))
    assert lab.release()["uncordoned"] is True
    assert lab.time.time == 15
    lab.drain()
    lab.set_ready("Unknown")
    with pytest.raises(DrainFailed) as caught:
        lab.release()
    assert (caught.value.reason, lab.is_cordoned()) == ("node_not_ready", True)


def test_nobody_waits_for_a_node_that_is_not_ours_to_give_back(lab: Lab) -> None:
    lab.api.store.edit("nodes", "n", lambda node: node["spec"].update(unschedulable=True))
    lab.set_ready("False")
    assert lab.release() == {"changed": False, "uncordoned": False}
    assert lab.time.time == 0


def test_ready_is_waited_for_and_nothing_is_changed(lab: Lab) -> None:
    lab.set_ready("False")
    lab.time.events.append((15, lambda: lab.set_ready("True")))
    assert lab.wait_ready() == {"changed": False}
    assert lab.time.time == 15
    assert {request.method for request in lab.api.requests} == {"GET"}


def test_a_node_that_does_not_become_ready_is_told_in_full(lab: Lab) -> None:
    lab.set_ready("False")
    with pytest.raises(DrainFailed) as caught:
        lab.wait_ready(timeout=7)
    assert lab.time.time == 7, "the last look is at the deadline"
    assert caught.value.facts() | {"next_step": ""} == {
        "reason": "node_not_ready",
        "registry": None,
        "path": None,
        "found": "Ready False, KubeletNotReady: PLEG is not healthy",
        "expected": "Ready True",
        "next_step": "",
        "context": "lab",
    }
    assert "journalctl -u kubelet" in str(caught.value)


def test_an_api_server_that_went_away_with_the_runtime_is_waited_for(lab: Lab) -> None:
    lab.api.fail("GET", ".*/nodes/n", cut=True, times=None)
    lab.time.events.append((20, lab.api.faults.clear))
    lab.wait_ready()
    assert lab.time.time == 20
    lab.api.fail("GET", ".*/nodes/n", cut=True, times=None)
    with pytest.raises(KubeError) as caught:
        lab.wait_ready()
    assert (caught.value.reason, lab.time.time) == ("unreachable", 80)
    lab.api.faults.clear()
    lab.api.fail("GET", ".*/nodes/n", status=403)
    with pytest.raises(KubeError) as caught:
        lab.wait_ready()
    assert (caught.value.reason, lab.time.time) == ("forbidden", 80), "this does not change by waiting"


def test_a_cordon_alone_moves_no_pod(lab: Lab) -> None:
    lab.api.store.add(make_pod("a", "n"))
    options: dict[str, Any] = {"kubeconfig": lab.kubeconfig, "name": "n"}
    assert run_action(node_drain, True, state="cordoned", **options)["cordoned"]
    assert not lab.is_cordoned()
    assert run_action(node_drain, state="cordoned", **options)["cordoned"]
    assert (lab.is_cordoned(), lab.pods()) == (True, {"a"})
    assert not run_action(node_drain, state="cordoned", **options)["changed"]
    assert run_action(node_drain, state="ready", **options) == {"changed": False}
    assert run_action(node_drain, state="released", **options)["uncordoned"]


def test_as_a_task(lab: Lab) -> None:
    lab.api.store.add(make_pod("a", "n"))
    options: dict[str, Any] = {"kubeconfig": lab.kubeconfig, "name": "n"}
    assert run_action(node_drain, True, state="drained", **options)["evicted"] == ["default/a"]
    assert run_action(node_drain, state="drained", **options)["changed"]
    assert run_action(node_drain, state="released", **options)["uncordoned"]
    missing = run_action(node_drain, state="drained", **{**options, "name": "gone"})
    assert (missing["failed"], missing["reason"]) == (True, "not_found")

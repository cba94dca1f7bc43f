# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What onboard_node says before it touches a node, and of nodes that it cannot reach: real runs, no machine behind."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.nodetrust.harbor.plugins.plugin_utils import _standing
from ansible_collections.nodetrust.harbor.tests.lab.kube import KubeApi, Rule, User, make_node
from tests.lab import pki
from tests.unit.playbooks.play import play

READ = Rule(("get", "list"), ("nodes",))
# Nothing listens on this port, and nobody needs a network for that.
NOWHERE = {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_user": "nobody"}


class Lab:
    def __init__(self, api: KubeApi, directory: Path) -> None:
        self.api, self.directory = api, directory
        self.kubeconfig = api.write_kubeconfig(directory / "kubeconfig")
        self.ca = pki.make_ca("Harbor CA").pem
        (directory / "fleet.yml").write_text(
            "plugin: nodetrust.harbor.cluster_nodes\nkubeconfig: kubeconfig\n"
            f"compose: {json.dumps({key: repr(value) for key, value in NOWHERE.items()})}\n"
        )

    def run(self, *flags: str, **variables: Any) -> tuple[int, str, dict[str, Any]]:
        """Exit status, what was said, and the outcome file."""
        self.api.requests.clear()
        given = {
            "harbor_ca_registries": [{"host": "harbor.invalid", "ca_pem": self.ca}],
            "harbor_ca_kubeconfig": str(self.kubeconfig),
            "harbor_ca_result_file": "outcome.json",
            **variables,
        }
        (self.directory / "outcome.json").unlink(missing_ok=True)
        return (*play(self.directory, "nodetrust.harbor.onboard_node", given, *flags), self.outcome())

    def allow_reading_only(self) -> None:
        self.api.users = [User("runner", (READ,), token="runner")]
        self.api.write_kubeconfig(self.kubeconfig, user="runner")

    def outcome(self) -> dict[str, Any]:
        outcome: dict[str, Any] = json.loads((self.directory / "outcome.json").read_text())
        return outcome

    def asked(self, after_inventory: int = 1) -> list[tuple[str, str]]:
        return [(item.method, item.path) for item in self.api.requests[after_inventory:]]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with KubeApi() as api:
        api.store.add(*(make_node(name) for name in ("a", "b", "c")))
        yield Lab(api, tmp_path)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            {"harbor_ca_certify": "yes please", "harbor_ca_drain": "sometimes", "harbor_ca_wait": "long"},
            (
                "harbor_ca_certify",
                "auto, never",
                "yes please",
                "harbor_ca_drain",
                "sometimes",
                "harbor_ca_wait",
            ),
        ),
        ({"harbor_ca_kubeconfig": "/no/such/kubeconfig"}, ("There is no kubeconfig", "/no/such/kubeconfig")),
    ],
    ids=["values", "kubeconfig"],
)
def test_a_bad_value_stops_the_run_before_a_node_is_touched(
    lab: Lab, wrong: dict[str, Any], words: tuple[str, ...]
) -> None:
    code, said, outcome = lab.run(**wrong)
    assert code != 0
    assert "UNREACHABLE" not in said
    assert lab.asked() == []
    assert outcome["ok"] is False
    told = [result["msg"] for result in outcome["nodes"].values()]
    assert len(told) == 3
    for word in (*words, "Found: ", "Next step: "):
        assert any(word in msg for msg in told), (word, said)


def test_one_mistake_in_the_list_is_told_in_fields_too(lab: Lab) -> None:
    code, said, outcome = lab.run(harbor_ca_registries=[{"host": "harbor.invalid", "ca_pem": "junk"}])
    assert code != 0
    told = outcome["nodes"]["a"]
    assert told["registry"] == "harbor.invalid" and told["next_step"] in told["msg"], said
    assert [error["registry"] for error in told["errors"]] == ["harbor.invalid"]


def test_the_outcome_is_written_as_who_runs_ansible(lab: Lab) -> None:
    # The variables of group all are those of the controller too; this is somebody that nobody can become.
    become = {"ansible_become": True, "ansible_become_user": "nobody", "ansible_become_exe": "/bin/false"}
    (lab.directory / "group_vars").mkdir()
    (lab.directory / "group_vars" / "all.yml").write_text(json.dumps(become))
    _code, said, outcome = lab.run()
    assert set(outcome["nodes"]) == {"a", "b", "c"}, said


def test_a_context_that_the_kubeconfig_lacks_is_named(lab: Lab) -> None:
    other = lab.api.write_kubeconfig(lab.directory / "other", context="elsewhere")
    code, said, outcome = lab.run(harbor_ca_kubeconfig=str(other))
    assert code != 0
    assert "UNREACHABLE" not in said
    assert "no context 'lab'" in outcome["nodes"]["a"]["msg"], said
    assert "elsewhere" in outcome["nodes"]["a"]["msg"]


@pytest.mark.parametrize(
    ("variables", "missing"),
    [
        # A cordon alone takes the same right.
        ({"harbor_ca_certify": "never"}, ["patch nodes"]),
        (
            {"harbor_ca_condition": "HarborTrusted", "harbor_ca_drain": "always"},
            ["patch nodes", "patch nodes/status", "create pods/eviction"],
        ),
    ],
    ids=["cordon", "all"],
)
def test_missing_rights_are_named_before_a_node_is_touched(
    lab: Lab, variables: dict[str, Any], missing: list[str]
) -> None:
    lab.allow_reading_only()
    code, said, outcome = lab.run(**variables)
    assert code != 0
    assert "UNREACHABLE" not in said
    for words in (*missing, "deploy/rbac"):
        assert words in outcome["nodes"]["a"]["msg"], said


def test_what_another_node_than_the_first_needs_is_asked_for_too(lab: Lab) -> None:
    lab.allow_reading_only()
    alone = {"harbor_ca_certify": "never", "harbor_ca_drain": "never"}
    (lab.directory / "host_vars").mkdir()
    (lab.directory / "host_vars" / "a.yml").write_text(json.dumps(alone))
    code, said, outcome = lab.run()
    assert code != 0
    assert "UNREACHABLE" not in said
    assert any("patch nodes" in result["msg"] for result in outcome["nodes"].values()), said


def test_who_wants_nothing_of_the_cluster_needs_no_right_there(lab: Lab) -> None:
    lab.allow_reading_only()
    lab.run(harbor_ca_certify="never", harbor_ca_drain="never")
    assert lab.asked() == []


def test_a_node_that_cannot_be_reached_is_a_failed_node_and_stops_the_rollout(lab: Lab) -> None:
    code, said, outcome = lab.run(harbor_ca_serial=1)
    assert code == 2, said
    (result,) = outcome["nodes"].values()
    assert (result["reason"], result["node"], result["proof"]) == ("node_unreachable", "a", "none")
    for words in ("a: cannot be reached", "refused", "127.0.0.1", "ansible.builtin.ping"):
        assert words in result["msg"]
    assert "\n" not in result["msg"] and "\r" not in result["msg"]
    assert set(outcome["without_outcome"]) == {"b", "c"}
    # Nothing is known of its trust, so the cluster hears nothing.
    assert result["certified"] is False
    assert lab.api.count("PATCH", ".*") == 0


def test_what_a_list_names_is_looked_at_once_for_each_list(lab: Lab) -> None:
    first, second = ({"host": name, "ca_pem": lab.ca} for name in ("harbor.invalid", "mirror.invalid"))
    lists: dict[str, Any] = {
        "a": [first],
        "b": [second],
        # Other images and logins make no other list.
        "c": [{**first, "proof_image": "library/c:1"}],
        "d": [second],
        "broken": [{"host": "harbor.invalid", "ca_pem": "{{ nowhere }}"}],
        "text": "harbor.invalid",
    }
    cases: list[tuple[str, dict[str, Any], set[str]]] = [
        ("a b c d", {}, {"a", "b"}),
        ("b c a", {}, {"b", "c"}),
        ("a c broken", {}, {"a"}),
        ("a text", {}, {"a"}),
        ("a c", {"a": {"harbor_ca_check_served": False}}, {"c"}),
        ("a c", {"a": {"harbor_ca_state": "absent"}}, {"c"}),
    ]
    for hosts, more, lookers in cases:
        inventory = {
            name: {**NOWHERE, "harbor_ca_registries": lists[name], **more.get(name, {})}
            for name in hosts.split()
        }
        (lab.directory / "fleet.yml").write_text(json.dumps({"all": {"hosts": inventory}}))
        code, said = play(lab.directory, "nodetrust.harbor.onboard_node", {}, "-v")
        assert code == 2, said
        checks = dict(re.findall(r'^ok: \[(\w+)\] => (.*"served": .*)$', said, re.MULTILINE))
        assert {name for name, text in checks.items() if '"reachable": false' in text} == lookers, said
        if "broken" in hosts:
            assert "'nowhere' is undefined" in said and "cannot be reached" not in said
        if "text" in hosts:
            assert "The value is not a list." in said and "...ignoring" not in said


def test_a_rotation_looks_once_too(lab: Lab) -> None:
    given = {
        "harbor_ca_registries": [{"host": "harbor.invalid", "ca_pem": lab.ca}],
        "harbor_ca_rotation": {"hosts": ["harbor.invalid"], "ca_pem": pki.make_ca("Harbor CA").pem},
    }
    inventory = {"hosts": dict.fromkeys("ab", NOWHERE), "vars": given}
    (lab.directory / "fleet.yml").write_text(json.dumps({"all": inventory}))
    flags = {"harbor_ca_rotation_phase": "add", "harbor_ca_lock_file": str(lab.directory / "lock")}
    _code, said = play(lab.directory, "nodetrust.harbor.rotate_ca", flags, "-v")
    assert said.count('"reachable": false') == 1, said


def test_a_list_of_the_play_is_looked_at_too(lab: Lab) -> None:
    (lab.directory / "fleet.yml").write_text(json.dumps({"all": {"hosts": dict.fromkeys("abc", NOWHERE)}}))
    (lab.directory / "own.yml").write_text(
        "- ansible.builtin.import_playbook: nodetrust.harbor.onboard_node\n  vars:\n"
        "    harbor_ca_registries: \"{{ [{'host': (inventory_hostname == 'b') | ternary('b', 'a') ~ '.invalid', "
        "'ca_pem': ca}] }}\"\n"
    )
    code, said = play(lab.directory, "own.yml", {"ca": lab.ca}, "-v")
    assert code == 2, said
    assert set(re.findall(r'^ok: \[(\w)\] => .*"reachable": false', said, re.MULTILINE)) == {"a", "b"}, said


LOST = """
- hosts: all
  gather_facts: false
  serial: 2
  max_fail_percentage: 0
  tasks:
    - ansible.builtin.set_fact:
        __harbor_ca_batch: "{{ ansible_play_batch }}"
        harbor_ca_result: {ok: true, msg: good, proof: none, changed: false}
    - ansible.builtin.raw: "true"
    - ansible.builtin.include_tasks: REPORT
"""


def test_a_node_that_is_lost_on_the_way_is_told_and_stops_the_rollout(lab: Lab) -> None:
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    hosts = {"a": here, "b": NOWHERE, "c": here}
    (lab.directory / "fleet.yml").write_text(json.dumps({"all": {"hosts": hosts}}))
    report = Path(__file__).parents[3] / "playbooks" / "tasks" / "report.yml"
    (lab.directory / "lost.yml").write_text(LOST.replace("REPORT", str(report)))
    code, said = play(lab.directory, "lost.yml", {"harbor_ca_result_file": "outcome.json"})
    assert code == 4, said
    outcome = lab.outcome()
    assert outcome["nodes"]["a"]["ok"] is True
    assert (outcome["nodes"]["b"]["ok"], outcome["nodes"]["b"]["reason"]) == (False, "node_lost")
    assert "Next step: " in outcome["nodes"]["b"]["msg"]
    assert outcome["without_outcome"] == ["c"]


@pytest.mark.parametrize("ok", [True, False], ids=["all", "some"])
def test_one_node_that_failed_among_others_is_a_failure(lab: Lab, ok: bool) -> None:
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    (lab.directory / "fleet.yml").write_text(json.dumps({"all": {"hosts": {"a": here, "b": here}}}))
    report = Path(__file__).parents[3] / "playbooks" / "tasks" / "report.yml"
    # As without harbor_ca_serial: nothing ends the play early.
    text = LOST.replace("REPORT", str(report)).replace("max_fail_percentage: 0", "max_fail_percentage: 100")
    text = text.replace("ok: true", "ok: \"{{ inventory_hostname == 'a' or fine }}\"")
    (lab.directory / "some.yml").write_text(text)
    code, said = play(lab.directory, "some.yml", {"harbor_ca_result_file": "outcome.json", "fine": ok})
    assert code == (0 if ok else 2), said
    assert lab.outcome()["ok"] is ok


WORK_LIST = "uncertified:stale"
PIN = "SHA256:" + ":".join(["AB"] * 32)


def certify(lab: Lab, *names: str) -> None:
    proof = _standing.Proof(
        {"harbor.invalid": [PIN]}, datetime.now(timezone.utc), "containerd://2.1.9"
    ).to_text()
    for name in names:
        lab.api.store.edit(
            "nodes",
            name,
            lambda node: node["metadata"].update(
                labels={"harbor-certified": "true"}, annotations={"nodetrust.harbor/proof": proof}
            ),
        )


def test_a_work_list_that_is_done_is_a_success_that_touches_nobody(lab: Lab) -> None:
    certify(lab, "a", "b", "c")
    code, said, outcome = lab.run(harbor_ca_nodes=WORK_LIST)
    assert code == 0, said
    assert "nothing to do: all 3 nodes" in said
    assert (outcome["ok"], outcome["nodes"], outcome["without_outcome"]) == (True, {}, [])
    assert lab.asked() == []


def test_a_work_list_names_who_is_left(lab: Lab) -> None:
    certify(lab, "a", "b")
    code, said, outcome = lab.run(harbor_ca_nodes=WORK_LIST)
    assert code == 2, said
    assert (outcome["ok"], set(outcome["nodes"])) == (False, {"c"})


@pytest.mark.parametrize(
    ("spoil", "pattern"),
    [
        (lambda lab: lab.api.stop(), WORK_LIST),
        (lambda lab: [lab.api.store.delete("nodes", name) for name in "abc"], WORK_LIST),
        (lambda lab: certify(lab, "a", "b", "c"), "uncertfied:stale"),
        (lambda lab: certify(lab, "a", "b", "c"), "no_such_group"),
    ],
    ids=["no answer", "empty cluster", "misspelt", "another group"],
)
def test_nobody_is_no_success_where_it_may_be_a_mistake(
    lab: Lab, spoil: Callable[[Lab], Any], pattern: str
) -> None:
    spoil(lab)
    (lab.directory / "static.yml").write_text("all: {hosts: {elsewhere: {}}}\n")
    code, said, outcome = lab.run("-i", "static.yml", harbor_ca_nodes=pattern)
    assert code == 2, said
    assert "No node is selected" in said
    assert outcome["ok"] is False

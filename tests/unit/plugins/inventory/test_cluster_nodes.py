# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin through its front door: Ansible's InventoryManager, a file, an API server over TLS."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible import constants
from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.utils.display import Display

from ansible_collections.nodetrust.harbor.plugins.plugin_utils import _standing
from ansible_collections.nodetrust.harbor.tests.lab.kube import KubeApi, Rule, User, make_node

PIN = "SHA256:" + ":".join(["AB"] * 32)
OTHER_PIN = "SHA256:" + ":".join(["CD"] * 32)
NODES = "/api/v1/nodes"
ROOT = Path(__file__).resolve().parents[4]


class Lab:
    """An API server, the inventory file beside its kubeconfig, and what Ansible said about them."""

    def __init__(self, api: KubeApi, directory: Path, said: list[str]) -> None:
        self.api, self.directory, self.said = api, directory, said
        self.kubeconfig = api.write_kubeconfig(directory / "kubeconfig")

    def write(self, text: str | None = None, **options: Any) -> Path:
        path = self.directory / "fleet.yml"
        data = {"plugin": "nodetrust.harbor.cluster_nodes", "kubeconfig": "kubeconfig", **options}
        path.write_text(
            text or yaml.safe_dump({key: value for key, value in data.items() if value is not None})
        )
        return path

    def read(self, *, text: str | None = None, **options: Any) -> InventoryManager:
        self.said.clear()
        return InventoryManager(loader=DataLoader(), sources=[str(self.write(text, **options))])

    def failure(self, **options: Any) -> str:
        """What Ansible says about a file that it could not use; nothing of it may be used."""
        inventory = self.read(**options)
        assert not inventory.get_hosts()
        return " ".join(" ".join(self.said).split())

    def add_context(self, other: KubeApi, name: str) -> None:
        mine, theirs = json.loads(self.kubeconfig.read_text()), other.kubeconfig(name)
        for section in ("clusters", "users", "contexts"):
            mine[section] += theirs[section]
        self.kubeconfig.write_text(json.dumps(mine))


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    texts: list[str] = []

    def say(self: Display, msg: object = "", exception: object = "", **kwargs: Any) -> None:
        texts.append(f"{msg} {exception}")

    monkeypatch.setattr(Display, "warning", say)
    monkeypatch.setattr(Display, "error_as_warning", say, raising=False)  # since ansible-core 2.19
    return texts


@pytest.fixture
def lab(tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    # Ansible's own default, whatever the ansible.cfg of this checkout says.
    monkeypatch.setattr(constants, "INVENTORY_ANY_UNPARSED_IS_FAILED", False)
    with KubeApi() as api:
        yield Lab(api, tmp_path, said)


def variables(inventory: InventoryManager, name: str) -> dict[str, Any]:
    host = inventory.get_host(name)
    assert host is not None, f"no host {name} in {sorted(item.name for item in inventory.get_hosts())}"
    return host.vars


def groups(inventory: InventoryManager, name: str) -> set[str]:
    return {group.name for group in inventory.get_host(name).get_groups()} - {"all"}


def proof(
    *, age_hours: float = 1, pins: tuple[str, ...] = (PIN,), runtime: str = "containerd://2.1.9"
) -> str:
    moment = datetime.now(timezone.utc) - timedelta(hours=age_hours)
    return _standing.Proof({"harbor.example.com": list(pins)}, moment, runtime).to_text()


def proved(name: str, text: str | None = None, label: str | None = "true", **how: Any) -> dict[str, Any]:
    annotations = {} if text is None else {"nodetrust.harbor/proof": text}
    return make_node(
        name, labels={"harbor-certified": label} if label else {}, annotations=annotations, **how
    )


def test_every_variable_of_a_host(lab: Lab) -> None:
    taint = {"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}
    lab.api.store.add(
        make_node(
            "cp-1", address="10.0.3.17", control_plane=True, taints=[taint], annotations={"a": "1", "b": "2"}
        )
    )
    inventory = lab.read(annotations=["b", "c"])
    found = variables(inventory, "cp-1")
    node = found["cluster_node"]
    labels, uid = node.pop("labels"), node.pop("uid")
    assert labels["kubernetes.io/hostname"] == "cp-1"
    assert len(uid) == 36
    assert found["ansible_host"] == "10.0.3.17"
    assert node == {
        "name": "cp-1",
        "cluster": "lab",
        "created": "2026-01-02T03:04:05Z",
        "provider_id": node["provider_id"],
        "addresses": [
            {"type": "InternalIP", "address": "10.0.3.17"},
            {"type": "Hostname", "address": "cp-1"},
        ],
        "annotations": {"b": "2"},
        "taints": [taint],
        "unschedulable": False,
        "conditions": {
            "MemoryPressure": "False",
            "DiskPressure": "False",
            "PIDPressure": "False",
            "Ready": "True",
        },
        "ready": True,
        "roles": ["control-plane"],
        "control_plane": True,
        "runtime": {"id": "containerd://2.1.9", "name": "containerd", "version": "2.1.9"},
        "distribution": "",
        "os": "linux",
        "architecture": "amd64",
        "os_image": "Debian GNU/Linux 13 (trixie)",
        "kernel": "6.12.48",
        "kubelet_version": "v1.36.2",
        "certification": {
            "state": "uncertified",
            "reason": "never proved",
            "time": None,
            "runtime": None,
            "registries": {},
        },
    }
    json.dumps(found)
    assert groups(inventory, "cp-1") == {
        "cluster_nodes", "control_plane", "ready", "uncertified", "runtime_containerd", "os_linux",
        "arch_amd64", "cluster_lab",
    }  # fmt: skip
    assert lab.said == []


def test_groups_follow_the_node(lab: Lab) -> None:
    lab.api.store.add(
        make_node("w", runtime="cri-o://1.36.0", ready="Unknown", os="windows", arch="arm64"),
        make_node("x", runtime=""),
    )
    inventory = lab.read(group_prefix="k8s-")
    assert groups(inventory, "w") == {
        "k8s_cluster_nodes", "k8s_worker", "k8s_not_ready", "k8s_uncertified", "k8s_runtime_cri_o",
        "k8s_os_windows", "k8s_arch_arm64", "k8s_cluster_lab",
    }  # fmt: skip
    assert not any("runtime" in name for name in groups(inventory, "x"))


@pytest.mark.parametrize(
    ("node", "state", "reason"),
    [
        (lambda: proved("n", proof()), "certified", "proved"),
        (lambda: proved("n", None, None), "uncertified", "never proved"),
        (lambda: proved("n"), "uncertified", "label without a proof"),
        (lambda: proved("n", proof(), None), "uncertified", "proof without the label"),
        (lambda: proved("n", proof(), "yes"), "uncertified", "proof without the label"),
        (lambda: proved("n", "{junk"), "uncertified", "the proof is unreadable"),
        (lambda: proved("n", "[" * 100_000), "uncertified", "the proof is unreadable"),
        (lambda: proved("n", '{"version":2}'), "uncertified", "the proof is unreadable"),
        (lambda: proved("n", proof(age_hours=25)), "stale", "the proof is too old"),
        (lambda: proved("n", proof(age_hours=-1)), "stale", "the proof is from the future"),
        (lambda: proved("n", proof(pins=(PIN, OTHER_PIN))), "stale", "other pins were proved"),
        (lambda: proved("n", proof(), runtime="containerd://2.2.0"), "stale", "the runtime changed"),
    ],
)
def test_certification(lab: Lab, node: Callable[[], dict[str, Any]], state: str, reason: str) -> None:
    lab.api.store.add(node())
    inventory = lab.read(
        proof_validity_hours=24, registries=[{"host": "harbor.example.com", "fingerprints": [PIN.lower()]}]
    )
    found = variables(inventory, "n")["cluster_node"]["certification"]
    assert (found["state"], found["reason"]) == (state, reason)
    assert groups(inventory, "n") & {"certified", "uncertified", "stale"} == {state}


def test_a_registry_that_was_never_proved_makes_stale(lab: Lab) -> None:
    lab.api.store.add(proved("n", proof()))
    inventory = lab.read(registries=[{"host": "harbor.example.com"}, {"host": "new.example.com"}])
    assert variables(inventory, "n")["cluster_node"]["certification"]["reason"] == "a registry was not proved"


def test_names_of_label_and_annotation_are_options(lab: Lab) -> None:
    label = "node-restriction.kubernetes.io/harbor-certified"
    lab.api.store.add(make_node("n", labels={label: "true"}, annotations={"example.com/proof": proof()}))
    inventory = lab.read(certified_label=label, proof_annotation="example.com/proof")
    assert "certified" in groups(inventory, "n")


def test_selectors_go_to_the_server_and_pages_are_followed(lab: Lab) -> None:
    lab.api.store.add(
        *(make_node(f"n{number}", labels={"pool": "a"}) for number in range(5)), make_node("other")
    )
    inventory = lab.read(label_selector="pool=a", field_selector="spec.unschedulable=false", page_size=2)
    assert len(inventory.get_hosts()) == 5
    assert [request.query.get("limit") for request in lab.api.requests] == ["2"] * 3
    assert {request.query["labelSelector"] for request in lab.api.requests} == {"pool=a"}
    assert {request.query["fieldSelector"] for request in lab.api.requests} == {"spec.unschedulable=false"}


def test_a_list_that_expires_is_begun_anew(lab: Lab) -> None:
    lab.api.store.add(*(make_node(f"n{number}") for number in range(5)))
    lab.api.fail("GET", NODES, times=1, status=None)  # the first page as it is, then the tokens go
    lab.api.fail("GET", NODES, before=lab.api.store.expire_lists)
    inventory = lab.read(page_size=2)
    assert len(inventory.get_hosts()) == 5
    assert [request.status for request in lab.api.requests] == [200, 410, 200, 200, 200]


@pytest.mark.parametrize(
    ("addresses", "preference", "expected"),
    [
        ([("InternalIP", "10.0.0.1"), ("ExternalIP", "192.0.2.1")], None, "10.0.0.1"),
        ([("InternalIP", "10.0.0.1"), ("ExternalIP", "192.0.2.1")], ["ExternalIP"], "192.0.2.1"),
        ([("Hostname", "n.example.com")], None, "n.example.com"),
        ([("InternalIP", "fd00::1"), ("InternalIP", "10.0.0.1")], None, "fd00::1"),
        ([("InternalIP", "10.0.0.1")], ["ExternalIP"], None),
        ([], None, None),
        ([("InternalIP", "127.0.0.1"), ("Hostname", "localhost")], None, None),
        ([("InternalIP", "-oProxyCommand=id"), ("Hostname", "-oProxyCommand=id")], None, None),
        ([("InternalIP", "{{ 1 }}"), ("Hostname", "{{ 1 }}")], None, None),
    ],
)
def test_address(
    lab: Lab, addresses: list[tuple[str, str]], preference: list[str] | None, expected: str | None
) -> None:
    items = [{"type": kind, "address": address} for kind, address in addresses]
    lab.api.store.add(make_node("n", addresses=items))
    inventory = lab.read(address_types=preference)
    assert variables(inventory, "n").get("ansible_host") == expected
    if expected is None:
        assert "no_address" in groups(inventory, "n")
        assert any("no usable address for n." in text for text in lab.said)


def test_nothing_the_node_writes_is_a_connection_variable_or_a_template(lab: Lab) -> None:
    evil = "{{ lookup('pipe', 'touch ' ~ inventory_dir ~ '/owned') }}"
    node = make_node("n", labels={"ansible_host": "a", "ansible_connection": "local"})
    node["metadata"]["annotations"] = {"ansible_user": "root", "note": evil}
    node["status"]["nodeInfo"]["osImage"] = evil
    lab.api.store.add(node)
    inventory = lab.read(
        annotations=["ansible_user", "note"], compose={"note": "cluster_node.annotations.note"}, strict=True
    )
    found = variables(inventory, "n")
    assert set(found) - {"inventory_dir", "inventory_file"} == {"ansible_host", "cluster_node", "note"}
    assert found["ansible_host"].startswith("10.")

    from ansible.template import Templar

    templar = Templar(loader=DataLoader(), variables=found)
    for text in (found["note"], found["cluster_node"]["os_image"]):
        assert templar.template(text) == evil
    assert not (lab.directory / "owned").exists()


@pytest.mark.parametrize("name", ["localhost", "all", "127.0.0.1"])
def test_a_node_cannot_take_the_controllers_place(lab: Lab, name: str) -> None:
    lab.api.store.add(make_node(name), make_node("n"))
    inventory = lab.read()
    assert [host.name for host in inventory.get_hosts()] == ["n"]
    assert any("mean something else to Ansible" in text and name in text for text in lab.said)


def test_composed_variables_and_groups(lab: Lab) -> None:
    lab.api.store.add(make_node("n", labels={"pool": "9 lives/and.more"}, runtime="docker://28.5.0"))
    inventory = lab.read(
        strict=True,
        compose={"ansible_user": "'admin'", "zone": "cluster_node.labels['topology.kubernetes.io/zone'][-1]"},
        groups={"old_engine": "cluster_node.runtime.name == 'docker'"},
        keyed_groups=[{"key": "cluster_node.labels.pool", "prefix": "pool"}],
    )
    found = variables(inventory, "n")
    assert (found["ansible_user"], found["zone"] in "abc") == ("admin", True)
    assert {"old_engine", "pool_9_lives_and_more"} <= groups(inventory, "n")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"compose": {"x": "nothing.at.all"}}, "Could not set x for host n"),
        ({"groups": {"x": "nothing.at.all"}}, "Could not add host n to group x"),
        ({"keyed_groups": [{"key": "nothing.at.all"}]}, "Could not generate group for host n"),
        (
            {"hostname": "nothing.at.all"},
            "the option hostname fails for node 'n'. Expression: nothing.at.all",
        ),
    ],
)
def test_a_template_that_fails(lab: Lab, options: dict[str, Any], expected: str) -> None:
    lab.api.store.add(make_node("n"))
    assert [host.name for host in lab.read(**options).get_hosts()] == ["n"]
    assert bool(lab.said) == ("hostname" in options), "only the name of a host is too important to be skipped"
    inventory = lab.read(**options, strict=True)
    assert any(expected in text for text in lab.said), lab.said
    assert inventory.get_host("n") is None or "hostname" not in options


def test_hostname_is_a_template(lab: Lab) -> None:
    lab.api.store.add(make_node("n"), make_node("m"))
    inventory = lab.read(hostname="cluster_node.name ~ '.example.com'", strict=True)
    assert sorted(host.name for host in inventory.get_hosts()) == ["m.example.com", "n.example.com"]
    assert sorted(host.name for host in lab.read(hostname="'localhost'").get_hosts()) == ["m", "n"]
    lab.read(hostname="'same'")
    assert any("Two nodes would both be the host 'same'" in text for text in lab.said)


def test_two_clusters_with_the_same_node_name(lab: Lab) -> None:
    with KubeApi() as other:
        lab.add_context(other, "arn:aws:eks:eu/2")
        lab.api.store.add(make_node("n", address="10.0.0.1"))
        other.store.add(make_node("n", address="10.0.0.2", uid="another"))
        inventory = lab.read(contexts=["lab", "arn:aws:eks:eu/2"])
    found = {host.name: host.vars["ansible_host"] for host in inventory.get_hosts()}
    assert found == {"n.lab": "10.0.0.1", "n.arn-aws-eks-eu-2": "10.0.0.2"}
    assert "cluster_arn_aws_eks_eu_2" in groups(inventory, "n.arn-aws-eks-eu-2")
    assert lab.said == []


def test_a_node_with_the_name_of_a_group(lab: Lab) -> None:
    lab.api.store.add(make_node("worker"), make_node("a"), make_node("ready"))
    inventory = lab.read()
    assert {host.name for host in inventory.get_hosts()} == {"worker.lab", "a", "ready.lab"}
    assert {host.name for host in inventory.get_hosts("worker")} == {"worker.lab", "a", "ready.lab"}
    inventory = lab.read(group_prefix="k8s_")
    assert {host.name for host in inventory.get_hosts()} == {"worker", "a", "ready"}


@pytest.mark.parametrize(
    "name",
    ["worker", "cluster_nodes", "not_ready", "no_address", "cluster_lab", "all", "0x7f.1", "a:b", "a b"],
)
def test_a_hostname_that_means_something_else_is_a_template_that_failed(lab: Lab, name: str) -> None:
    lab.api.store.add(
        make_node("n", annotations={"name": name}), make_node("m", annotations={"name": "m.x_1"})
    )
    options = {"hostname": "cluster_node.annotations.name", "annotations": ["name"]}
    assert {host.name for host in lab.read(**options).get_hosts()} == {"n", "m.x_1"}
    assert any("the option hostname fails for node 'n'" in text for text in lab.said)


def test_the_same_cluster_under_two_contexts(lab: Lab) -> None:
    lab.api.store.add(make_node("n"))
    lab.add_context(lab.api, "again")
    lab.read(contexts=["lab", "again"])
    assert any("the same node under two names: n.lab and n.again" in text for text in lab.said)


def test_two_nodes_with_the_same_address(lab: Lab) -> None:
    lab.api.store.add(make_node("old", address="10.0.0.1"), make_node("new", address="10.0.0.1"))
    assert len(lab.read().get_hosts()) == 2
    assert any("same address: new and old (10.0.0.1)" in text for text in lab.said)


def test_one_cluster_that_does_not_answer(lab: Lab) -> None:
    lab.api.store.add(make_node("n"))
    with KubeApi() as other:
        lab.add_context(other, "gone")
        other.stop()
        text = lab.failure(contexts=["lab", "gone"])
        assert "context 'gone'" in text
        inventory = lab.read(contexts=["lab", "gone"], on_cluster_error="warn")
    assert [host.name for host in inventory.get_hosts()] == ["n.lab"]
    assert any("missing from this run" in text and "context 'gone'" in text for text in lab.said)


def test_empty_cluster(lab: Lab) -> None:
    assert not lab.read(label_selector="pool=none").get_hosts()
    assert any("no nodes in the current context" in text and "label_selector" in text for text in lab.said)


def test_client_certificate(lab: Lab) -> None:
    lab.api.store.add(make_node("n"))
    lab.api.write_kubeconfig(lab.kubeconfig, certificate=True)
    assert len(lab.read().get_hosts()) == 1
    assert lab.api.requests[-1].user == "admin"


def test_kubeconfig_from_the_environment_and_from_home(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.api.store.add(make_node("n"))
    monkeypatch.setenv("KUBECONFIG", f"/does/not/exist:{lab.kubeconfig}")
    assert len(lab.read(kubeconfig=None).get_hosts()) == 1
    monkeypatch.delenv("KUBECONFIG")
    home = lab.directory / "home" / ".kube"
    home.mkdir(parents=True)
    (home / "config").write_text(lab.kubeconfig.read_text())
    assert len(lab.read(kubeconfig=None).get_hosts()) == 1


def exec_config(lab: Lab, command: str) -> None:
    data = json.loads(lab.kubeconfig.read_text())
    data["users"][0]["user"] = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": command,
            "interactiveMode": "Never",
        }
    }
    lab.kubeconfig.write_text(json.dumps(data))


def program(lab: Lab, text: str) -> str:
    path = lab.directory / "login"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_exec_plugin_that_works(lab: Lab) -> None:
    lab.api.store.add(make_node("n"))
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "admin-token"},
    }
    exec_config(lab, program(lab, f"echo '{json.dumps(credential)}'\n"))
    assert len(lab.read().get_hosts()) == 1


def _edit(lab: Lab, change: Callable[[dict[str, Any]], Any]) -> None:
    data = json.loads(lab.kubeconfig.read_text())
    change(data)
    lab.kubeconfig.write_text(json.dumps(data))


def _other_ca(lab: Lab) -> None:
    with KubeApi() as other:
        ca = other.authority.pem
    _edit(lab, lambda data: data["clusters"][0].update(cluster=lab.api.cluster(ca)))


def _expired(lab: Lab) -> None:
    lab.api.users[0].expired = True


def _reader_of_nothing(lab: Lab) -> None:
    lab.api.users.append(User("nobody", (Rule(("get",), ("pods",)),), token="nobody"))
    lab.api.write_kubeconfig(lab.kubeconfig, user="nobody")


BAD: list[tuple[str, Callable[[Lab], Any], dict[str, Any], tuple[str, ...]]] = [
    (
        "no kubeconfig",
        lambda lab: None,
        {"kubeconfig": "none"},
        ("There is no kubeconfig", "none", "Next step"),
    ),
    (
        "empty kubeconfig",
        lambda lab: lab.kubeconfig.write_text(""),
        {},
        ("is not a kubeconfig", "an empty file"),
    ),
    ("kubeconfig is a list", lambda lab: lab.kubeconfig.write_text("[]"), {}, ("is not a kubeconfig",)),
    (
        "broken kubeconfig",
        lambda lab: lab.kubeconfig.write_text("users:\n- token: very-secret\n  x: [\n"),
        {},
        ("is not valid YAML", "a mistake in line"),
    ),
    ("unknown context", lambda lab: None, {"contexts": ["prod"]}, ("no context 'prod'", "Found: lab")),
    (
        "no current context",
        lambda lab: _edit(lab, lambda data: data.pop("current-context")),
        {},
        ("no current context", "Found: lab"),
    ),
    (
        "context without its user",
        lambda lab: _edit(lab, lambda data: data.update(users=[])),
        {},
        ("names a user that the kubeconfig does not have", "context 'lab'"),
    ),
    (
        "certificate that is no base64",
        lambda lab: _edit(
            lab,
            lambda data: data["users"][0].update(
                user={"client-certificate-data": "!", "client-key-data": "!"}
            ),
        ),
        {},
        ("context 'lab'", "no TLS connection", "client certificate in the kubeconfig"),
    ),
    (
        "CA file that is gone",
        lambda lab: _edit(
            lab, lambda data: data["clusters"][0]["cluster"].update({"certificate-authority": "gone"})
        ),
        {},
        ("Context 'lab'", "cannot be used", "File does not exist"),
    ),
    ("expired token", _expired, {}, ("context 'lab'", "refused the credentials", "HTTP 401", "log in again")),
    ("wrong CA", _other_ca, {}, ("context 'lab'", "does not verify", "certificate-authority-data")),
    (
        "missing exec plugin",
        lambda lab: exec_config(lab, "no-such-login"),
        {},
        ("Context 'lab'", "credential plugin is not installed", "'no-such-login'"),
    ),
    (
        "failing exec plugin",
        lambda lab: exec_config(lab, program(lab, "echo session expired >&2; exit 3\n")),
        {},
        ("Context 'lab'", "credential plugin failed", "session expired", "by hand"),
    ),
    (
        "exec plugin that talks nonsense",
        lambda lab: exec_config(lab, program(lab, "echo hello\n")),
        {},
        ("credential plugin failed", "failed to decode"),
    ),
    ("API down", lambda lab: lab.api.stop(), {}, ("context 'lab'", "cannot reach https://127.0.0.1", "VPN")),
    (
        "slow API",
        lambda lab: lab.api.fail("GET", NODES, delay=1.5, times=None),
        {"request_timeout": 0.5},
        ("context 'lab'", "no answer", "in time"),
    ),
    (
        "403 on list",
        _reader_of_nothing,
        {},
        ("not allowed to list nodes", 'User "nobody" cannot list', "deploy/rbac"),
    ),
    (
        "not Kubernetes",
        lambda lab: lab.api.fail("GET", NODES, text=b"<html>login</html>"),
        {},
        ("is not a Kubernetes API", "context 'lab'"),
    ),
    (
        "JSON but no nodes",
        lambda lab: lab.api.fail("GET", NODES, text=b'{"kind":"PodList","items":[]}'),
        {},
        ("something else than nodes", "PodList"),
    ),
    ("bad selector", lambda lab: None, {"label_selector": "a==="}, ("rejected it", "unable to parse")),
    (
        "unknown option",
        lambda lab: None,
        {"contxts": ["lab"]},
        ("no option 'contxts'", "did you mean 'contexts'"),
    ),
    (
        "bad pin",
        lambda lab: None,
        {"registries": [{"host": "h.example.com", "fingerprints": ["AB"]}]},
        ("2 hex digits",),
    ),
    (
        "registry that is none",
        lambda lab: None,
        {"registries": [{"host": "h"}]},
        ("neither a dot nor a port",),
    ),
    (
        "registry that is a text",
        lambda lab: None,
        {"registries": ["h.example.com"]},
        ("option registries", "an entry that is a text"),
    ),
    (
        "registry without host",
        lambda lab: None,
        {"registries": [{"hosts": "x"}]},
        ("option registries", "Found: hosts"),
    ),
    (
        "registry with an unknown key",
        lambda lab: None,
        {"registries": [{"host": "h.example.com", "fingerprint": PIN}]},
        ("option registries", "fingerprint, host"),
    ),
    (
        "pins that are a text",
        lambda lab: None,
        {"registries": [{"host": "h.example.com", "fingerprints": PIN}]},
        ("fingerprints that are a text",),
    ),
    ("no time at all", lambda lab: None, {"request_timeout": 0}, ("request_timeout is 0", "Next step")),
    *(
        (
            f"kubeconfig with {words}",
            lambda lab, change=change: _edit(lab, change),
            {},
            (words, "kubeconfig", "is broken", "Next step"),
        )
        for change, words in (
            (
                lambda data: data["contexts"][0].update(context="text"),
                "context 'lab' is a text, not a set of keys and values",
            ),
            (lambda data: data.update(contexts=5), "contexts is no list"),
            (lambda data: data["contexts"][0].update(name=7), "entry 1 of contexts has no name"),
            (
                lambda data: data["clusters"][0].update(cluster="abc"),
                "cluster 'lab' is a text, not a set of keys and values",
            ),
            (
                lambda data: data["clusters"][0]["cluster"].update(server=1),
                "server of cluster 'lab' is a number, not a text",
            ),
            (
                lambda data: data["users"][0].update(user={"exec": "foo"}),
                "exec of user 'lab-admin' is a text",
            ),
            (
                lambda data: data["users"][0].update(user={"exec": ["foo"]}),
                "exec of user 'lab-admin' is a list",
            ),
            (
                lambda data: data["users"][0].update(user={"exec": {"command": "id", "env": {"a": "b"}}}),
                "env of exec of user 'lab-admin' is a set of keys and values, not a list",
            ),
            (
                lambda data: data["users"][0].update(user={"exec": {"command": "id", "env": ["a"]}}),
                "env in exec of user 'lab-admin' is a text, not a set of keys and values",
            ),
        )
    ),
    ("bad choice", lambda lab: None, {"address_types": ["Pigeon"]}, ("Pigeon",)),
    ("no service account", lambda lab: None, {"in_cluster": True}, ("no service account", "run in a pod")),
]


@pytest.mark.parametrize(
    ("spoil", "options", "words"), [case[1:] for case in BAD], ids=[case[0] for case in BAD]
)
def test_bad_input(
    lab: Lab, spoil: Callable[[Lab], Any], options: dict[str, Any], words: tuple[str, ...]
) -> None:
    lab.api.store.add(make_node("n"))
    assert len(lab.read().get_hosts()) == 1, "it works before it is spoilt"
    spoil(lab)
    text = lab.failure(**options)
    for word in (*words, "fleet.yml"):
        assert word in text
    assert "very-secret" not in text
    assert "Traceback" not in text
    assert text.count(words[0]) == 1, "said once, not with every cause behind it"


def test_busy_server_is_waited_for(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.nodetrust.harbor.plugins.plugin_utils import _kube

    waits: list[float] = []
    monkeypatch.setattr(_kube, "time", SimpleNamespace(sleep=waits.append))
    lab.api.store.add(make_node("n"))
    lab.api.fail("GET", NODES, status=429, retry_after=7)
    lab.api.fail("GET", NODES, status=503)
    assert len(lab.read().get_hosts()) == 1
    assert waits[0] == 7
    assert 0 < waits[1] < 7
    lab.api.fail("GET", NODES, status=429, times=None)
    before = len(lab.api.requests)
    assert "too busy" in lab.failure()
    assert len(lab.api.requests) - before == 5


def test_unparsed_is_an_error_where_ansible_is_told_so(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "INVENTORY_ANY_UNPARSED_IS_FAILED", True)
    with pytest.raises(AnsibleError):
        lab.read(kubeconfig="none")


def test_other_files_are_left_to_other_plugins(lab: Lab) -> None:
    inventory = lab.read(text="all:\n  hosts:\n    static-1: {}\n")
    assert [host.name for host in inventory.get_hosts()] == ["static-1"]


class TestCache:
    @pytest.fixture
    def options(self, lab: Lab) -> dict[str, Any]:
        lab.api.store.add(*(make_node(f"n{number}", annotations={"a": "{{ 1 }}"}) for number in range(3)))
        return {
            "cache": True,
            "cache_plugin": "ansible.builtin.jsonfile",
            "cache_connection": str(lab.directory / "cache"),
            "annotations": ["a"],
            "page_size": 2,
        }

    def test_warm_cache_asks_nothing(self, lab: Lab, options: dict[str, Any]) -> None:
        cold = {host.name: host.vars for host in lab.read(**options).get_hosts()}
        assert len(lab.api.requests) == 2
        warm = {host.name: host.vars for host in lab.read(**options).get_hosts()}
        assert len(lab.api.requests) == 2
        assert warm == cold
        lab.api.store.delete("nodes", "n0")
        assert len(lab.read(**options).get_hosts()) == 3

    def test_flush_cache_fetches_anew(self, lab: Lab, options: dict[str, Any]) -> None:
        lab.read(**options)
        lab.api.store.delete("nodes", "n0")
        inventory = InventoryManager(DataLoader(), sources=[str(lab.directory / "fleet.yml")], cache=False)
        assert len(inventory.get_hosts()) == 2

    def test_states_are_judged_when_read(self, lab: Lab, options: dict[str, Any]) -> None:
        lab.api.store.add(proved("p", proof(age_hours=2)))
        assert "certified" in groups(lab.read(**options), "p")
        assert "stale" in groups(lab.read(**options, proof_validity_hours=1), "p")
        assert len([r for r in lab.api.requests if "continue" not in r.query]) == 1

    def test_another_question_gets_another_answer(self, lab: Lab, options: dict[str, Any]) -> None:
        lab.read(**options)
        assert not lab.read(**{**options, "label_selector": "pool=none"}).get_hosts()

    def test_another_current_context_is_another_question(self, lab: Lab, options: dict[str, Any]) -> None:
        assert len(lab.read(**options).get_hosts()) == 3
        with KubeApi() as other:
            other.store.add(make_node("theirs"))
            lab.add_context(other, "other")
            _edit(lab, lambda data: data.update({"current-context": "other"}))
            assert [host.name for host in lab.read(**options).get_hosts()] == ["theirs"]
            _edit(lab, lambda data: data["clusters"][1]["cluster"].update(server="https://127.0.0.1:1"))
            assert "127.0.0.1:1" in lab.failure(**options), "the same name for another server"

    @pytest.mark.parametrize(
        "content",
        ["{", "[]", '{"format": 0}', '"x"', "", '{"format": 1}', '{"format": 1, "nodes": [1]}',
         '{"format": 1, "nodes": [{"name": "n"}]}'],
    )  # fmt: skip
    def test_corrupt_file_is_fetched_anew(self, lab: Lab, options: dict[str, Any], content: str) -> None:
        lab.read(**options)
        (file,) = (lab.directory / "cache").iterdir()
        file.write_text(content)
        assert len(lab.read(**options).get_hosts()) == 3
        assert len(lab.read(**options).get_hosts()) == 3

    def test_a_run_without_a_cluster_is_not_remembered(self, lab: Lab, options: dict[str, Any]) -> None:
        with KubeApi() as other:
            lab.add_context(other, "gone")
        both = {**options, "contexts": ["lab", "gone"], "on_cluster_error": "warn"}
        lab.read(**both)
        before = len(lab.api.requests)
        lab.read(**both)
        assert len(lab.api.requests) == before + 2


def test_the_shards_of_the_shipped_cronjob_hold_every_node_once_and_for_good(lab: Lab) -> None:
    manifest = yaml.safe_load(
        (ROOT / "deploy" / "kubernetes" / "correct-drift.yml").read_text(encoding="utf-8")
    )
    (data,) = [item["data"] for item in manifest["items"] if item["kind"] == "ConfigMap"]
    shipped = yaml.safe_load(data["cluster_nodes.yml"])
    options = {key: shipped[key] for key in ("registries", "compose", "keyed_groups")}

    def shards() -> dict[str, list[str]]:
        inventory = lab.read(**options)
        assert lab.said == []
        names = [host.name for host in inventory.get_hosts()]
        return {name: [one for one in groups(inventory, name) if one.startswith("shard_")] for name in names}

    lab.api.store.add(*(make_node(f"worker-{number}") for number in range(40)))
    before = shards()
    assert all(len(mine) == 1 for mine in before.values())
    assert {shard for mine in before.values() for shard in mine} == {f"shard_{number}" for number in range(4)}
    lab.api.store.add(make_node("a-new-one"))
    after = shards()
    assert after.pop("a-new-one")
    assert after == before

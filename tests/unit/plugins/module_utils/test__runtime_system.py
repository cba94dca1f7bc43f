# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The system store around a runtime: what is written, what makes a restart due, what comes and goes with it."""

from __future__ import annotations

import os
import subprocess
import time

import pytest
import yaml

from ansible_collections.nodetrust.harbor.plugins.module_utils import (
    _anchors,
    _apply,
    _desired,
    _plan,
    _system_store,
    _trust,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._cri import Cri
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import (
    CONTAINERD_2,
    read_host_directory,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._mark import ca_content
from ansible_collections.nodetrust.harbor.plugins.module_utils._node import Process
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import (
    Change,
    Restart,
    Runtime,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_k3s import K3sRuntime
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_system import SystemStoreRuntime
from tests.lab import pki
from tests.unit.plugins.module_utils.wrapped_node import RancherNode

NAME = "harbor.test"
CA = pki.make_ca("right")
NEXT = pki.make_ca("next")
PUBLIC = pki.make_ca("public")
# It makes the bundle of what is there, and keeps the links of Debian's tool.
TOOL = """#!/bin/sh
cat {root}/public.pem {root}/anchors/*.crt > {root}/bundle.new 2>/dev/null
mv {root}/bundle.new {root}/bundle.crt
"""


class Directory(Runtime):
    """A runtime that reads a directory at every pull, with one process."""

    name = "directory"

    def __init__(self, root, started):
        self.root = root
        self.version, self.unit = "1", "directory.service"
        self.client = Cri("unix:///nowhere", 1)
        self.process = started and Process(os.getpid(), "d", ("d",), "/d", self.unit, started)

    @classmethod
    def observe(cls, socket, timeout):
        raise NotImplementedError

    def read(self, registry):
        return read_host_directory(str(self.root / "certs.d"), registry, CONTAINERD_2)

    def restart(self, changes=()):
        return Restart(False, "never", {})


@pytest.fixture
def node(tmp_path, monkeypatch):
    (tmp_path / "anchors").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "public.pem").write_text(PUBLIC.pem)
    (tmp_path / "bundle.crt").write_text(PUBLIC.pem)
    tool = tmp_path / "bin" / "tool"
    tool.write_text(TOOL.format(root=tmp_path))
    tool.chmod(0o755)
    family = _anchors.Family("debian", str(tmp_path / "anchors"), ("tool",), (str(tmp_path),))
    monkeypatch.setattr(_anchors, "FAMILIES", (family,))
    monkeypatch.setattr(_system_store, "BUNDLES", (str(tmp_path / "bundle.crt"),))
    monkeypatch.setattr(_system_store, "NOTE", str(tmp_path / "state" / "note.json"))
    monkeypatch.setattr(_anchors, "_PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(_apply, "STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(_apply, "RECORD", str(tmp_path / "state" / "previous.json"))
    # The process in these tests is pytest's own, in an environment that is not ours.
    monkeypatch.setattr(_system_store, "override_of", lambda pid, store: None)
    return tmp_path


def look(node, cas, started=1000.0):
    items = _desired.desired_from([{"host": NAME, "ca_pem": "".join(ca.pem for ca in cas)}])
    return items, SystemStoreRuntime(Directory(node, started), {item.registry: item.pins for item in items})


def present(node, *cas, started=1000.0):
    items, runtime = look(node, cas, started)
    return _plan.plan_present(items, [runtime.read(item.registry) for item in items], runtime)


def absent(node, *cas, started=1000.0):
    items = _desired.without_trust(look(node, cas)[0])
    runtime = SystemStoreRuntime(Directory(node, started), {item.registry: item.pins for item in items})
    return _plan.plan_absent(items, [runtime.read(item.registry) for item in items], runtime)


def kinds(plan):
    return [change.kind for change in plan.changes]


def test_the_whole_life_of_a_ca_in_the_store(node):
    plan = present(node, CA)
    assert kinds(plan) == ["write", "store"] and plan.restart_after.due and plan.restart_after.pull_decides
    assert f"no CA in {node}/bundle.crt" in plan.verdicts[0].reasons
    _apply.apply(plan.changes)
    assert CA.pem in (node / "bundle.crt").read_text()
    same = present(node, CA)
    assert not same.changed and same.verdicts[0].in_sync and same.restart_after.due
    assert not same.verdicts[0].in_effect
    restarted = present(node, CA, started=time.time() + 1)
    assert restarted.verdicts[0].in_effect and not restarted.restart_after.due
    gone = absent(node, CA)
    assert kinds(gone) == ["remove", "store"] and gone.restart_after.due
    assert "trusts what was removed" in gone.restart_after.why
    _apply.apply(gone.changes)
    assert (node / "bundle.crt").read_text() == PUBLIC.pem
    assert not absent(node, CA).changed
    back = _trust.take_back(False)
    assert back["rolled_back"] and back["restart_due"]
    assert CA.pem in (node / "bundle.crt").read_text()


def test_a_rotation_adds_one_and_takes_one_and_no_pull_can_decide(node):
    _apply.apply(present(node, CA).changes)
    later = time.time() + 1
    both = present(node, CA, NEXT, started=later)
    assert kinds(both) == ["write", "store"]
    _apply.apply(both.changes)
    only_next = present(node, NEXT, started=later)
    assert kinds(only_next) == ["remove", "store"] and not only_next.restart_after.pull_decides
    assert "not pinned" in only_next.verdicts[0].reasons[0]
    _apply.apply(only_next.changes)
    assert CA.pem not in (node / "bundle.crt").read_text()


def test_what_somebody_else_put_there_is_left_to_them(node):
    (node / "public.pem").write_text(PUBLIC.pem + CA.pem)
    (node / "bundle.crt").write_text(PUBLIC.pem + CA.pem)
    plan = present(node, CA)
    assert not plan.changed and plan.verdicts[0].in_sync
    # Their next change of the bundle is no reason either, if a pull succeeds.
    assert plan.restart_after.due and plan.restart_after.pull_decides
    gone = absent(node, CA)
    assert not gone.changed and not gone.restart_after.due


def test_a_run_that_was_killed_before_the_tool_is_made_good(node):
    plan = present(node, CA)
    _apply.apply(plan.changes[:1])
    again = present(node, CA)
    assert kinds(again) == ["store"] and not again.verdicts[0].in_sync
    # And what nobody wants any more does not come into the bundle by that.
    assert kinds(present(node, NEXT)) == ["write", "remove", "store"]
    assert any("is not in" in reason for reason in again.verdicts[0].reasons)


def test_the_tool_rewriting_the_bundle_is_no_reason_to_restart(node):
    _apply.apply(present(node, CA).changes)
    young = time.time() + 1
    assert not present(node, CA, started=young).restart_after.due
    (node / "public.pem").write_text(PUBLIC.pem + NEXT.pem)
    subprocess.run([str(node / "bin" / "tool")], check=True)  # as the hook of a package does
    os.utime(node / "bundle.crt", (young + 9, young + 9))
    assert not present(node, CA, started=young).restart_after.due
    os.unlink(_system_store.NOTE)  # without the note the bundle's own time counts
    assert present(node, CA, started=young).restart_after.due


def test_a_pull_that_decided_is_remembered_for_that_process_only(node):
    _apply.apply(present(node, CA).changes)
    _items, runtime = look(node, [CA])
    runtime.proved()
    assert not present(node, CA).restart_after.due
    assert present(node, CA, started=500.0).restart_after.due


def test_a_tool_that_leaves_the_ca_out_is_an_error_and_all_is_back(node):
    (node / "bin" / "tool").write_text(f"#!/bin/sh\ncat {node}/public.pem > {node}/bundle.crt\n")
    plan = present(node, CA)
    (node / "bin" / "tool").chmod(0o755)
    with pytest.raises(TrustError) as caught:
        _apply.apply(plan.changes)
    assert caught.value.reason == "store_not_effective" and caught.value.next_step
    assert os.listdir(node / "anchors") == []


def test_a_ca_in_the_runtimes_directory_counts_as_well(node):
    place = node / "certs.d" / NAME
    place.mkdir(parents=True)
    (place / "foreign.crt").write_text(NEXT.pem)
    with pytest.raises(TrustError) as caught:
        present(node, CA)
    assert caught.value.reason == "extra_ca"
    # Our own name, but not our file.
    (place / "foreign.crt").rename(place / "ca.crt")
    with pytest.raises(TrustError) as caught:
        present(node, CA)
    assert caught.value.reason == "extra_ca" and str(place / "ca.crt") in str(caught.value)
    # From the time before the store was chosen.
    (place / "ca.crt").write_bytes(ca_content([NEXT.der]))
    plan = present(node, CA)
    assert [change.path for change in plan.changes if change.kind == "remove"] == [str(place / "ca.crt")]
    assert not plan.restart_after.pull_decides


@pytest.mark.parametrize("ca", ["", 'ca = "none.crt"\n'])
def test_a_hosts_toml_that_names_no_ca_is_no_matter_of_the_store(node, ca):
    place = node / "certs.d" / NAME
    place.mkdir(parents=True)
    (place / "none.crt").write_text(CA.pem)
    (place / "hosts.toml").write_text(f'{ca}[host."https://{NAME}"]\n')
    (node / "bundle.crt").write_text(PUBLIC.pem + CA.pem)
    plan = present(node, CA)
    assert plan.verdicts[0].in_sync and not plan.changed


def test_without_a_daemon_no_restart_is_ever_due(node):
    plan = present(node, CA, started=None)
    assert kinds(plan) == ["write", "store"] and not plan.restart_after.due


def test_a_process_that_reads_another_file_is_named(node, monkeypatch):
    monkeypatch.setattr(_system_store, "override_of", lambda pid, store: "SSL_CERT_FILE=/x")
    with pytest.raises(TrustError) as caught:
        present(node, CA)
    assert caught.value.reason == "store_overridden"


FOREIGN = f'server = "https://{NAME}"\nca = "ca.crt"\n[host]\n'


@pytest.mark.parametrize("held", [CA, NEXT], ids=["the right CA", "another CA"])
def test_a_ca_that_a_foreign_hosts_toml_leads_to_is_not_taken_from_under_it(node, held):
    place = node / "certs.d" / NAME
    place.mkdir(parents=True)
    (place / "ca.crt").write_bytes(ca_content([held.der]))
    (place / "hosts.toml").write_text(FOREIGN)
    with pytest.raises(TrustError) as caught:
        absent(node, CA)
    assert caught.value.reason == "foreign_hosts_toml" and str(place / "hosts.toml") in str(caught.value)
    if held is NEXT:
        with pytest.raises(TrustError) as caught:
            present(node, CA)
        assert caught.value.reason == "foreign_hosts_toml"
    else:
        assert kinds(present(node, CA)) == ["write", "store"]


def test_a_hosts_toml_of_another_registry_holds_up_only_what_it_leads_to(node):
    other = node / "certs.d" / "other.test"
    other.mkdir(parents=True)
    (other / "hosts.toml").write_text(f'ca = "../{NAME}/ca.crt"\n[host]\n')
    (node / "certs.d" / NAME).mkdir()
    _apply.apply(present(node, CA).changes)
    assert kinds(present(node, NEXT)) == ["write", "remove", "store"]


def test_a_hosts_toml_without_a_ca_is_nothing_to_the_store(node):
    place = node / "certs.d" / NAME
    place.mkdir(parents=True)
    (place / "hosts.toml").write_text(f'server = "https://{NAME}"\n[host]\n')
    _apply.apply(present(node, CA).changes)
    assert present(node, CA).verdicts[0].in_sync


def test_what_the_runtime_itself_says_is_heard(node, monkeypatch):
    _apply.apply(present(node, CA).changes)
    young = time.time() + 1
    broken = TrustError("no CRI", reason="cri_not_loaded", next_step="mend it")
    monkeypatch.setattr(Directory, "upgrade_findings", lambda self: ["a finding"])
    monkeypatch.setattr(Directory, "unusable", lambda self: broken)
    items, runtime = look(node, [CA], young)
    verdict = _plan.judge(items[0], runtime.read(items[0].registry), runtime, runtime.restart())
    assert verdict.in_sync and not verdict.in_effect and "no CRI" in verdict.reasons[0]
    assert runtime.upgrade_findings() == ["a finding"]


@pytest.mark.parametrize("with_pairs", [False, True])
def test_the_runtimes_own_directory_counts_for_a_client_certificate_only(node, monkeypatch, with_pairs):
    _apply.apply(present(node, CA).changes)
    monkeypatch.setattr(
        Directory, "restart", lambda self, changes=(): Restart(True, "config_path changed", {})
    )
    monkeypatch.setattr(Directory, "obeys", lambda self, restart: False)
    monkeypatch.setattr(Directory, "reasons", lambda self: ["config_path is not set"])
    items, runtime = look(node, [CA], time.time() + 1)
    runtime.with_pairs = with_pairs
    verdict = _plan.judge(items[0], runtime.read(items[0].registry), runtime, runtime.restart())
    assert verdict.in_effect is not with_pairs and runtime.restart().due is with_pairs
    assert ("config_path is not set" in verdict.reasons) is with_pairs


def test_a_restart_is_due_for_the_store_and_for_the_runtimes_own_setting(node, monkeypatch):
    due = {"config": True}
    monkeypatch.setattr(
        Directory,
        "restart",
        lambda self, changes=(): Restart(
            bool(changes) and due["config"], "a setting changes", {"setting": 1}
        ),
    )
    _items, runtime = look(node, [CA])
    changes = [Change("store", "bundle", "rebuild"), Change("config", "c.toml", "set")]
    both = runtime.restart(changes)
    assert both.due and not both.pull_decides and "a setting" in both.why and "reads it only once" in both.why
    assert {"setting", "store_file"} <= set(both.evidence)
    due["config"] = False
    assert "reads it only once" in runtime.restart(changes).why, "a setting that is in effect hides nothing"


CLIENT = pki.issue(CA, "node")
PAIR = {"client_cert_pem": CLIENT.pem, "client_key_pem": CLIENT.key_pem}


@pytest.fixture
def k3s(node, monkeypatch):
    made = RancherNode(node / "k3s", monkeypatch, K3sRuntime)
    yield made
    made.close()


def ensure(k3s, ca, state="present", store="system", **more):
    time.sleep(0.02)
    desired = _desired.desired_from([{"host": NAME, "ca_pem": ca.pem, **more}])
    wanted = desired if state == "present" else _desired.without_trust(desired)
    return _trust.ensure(_trust.Request(wanted, store=store), state, False)


def tls(k3s):
    text = k3s.registries.read_text() if k3s.registries.exists() else ""
    return ((yaml.safe_load(text) or {}).get("configs") or {}).get(NAME, {}).get("tls", {})


def test_k3s_is_led_to_the_pair_and_to_no_ca(k3s):
    before = k3s.snapshot()
    ensure(k3s, CA, **PAIR)
    folder = k3s.own(NAME).parent
    files = {"cert_file": str(folder / "client.cert"), "key_file": str(folder / "client.key")}
    assert tls(k3s) == files and all(os.path.exists(path) for path in files.values())
    k3s.start()
    again = ensure(k3s, CA, **PAIR)
    assert not again["changed"] and again["registries"][0]["in_effect"] and not again["restart_due"]
    dropped = ensure(k3s, CA)
    assert tls(k3s) == {} and not folder.exists() and dropped["restart_due"]
    ensure(k3s, CA, **PAIR)
    gone = ensure(k3s, CA, "absent")
    assert tls(k3s) == {} and not folder.exists() and gone["restart_due"]
    assert ensure(k3s, CA, "absent")["restart_due"], "containerd is still led to what is gone"
    k3s.start()
    after = k3s.snapshot()
    assert {name: text for name, text in after.items() if "certs.d" not in name} == before
    assert not ensure(k3s, CA, "absent")["restart_due"]


@pytest.mark.parametrize("ca", [CA, NEXT], ids=["the same CA", "another CA"])
@pytest.mark.parametrize("pair", [{}, PAIR], ids=["no pair", "a pair"])
def test_k3s_is_led_to_no_ca_once_the_store_is_chosen(k3s, ca, pair):
    ensure(k3s, CA, store="runtime", **pair)
    k3s.start()
    assert ensure(k3s, ca, **pair)["restart_due"]
    assert "ca_file" not in tls(k3s) and all(os.path.exists(path) for path in tls(k3s).values())
    k3s.start()
    again = ensure(k3s, ca, **pair)
    assert not again["changed"] and again["registries"][0]["in_effect"]
    ensure(k3s, ca, "absent")
    assert tls(k3s) == {} and not k3s.own(NAME).parent.parent.exists()


def test_a_restart_that_the_runtime_makes_by_itself_is_waited_for(node, monkeypatch):
    _apply.apply(present(node, CA).changes)
    _items, runtime = look(node, [CA], time.time() + 1)
    monkeypatch.setattr(Directory, "restart", lambda self, changes=(): Restart(bool(changes), "k0s", {}))
    monkeypatch.setattr(Directory, "settle", lambda self, changes, restart: Restart(False, "it has", {}))
    changes = [Change("config", "drop-in.toml", "set")]
    before = runtime.restart(changes)
    assert before.due and not runtime.settle(changes, before).due
    assert runtime.settle([], before) is before


@pytest.mark.parametrize("state", ["present", "absent"])
def test_what_the_store_holds_goes_when_the_runtimes_directory_is_chosen(node, state):
    _apply.apply(present(node, CA).changes)
    items = _desired.desired_from([{"host": NAME, "ca_pem": CA.pem}])
    if state == "absent":
        items = _desired.without_trust(items)
    runtime = Directory(node, 1000.0)
    plan_of = _plan.plan_present if state == "present" else _plan.plan_absent
    plan = plan_of(items, [runtime.read(item.registry) for item in items], runtime)
    assert kinds(plan) == (["write"] if state == "present" else []) + ["remove", "store"]
    assert any("system store" in reason for reason in plan.verdicts[0].reasons)
    assert not plan.verdicts[0].in_sync and not (plan.restart_after and plan.restart_after.due)
    _apply.apply(plan.changes)
    assert os.listdir(node / "anchors") == [] and (node / "bundle.crt").read_text() == PUBLIC.pem
    again = plan_of(items, [runtime.read(item.registry) for item in items], runtime)
    assert not again.changed and again.verdicts[0].in_sync


def test_a_node_without_a_system_store_has_nothing_in_it(node, monkeypatch):
    monkeypatch.setattr(_anchors, "FAMILIES", ())
    (item,) = _desired.desired_from([{"host": NAME, "ca_pem": CA.pem}])
    assert Directory(node, None).leave_store([item.registry]) == []

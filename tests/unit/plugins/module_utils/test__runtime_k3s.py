# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""k3s and RKE2: the real core on a real directory tree, with starts as their source makes them. No daemon runs."""

from __future__ import annotations

import contextlib
import os

import pytest
import yaml

from ansible_collections.nodetrust.harbor.plugins.module_utils import _apply, _desired, _trust
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._mark import ca_content
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_k3s import K3sRuntime
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_rke2 import Rke2Runtime
from tests.lab import pki
from tests.unit.plugins.module_utils.wrapped_node import CA, WRONG, RancherNode

HOST = "harbor.test:8443"
CLIENT = pki.issue(CA, "node-1")
PAIR = {"client_cert_pem": CLIENT.pem, "client_key_pem": CLIENT.key_pem}
OTHERS = f"""\
# kept by the platform team
mirrors:
  docker.io:
    endpoint: ["https://mirror.test"]   # near
configs:
  {HOST}:
    auth: {{username: robot, password: 'a # b'}}
"""


@pytest.fixture(params=[K3sRuntime, Rke2Runtime], ids=lambda runtime: runtime.name)
def node(request, tmp_path, monkeypatch):
    made = RancherNode(tmp_path, monkeypatch, request.param)
    yield made
    made.close()


@pytest.fixture
def k3s(tmp_path, monkeypatch):
    made = RancherNode(tmp_path, monkeypatch, K3sRuntime)
    yield made
    made.close()


def verdict(result):
    one = result["registries"][0]
    return one["in_sync"], one["in_effect"], result["restart_due"]


def test_from_nothing_to_trust_and_back(node):
    before = node.snapshot()
    assert verdict(node.check(HOST)) == (False, False, False)

    done = node.present(HOST)
    assert done["changed"] and done["restart_due"] and "read it only at start" in done["restart_why"]
    assert done["runtime"]["name"] == node.name and done["runtime"]["is_server"]
    assert yaml.safe_load(node.registries.read_text()) == {
        "configs": {HOST: {"tls": {"ca_file": str(node.own(HOST))}}}
    }
    assert node.own(HOST).read_bytes() == ca_content([CA.der])
    assert verdict(node.check(HOST)) == (True, False, True)
    again = node.present(HOST)
    assert not again["changed"] and again["restart_due"] and "is older than" in again["restart_why"]

    node.start()
    assert verdict(node.check(HOST)) == (True, True, False)
    assert not node.present(HOST)["changed"]

    gone = node.absent(HOST)
    assert gone["changed"] and gone["restart_due"]
    assert node.absent(HOST)["changed"] is False
    # Until the restart containerd is still led to the file that is gone, and that is said.
    assert node.absent(HOST)["restart_due"] and node.check(HOST)["restart_due"]
    node.start()
    assert not node.absent(HOST)["restart_due"]
    after = node.snapshot()
    assert {name: text for name, text in after.items() if "certs.d" not in name} == before


def test_an_edit_that_somebody_made_meanwhile_is_not_lost(node, monkeypatch):
    meanwhile = "mirrors:\n  docker.io: {}\n"

    @contextlib.contextmanager
    def edited_first():
        node.write(node.registries, meanwhile)
        yield

    monkeypatch.setattr(_apply, "only_one", edited_first)
    with pytest.raises(TrustError) as caught:
        node.present("harbor.test")
    assert caught.value.reason == "changed_meanwhile" and caught.value.next_step
    assert node.registries.read_text() == meanwhile and not node.own("harbor.test").exists()


def test_check_mode_says_the_same_and_touches_nothing(node):
    node.write(node.registries, OTHERS)
    before = node.snapshot()
    planned = node.present(HOST, check_mode=True)
    assert planned["changed"] and planned["restart_due"] and node.snapshot() == before
    shown = "".join(part.get("prepared", "") for part in planned["diff"])
    assert f'+      ca_file: "{node.own(HOST)}"' in shown and "a # b" not in shown
    assert planned["changes"] == node.present(HOST)["changes"]


def test_everything_else_in_the_file_stays(node):
    node.write(node.registries, OTHERS)
    node.start()
    node.present(HOST)
    text = node.registries.read_text()
    assert text == OTHERS + f'    tls:\n      ca_file: "{node.own(HOST)}"\n'
    node.start()
    assert verdict(node.check(HOST)) == (True, True, False)
    node.absent(HOST)
    assert node.registries.read_text() == OTHERS


def test_a_new_ca_in_the_same_file_needs_no_restart(node):
    node.present(HOST)
    node.start()
    result = node.present(HOST, ca=WRONG.pem)
    assert [change.partition(" ")[0] for change in result["changes"]] == ["replace"]
    assert not result["restart_due"] and verdict(node.check(HOST, ca=WRONG.pem)) == (True, True, False)


def test_a_client_certificate_goes_the_same_way(node):
    pair = {"client_cert_pem": CLIENT.pem, "client_key_pem": CLIENT.key_pem}
    before = node.snapshot()
    node.present(HOST)
    node.start()
    assert node.present(HOST, **pair)["restart_due"]
    folder = node.own(HOST).parent
    assert yaml.safe_load(node.registries.read_text())["configs"][HOST]["tls"] == {
        "ca_file": str(folder / "ca.crt"),
        "cert_file": str(folder / "client.cert"),
        "key_file": str(folder / "client.key"),
    }
    assert (folder / "client.key").stat().st_mode & 0o777 == 0o600
    assert verdict(node.check(HOST, **pair)) == (True, False, True)
    node.start()
    assert (
        verdict(node.check(HOST, **pair)) == (True, True, False) and not node.present(HOST, **pair)["changed"]
    )

    assert node.present(HOST)["changed"], "without a pair ours goes"
    assert list(yaml.safe_load(node.registries.read_text())["configs"][HOST]["tls"]) == ["ca_file"]
    assert [file.name for file in folder.iterdir()] == ["ca.crt"]
    node.present(HOST, **pair)
    node.absent(HOST)
    node.start()
    assert {name: text for name, text in node.snapshot().items() if "certs.d" not in name} == before


@pytest.mark.parametrize("key", ["other.test", "*"])
def test_a_file_that_another_entry_leads_to_is_not_pulled_away(node, key):
    node.present(HOST)
    text = node.registries.read_text() + f'  "{key}":\n    tls:\n      ca_file: {node.own(HOST)}\n'
    node.write(node.registries, text)
    with pytest.raises(TrustError) as caught:
        node.absent(HOST)
    assert caught.value.reason == "foreign_ca_file" and f"ca_file of {key}" in str(caught.value)
    assert node.own(HOST).exists() and node.registries.read_text() == text


def test_whatever_lies_in_our_own_directory_goes_again(node):
    node.present(HOST)
    node.write(node.own(HOST), "somebody's")
    node.absent(HOST)
    assert not node.own(HOST).exists()


def test_several_registries_are_one_change_and_one_restart(node):
    result = node.present(HOST, "other.test")
    assert len(result["changes"]) == 3
    node.start()
    assert verdict(node.check(HOST, "other.test")) == (True, True, False)
    node.absent("other.test")
    assert list(yaml.safe_load(node.registries.read_text())["configs"]) == [HOST]
    node.start()
    assert verdict(node.check(HOST)) == (True, True, False)


def test_the_same_ca_in_a_file_of_somebody_else_is_enough(node):
    theirs = node.write("pki/harbor.pem", CA.pem)
    text = f"configs:\n  {HOST}:\n    tls:\n      ca_file: {theirs}\n"
    node.write(node.registries, text)
    node.start()
    assert verdict(node.check(HOST)) == (True, True, False)
    assert not node.present(HOST)["changed"] and not node.absent(HOST)["changed"]
    assert node.registries.read_text() == text and theirs.exists()


def test_a_pair_goes_beside_the_same_ca_in_a_file_of_somebody_else(node):
    theirs = node.write("pki/harbor.pem", CA.pem)
    text = f"configs:\n  {HOST}:\n    tls:\n      ca_file: {theirs}\n"
    node.write(node.registries, text)
    node.start()
    folder = node.own(HOST).parent
    assert node.present(HOST, **PAIR)["restart_due"] and sorted(os.listdir(folder)) == [
        "client.cert",
        "client.key",
    ]
    assert yaml.safe_load(node.registries.read_text())["configs"][HOST]["tls"] == {
        "ca_file": str(theirs),
        "cert_file": str(folder / "client.cert"),
        "key_file": str(folder / "client.key"),
    }
    node.start()
    assert verdict(node.check(HOST, **PAIR)) == (True, True, False)
    assert not node.present(HOST, **PAIR)["changed"]
    node.absent(HOST)
    assert node.registries.read_text() == text and not folder.exists()


def test_a_pair_beside_a_directory_made_by_hand_takes_its_ca_along(node):
    file = node.write(node.certs_d / HOST / "ca.crt", CA.pem)
    node.start()
    node.present(HOST, **PAIR)
    assert yaml.safe_load(node.registries.read_text())["configs"][HOST]["tls"]["ca_file"] == str(
        node.own(HOST)
    )
    node.start()
    assert not file.exists(), "k3s has deleted it"
    assert verdict(node.check(HOST, **PAIR)) == (True, True, False)
    assert not node.present(HOST, **PAIR)["changed"]


def test_a_pair_does_not_take_a_registry_away_from_the_entry_for_all(node):
    theirs = node.write("pki/harbor.pem", CA.pem)
    node.write(node.registries, f'configs:\n  "*":\n    tls:\n      ca_file: {theirs}\n')
    node.start()
    refused(node, "wildcard_registry", 'configs."*"', "add an entry for", **PAIR)


def test_another_ca_in_a_file_of_somebody_else_is_refused(node):
    theirs = node.write("pki/harbor.pem", WRONG.pem)
    node.write(node.registries, f"configs:\n  {HOST}:\n    tls:\n      ca_file: {theirs}\n")
    refused(node, "foreign_ca_file", f"line 4: {theirs}", "take ca_file out")


def test_verification_switched_off_is_drift_and_refused(node):
    text = (
        f"configs:\n  {HOST}:\n    tls:\n      ca_file: {node.own(HOST)}\n      insecure_skip_verify: yes\n"
    )
    node.write(node.own(HOST), CA.pem)
    node.write(node.registries, text)
    node.start()
    assert not node.check(HOST)["in_sync"]
    refused(node, "verification_off", "line 5", "take this line out")


def test_a_mirror_for_all_would_lose_this_registry(node):
    node.write(node.registries, 'mirrors:\n  "*":\n    endpoint: ["https://mirror.test"]\n')
    refused(node, "wildcard_registry", 'mirrors."*"', "add an entry for")


def test_the_switch_for_k3s_own_mirror_is_no_mirror(node):
    node.write(node.registries, 'mirrors:\n  "*":\n')
    assert node.present(HOST)["changed"]


def test_a_ca_for_all_registries_counts(node):
    theirs = node.write("pki/harbor.pem", CA.pem)
    node.write(node.registries, f'configs:\n  "*":\n    tls:\n      ca_file: {theirs}\n')
    node.start()
    assert verdict(node.check(HOST)) == (True, True, False)
    assert not node.present(HOST)["changed"]
    refused(node, "wildcard_registry", 'configs."*"', "add an entry for", ca=WRONG.pem)


@pytest.mark.parametrize(
    "key, words", [("rewrite:\n      '^a': b", "rewrite"), ("endpoint: [https://m.test]", "endpoint")]
)
def test_a_mirror_of_this_registry_is_told_and_kept(node, key, words):
    node.write(node.registries, f"mirrors:\n  {HOST}:\n    {key}\n")
    node.present(HOST)
    reasons = " ".join(node.check(HOST)["registries"][0]["reasons"])
    assert f"{words} send pulls of this registry elsewhere" in reasons and "line 2" in reasons


def test_a_key_with_a_scheme_is_told(node):
    node.write(node.registries, f'configs:\n  "https://{HOST}":\n    tls:\n      ca_file: /x\n')
    assert "the key has a scheme" in " ".join(node.check(HOST)["registries"][0]["reasons"])


def test_a_directory_made_by_hand_counts_as_long_as_it_is_right(node):
    file = node.write(node.certs_d / HOST / "ca.crt", CA.pem)
    node.start()
    assert file.exists(), "k3s leaves it alone"
    assert verdict(node.check(HOST)) == (True, True, False)
    assert not node.present(HOST)["changed"]
    refused(node, "hand_made_directory", "deletes it at its start", "remove it", ca=WRONG.pem)


def test_a_release_that_writes_what_containerd_refuses_is_named(k3s):
    k3s.era = "march2024"
    k3s.present(HOST)
    k3s.start()
    result = k3s.check(HOST)
    assert verdict(result) == (False, False, False)
    assert "containerd 1.x ignores it" in " ".join(result["registries"][0]["reasons"])
    refused(k3s, "not_generated", "no [host] table", "upgrade k3s")
    k3s.write(k3s.registries, k3s.registries.read_text() + "# later\n")
    assert not k3s.check(HOST)["restart_due"], "a new start would write the same"
    k3s.version = "2.1.4-k3s1"
    assert verdict(k3s.check(HOST)) == (True, True, False), "containerd 2 reads it"


def test_a_release_from_before_certs_d(k3s):
    k3s.era = "config_toml"
    k3s.present(HOST)
    assert k3s.check(HOST)["restart_due"]
    k3s.start()
    assert verdict(k3s.check(HOST)) == (True, True, False)
    k3s.version = "2.1.4-k3s1"
    assert not k3s.check(HOST)["in_effect"], "containerd 2 ignores these settings"
    k3s.version = "1.7.27-k3s1"
    k3s.absent(HOST)
    assert k3s.check(HOST)["restart_due"]


def test_a_start_that_has_read_another_file_is_told(k3s):
    k3s.present(HOST)
    kept = k3s.registries.read_text()
    k3s.registries.unlink()
    k3s.start()
    k3s.registries.write_text(kept)
    # As if it had been there all the time, and only k3s had read another one.
    k3s.processes = [one._replace(started=one.started + 60) for one in k3s.processes]
    result = k3s.check(HOST)
    assert verdict(result) == (False, False, False) and "would not help" in result["restart_why"]
    refused(k3s, "not_generated", "is not led to", "--private-registry")


def test_another_file_named_in_config_yaml_is_the_one(k3s):
    other = k3s.etc / "mine.yaml"
    k3s.write(k3s.etc / "config.yaml", f'token: x\nprivate-registry: "{other}" # ours\n')
    result = k3s.present(HOST)
    assert result["runtime"]["config_file"] == str(other) and other.exists() and not k3s.registries.exists()


@pytest.mark.parametrize(
    "text, words",
    [
        ("configs:\n\tx: y\n", "line 2: a tab"),
        ("configs:\n  a: {}\n  a: {}\n", "line 3: this key stands twice"),
        ("configs: &x\n  a: b\n", "line 1: an anchor"),
        ("configs:\n  - a\n", "isn't a mapping"),
        (b"configs: \xff\n", "isn't UTF-8"),
    ],
)
def test_a_broken_file_stops_everything(k3s, text, words):
    k3s.write(k3s.registries, text)
    before = k3s.snapshot()
    with pytest.raises(TrustError) as caught:
        k3s.present(HOST)
    assert words in str(caught.value) and str(k3s.registries) in str(caught.value) and caught.value.next_step
    assert k3s.snapshot() == before


def test_a_link_and_a_directory_are_no_file(k3s):
    k3s.registries.symlink_to(k3s.write("managed.yaml", ""))
    refused(k3s, "config_not_a_file", "managed.yaml", "replace it by a file")
    k3s.registries.unlink()
    k3s.registries.mkdir()
    refused(k3s, "config_not_a_file", "directory", "move it away")


def test_a_ca_file_of_ours_that_cannot_be_read_is_written_anew(k3s):
    k3s.present(HOST)
    k3s.start()
    k3s.write(k3s.own(HOST), "junk")
    assert not k3s.check(HOST)["in_sync"]
    k3s.present(HOST)
    assert verdict(k3s.check(HOST)) == (True, True, False)


def test_a_change_can_be_taken_back(k3s):
    k3s.write(k3s.registries, OTHERS)
    k3s.start()
    before = k3s.snapshot()
    k3s.present(HOST)
    back = _trust.take_back(check_mode=False)
    assert back["changed"] and back["restart_due"]
    after = k3s.snapshot()
    assert {name: text for name, text in after.items() if text is not None} == {
        name: text for name, text in before.items() if text is not None
    }


def test_a_change_of_somebody_else_for_another_registry_is_no_reason_to_restart(k3s):
    k3s.present(HOST)
    k3s.start()
    text = k3s.registries.read_text()
    k3s.write(k3s.registries, text + "  other.test:\n    tls:\n      ca_file: /other.pem\n")
    assert verdict(k3s.check(HOST)) == (True, True, False)
    assert k3s.check("other.test")["restart_due"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change its root")
def test_an_image_is_born_trusting(tmp_path):
    root = tmp_path / "image"
    for directory in ("etc", "usr/local/bin", "tmp", "var/lib"):
        (root / directory).mkdir(parents=True)
    (root / "usr/local/bin/k3s").write_bytes(b"\x7fELF for another architecture")
    desired = _desired.desired_from([{"host": HOST, "ca_pem": CA.pem}])
    result = _trust.ensure(_trust.Request(desired, root=str(root)), "present", False)
    own = f"etc/rancher/k3s/nodetrust.harbor/{HOST}/ca.crt"
    assert (
        result["changed"]
        and result["runtime"]["name"] == "k3s"
        and (root / own).read_bytes() == ca_content([CA.der])
    )
    text = (root / "etc/rancher/k3s/registries.yaml").read_text()
    assert yaml.safe_load(text) == {"configs": {HOST: {"tls": {"ca_file": f"/{own}"}}}}
    assert not _trust.ensure(_trust.Request(desired, root=str(root)), "present", False)["changed"]


def test_both_at_one_socket_are_told_apart_by_what_runs(node):
    assert node.check(HOST)["runtime"]["name"] == node.name
    node.process(
        "kubelet", "rke2-server.service", "kubelet", f"--container-runtime-endpoint=unix://{node.socket}"
    )
    result = node.check(HOST)["runtime"]
    assert result["name"] == node.name and "kubelet" in result["chosen_because"]


def test_an_agent_is_no_server(tmp_path, monkeypatch):
    for runtime in (K3sRuntime, Rke2Runtime):
        made = RancherNode(tmp_path / runtime.name, monkeypatch, runtime, agent=True)
        facts = made.check(HOST)["runtime"]
        made.close()
        assert facts["is_server"] is False and facts["unit"] == f"{runtime.name}-agent.service"


def test_without_its_cri_nothing_is_changed(k3s):
    k3s.cri_error = TrustError("nobody answers", reason="cri_unavailable", next_step="look")
    refused(k3s, "cri_unavailable", "nobody answers", "look")
    assert "the CRI doesn't answer" in " ".join(k3s.check(HOST)["registries"][0]["reasons"])


def refused(node, reason, *words, ca=CA.pem, **more):
    before = node.snapshot()
    with pytest.raises(TrustError) as caught:
        node.present(HOST, ca=ca, **more)
    assert caught.value.reason == reason
    for word in words:
        assert word in str(caught.value)
    assert node.snapshot() == before

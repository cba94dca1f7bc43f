# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MicroK8s: the real core on a real directory tree, with starts as its wrapper makes them. No daemon runs."""

from __future__ import annotations

import os

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._mark import ca_content
from tests.unit.plugins.module_utils.wrapped_node import CA, WRONG, MicroK8sNode

HOST = "harbor.test:8443"


@pytest.fixture
def microk8s(tmp_path, monkeypatch):
    made = MicroK8sNode(tmp_path, monkeypatch)
    yield made
    made.close()


def verdict(result):
    one = result["registries"][0]
    return one["in_sync"], one["in_effect"], result["restart_due"]


def test_from_nothing_to_trust_and_back_without_a_restart(microk8s):
    before = microk8s.snapshot()
    assert verdict(microk8s.check(HOST)) == (False, False, False)
    done = microk8s.present(HOST)
    assert done["changed"] and not done["restart_due"]
    assert done["runtime"]["name"] == "microk8s"
    assert done["runtime"]["unit"] == "snap.microk8s.daemon-containerd.service"
    assert [file.name for file in (microk8s.certs_d / HOST).iterdir()] == ["ca.crt"]
    assert verdict(microk8s.check(HOST)) == (True, True, False)
    assert not microk8s.present(HOST)["changed"]
    assert microk8s.absent(HOST)["changed"] and not microk8s.absent(HOST)["changed"]
    assert microk8s.snapshot() == before


def test_a_refresh_of_the_snap_keeps_the_trust(microk8s):
    microk8s.present(HOST)
    # snapd copies the data of the old revision and moves the link.
    new = microk8s.revision.with_name("7300")
    microk8s.revision.rename(new)
    current = new.with_name("current")
    current.unlink()
    current.symlink_to("7300")
    microk8s.revision, microk8s.args = new, new / "args"
    microk8s.start()
    assert verdict(microk8s.check(HOST)) == (True, True, False)


def test_a_hosts_toml_of_somebody_else_gets_the_ca(microk8s):
    text = f'server = "https://{HOST}"\n\n[host."https://{HOST}"]\n  capabilities = ["pull", "resolve"]\n'
    hosts = microk8s.write(microk8s.certs_d / HOST / "hosts.toml", text)
    assert not microk8s.check(HOST)["in_sync"]
    microk8s.present(HOST)
    assert verdict(microk8s.check(HOST)) == (True, True, False) and 'ca = "ca.crt"' in hosts.read_text()
    microk8s.absent(HOST)
    assert hosts.read_text() == text


def test_a_tampered_ca_is_put_right(microk8s):
    microk8s.present(HOST)
    microk8s.write(microk8s.certs_d / HOST / "ca.crt", WRONG.pem)
    assert not microk8s.check(HOST)["in_sync"] and microk8s.present(HOST)["changed"]
    assert (microk8s.certs_d / HOST / "ca.crt").read_bytes() == ca_content([CA.der])


@pytest.mark.parametrize(
    "template, found",
    [
        ("version = 2\n", "before 1.23"),
        ('version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/etc/x"\n', "/etc/x"),
    ],
)
def test_another_directory_or_none_is_refused(tmp_path, monkeypatch, template, found):
    made = MicroK8sNode(tmp_path, monkeypatch, template)
    before = made.snapshot()
    with pytest.raises(TrustError) as caught:
        made.present(HOST)
    made.close()
    assert caught.value.reason == "config_not_effective" and found in str(caught.value)
    assert made.snapshot() == before


def test_a_template_that_was_changed_since_the_start_makes_a_restart_due(microk8s):
    template = microk8s.args / "containerd-template.toml"
    right = template.read_text()
    template.write_text("version = 2\n")
    microk8s.start()
    template.write_text(right)
    result = microk8s.present(HOST)
    assert result["restart_due"] and "was started without it" in result["restart_why"]
    assert verdict(microk8s.check(HOST)) == (True, False, True)
    microk8s.start()
    assert verdict(microk8s.check(HOST)) == (True, True, False)


def test_a_start_time_older_than_the_files_of_that_start_says_nothing(microk8s):
    microk8s.present(HOST)
    late = microk8s.processes[0].started + 3600
    os.utime(microk8s.args / "containerd.toml", (late, late))
    assert not microk8s.check(HOST)["restart_due"]


def test_a_broken_template_is_named(microk8s):
    microk8s.write(microk8s.args / "containerd-template.toml", "version = \n")
    with pytest.raises(TrustError) as caught:
        microk8s.present(HOST)
    assert "containerd-template.toml, line 1" in str(caught.value)


def test_without_its_cri_nothing_is_changed(microk8s):
    microk8s.cri_error = TrustError("nobody answers", reason="cri_unavailable", next_step="look")
    with pytest.raises(TrustError) as caught:
        microk8s.present(HOST)
    assert caught.value.reason == "cri_unavailable" and not microk8s.check(HOST)["in_effect"]

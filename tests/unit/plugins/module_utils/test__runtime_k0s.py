# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""k0s before and after 1.36: the real core on a directory tree, with restarts as k0s makes them. No daemon runs."""

from __future__ import annotations

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils import _runtime_k0s, _trust
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._mark import ca_content
from tests.unit.plugins.module_utils.wrapped_node import CA, WRONG, K0sNode

HOST = "harbor.test:8443"
NEW = '[plugins."io.containerd.cri.v1.images".registry]\n'
OLD = '[plugins."io.containerd.grpc.v1.cri".registry]\n'


@pytest.fixture(params=[1, 2], ids=["containerd-1", "containerd-2"])
def k0s(request, tmp_path, monkeypatch):
    made = K0sNode(tmp_path, monkeypatch, request.param)
    # k0s sees a new drop-in and restarts containerd while we wait for it.
    looks = iter(range(99))
    monkeypatch.setattr(_runtime_k0s, "sleep", lambda _seconds: made.start() if next(looks) == 2 else None)
    yield made
    made.close()


def verdict(result):
    one = result["registries"][0]
    return one["in_sync"], one["in_effect"], result["restart_due"]


def drop_in(k0s):
    return k0s.drop_ins / "nodetrust-harbor.toml"


def test_from_nothing_to_trust_and_back(k0s):
    assert verdict(k0s.check(HOST)) == (False, False, False)
    done = k0s.present(HOST)
    assert done["changed"] and not done["restart_due"] and verdict(k0s.check(HOST)) == (True, True, False)
    assert (k0s.certs_d / HOST / "ca.crt").read_bytes() == ca_content([CA.der])
    assert not done["runtime"]["is_server"]
    assert done["runtime"]["name"] == "k0s" and done["runtime"]["unit"] == "k0sworker.service"
    assert not k0s.present(HOST)["changed"]
    gone = k0s.absent(HOST)
    assert gone["changed"] and not gone["restart_due"] and list(k0s.certs_d.iterdir()) == []
    assert drop_in(k0s).exists(), "others may use the directory"
    assert not k0s.absent(HOST)["changed"]


def test_the_drop_in_has_the_form_that_this_k0s_takes(k0s):
    k0s.present(HOST)
    text = drop_in(k0s).read_text()
    # ValidateConfigFile in configurer.go of k0s 1.36 takes version 3 or none, and no section of the old kind.
    assert ("version = 3" in text and NEW in text) == (k0s.major == 2)
    assert ("version = 2" in text and OLD in text and "before that upgrade" in text) == (k0s.major == 1)


def test_check_mode_says_that_k0s_restarts_by_itself(k0s):
    before = k0s.snapshot()
    planned = k0s.present(HOST, check_mode=True)
    assert planned["changed"] and planned["restart_due"] and "by k0s itself" in planned["restart_why"]
    assert k0s.snapshot() == before


def test_a_restart_that_does_not_come_is_due(k0s, monkeypatch):
    monkeypatch.setattr(_runtime_k0s, "_OWN_RESTART", 0.0)
    assert k0s.present(HOST)["restart_due"]
    assert verdict(k0s.check(HOST)) == (True, False, True)
    again = k0s.present(HOST)
    assert not again["changed"] and again["restart_due"]
    k0s.start()
    assert verdict(k0s.check(HOST)) == (True, True, False)


def test_only_containerd_1_tells_what_it_runs_with(k0s):
    k0s.present(HOST)
    k0s.write(k0s.drop_ins / "debug.toml", "[debug]\nlevel = 'info'\n")
    assert k0s.check(HOST)["restart_due"] == (k0s.major == 2)


def test_later_files_are_live(k0s):
    k0s.present(HOST)
    result = k0s.present("other.test")
    assert len(result["changes"]) == 1 and not result["restart_due"]
    assert not k0s.present(HOST, ca=WRONG.pem)["restart_due"]


def test_a_directory_that_somebody_has_chosen_is_used(k0s):
    section = NEW if k0s.major == 2 else OLD
    chosen = k0s.root / "chosen"
    k0s.write(k0s.drop_ins / "registries.toml", f'{section}config_path = "{chosen}"\n')
    k0s.start()
    result = k0s.present(HOST)
    assert (chosen / HOST / "ca.crt").exists() and not drop_in(k0s).exists() and not result["restart_due"]
    assert verdict(k0s.check(HOST)) == (True, True, False)


@pytest.mark.parametrize("config_path", ["/a:/b"])
def test_a_list_of_directories_is_refused(k0s, config_path):
    section = NEW if k0s.major == 2 else OLD
    k0s.write(k0s.drop_ins / "registries.toml", f'{section}config_path = "{config_path}"\n')
    k0s.start()
    refused(k0s, "config_not_effective", "one directory", "then run again")
    assert "is a list" in " ".join(k0s.check(HOST)["registries"][0]["reasons"])


def test_a_configuration_managed_by_hand_is_refused(k0s):
    k0s.managed = False
    k0s.config.write_text("version = 3\n# mine\n")
    k0s.start()
    refused(k0s, "config_not_managed", "version = 3", "give the file back to k0s")


def test_mirrors_of_the_old_kind_are_refused(tmp_path, monkeypatch):
    k0s = K0sNode(tmp_path, monkeypatch, 2)
    text = '[plugins."io.containerd.cri.v1.images".registry.mirrors."docker.io"]\nendpoint = ["https://m"]\n'
    k0s.write(k0s.drop_ins / "old.toml", text)
    k0s.start()
    refused(k0s, "legacy_registry_config", "docker.io", "move each of them")
    k0s.close()


def test_a_change_can_be_taken_back(k0s):
    k0s.present(HOST)
    back = _trust.take_back(check_mode=False)
    assert back["changed"] and not drop_in(k0s).exists() and not (k0s.certs_d / HOST).exists()


def refused(k0s, reason, *words):
    before = k0s.snapshot()
    with pytest.raises(TrustError) as caught:
        k0s.present(HOST)
    assert caught.value.reason == reason
    for word in words:
        assert word in str(caught.value)
    assert k0s.snapshot() == before

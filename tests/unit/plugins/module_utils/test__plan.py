# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Desired and observed in, plan out: every decision without a node."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils import _containerd, _plan
from ansible_collections.nodetrust.harbor.plugins.module_utils._containerd import (
    CERTS_DIR,
    Config,
    Containerd,
    covers,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import (
    FoundCertificate,
    HostDirectory,
    Problem,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._hosts_toml import parse_hosts_toml
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import parse_registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._node import FileState, Process
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import fingerprint
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import Desired
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_containerd import ContainerdRuntime
from tests.lab import pki

REGISTRY = parse_registry("harbor.test")
HOST_DIR = f"{CERTS_DIR}/harbor.test"
CA = pki.make_ca("right")
PIN = fingerprint(CA.der)
WRONG = "SHA256:" + ":".join(["AA"] * 32)


def desired():
    return Desired(REGISTRY, (CA.der,), frozenset({PIN}))


def containerd(
    config_path=CERTS_DIR,
    *,
    version="2.1.9",
    started=1000.0,
    changed=900.0,
    running=None,
    legacy=(),
    local_pull=False,
    **said,
):
    return ContainerdRuntime(
        Containerd(
            process=Process(
                7, "containerd", ("containerd",), "/usr/bin/containerd", "containerd.service", started
            ),
            unit="containerd.service",
            endpoint="unix:///run/containerd/containerd.sock",
            version=version,
            major=int(version[0]),
            config=Config(
                FileState("/etc/containerd/config.toml", "file", b"version = 2\n"),
                config_path,
                {},
                local_pull,
                tuple(legacy),
                (),
                changed,
            ),
            running_config_path=running,
            **{"cri_error": None, **said},
        ),
        client=None,
    )


def directory(*found, exists=True, problems=(), hosts_toml=None, others=()):
    """A host directory holding (pin, file name) pairs."""
    certificates = [
        FoundCertificate(pin, "CN=x", None, None, True, f"{HOST_DIR}/{name}") for pin, name in found
    ]
    ca_file = FileState(
        f"{HOST_DIR}/ca.crt", "file" if any(name == "ca.crt" for _pin, name in found) else "absent", b"x"
    )
    return HostDirectory(
        REGISTRY, HOST_DIR, exists, certificates, list(problems), ca_file, hosts_toml, list(others)
    )


def hosts_toml(text):
    return parse_hosts_toml(f"{HOST_DIR}/hosts.toml", text, REGISTRY, 2)


def plan(where, runtime=None):
    return _plan.plan_present([desired()], [where], runtime or containerd())


def kinds(result):
    return [change.kind for change in result.changes]


@pytest.mark.parametrize("name", ["ca.crt", "harbor.crt"])
def test_the_right_ca_under_any_name_is_left_alone(name):
    result = plan(directory((PIN, name)))
    assert not result.changed and result.verdicts[0].in_sync and result.verdicts[0].in_effect
    assert not result.restart_after.due and result.verdicts[0].reasons == []


def test_a_fresh_node_gets_file_and_switch_and_one_restart():
    result = plan(directory(exists=False), containerd(""))
    assert kinds(result) == ["write", "config"]  # the switch comes last
    assert result.changes[0].path == f"{HOST_DIR}/ca.crt"
    assert result.restart_after.due
    assert not result.verdicts[0].in_sync
    assert any("config_path is not set" in reason for reason in result.verdicts[0].reasons)


def test_with_config_path_in_effect_no_restart_is_due():
    result = plan(directory(exists=False))
    assert kinds(result) == ["write"] and not result.restart_after.due


def test_a_tampered_file_of_ours_is_replaced():
    result = plan(directory((WRONG, "ca.crt")))
    assert kinds(result) == ["write"]
    assert f"not pinned: {WRONG} in {HOST_DIR}/ca.crt" in result.verdicts[0].reasons


def test_an_extra_ca_in_our_file_is_as_wrong_as_a_missing_one():
    assert kinds(plan(directory((PIN, "ca.crt"), (WRONG, "ca.crt")))) == ["write"]


def test_an_extra_ca_in_another_file_is_named_and_refused():
    with pytest.raises(TrustError) as caught:
        plan(directory((PIN, "ca.crt"), (WRONG, "old.crt")))
    assert caught.value.reason == "extra_ca" and "old.crt" in str(caught.value)


def test_a_foreign_hosts_toml_that_leads_to_the_right_ca_is_fine():
    hosts = hosts_toml("ca = 'x.pem'\n[host]\n")
    assert not plan(directory((PIN, "x.pem"), hosts_toml=hosts)).changed


def test_a_foreign_hosts_toml_that_leads_elsewhere_is_refused():
    hosts = hosts_toml("ca = 'x.pem'\n[host]\n")
    with pytest.raises(TrustError) as caught:
        plan(directory((WRONG, "x.pem"), hosts_toml=hosts))
    assert caught.value.reason == "foreign_hosts_toml"
    assert WRONG in str(caught.value) and PIN in str(caught.value)


def test_what_breaks_the_directory_and_is_foreign_is_refused_even_with_the_right_ca():
    problem = Problem("stray_cert", "x.cert has no key", f"{HOST_DIR}/x.cert", "remove it")
    with pytest.raises(TrustError, match="remove it"):
        plan(directory((PIN, "ca.crt"), problems=[problem]))


def test_a_harmless_oddity_does_not_stop_a_node_in_sync():
    problem = Problem("link", "a link", HOST_DIR, "mind it", breaks=False)
    assert not plan(directory((PIN, "ca.crt"), problems=[problem])).changed


@pytest.mark.parametrize(
    ("legacy", "reason"),
    [
        ((), "cri_not_loaded"),
        ((("/etc/containerd/config.toml", 7, "[x.mirrors]"),), "legacy_registry_config"),
    ],
)
@pytest.mark.parametrize("said", ["cri_not_loaded", "cri_unavailable"])
def test_a_containerd_without_its_cri_is_no_success(legacy, reason, said):
    runtime = containerd(legacy=legacy, cri_error="unknown service", cri_reason=said)
    with pytest.raises(TrustError) as caught:
        plan(directory((PIN, "ca.crt")), runtime)
    assert caught.value.reason == (said if reason == "cri_not_loaded" else reason)
    restart = runtime.restart()
    verdict = _plan.judge(desired(), directory((PIN, "ca.crt")), runtime, restart)
    assert verdict.in_sync and not verdict.in_effect and "unknown service" in verdict.reasons[0]


def test_a_containerd_without_its_cri_whose_configuration_was_mended_waits_for_its_restart():
    runtime = containerd(changed=2000.0, cri_error="unknown service", cri_reason="cri_not_loaded")
    assert plan(directory((PIN, "ca.crt")), runtime).restart_after.due


def test_legacy_settings_are_named_line_by_line():
    lines = [("/etc/containerd/config.toml", 12, '[plugins."x".registry.mirrors]')]
    with pytest.raises(TrustError) as caught:
        plan(directory(), containerd("", legacy=lines))
    assert caught.value.reason == "legacy_registry_config"
    assert "/etc/containerd/config.toml:12: [plugins" in str(caught.value)


def test_registries_in_another_directory_are_not_abandoned(monkeypatch):
    monkeypatch.setattr(_containerd, "abandoned", lambda *args: ["/etc/docker/certs.d/other.test"])
    with pytest.raises(TrustError) as caught:
        plan(directory(), containerd("/etc/docker/certs.d"))
    assert caught.value.reason == "other_certs_directory" and "other.test" in str(caught.value)


@pytest.mark.parametrize(
    ("config_path", "major", "local_pull", "expected"),
    [
        (CERTS_DIR, 1, False, True),
        (CERTS_DIR + "/", 2, False, True),
        ("", 1, False, False),
        ("", 2, False, False),
        (f"{CERTS_DIR}:/etc/docker/certs.d", 1, False, True),
        (f"{CERTS_DIR}:/etc/docker/certs.d", 2, False, False),  # taken for the name of one directory
        (f"{CERTS_DIR}:/etc/docker/certs.d", 2, True, True),
        (f"/etc/docker/certs.d:{CERTS_DIR}", 1, False, False),
        ("/etc/docker/certs.d", 2, False, False),
    ],
)
def test_which_config_path_reaches_our_directory(config_path, major, local_pull, expected):
    assert covers(config_path, major, local_pull) is expected


@pytest.mark.parametrize(
    ("runtime", "due", "words"),
    [
        (containerd(started=1000, changed=900), False, "is younger than"),
        (containerd(started=1000, changed=1001), True, "is older than"),
        (containerd(started=1000, changed=1001, running=CERTS_DIR), False, "runs with config_path"),
        (containerd(started=1000, changed=900, running=""), True, "runs with config_path ''"),
        (containerd("", started=1000, changed=1001), False, "would not help"),
        (containerd(changed=None), False, "is younger than"),
    ],
)
def test_a_restart_is_due_by_evidence(runtime, due, words):
    verdict = runtime.restart()
    assert verdict.due is due and words in verdict.why
    assert verdict.evidence["process"]["pid"] == 7
    assert verdict.evidence["config_path"]["next_start"] == runtime.containerd.config.config_path


def test_a_file_in_place_that_the_process_has_not_seen_is_not_in_effect():
    result = plan(directory((PIN, "ca.crt")), containerd(started=1000, changed=1001))
    verdict = result.verdicts[0]
    assert verdict.in_sync and not verdict.in_effect and not result.changed
    assert result.restart_after.due and result.restart_after.why in verdict.reasons


def absent(where):
    wanted = Desired(REGISTRY, (), frozenset())
    return _plan.plan_absent([wanted], [where], containerd())


def test_absent_takes_our_file_and_the_empty_directory():
    assert kinds(absent(directory((PIN, "ca.crt")))) == ["remove", "rmdir"]


def test_absent_leaves_a_neighbour_alone():
    result = absent(directory((PIN, "ca.crt"), (WRONG, "mine.crt"), others=["mine.crt"]))
    assert kinds(result) == ["remove"]


def test_absent_twice_changes_nothing():
    result = absent(directory(exists=False))
    assert not result.changed and result.verdicts[0].in_sync


def test_absent_does_not_pull_the_file_from_under_a_hosts_toml():
    hosts = hosts_toml("ca = 'ca.crt'\n[host]\n")
    with pytest.raises(TrustError, match="every pull through it would fail"):
        absent(directory((PIN, "ca.crt"), hosts_toml=hosts, others=["hosts.toml"]))


def test_absent_does_not_pull_the_file_from_under_another_registrys_hosts_toml():
    where = replace(directory((PIN, "ca.crt")), referrers=[f"{CERTS_DIR}/docker.io/hosts.toml"])
    with pytest.raises(TrustError, match=r"docker\.io/hosts\.toml leads to"):
        absent(where)


@pytest.mark.parametrize("text", ["[host]\n", f"server = 'https://{REGISTRY.name}'\r\n[host]\r\nx = 1"])
def test_our_ca_goes_into_a_hosts_toml_after_its_file_and_out_before_it(text):
    missing = Problem("hosts_toml_without_ca", "names no CA", HOST_DIR, "run again", foreign=False)
    added = plan(directory(problems=[missing], hosts_toml=hosts_toml(text), others=["hosts.toml"]))
    assert kinds(added) == ["write", "text"] and not added.restart_after.due
    merged = added.changes[1].content.decode()
    where = directory((PIN, "ca.crt"), hosts_toml=hosts_toml(merged), others=["hosts.toml"])
    removed = absent(where)
    assert kinds(removed) == ["text", "remove"]
    assert removed.changes[0].content.decode() == text


def test_who_rewrites_the_directory_is_named_where_something_would_change_and_only_there():
    owner = Problem("foreign_owner", "belongs to Spegel", CERTS_DIR, "the way out", breaks=False)
    with pytest.raises(TrustError) as caught:
        plan(directory((WRONG, "ca.crt"), problems=[owner]))
    assert caught.value.reason == "foreign_owner" and "the way out" in str(caught.value)
    fine = plan(directory((PIN, "ca.crt"), problems=[owner]))
    assert not fine.changed and fine.verdicts[0].in_sync and fine.verdicts[0].reasons == ["belongs to Spegel"]

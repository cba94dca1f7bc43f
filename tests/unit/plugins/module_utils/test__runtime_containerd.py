# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd behind the interface: which directory it reads, when a restart is due, what it can't do."""

from __future__ import annotations

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils import _containerd, _containerd_set, _plan
from ansible_collections.nodetrust.harbor.plugins.module_utils._containerd import CERTS_DIR, covers
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import Problem
from tests.unit.plugins.module_utils.observed import (
    CA,
    PIN,
    REGISTRY,
    containerd,
    desired,
    directory,
)


def plan(where, runtime):
    return _plan.plan_present([desired()], [where], runtime)


@pytest.mark.parametrize(
    ("legacy", "reason"),
    [
        ((), "cri_not_loaded"),
        ((("/etc/containerd/config.toml", 7, "[x.mirrors]"),), "legacy_registry_config"),
    ],
)
@pytest.mark.parametrize("said", ["cri_not_loaded", "cri_unavailable"])
def test_a_containerd_without_its_cri_is_no_success(legacy, reason, said):
    runtime = containerd(legacy=legacy, cri_error=TrustError("unknown service", reason=said))
    with pytest.raises(TrustError) as caught:
        plan(directory((PIN, "ca.crt")), runtime)
    assert caught.value.reason == (said if reason == "cri_not_loaded" else reason)
    restart = runtime.restart()
    verdict = _plan.judge(desired(), directory((PIN, "ca.crt")), runtime, restart)
    assert verdict.in_sync and not verdict.in_effect and "unknown service" in verdict.reasons[0]


def test_a_containerd_without_its_cri_whose_configuration_was_mended_waits_for_its_restart():
    gone = TrustError("unknown service", reason="cri_not_loaded")
    runtime = containerd(changed=2000.0, cri_error=gone)
    assert plan(directory((PIN, "ca.crt")), runtime).restart_after.due


@pytest.mark.parametrize("reason", ["no_cri_client", "cri_v1alpha2_only"])
def test_a_node_that_can_never_be_proved_is_left_alone(reason):
    runtime = containerd("", cri_error=TrustError("nobody can ask it", reason=reason))
    with pytest.raises(TrustError) as caught:
        plan(directory(), runtime)
    assert caught.value.reason == reason


def _dump(major, **registry):
    plugin = "io.containerd.cri.v1.images" if major == 2 else "io.containerd.grpc.v1.cri"
    return {"version": major + 1, "plugins": {plugin: {"registry": registry}}}


@pytest.mark.parametrize(
    ("version", "registry", "refused"),
    [
        ("1.7.24", {"mirrors": {"docker.io": {}}}, True),
        ("2.1.9", {"mirrors": {"docker.io": {}}}, True),
        ("1.7.24", {"configs": {"h": {"tls": {"ca_file": "/x"}}}}, True),
        ("2.1.9", {"configs": {"h": {"tls": {"ca_file": "/x"}}}}, False),  # passed over with a warning
        ("1.7.24", {"configs": {"h": {"auth": {"username": "x"}}}}, False),
        ("1.7.24", {"mirrors": {}, "configs": {}}, False),
    ],
)
def test_a_node_whose_next_start_would_be_one_without_cri_is_not_restarted(version, registry, refused):
    # Somebody added config_path by hand and has not restarted: the CRI still answers.
    runtime = containerd(
        version=version,
        changed=2000.0,
        dump=_dump(int(version[0]), **registry),
        legacy=[("/etc/containerd/config.toml", 3, "[x]")],
    )
    if not refused:
        assert plan(directory((PIN, "ca.crt")), runtime).restart_after.due
        return
    with pytest.raises(TrustError) as caught:
        plan(directory((PIN, "ca.crt")), runtime)
    assert caught.value.reason == "legacy_registry_config" and "without its CRI" in caught.value.message
    assert any("without its CRI" in reason for reason in runtime.reasons())


def test_a_process_that_runs_with_the_directory_needs_no_restart_for_the_file_that_lost_it():
    runtime = containerd("", version="1.7.24", running=CERTS_DIR)
    made = plan(directory((PIN, "ca.crt")), runtime)
    assert [change.kind for change in made.changes] == ["config"] and not made.restart_after.due


def test_legacy_settings_are_named_line_by_line():
    lines = [("/etc/containerd/config.toml", 12, '[plugins."x".registry.mirrors]')]
    with pytest.raises(TrustError) as caught:
        plan(directory(), containerd("", legacy=lines))
    assert caught.value.reason == "legacy_registry_config"
    assert "/etc/containerd/config.toml:12: [plugins" in str(caught.value)


def test_registries_in_another_directory_are_not_abandoned(monkeypatch):
    monkeypatch.setattr(_containerd_set, "abandoned", lambda *args: ["/etc/docker/certs.d/other.test"])
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
    ("version", "major"),
    [("1.6.20~ds1", 1), ("v1.7.24", 1), ("2.1.9", 2), ("v2.3.4", 2), ("3.0.0", 2), ("", 1), ("dev", 1)],
)
def test_by_whose_rules_a_version_reads(version, major):
    assert _containerd._major(version) == major


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


def test_nothing_is_removed_through_a_link():
    elsewhere = Problem("host_directory_is_a_link", "a link", "/x", "manage it", breaks=False)
    assert containerd().remove(directory((PIN, "ca.crt"), problems=[elsewhere])) == []
    assert containerd().remove(directory((PIN, "ca.crt")))


@pytest.mark.parametrize(
    ("laid", "read"),
    [
        ([], "first"),
        (["second/harbor.test/ca.crt"], "second"),
        (["second/_default/ca.crt"], "second"),
        (["first/harbor.test/ca.crt", "second/harbor.test/ca.crt"], "first"),
        (["first/_default/ca.crt", "second/harbor.test/ca.crt"], "first"),
        (["first/other.test/ca.crt", "second/harbor.test/ca.crt"], "second"),
    ],
)
@pytest.mark.parametrize(("version", "local_pull"), [("1.7.24", False), ("2.1.9", True)])
def test_of_a_list_the_first_directory_that_speaks_of_the_registry_counts(
    tmp_path, monkeypatch, laid, read, version, local_pull
):
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    monkeypatch.setattr(_containerd, "CERTS_DIR", first)
    for name in laid:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(CA.pem)
    runtime = containerd(f"{first}:{second}", version=version, local_pull=local_pull)
    place = runtime.read(REGISTRY)
    assert place.path == str(tmp_path / read / "harbor.test")
    made = plan(place, runtime)
    # A directory of its own in the first would take the registry away from what lies in the second.
    trusted = bool(laid)
    assert [change.path for change in made.changes] == ([] if trusted else [f"{first}/harbor.test/ca.crt"])
    assert made.verdicts[0].in_effect is trusted


@pytest.mark.parametrize(
    ("version", "config_path"), [("2.1.9", "{0}/first:{0}/second"), ("1.7.24", "{0}/second")]
)
def test_of_a_setting_that_this_run_replaces_the_one_directory_counts(
    tmp_path, monkeypatch, version, config_path
):
    monkeypatch.setattr(_containerd, "CERTS_DIR", str(tmp_path / "first"))
    (tmp_path / "second" / "harbor.test").mkdir(parents=True)
    place = containerd(config_path.format(tmp_path), version=version).read(REGISTRY)
    assert place.path == str(tmp_path / "first" / "harbor.test")

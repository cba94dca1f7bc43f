# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker by its own word: which rules its directory is read by, and what a restart would cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils import _runtime_docker
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import parse_registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import fingerprint
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import Change
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_docker import DockerRuntime
from tests.lab import pki

REGISTRY = parse_registry("harbor.lab.internal:8443")
CA = pki.make_ca("right")
PIN = fingerprint(CA.der)
STORE = (("driver-type", "io.containerd.snapshotter.v1"),)
OVERLAY = (("Backing Filesystem", "extfs"),)


def docker(version: str = "26.1.5+dfsg1", status: Any = OVERLAY, **info: Any) -> DockerRuntime:
    # The API answers in JSON, which knows lists only.
    said = json.loads(json.dumps({"ServerVersion": version, "DriverStatus": status, **info}))
    return DockerRuntime(said, None, client=None)


@pytest.fixture
def certs_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(_runtime_docker, "CERTS_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("version", "status", "like_containerd"),
    [
        ("20.10.24+dfsg1", OVERLAY, False),
        ("26.1.5+dfsg1", STORE, False),
        ("28.5.2+dfsg4", OVERLAY, False),
        ("28.5.2+dfsg4", STORE, True),
        ("29.7.2", STORE, True),
        ("29.7.2", None, False),
    ],
)
@pytest.mark.parametrize("laid", ["_default", "harbor.lab.internal_8443_"])
def test_only_the_newer_image_store_knows_the_names_of_containerd(
    certs_dir: Path, version: str, status: Any, like_containerd: bool, laid: str
) -> None:
    (certs_dir / laid).mkdir()
    (certs_dir / laid / "ca.crt").write_text(CA.pem)
    place = docker(version, status).read(REGISTRY)
    noticed = bool(place.fingerprints) or bool(place.problems)
    assert noticed is like_containerd


@pytest.mark.parametrize(("status", "counts"), [(OVERLAY, False), (STORE, True)])
def test_a_hosts_toml_counts_only_there(certs_dir: Path, status: Any, counts: bool) -> None:
    place = certs_dir / REGISTRY.name
    place.mkdir()
    (place / "ca.crt").write_text(CA.pem)
    (place / "hosts.toml").write_text('[host."https://harbor.lab.internal:8443"]\nskip_verify = true\n')
    found = docker("28.5.2", status).read(REGISTRY)
    assert (found.fingerprints == {PIN} and not found.problems) is not counts


@pytest.mark.parametrize(
    ("name", "classic", "store"),
    [
        ("z.crt", ("ca_file_unusable", False), ("ca_file_unusable", True)),
        ("client.key", ("stray_key", True), None),
    ],
)
def test_what_is_silent_in_one_store_breaks_the_other(
    certs_dir: Path, name: str, classic: tuple[str, bool], store: tuple[str, bool] | None
) -> None:
    place = certs_dir / REGISTRY.name
    place.mkdir()
    (place / name).write_text("junk")
    for status, expected in ((OVERLAY, classic), (STORE, store)):
        problems = [
            (problem.reason, problem.breaks) for problem in docker("28.5.2", status).read(REGISTRY).problems
        ]
        assert problems == ([expected] if expected else [])


def test_a_registry_that_is_not_verified_is_in_the_way(certs_dir: Path) -> None:
    known = {"IndexConfigs": {REGISTRY.name: {"Secure": False}, "docker.io": {"Secure": True}}}
    runtime = docker(RegistryConfig=known)
    assert [problem.reason for problem in runtime.read(REGISTRY).problems] == ["insecure_registry"]
    assert runtime.read(parse_registry("harbor.lab.internal")).problems == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("10.1.2.3:5000", "10.0.0.0/8"),
        ("10.1.2.3", "10.0.0.0/8"),
        ("10.9.9.9:5000", None),  # named, and verified
        ("192.0.2.1", None),
        ("harbor.lab.internal", None),
    ],
)
def test_a_registry_by_its_address_in_a_range_that_is_not_verified(
    certs_dir: Path, name: str, told: str | None
) -> None:
    known = {
        "IndexConfigs": {"10.9.9.9:5000": {"Secure": True}},
        "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8", "10.0.0.0/8"],
    }
    problems = docker(RegistryConfig=known).read(parse_registry(name)).problems
    assert [one.reason for one in problems] == (["insecure_registry"] if told else [])
    assert all(str(told) in one.message for one in problems)


@pytest.mark.parametrize(
    ("version", "status", "told"),
    [("28.5.2", STORE, True), ("29.4.0", STORE, True), ("29.5.0", STORE, False), ("28.5.2", OVERLAY, False)],
)
def test_the_token_endpoint_is_told_where_certs_d_does_not_reach_it(
    version: str, status: Any, told: bool
) -> None:
    assert ("harbor_ca_store: system" in str(docker(version, status).reasons())) is told


def test_files_never_make_a_restart_due() -> None:
    runtime = docker()
    change = Change("write", "/etc/docker/certs.d/h/ca.crt", "create", b"x")
    assert not runtime.restart().due and not runtime.restart([change]).due
    assert runtime.unit == "docker.service"


def test_what_a_restart_would_stop_is_asked_of_the_daemon() -> None:
    assert docker(LiveRestoreEnabled=True).stops_containers() is None
    assert "every container" in (docker(LiveRestoreEnabled=False).stops_containers() or "")

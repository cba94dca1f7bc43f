# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An offline root: prepared from inside, with a containerd that can't be run here, and nothing outside is touched."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils import _desired, _offline, _trust
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._mark import ca_content
from tests.lab import pki

UTILS = Path(__file__).resolve().parents[4] / "plugins" / "module_utils"
NAME = "harbor.test"
CA = pki.make_ca("right")
SET = '[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/etc/containerd/certs.d"\n'

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may change its root")


@pytest.fixture
def root(tmp_path):
    """An image with the containerd of another machine."""
    for directory in ("etc/containerd", "usr/bin", "tmp", "var/lib"):
        (tmp_path / "image" / directory).mkdir(parents=True)
    install(tmp_path / "image", "usr/bin/containerd")
    return tmp_path / "image"


def install(root, *programs):
    for program in programs:
        (root / program).write_bytes(b"\x7fELF for another architecture")
        (root / program).chmod(0o755)


def request(root, **more):
    desired = _desired.desired_from([{"host": NAME, "ca_pem": CA.pem, "proof_image": "library/hello:1"}])
    return _trust.Request(desired=desired, root=str(root), **more)


def test_an_image_is_prepared_and_the_result_says_what_was_not_done(root):
    result = _trust.ensure(request(root), "present", False)
    assert (root / "etc/containerd/certs.d" / NAME / "ca.crt").read_bytes() == ca_content([CA.der])
    assert 'config_path = "/etc/containerd/certs.d"' in (root / "etc/containerd/config.toml").read_text()
    assert (result["proof"], result["restart_due"], result["runtime"]["offline"]) == ("none", False, True)
    assert result["pulls"] == result["pulls_before"] == []
    assert result["registries"][0]["in_sync"] and not result["registries"][0]["in_effect"]
    assert result["msg"].startswith(f"offline root {root}: ") and "no proof" in result["msg"]
    again = _trust.ensure(request(root), "present", False)
    assert not again["changed"]
    gone = _trust.ensure(request(root), "absent", False)
    assert gone["changed"] and not (root / "etc/containerd/certs.d" / NAME).exists()
    assert not gone["restart_due"]
    assert _trust.take_back(False, str(root))["rolled_back"]
    assert (root / "etc/containerd/certs.d" / NAME / "ca.crt").read_bytes() == ca_content([CA.der])


def test_check_mode_leaves_the_image_alone(root):
    result = _trust.ensure(request(root), "present", True)
    assert result["changed"] and os.listdir(root / "etc/containerd") == []


def test_a_link_does_not_lead_out_of_the_image(root, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "etc/containerd/config.toml").write_text(f"version = 2\n{SET}")
    (root / "etc/containerd/certs.d").symlink_to(outside)
    with pytest.raises(TrustError) as caught:
        _trust.ensure(request(root), "present", False)
    assert caught.value.reason == "certs_d_is_a_link"
    assert os.listdir(outside) == []


def test_we_are_back_whatever_happens(root):
    before = (os.getcwd(), os.stat("/").st_ino, tempfile.gettempdir())
    with pytest.raises(RuntimeError), _offline.inside(str(root)):
        assert os.listdir("/usr/bin") == ["containerd"]
        raise RuntimeError
    assert (os.getcwd(), os.stat("/").st_ino, tempfile.gettempdir()) == before


def test_a_configuration_that_imports_what_nobody_here_can_merge_is_refused(root):
    (root / "etc/containerd/config.toml").write_text(
        'version = 2\nimports = ["/etc/containerd/conf.d/*.toml"]\n'
    )
    with pytest.raises(TrustError) as caught:
        _trust.ensure(request(root), "present", False)
    assert caught.value.reason == "config_unverifiable" and "architecture" in str(caught.value)


@pytest.mark.parametrize(
    ("programs", "wanted", "expected"),
    [
        (("usr/bin/podman",), "auto", "containerd"),
        (("usr/bin/dockerd",), "auto", "several_runtimes"),
        (("usr/bin/dockerd",), "docker", "docker"),
        ((), "crio", "no_runtime"),
    ],
)
def test_the_runtime_is_told_by_what_is_installed(root, programs, wanted, expected):
    install(root, *programs)
    if expected in ("several_runtimes", "no_runtime"):
        with pytest.raises(TrustError) as caught:
            _trust.ensure(request(root, runtime=wanted), "present", False)
        assert caught.value.reason == expected
        return
    result = _trust.ensure(request(root, runtime=wanted), "present", False)
    assert result["runtime"]["name"] == expected
    certs_d = {"containerd": "etc/containerd/certs.d", "docker": "etc/docker/certs.d"}[expected]
    assert (root / certs_d / NAME / "ca.crt").read_bytes() == ca_content([CA.der])


def test_the_files_of_a_kubelet_decide(root):
    install(root, "usr/bin/dockerd")
    (root / "var/lib/kubelet").mkdir()
    (root / "var/lib/kubelet/config.yaml").write_text(
        "containerRuntimeEndpoint: unix:///var/run/containerd/containerd.sock\n"
    )
    assert _trust.ensure(request(root), "present", True)["runtime"]["name"] == "containerd"


@pytest.mark.parametrize("made", ["", "etc", "/", "relative"])
def test_what_can_t_be_a_root_is_refused(tmp_path, made):
    (tmp_path / "etc").mkdir()
    where = {"": str(tmp_path / "absent"), "etc": str(tmp_path), "/": "/", "relative": "image"}[made]
    with pytest.raises(TrustError) as caught:
        _trust.ensure(request(where), "present", False)
    assert caught.value.reason == "invalid_root" and caught.value.next_step


def test_the_system_store_needs_a_root_with_devices(root):
    with pytest.raises(TrustError) as caught:
        _trust.ensure(request(root, store="system"), "present", False)
    assert caught.value.reason == "invalid_root" and "/dev/null" in str(caught.value)


def imported_late():
    """The modules of ours that are imported inside of functions."""
    found = set()
    for file in UTILS.glob("*.py"):
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, ast.ImportFrom):
                        inner = (node.module or "").rpartition(".")[2]
                        found |= {name.name for name in node.names} if inner == "module_utils" else {inner}
    return found


def test_nothing_is_left_to_be_loaded_from_inside():
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from ansible.plugins.loader import init_plugin_loader; init_plugin_loader()\n"
            "from ansible_collections.nodetrust.harbor.plugins.module_utils import _offline\n"
            "_offline._load_what_is_loaded_late()\n"
            "print(*[name.rpartition('.')[2] for name in sys.modules if 'module_utils._' in name])",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert len(imported_late()) > 10
    assert imported_late() - set(loaded) == set()

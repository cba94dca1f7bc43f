# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which runtime, may we, and are we alone: answered before anything is looked at."""

from __future__ import annotations

import pytest

testinfra_hosts = ["ansible://node2"]
CONTAINERD_SOCKET = "unix:///run/containerd/containerd.sock"
CRIO_SOCKET = "unix:///var/run/crio/crio.sock"
LISTEN = (
    "import socket, time; s = socket.socket(socket.AF_UNIX);"
    "s.bind('/run/crio/crio.sock'); s.listen(); time.sleep(600)"
)


def other_runtime(node) -> None:
    node.sh(f'mkdir -p /run/crio; systemd-run --quiet --unit=other-runtime python3 -c "{LISTEN}"')
    node.sh("for i in $(seq 50); do [ -S /run/crio/crio.sock ] && exit; sleep 0.1; done; exit 1")


def test_no_runtime(node) -> None:
    node.sh("systemctl stop containerd; rm -f /run/containerd/containerd.sock")
    node.sh("mv /usr/bin/containerd /usr/bin/containerd.away")
    result = node.refuses("no_runtime")
    assert "before kubeadm join" in result["next_step"]


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_runtime_that_does_not_run(node, how) -> None:
    # A killed one leaves its socket behind.
    node.sh(("systemctl kill -s KILL containerd;" if how == "killed" else "") + "systemctl stop containerd")
    result = node.refuses("runtime_stopped")
    assert "systemctl start containerd" in result["next_step"]


def test_two_runtimes_and_nobody_says_which(node) -> None:
    other_runtime(node)
    result = node.refuses("several_runtimes")
    assert result["found"] == [
        "containerd at /run/containerd/containerd.sock",
        "crio at /run/crio/crio.sock",
    ]
    assert "harbor_ca_runtime" in result["next_step"]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("config.yaml", f"kind: KubeletConfiguration\ncontainerRuntimeEndpoint: {CONTAINERD_SOCKET}\n"),
        (
            "kubeadm-flags.env",
            f'KUBELET_KUBEADM_ARGS="--v=1 --container-runtime-endpoint={CONTAINERD_SOCKET} --v=2"\n',
        ),
    ],
)
def test_two_runtimes_and_kubelet_says_containerd(node, path, content) -> None:
    other_runtime(node)
    node.put(f"/var/lib/kubelet/{path}", content)
    result = node.trust("--check")
    assert result["changed"] and "kubelet is pointed at" in result["runtime"]["chosen_because"]


def test_two_runtimes_and_kubelet_says_the_other(node) -> None:
    other_runtime(node)
    node.put("/var/lib/kubelet/config.yaml", f"containerRuntimeEndpoint: {CRIO_SOCKET}\n")
    # Nobody behind that socket says anything; what counts is that containerd is not taken instead.
    result = node.refuses("timeout")
    assert result["path"] == "/run/crio/crio.sock" and "journalctl -u crio" in result["next_step"]


def test_a_kubelet_that_is_pointed_at_nothing_known(node) -> None:
    node.put("/var/lib/kubelet/config.yaml", "containerRuntimeEndpoint: unix:///run/other/other.sock\n")
    result = node.refuses("unknown_runtime")
    assert result["path"] == "/run/other/other.sock"


def test_two_runtimes_and_the_user_says_which(node) -> None:
    other_runtime(node)
    assert node.trust(runtime="containerd")["changed"]
    assert node.pulls()


def test_without_root(node) -> None:
    result = node.refuses("not_root", "-e", "ansible_user=operator1")
    assert "become: true" in result["next_step"]


def test_another_run_holds_the_lock(node) -> None:
    node.sh(
        "mkdir -p /var/lib/nodetrust.harbor; touch /var/lib/nodetrust.harbor/lock;"
        "systemd-run --quiet --unit=lock-holder flock /var/lib/nodetrust.harbor/lock sleep 600;"
        "until grep -q FLOCK /proc/locks; do sleep 0.1; done"
    )
    result = node.refuses("locked")
    assert result["path"] == "/var/lib/nodetrust.harbor/lock"
    node.sh("systemctl stop lock-holder")
    assert node.trust()["changed"]
    assert node.pulls()


def test_a_configuration_for_another_containerd(node) -> None:
    # 1.6 takes version 3 without a word, 1.7 says what it doesn't know.
    node.put("/etc/containerd/config.toml", "version = 3\n")
    assert "version" in node.refuses("config_broken")["found"]


def test_a_containerd_without_its_cri(node) -> None:
    # What Docker's package of containerd brings along.
    node.put("/etc/containerd/config.toml", 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
    node.sh("systemctl reset-failed containerd; systemctl restart containerd")
    result = node.refuses(("cri_not_loaded", "cri_unavailable"))
    assert "disabled_plugins" in result["next_step"]

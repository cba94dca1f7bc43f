# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which runtime counts: what kubelet says, else the only one, else a question."""

from __future__ import annotations

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils import _detect
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_crio import CrioRuntime

CONTAINERD = {"containerd": "/run/containerd/containerd.sock"}
CRIO = {"crio": "/run/crio/crio.sock"}
DOCKER = {"docker": "/run/docker.sock"}
CRI_DOCKERD = {"docker": "/run/cri-dockerd.sock"}
PODMAN = {"podman": "/usr/bin/podman"}
SHARED = "/run/k3s/containerd/containerd.sock"
K3S = {"k3s": SHARED}


@pytest.mark.parametrize(
    ("wanted", "kubelet", "running", "why"),
    [
        ("auto", None, CONTAINERD, "only runtime"),
        ("auto", "unix:///run/containerd/containerd.sock", {**CONTAINERD, **CRIO}, "kubelet is pointed at"),
        ("auto", "/run/containerd/containerd.sock", {**CONTAINERD, **DOCKER}, "kubelet is pointed at"),
        ("auto", "unix:///var/run/containerd/containerd.sock", CONTAINERD, "kubelet is pointed at"),
        ("containerd", None, {**CONTAINERD, **DOCKER}, "option names it"),
        ("containerd", "unix:///run/crio/crio.sock", {**CONTAINERD, **CRIO}, "option names it"),
    ],
)
def test_containerd_is_chosen(wanted, kubelet, running, why):
    found = _detect.decide(wanted, kubelet, running, [])
    assert (found.name, found.socket) == ("containerd", "/run/containerd/containerd.sock")
    assert why in found.why


@pytest.mark.parametrize(
    ("wanted", "kubelet", "running", "present", "reason", "words"),
    [
        ("auto", None, {}, [], "no_runtime", "install and start the runtime"),
        ("auto", None, {}, ["containerd"], "runtime_stopped", "systemctl start containerd"),
        (
            "auto",
            None,
            {},
            ["containerd", "docker"],
            "no_runtime",
            "installed but stopped: containerd, docker",
        ),
        ("auto", None, {**CONTAINERD, **CRIO}, [], "several_runtimes", "harbor_ca_runtime"),
        ("auto", None, {**CONTAINERD, **DOCKER}, [], "several_runtimes", "docker at /run/docker.sock"),
        ("auto", "unix:///run/crio/crio.sock", CONTAINERD, [], "no_runtime", "crio doesn't run here"),
        ("auto", "unix:///run/elsewhere.sock", CONTAINERD, [], "unknown_runtime", "/run/elsewhere.sock"),
        ("containerd", None, {}, ["containerd"], "runtime_stopped", "journalctl -u containerd"),
        ("containerd", None, CRIO, [], "no_runtime", "crio at /run/crio/crio.sock"),
        ("podman", None, CONTAINERD, [], "no_runtime", "podman at /usr/bin/podman"),
    ],
)
def test_a_question_or_a_refusal(wanted, kubelet, running, present, reason, words):
    with pytest.raises(TrustError) as caught:
        _detect.decide(wanted, kubelet, running, present)
    assert caught.value.reason == reason
    assert words in str(caught.value)
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("kubelet", "running", "name", "socket"),
    [
        ("unix:///run/crio/crio.sock", {**CONTAINERD, **CRIO}, "crio", "/run/crio/crio.sock"),
        ("unix:///var/run/cri-dockerd.sock", CRI_DOCKERD, "docker", "/run/cri-dockerd.sock"),
        (None, DOCKER, "docker", "/run/docker.sock"),
        (None, PODMAN, "podman", "/usr/bin/podman"),
    ],
)
def test_every_other_runtime_is_chosen_by_the_same_rule(kubelet, running, name, socket):
    found = _detect.decide("auto", kubelet, running, [])
    assert (found.name, found.socket) == (name, socket)


@pytest.mark.parametrize(
    ("running", "present", "kubelet", "cri", "left"),
    [
        ({**CONTAINERD, **PODMAN}, [], False, True, CONTAINERD),
        ({**DOCKER, **PODMAN}, [], False, True, DOCKER),
        ({**K3S, **PODMAN}, [], False, True, K3S),
        (PODMAN, [], False, True, PODMAN),
        # A stopped containerd is a fault to be named, not a reason to turn to podman.
        (PODMAN, ["containerd"], False, True, {}),
        ({**CONTAINERD, **DOCKER}, [], False, False, DOCKER),
        ({**CONTAINERD, **DOCKER}, [], True, True, CONTAINERD),
        ({**CONTAINERD, **CRI_DOCKERD}, [], True, True, {**CONTAINERD, **CRI_DOCKERD}),
        # The mistake of the incident: on such a node the CA went to Docker's directory.
        ({**CONTAINERD, **DOCKER}, [], False, True, {**CONTAINERD, **DOCKER}),
        ({**CONTAINERD, **CRIO}, [], True, False, {**CONTAINERD, **CRIO}),
    ],
)
def test_what_is_no_rival_is_left_out(running, present, kubelet, cri, left):
    assert _detect.rivals(running, present, kubelet, lambda _socket: not cri) == left


def test_podman_is_there_as_soon_as_its_program_is(monkeypatch):
    monkeypatch.setattr(_detect.RUNTIMES["podman"], "programs", ("/",))
    monkeypatch.setitem(_detect.TRACES, "podman", ("/",))
    assert _detect.listening()["podman"] == "/"
    assert "podman" in _detect.installed()


def test_podman_is_not_what_is_installed_and_stopped(monkeypatch):
    monkeypatch.setattr(_detect, "listening", lambda: PODMAN)
    monkeypatch.setattr(_detect, "installed", lambda: ["crio", "podman"])
    monkeypatch.setattr(_detect, "kubelet_endpoint", lambda: None)
    with pytest.raises(TrustError) as caught:
        _detect.detect("auto", 1)
    assert caught.value.reason == "runtime_stopped" and "crio is installed" in str(caught.value)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (
            "kubeadm-flags.env",
            'KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///run/crio/crio.sock"\n',
        ),
        ("config.yaml", "apiVersion: v1\ncontainerRuntimeEndpoint: unix:///run/crio/crio.sock\n"),
        ("config.yaml", 'containerRuntimeEndpoint: "unix:///run/crio/crio.sock"\n'),
    ],
)
def test_kubelet_files_are_read(tmp_path, monkeypatch, path, text):
    (tmp_path / path).write_text(text)
    monkeypatch.setattr(_detect, "_KUBELET_FILES", (str(tmp_path / "absent"), str(tmp_path / path)))
    assert _detect.kubelet_endpoint() == "unix:///run/crio/crio.sock"


def test_other_flags_behind_the_endpoint_do_not_hide_it(tmp_path, monkeypatch):
    env = tmp_path / "kubeadm-flags.env"
    env.write_text(
        'KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///run/crio/crio.sock --node-ip=10.0.0.1"\n'
    )
    monkeypatch.setattr(_detect, "_KUBELET_FILES", (str(env),))
    assert _detect.kubelet_endpoint() == "unix:///run/crio/crio.sock"


def test_an_empty_endpoint_is_not_the_line_after_it(tmp_path, monkeypatch):
    config = tmp_path / "config.yaml"
    config.write_text("containerRuntimeEndpoint:\ncpuManagerReconcilePeriod: 0s\n")
    monkeypatch.setattr(_detect, "_KUBELET_FILES", (str(config),))
    assert _detect.kubelet_endpoint() is None


def test_without_kubelet_there_is_no_endpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(_detect, "_KUBELET_FILES", (str(tmp_path / "absent"),))
    assert _detect.kubelet_endpoint() is None


@pytest.mark.parametrize(
    ("kubelet", "running", "name", "why"),
    [
        (None, K3S, "k3s", "the kubelet inside k3s"),
        (None, {**CONTAINERD, **DOCKER, **K3S}, "k3s", "the kubelet inside k3s"),
        (None, {"k0s": "/run/k0s/containerd.sock", **CONTAINERD}, "k0s", "the kubelet inside k0s"),
        (f"unix://{SHARED}", {"rke2": SHARED}, "rke2", "kubelet is pointed at"),
        (f"unix://{SHARED}", {**CONTAINERD, **K3S}, "k3s", "kubelet is pointed at"),
        (
            "unix:///run/containerd/containerd.sock",
            {**CONTAINERD, **K3S},
            "containerd",
            "kubelet is pointed at",
        ),
    ],
)
def test_a_distribution_with_its_own_kubelet(kubelet, running, name, why):
    found = _detect.decide("auto", kubelet, running, [])
    assert (found.name, found.socket) == (name, running[name]) and why in found.why


@pytest.mark.parametrize("name", _detect.RUNTIMES)
def test_a_runtime_is_looked_for_where_it_is(name):
    runtime = _detect.RUNTIMES[name]
    assert runtime.name == name
    assert _detect.TRACES[name] == (*runtime.sockets, *runtime.programs)


def test_a_runtime_of_which_there_is_no_trace_is_not_loaded(monkeypatch):
    for name in _detect.RUNTIMES:
        monkeypatch.setitem(_detect.TRACES, name, ("/",) if name == "crio" else ("/absent",))
    asked = []

    def load(_self, name):
        asked.append(name)
        return CrioRuntime

    monkeypatch.setattr(type(_detect.RUNTIMES), "__getitem__", load)
    assert (_detect.listening(), _detect.installed()) == ({}, [])
    assert set(asked) == {"crio"}

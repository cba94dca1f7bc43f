# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""podman and CRI-O: three places, and the first that has the registry's directory wins whole (runtime-facts §9)."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils import (
    _containers_dirs,
    _plan,
    _registries_conf,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._mark import ca_content
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import parse_registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import fingerprint
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import Desired, Runtime
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_crio import CrioRuntime
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_docker import DockerRuntime
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_podman import PodmanRuntime
from tests.lab import pki

NAME = "harbor.lab.internal:8443"
REGISTRY = parse_registry(NAME)
CA = pki.make_ca("right")
DESIRED = Desired(REGISTRY, (CA.der,), frozenset({fingerprint(CA.der)}))


class Node:
    """The three places in a temporary directory; docker says whether dockerd is installed."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = root / "root/.config/containers/certs.d"
        self.own = root / "etc/containers/certs.d"
        self.docker = root / "etc/docker/certs.d"
        self.dockerd = root / "dockerd"
        monkeypatch.setattr(_containers_dirs, "PLACES", (str(self.own), str(self.docker)))
        monkeypatch.setattr(_containers_dirs, "home_of_root", lambda: str(root / "root"))
        monkeypatch.setattr(_registries_conf, "SYSTEM", str(root / "etc/containers"))
        monkeypatch.setattr(_registries_conf, "home_of_root", lambda: str(root / "root"))
        monkeypatch.setattr(DockerRuntime, "programs", (str(self.dockerd),))

    def lay(self, base: Path, *names: str, content: str = CA.pem) -> None:
        (base / NAME).mkdir(parents=True, exist_ok=True)
        for name in names:
            (base / NAME / name).write_text(content)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(tmp_path, monkeypatch)


@pytest.fixture(params=["podman", "crio"])
def runtime(request: pytest.FixtureRequest) -> Runtime:
    if request.param == "podman":
        return PodmanRuntime(client=None, version="5.4.2")
    return CrioRuntime(client=None, version="1.36.3", process=None)


@pytest.mark.parametrize(
    ("laid", "written"),
    [
        ([], "own"),
        (["own"], "own"),
        (["docker"], "docker"),
        (["own", "docker"], "own"),
    ],
)
def test_an_existing_directory_is_honoured_and_none_is_hidden(
    node: Node, runtime: Runtime, laid: list[str], written: str
) -> None:
    for name in laid:
        node.lay(getattr(node, name))
    plan = _plan.plan_present([DESIRED], [runtime.read(REGISTRY)], runtime)
    assert [change.path for change in plan.changes] == [f"{getattr(node, written)}/{NAME}/ca.crt"]
    assert plan.restart_after is not None and not plan.restart_after.due


def test_an_empty_directory_hides_the_right_ca(node: Node, runtime: Runtime) -> None:
    node.lay(node.docker, "ca.crt")
    assert runtime.read(REGISTRY).fingerprints == DESIRED.pins
    node.lay(node.own)
    assert runtime.read(REGISTRY).fingerprints == set()


def test_a_dangling_link_hides_nothing(node: Node, runtime: Runtime) -> None:
    node.lay(node.docker, "ca.crt")
    node.own.mkdir(parents=True)
    (node.own / NAME).symlink_to("/nowhere")
    assert runtime.read(REGISTRY).fingerprints == DESIRED.pins


def test_roots_home_hides_both_and_is_not_ours_to_write(node: Node, runtime: Runtime) -> None:
    node.lay(node.own, "ca.crt")
    node.lay(node.home)
    place = runtime.read(REGISTRY)
    assert place.fingerprints == set()
    with pytest.raises(TrustError) as caught:
        _plan.plan_present([DESIRED], [place], runtime)
    assert caught.value.reason == "shadowed_by_home_directory"
    assert str(node.home) in str(caught.value)


def test_the_right_ca_in_roots_home_is_trust_and_is_told(node: Node, runtime: Runtime) -> None:
    node.lay(node.home, "mine.crt")
    plan = _plan.plan_present([DESIRED], [runtime.read(REGISTRY)], runtime)
    assert not plan.changed and plan.verdicts[0].in_effect
    assert any(str(node.home) in reason for reason in plan.verdicts[0].reasons)


@pytest.mark.parametrize(
    ("laid", "dockerd", "removed"),
    [
        (["own"], True, "own"),
        (["own", "docker"], False, "own"),
        (["home", "own"], False, "own"),
        (["docker"], False, "docker"),
        # It may be what dockerd pulls with.
        (["docker"], True, None),
        (["home"], False, None),
    ],
)
def test_only_what_is_ours_is_taken_away(
    node: Node, runtime: Runtime, laid: list[str], dockerd: bool, removed: str | None
) -> None:
    if dockerd:
        node.dockerd.touch()
    for name in laid:
        node.lay(getattr(node, name), "ca.crt", content=ca_content([CA.der]).decode())
    gone = Desired(REGISTRY, (), frozenset())
    plan = _plan.plan_absent([gone], [runtime.read(REGISTRY)], runtime)
    expected = (
        [f"{getattr(node, removed)}/{NAME}/ca.crt", f"{getattr(node, removed)}/{NAME}"] if removed else []
    )
    assert [change.path for change in plan.changes] == expected


@pytest.mark.parametrize(
    ("name", "reason", "refused"),
    [
        ("z.crt", "ca_file_unusable", False),
        ("ca.cert", "stray_cert", True),
        ("client.key", "stray_key", True),
    ],
)
def test_silent_junk_is_named_and_what_breaks_a_pull_is_refused(
    node: Node, runtime: Runtime, name: str, reason: str, refused: bool
) -> None:
    node.lay(node.own, name, content="junk")
    place = runtime.read(REGISTRY)
    assert [problem.reason for problem in place.problems] == [reason]
    if refused:
        with pytest.raises(TrustError, match=name):
            _plan.plan_present([DESIRED], [place], runtime)
    else:
        assert _plan.plan_present([DESIRED], [place], runtime).changed

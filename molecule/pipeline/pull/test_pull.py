# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof on every version of containerd: two clients with one answer, and each failure by its name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.verify import nodes
from tests.lab.verify.pipeline import SHIM, ad_hoc, call, first_day, install, results, shell

NODES = ["node1", "node2", "node3"]
AUTH = f"{nodes.REGISTRY}:8444"
SECRET_IMAGE = f"{AUTH}/library/hello:1"
# The same list for both clients. Port 8443 is one that these nodes have no CA for.
IMAGES = {
    nodes.HELLO: "pulled",
    f"{nodes.REGISTRY}/library/vanished:1": "not_found",
    f"{nodes.REGISTRY}:8443/library/hello:1": "unknown_authority",
    SECRET_IMAGE: "unauthorized",
    "token.lab.internal/library/hello:1": "name_mismatch",
    f"{nodes.REGISTRY}:9/library/hello:1": "connection_refused",
    "nowhere.lab.internal/library/hello:1": "dns",
}
CRICTL_PATH = "/usr/local/bin/crictl"
CRICTL = (nodes.FILES / "crictl").read_text()


@pytest.fixture(scope="module", autouse=True)
def _trusted() -> Iterator[None]:
    first_day(NODES)
    registries = [{"host": host, "ca_pem": nodes.ca_pem()} for host in (nodes.REGISTRY, AUTH)]
    for result in call(NODES, "nodetrust.harbor.registry_trust", {"registries": registries}).values():
        assert result["changed"], result
    shell(NODES, "systemctl restart containerd")
    assert not any(answer["failed"] for answer in pull([], wait=60).values())
    yield
    first_day(NODES)


@pytest.fixture
def crictl() -> Iterator[None]:
    install(NODES, CRICTL, CRICTL_PATH)
    yield
    shell(NODES, "rm -f /usr/local/bin/crictl")


def pull(images: list[str], **options: Any) -> dict[str, dict[str, Any]]:
    answers = call(NODES, "nodetrust.harbor.registry_pull", {"images": images, **options})
    assert set(answers) == set(NODES)
    return answers


def test_both_clients_give_the_same_answers(request: pytest.FixtureRequest) -> None:
    by_curl = pull(list(IMAGES))
    request.getfixturevalue("crictl")
    by_crictl = pull(list(IMAGES))
    for node in NODES:
        for answers, client in ((by_curl, "curl"), (by_crictl, "crictl")):
            pulls = answers[node]["pulls"]
            assert {one["image"]: one["reason"] for one in pulls} == IMAGES, (node, client)
            assert {one["via"] for one in pulls} == {client}
        assert [stable(one) for one in by_curl[node]["pulls"]] == [
            stable(one) for one in by_crictl[node]["pulls"]
        ]
        assert by_curl[node]["runtime"] == by_crictl[node]["runtime"]


def stable(one: dict[str, Any]) -> dict[str, Any]:
    """A pull without what may differ: who carried it, and what the network says in other words each time."""
    return {key: value for key, value in one.items() if key not in ("via", "message", "code")}


@pytest.mark.parametrize("image", [SECRET_IMAGE, "nowhere.lab.internal/library/hello:1"])
def test_a_failure_is_a_report(image: str) -> None:
    for node, result in pull([image]).items():
        assert result["failed"] and result["reason"] == IMAGES[image]
        assert result["registry"] == image.partition("/")[0]
        assert_is_a_report(node, result)


def assert_is_a_report(node: str, result: dict[str, Any]) -> None:
    assert result["node"] == node and result["msg"].startswith(f"{node}: ")
    for field, label in (("found", "Found: "), ("expected", "Expected: "), ("next_step", "Next step: ")):
        assert result[field] and f"{label}{result[field]}".rstrip(".") in result["msg"], (field, result)


def test_a_pull_that_works_says_what_it_proved() -> None:
    for result in pull([nodes.HELLO]).values():
        assert result["proven"] is True and result["changed"] is False and not result["failed"]
        assert result["pulls"][0]["image_ref"].startswith("sha256:")
        assert result["runtime"]["runtime_name"] == "containerd"


def test_check_mode_pulls_nothing() -> None:
    shell(NODES, f"ctr -n k8s.io images rm {nodes.REGISTRY}/theater/movie-service:latest || :")
    answers = call(
        NODES,
        "nodetrust.harbor.registry_pull",
        {"images": [f"{nodes.REGISTRY}/theater/movie-service:latest"]},
        "--check",
    )
    assert {answer["proven"] for answer in answers.values()} == {False}
    stored = shell(NODES, "ctr -n k8s.io images ls -q")
    assert not any("movie-service" in names for names in stored.values())


# --- a login ---


def login(password: str) -> list[dict[str, str]]:
    known = json.loads((nodes.RUN / "registry.json").read_text())
    return [{"registry": AUTH, "username": known["username"], "password": password}]


@pytest.fixture
def recorded() -> Iterator[None]:
    """Both clients behind a shim that writes down how it was called, and calls the real one."""
    for name, real in (("crictl", f"{SHIM}/real-crictl"), ("curl", "/usr/bin/curl")):
        shell(NODES, f"mkdir -p {SHIM} && rm -f {SHIM}/*.{name}")
        install(
            NODES,
            f"#!/bin/sh\nprintf '%s\\n' \"$@\" >> {SHIM}/argv.{name}\nenv >> {SHIM}/env.{name}\n"
            f'exec {real} "$@"\n',
            f"/usr/local/bin/{name}",
        )
    install(NODES, CRICTL, f"{SHIM}/real-crictl")
    yield
    shell(NODES, f"rm -rf {SHIM} /usr/local/bin/crictl /usr/local/bin/curl")


@pytest.mark.parametrize(("client", "right"), [("auto", True), ("auto", False), ("crictl", True)])
def test_a_login_is_used_and_seen_by_nobody(client: str, right: bool, recorded: None) -> None:
    real = json.loads((nodes.RUN / "registry.json").read_text())["password"]
    password = real if right else "wrong" + real[::-1]
    options = {"images": [SECRET_IMAGE], "credentials": login(password), "client": client}
    output = ad_hoc(NODES, "nodetrust.harbor.registry_pull", options, "-vvv")
    for node, result in results(output).items():
        assert result["pulls"][0]["reason"] == ("pulled" if right else "unauthorized"), node
        # With a login curl goes first: nobody can look into its standard input.
        assert result["pulls"][0]["via"] == ("crictl" if client == "crictl" else "curl")
    # The caller wrote the password into the options; it stands in the command that the test typed, nowhere else.
    assert password not in output
    seen = shell(
        NODES,
        f"cat {SHIM}/argv.*; {f'cat {SHIM}/env.curl;' if client == 'auto' else ''} journalctl --sync; journalctl",
    )
    for node, words in seen.items():
        assert "pull" in words.lower(), f"{node}: the shim saw no call"
        assert password not in words, f"{node}: the password was there to read"


# --- the node itself is in the way ---


@pytest.fixture
def without_cri() -> Iterator[None]:
    off = 'version = 2\\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\\n'
    shell(
        NODES,
        "cp -a /etc/containerd/config.toml /run/lab-config.toml && "
        f"printf '{off}' > /etc/containerd/config.toml && systemctl restart containerd",
    )
    yield
    shell(NODES, "mv /run/lab-config.toml /etc/containerd/config.toml && systemctl restart containerd")
    pull([], wait=60)


@pytest.fixture
def stopped() -> Iterator[None]:
    shell(NODES, "systemctl stop containerd")
    yield
    shell(NODES, "systemctl start containerd")
    pull([], wait=60)


@pytest.fixture
def without_clients() -> Iterator[None]:
    shell(NODES, "mv /usr/bin/curl /usr/bin/curl.hidden")
    yield
    shell(NODES, "mv /usr/bin/curl.hidden /usr/bin/curl")


@pytest.mark.parametrize(
    ("trouble", "reason", "words"),
    [
        ("without_cri", "cri_not_loaded", "its CRI plugin is not loaded"),
        ("stopped", "cri_unavailable", "systemctl status containerd"),
        ("without_clients", "no_cri_client", "Install curl on this node"),
    ],
)
def test_trouble_on_the_node_has_a_name(
    trouble: str, reason: str, words: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(trouble)
    for node, result in pull([nodes.HELLO]).items():
        assert result["failed"] and result["reason"] == reason and result["pulls"] == []
        assert words in result["msg"]
        assert_is_a_report(node, result)


def test_crictl_tells_the_same_of_a_missing_cri(crictl: None, without_cri: None) -> None:
    for node, result in pull([nodes.HELLO]).items():
        assert result["reason"] == "cri_not_loaded"
        assert_is_a_report(node, result)


def test_a_broken_crictl_is_no_obstacle() -> None:
    shell(NODES, "ln -sf /bin/false /usr/local/bin/crictl")
    try:
        for result in pull([nodes.HELLO]).values():
            assert result["proven"] and result["pulls"][0]["via"] == "curl"
    finally:
        shell(NODES, "rm -f /usr/local/bin/crictl")

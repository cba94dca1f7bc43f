# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Node objects that no API server would send: flattening must not fall over them, nor follow them."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.nodetrust.harbor.plugins.plugin_utils import _nodes, _standing, _unsafe
from ansible_collections.nodetrust.harbor.tests.lab.kube import make_node

KEPT = _nodes.Kept("harbor-certified", "nodetrust.harbor/proof", ("a",))
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
PLACES = [
    ("metadata",),
    ("metadata", "name"),
    ("metadata", "labels"),
    ("metadata", "annotations"),
    ("spec",),
    ("spec", "taints"),
    ("status",),
    ("status", "addresses"),
    ("status", "conditions"),
    ("status", "nodeInfo"),
    ("status", "nodeInfo", "containerRuntimeVersion"),
    ("status", "nodeInfo", "kubeletVersion"),
]


@given(place=st.sampled_from(PLACES), value=ANYTHING)
def test_flatten_takes_anything_and_keeps_its_form(place: tuple[str, ...], value: Any) -> None:
    node = make_node("n")
    target = node
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    flat = _nodes.flatten(node, "lab", KEPT)
    plain = _nodes.flatten(make_node("n"), "lab", KEPT)
    assert {key: type(item) for key, item in flat.items()} == {key: type(item) for key, item in plain.items()}
    json.dumps(flat)
    _nodes.usable_name(flat["name"])
    _nodes.pick_address(flat["addresses"], _nodes.ADDRESS_TYPES)
    for group in _nodes.group_names(flat, "certified", ""):
        assert group.isidentifier()


@pytest.mark.parametrize(
    ("version", "distribution"),
    [("v1.36.2", ""), ("v1.36.2+k3s1", "k3s"), ("v1.36.2+rke2r1", "rke2"), ("v1.36.2+k0s", "k0s"), ("", "")],
)
def test_distribution(version: str, distribution: str) -> None:
    node = make_node("n")
    node["status"]["nodeInfo"]["kubeletVersion"] = version
    flat = _nodes.flatten(node, "lab", KEPT)
    assert flat["distribution"] == distribution
    assert any(name.startswith("distribution_") for name in _nodes.group_names(flat, "stale", "")) == bool(
        distribution
    )


@pytest.mark.parametrize(
    ("kind", "address", "usable"),
    [
        ("InternalIP", "10.0.0.1", True),
        ("InternalIP", "fd00::1", True),
        ("InternalIP", "127.0.0.1", False),
        ("InternalIP", "::1", False),
        ("InternalIP", "0.0.0.0", False),
        ("InternalIP", "169.254.1.1", False),
        ("InternalIP", "fe80::1%eth0", False),
        ("InternalIP", "::ffff:127.0.0.1", False),
        ("InternalIP", "::ffff:7f00:1", False),
        ("InternalIP", "::ffff:0.0.0.0", False),
        ("InternalIP", "::ffff:10.0.0.1", True),
        ("InternalIP", "224.0.0.1", False),
        ("InternalIP", "node-1", False),
        ("ExternalIP", "192.0.2.1 ", False),
        ("Hostname", "node-1.example.com", True),
        ("Hostname", "ip-10-0-0-1", True),
        ("Hostname", "127.0.0.1", False),
        ("Hostname", "127.1", False),
        ("Hostname", "0x7f000001", False),
        ("Hostname", "0X7F.1", False),
        ("Hostname", "127.0.0x1", False),
        ("Hostname", "017700000001", False),
        ("Hostname", "node-0x7f", True),
        ("Hostname", "0x7f.example.com", True),
        ("Hostname", "LOCALHOST", False),
        ("Hostname", "a.localhost", False),
        ("Hostname", "-oProxyCommand=x", False),
        ("Hostname", "a b", False),
        ("Hostname", "a\n", False),
        ("Hostname", "", False),
        ("Hostname", "a" * 254, False),
        ("Telephone", "10.0.0.1", False),
    ],
)
def test_usable_address(kind: str, address: str, usable: bool) -> None:
    assert _nodes.usable_address(kind, address) is usable


@pytest.mark.parametrize(
    ("name", "usable"),
    [
        ("node-1", True),
        ("10.0.0.1", True),
        ("0x7f000001", False),
        ("0x7f.1", False),
        ("127.1", False),
        ("2130706433", False),
        ("0", False),
        ("a.localhost", False),
    ],
)
def test_a_node_that_is_connected_to_by_its_name(name: str, usable: bool) -> None:
    assert _nodes.usable_name(name) is usable


EVIL = "{{ lookup('pipe', 'id') }}"


def test_no_key_that_a_node_can_write_has_braces_in_it() -> None:
    node = make_node("n", labels={EVIL: "x"}, annotations={EVIL: "x", "nodetrust.harbor/proof": "{}"})
    condition = {"type": EVIL, "status": "True"}
    node["status"]["conditions"] += [
        condition,
        {**condition, "type": "a b"},
        {**condition, "type": "x.io/A-b_c"},
    ]
    flat = _nodes.flatten(node, "lab", _nodes.Kept("harbor-certified", "nodetrust.harbor/proof", (EVIL,)))
    assert EVIL not in {*flat["labels"], *flat["annotations"], *flat["conditions"]}
    assert flat["conditions"]["x.io/A-b_c"] == flat["conditions"]["Ready"] == "True"
    assert "a b" not in flat["conditions"]
    assert flat["labels"]["kubernetes.io/hostname"] == "n"
    assert flat["proof"] == "{}"


@pytest.mark.parametrize("name", [EVIL, "{% x %}.example.com", "harbor", "a.example.com/b", ""])
def test_a_proof_of_what_is_no_registry_is_none(name: str) -> None:
    pins = {"harbor.example.com:5000": ["SHA256:" + ":".join(["AB"] * 32)]}
    now = datetime.now(timezone.utc)
    good = _standing.Proof(pins, now, "containerd://2.1.9")
    assert _standing.read_proof(good.to_text()).registries == pins
    bad = good._replace(registries={**pins, name: pins["harbor.example.com:5000"]}).to_text()
    verdict = _standing.judge("true", bad, "containerd://2.1.9", _standing.Policy(), now)
    assert _standing.as_facts(verdict) == {
        "state": "uncertified",
        "reason": "the proof is unreadable",
        "time": None,
        "runtime": None,
        "registries": {},
    }


def test_marking_leaves_plain_values_alone_and_wraps_what_could_be_a_template() -> None:
    value = {"a": ["{{ x }}", 1, None, {"b": "{% x %}", "c": "plain"}]}
    for marked in (_unsafe.mark_unsafe(value), _unsafe._marked(value)):
        assert marked == value
    marked = _unsafe._marked(value)
    assert marked["a"][3]["c"].__class__ is str
    # From 2.19 on there is nothing to wrap, and nothing is wrapped.
    assert (marked["a"][0].__class__ is str) == _unsafe._INERT


@pytest.mark.parametrize(
    "module",
    [
        "plugins.inventory.cluster_nodes",
        "plugins.action.node_certification",
        "plugins.action.cluster_access_info",
        "plugins.action.node_drain",
    ],
)
def test_the_kubernetes_client_is_imported_only_when_a_cluster_is_asked(module: str) -> None:
    code = (
        "from ansible.plugins.loader import init_plugin_loader; init_plugin_loader(); import importlib, sys;"
        f"importlib.import_module('ansible_collections.nodetrust.harbor.{module}');"
        "print('kubernetes' in sys.modules, 'urllib3' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_missing_client_says_which_python_lacks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.nodetrust.harbor.plugins.plugin_utils import _kube_errors, _kubeconfig

    monkeypatch.setitem(sys.modules, "kubernetes.client", None)
    with pytest.raises(_kube_errors.LibraryMissing) as caught:
        _kubeconfig.client_for(_kubeconfig.Access())
    assert f"{sys.executable} -m pip install kubernetes" in str(caught.value)


def test_a_client_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import kubernetes

    from ansible_collections.nodetrust.harbor.plugins.plugin_utils import _kube_errors, _kubeconfig

    monkeypatch.setattr(kubernetes, "__version__", "30.1.0")
    with pytest.raises(_kube_errors.LibraryMissing) as caught:
        _kubeconfig.client_for(_kubeconfig.Access())
    assert caught.value.reason == "library_too_old"
    assert "kubernetes 30.1.0" in str(caught.value) and f">={_kubeconfig._OLDEST}'" in str(caught.value)
    root = Path(__file__).parents[4]
    assert f"kubernetes>={_kubeconfig._OLDEST}.0.0" in (root / "meta/ee-requirements.txt").read_text()

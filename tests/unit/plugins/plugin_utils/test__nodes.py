# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Node objects that no API server would send: flattening must not fall over them, nor follow them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.nodetrust.harbor.plugins.plugin_utils import _nodes, _unsafe
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
        ("InternalIP", "224.0.0.1", False),
        ("InternalIP", "node-1", False),
        ("ExternalIP", "192.0.2.1 ", False),
        ("Hostname", "node-1.example.com", True),
        ("Hostname", "ip-10-0-0-1", True),
        ("Hostname", "127.0.0.1", False),
        ("Hostname", "127.1", False),
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

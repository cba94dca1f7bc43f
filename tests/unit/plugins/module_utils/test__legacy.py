# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The old registry settings and the hosts.toml files that say the same: what each endpoint becomes."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils import _legacy
from ansible_collections.nodetrust.harbor.plugins.module_utils._hosts_merge import ADDED
from ansible_collections.nodetrust.harbor.plugins.module_utils._hosts_toml import parse_hosts_toml
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import parse_registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml import parse, remove, set_string
from tests.lab.verify.configs import configurations

tomllib: Any = importlib.import_module("tomllib")
OWN = "harbor.test"


def said(registry: dict[str, Any], name: str, *own: str) -> dict[str, Any] | None:
    """The hosts.toml for one registry, as tomllib reads it, with the hosts in their order."""
    text = _legacy.hosts_toml(
        _legacy.read(registry), name, list(own), "ca.crt", "/etc/containerd/config.toml"
    )
    if text is None:
        return None
    data: dict[str, Any] = tomllib.loads(text)
    for entry in data["host"].values():
        assert entry.pop("capabilities") == ["pull", "resolve"]
    return data


def mirrors(*endpoints: str, name: str = "docker.io") -> dict[str, Any]:
    return {"mirrors": {name: {"endpoint": list(endpoints)}}}


@pytest.mark.parametrize(
    ("registry", "name", "server", "hosts"),
    [
        (mirrors("https://m.test"), "docker.io", "https://registry-1.docker.io", {"https://m.test": {}}),
        (mirrors("m.test:5000"), "docker.io", "https://registry-1.docker.io", {"https://m.test:5000": {}}),
        # containerd asked for the path as it stands, where a hosts.toml would add /v2.
        (
            mirrors("https://m.test/v2/proxy", "http://n.test/v2", "https://o.test/"),
            "docker.io",
            "https://registry-1.docker.io",
            {
                "https://m.test/v2/proxy": {"override_path": True},
                "http://n.test/v2": {},
                "https://o.test/": {"override_path": True},
            },
        ),
        # The registry itself among its endpoints is asked there, and not once more.
        (
            mirrors("https://m.test", "https://q.test", name="q.test"),
            "q.test",
            "https://q.test",
            {"https://m.test": {}},
        ),
        (
            mirrors("https://q.test", "https://m.test", name="q.test"),
            "q.test",
            "https://m.test",
            {"https://q.test": {}},
        ),
        (
            mirrors("https://q.test/proxy", "https://m.test", "https://n.test", name="q.test"),
            "q.test",
            "https://n.test",
            {"https://q.test/proxy": {"override_path": True}, "https://m.test": {}},
        ),
        (mirrors("https://q.test/proxy", name="q.test"), "q.test", "https://q.test/proxy", {}),
        (mirrors("http://q.test", name="q.test"), "q.test", "http://q.test", {}),
        (mirrors(name="q.test"), "q.test", "https://q.test", {}),
        (
            mirrors("localhost:5000"),
            "docker.io",
            "https://registry-1.docker.io",
            {"http://localhost:5000": {}},
        ),
        # For everybody: no server, so that the registry of the image is the last try.
        (mirrors("https://m.test", name="*"), "*", None, {"https://m.test": {}}),
        (mirrors("https://m.test", name="*"), "q.test", "https://q.test", {"https://m.test": {}}),
        (
            mirrors("https://m.test", "https://m.test"),
            "docker.io",
            "https://registry-1.docker.io",
            {"https://m.test": {}},
        ),
    ],
)
def test_endpoints(registry: dict[str, Any], name: str, server: str | None, hosts: dict[str, Any]) -> None:
    data = said(registry, name)
    assert data is not None
    assert (data.get("server"), data["host"]) == (server, hosts)
    assert list(data["host"]) == list(hosts)


def test_rewrites_go_with_each_endpoint() -> None:
    registry = mirrors("https://m.test")
    registry["mirrors"]["docker.io"]["rewrite"] = {"^(.*)": "proxy/$1"}
    data = said(registry, "docker.io")
    assert data and data["host"] == {"https://m.test": {"rewrite": {"^(.*)": "proxy/$1"}}}


TLS = {
    "ca_file": "/etc/m.pem",
    "cert_file": "etc/m.crt",
    "key_file": "/etc/m.key",
    "insecure_skip_verify": False,
}


def test_tls_goes_by_the_host_that_is_asked() -> None:
    registry = {
        **mirrors("https://m.test", "http://m.test", "https://n.test"),
        "configs": {"m.test": {"tls": TLS}},
    }
    settings = {"ca": "/etc/m.pem", "client": [["/etc/m.crt", "/etc/m.key"]]}
    data = said(registry, "docker.io")
    assert data and data["host"] == {"https://m.test": settings, "http://m.test": {}, "https://n.test": {}}
    # The same host as a registry of its own.
    assert said(registry, "m.test") == {"server": "https://m.test", **settings, "host": {}}


def test_docker_hub_keeps_the_ca_of_the_host_that_is_asked_for_it() -> None:
    registry = {"configs": {"registry-1.docker.io": {"tls": {"ca_file": "/etc/proxy.pem"}}}}
    assert set(_legacy.directories(_legacy.read(registry), [])) == {"registry-1.docker.io", "docker.io"}
    expected = {"server": "https://registry-1.docker.io", "ca": "/etc/proxy.pem", "host": {}}
    assert said(registry, "docker.io") == expected


def test_a_path_of_our_own_registry_is_not_lost() -> None:
    registry = mirrors(f"https://{OWN}/proxy", name=OWN)
    data = said(registry, OWN, OWN)
    assert data and (data["server"], data["override_path"]) == (f"https://{OWN}/proxy", True)


def test_our_registry_gets_our_ca_and_never_an_unverified_connection() -> None:
    registry = {**mirrors(f"https://{OWN}"), "configs": {OWN: {"tls": {"insecure_skip_verify": True}}}}
    assert _legacy.unverified(_legacy.read(registry), []) == [OWN]
    assert _legacy.unverified(_legacy.read(registry), [OWN]) == []
    data = said(registry, "docker.io", OWN)
    assert data and data["host"] == {f"https://{OWN}": {"ca": f"../{OWN}/ca.crt"}}
    assert said(registry, OWN, OWN) is None, "a CA file alone says all"


@pytest.mark.parametrize(
    "registry",
    [
        mirrors("https://m.test", name="*"),
        mirrors("https://m.test", name=OWN),
        {"configs": {OWN: {"tls": TLS}}},
    ],
)
def test_the_hosts_toml_of_our_registry_can_be_freed_of_us(registry: dict[str, Any]) -> None:
    legacy = _legacy.read(registry)
    assert _legacy.directories(legacy, [OWN])[OWN] == OWN
    text = _legacy.hosts_toml(legacy, OWN, [OWN], "ca.crt", "x")
    assert text is not None and ADDED in text and "/etc/m.pem" not in text
    path = f"/etc/containerd/certs.d/{OWN}/hosts.toml"
    for major in (1, 2):
        hosts = parse_hosts_toml(path, text, parse_registry(OWN), major)
        assert hosts.obeyed and hosts.ca_paths == [f"/etc/containerd/certs.d/{OWN}/ca.crt"]
        assert hosts.merged("ca.crt") == text and not hosts.troubles
        assert "ca" not in tomllib.loads(hosts.unmerged("ca.crt"))


def test_which_directories_are_made() -> None:
    registry = {
        **mirrors("https://m.test"),
        "configs": {"m.test": {"tls": TLS}, "n.test": {"auth": {"username": "a"}}},
    }
    assert _legacy.directories(_legacy.read(registry), [OWN]) == {
        "docker.io": "docker.io",
        "m.test": "m.test",
    }
    registry["mirrors"]["*"] = {"endpoint": ["https://m.test"]}
    assert set(_legacy.directories(_legacy.read(registry), [OWN])) == {"docker.io", "m.test", OWN, "_default"}


def test_what_goes_and_that_logins_stay() -> None:
    configs = {"a": {"tls": TLS}, "b": {"tls": TLS, "auth": {"username": "x"}}, "c": {"auth": {}}, "d": {}}
    paths = _legacy.old_paths(("r",), {"mirrors": {}, "configs": configs})
    assert paths == [
        ("r", "mirrors"),
        ("r", "configs", "a"),
        ("r", "configs", "b", "tls"),
        ("r", "configs", "d"),
    ]


@pytest.mark.parametrize(("version", "plugin", "text"), list(configurations()))
def test_every_form_of_a_configuration_loses_the_old_settings_and_nothing_else(version, plugin, text):
    place = ("plugins", plugin, "registry")
    before = tomllib.loads(text)
    paths = _legacy.old_paths(place, parse(text).get(place) or {})
    now = tomllib.loads(set_string(remove(text, paths), (*place, "config_path"), "/certs.d"))
    was, left = before["plugins"][plugin].pop("registry"), now["plugins"][plugin].pop("registry")
    assert now == before and left.pop("config_path") == "/certs.d"
    logins = {host: entry["auth"] for host, entry in was.get("configs", {}).items() if "auth" in entry}
    assert {host: entry["auth"] for host, entry in left.pop("configs", {}).items()} == logins
    assert left == {
        key: value for key, value in was.items() if key not in ("configs", "mirrors", "config_path")
    }

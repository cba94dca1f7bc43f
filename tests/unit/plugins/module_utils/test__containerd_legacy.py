# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the old registry settings may move, into which files, and what stops them."""

from __future__ import annotations

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils import (
    _containerd,
    _containerd_legacy,
    _hosts_merge,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._containerd import Config, Containerd
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._node import FileState, Process
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml import parse
from tests.lab import pki

GRPC = 'plugins."io.containerd.grpc.v1.cri"'
OWN = "harbor.test"
MIRROR = f'[{GRPC}.registry.mirrors."q.test"]\nendpoint = ["https://m.test"]\n'


@pytest.fixture(autouse=True)
def certs_dir(tmp_path, monkeypatch):
    for module in (_containerd, _containerd_legacy):
        monkeypatch.setattr(module, "CERTS_DIR", str(tmp_path / "certs.d"))
    return tmp_path / "certs.d"


def containerd(text, *, more=""):
    """A containerd that reads this text, and more of it from a drop-in."""
    text = f"version = 2\n{text}"
    dump = parse(text + more).data
    images = _containerd.images_section(dump)
    legacy = tuple(_containerd._legacy_lines("/c.toml", text, images))
    config = Config(
        FileState("/c.toml", "file", text.encode()), "", dump, False, legacy, ("/d/*.toml",), None
    )
    process = Process(7, "containerd", ("containerd",), "/usr/bin/containerd", "containerd.service", 0.0)
    return Containerd(process, "containerd.service", "unix:///x", "1.7.24", 1, config, None, None)


def tls(name, **settings):
    lines = [
        f"{key} = {str(value).lower() if value is True else chr(34) + str(value) + chr(34)}\n"
        for key, value in settings.items()
    ]
    return f'[{GRPC}.registry.configs."{name}".tls]\n{"".join(lines)}'


def test_the_steps_and_their_order(certs_dir):
    changes = _containerd_legacy.steps(containerd(MIRROR), [OWN])
    assert [(change.kind, change.path) for change in changes] == [
        ("text", str(certs_dir / "q.test" / "hosts.toml")),
        ("config", "/c.toml"),
    ]
    assert _containerd_legacy.old_paths(containerd(MIRROR)) == [
        ("plugins", "io.containerd.grpc.v1.cri", "registry", "mirrors")
    ]


def test_a_file_that_a_run_before_has_made_is_no_step_again(certs_dir):
    (first, _config) = _containerd_legacy.steps(containerd(MIRROR), [OWN])
    (certs_dir / "q.test").mkdir(parents=True)
    (certs_dir / "q.test" / "hosts.toml").write_bytes(first.content)
    assert [change.kind for change in _containerd_legacy.steps(containerd(MIRROR), [OWN])] == ["config"]


def test_what_goes_for_our_registry_is_said():
    changes = _containerd_legacy.steps(containerd(tls(OWN, insecure_skip_verify=True)), [OWN])
    assert [change.kind for change in changes] == ["config"]
    assert f"insecure_skip_verify of {OWN} goes" in changes[0].summary


@pytest.mark.parametrize("mirrored", [OWN, "*"])
def test_a_client_certificate_of_ours_is_named_where_the_old_settings_end(certs_dir, mirrored):
    mirror = f'[{GRPC}.registry.mirrors."{mirrored}"]\nendpoint = ["https://m.test", "https://{OWN}"]\n'
    old = tls(OWN, cert_file=__file__, key_file=__file__)
    changes = _containerd_legacy.steps(containerd(mirror + old), [OWN], [OWN])
    made = {change.path: change.content or b"" for change in changes}
    text = made[f"{certs_dir}/{OWN}/hosts.toml"].decode()
    data = parse(text).data
    assert data["client"] == [["client.cert", "client.key"]] and __file__ not in text
    assert all("client" not in entry for url, entry in data["host"].items() if OWN not in url)
    path = f"{certs_dir}/{OWN}/hosts.toml"
    assert parse(_hosts_merge.unmerge(text, "ca.crt", path)).get(("client",)) is None


def test_beside_a_ca_alone_the_runtime_finds_the_pair_by_itself():
    old = tls(OWN, cert_file=__file__, key_file=__file__)
    assert [change.kind for change in _containerd_legacy.steps(containerd(old), [OWN], [OWN])] == ["config"]


@pytest.mark.parametrize(
    ("text", "more", "reason"),
    [
        (tls("q.test", insecure_skip_verify=True), "", "legacy_skip_verify"),
        (MIRROR, f'[{GRPC}.registry.mirrors."r.test"]\nendpoint = []\n', "legacy_in_drop_in"),
        ("", MIRROR, "legacy_in_drop_in"),
        (tls("q.test", ca_file="/nowhere/ca.pem"), "", "legacy_file_unusable"),
        (tls("q.test", ca_file="/dev/null"), "", "legacy_file_unusable"),
        (tls("q.test", cert_file="/nowhere/c", key_file="/nowhere/k"), "", "legacy_file_unusable"),
        (f'[{GRPC}.registry.mirrors."q.test/x"]\nendpoint = ["https://m.test"]\n', "", "legacy_name"),
        (f'[{GRPC}.registry.mirrors.".."]\nendpoint = ["https://m.test"]\n', "", "legacy_name"),
    ],
)
def test_what_stops_it(text, more, reason):
    with pytest.raises(TrustError) as caught:
        _containerd_legacy.steps(containerd(text, more=more), [OWN])
    assert caught.value.reason == reason and caught.value.next_step


def test_a_hosts_toml_that_says_something_else_stops_it(certs_dir):
    (certs_dir / "q.test").mkdir(parents=True)
    (certs_dir / "q.test" / "hosts.toml").write_text("[host]\n")
    with pytest.raises(TrustError, match="is there already"):
        _containerd_legacy.steps(containerd(MIRROR), [OWN])


def test_our_own_old_ca_file_may_be_gone(tmp_path):
    ca = tmp_path / "site.pem"
    ca.write_text(pki.make_ca("m").pem)
    text = tls(OWN, ca_file="/nowhere/ca.pem") + tls("m.test", ca_file=ca)
    assert _containerd_legacy.steps(containerd(text), [OWN])


def test_the_refusal_names_the_option():
    assert "harbor_ca_migrate_legacy" in str(_containerd_legacy.refusal(containerd(MIRROR), "no CRI"))

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The system store: told by its tools, read as Go reads it, and the names of our files in it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils import _anchors, _system_store
from ansible_collections.nodetrust.harbor.plugins.module_utils._anchors import Family
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import parse_registry
from tests.lab import pki

CA = pki.make_ca("System CA")
OTHER = pki.make_ca("Other CA")
NAMES = [
    "a.test",
    "a.test:8443",
    "a.test-8443",
    "a-8443.test",
    "10.0.0.1",
    "10.0.0.1:443",
    f"{'long.' * 49}test",
]


def family(root, name="debian", tool="update-ca-certificates"):
    (root / "anchors").mkdir(exist_ok=True)
    return Family(name, str(root / "anchors"), (tool,), (str(root / "anchors"),), links=str(root / "links"))


def tool(root, monkeypatch, name, body="exit 0"):
    (root / "bin").mkdir(exist_ok=True)
    path = root / "bin" / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    monkeypatch.setattr(_anchors, "_PATH", str(root / "bin"))


@pytest.mark.parametrize(
    ("tools", "marks", "expected"),
    [
        (["update-ca-trust"], ["r"], "rhel"),
        (["update-ca-certificates"], ["s"], "suse"),
        (["update-ca-certificates"], ["d"], "debian"),
        (["update-ca-certificates"], ["s", "d"], "suse"),
        (["update-ca-certificates"], ["r", "d"], "debian"),
        (["update-ca-trust", "update-ca-certificates"], ["r", "d"], "rhel"),
    ],
)
def test_the_family_is_told_by_tool_and_directory_together(tmp_path, monkeypatch, tools, marks, expected):
    for name in tools:
        tool(tmp_path, monkeypatch, name)
    for mark in marks:
        (tmp_path / mark).mkdir()
    known = tuple(
        Family(item.name, item.anchors, item.command, (str(tmp_path / item.name[0]),))
        for item in _anchors.FAMILIES
    )
    monkeypatch.setattr(_anchors, "FAMILIES", known)
    assert _anchors.find_family().name == expected


def test_a_node_without_a_store_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setattr(_anchors, "_PATH", str(tmp_path))
    with pytest.raises(TrustError) as caught:
        _anchors.find_family()
    assert caught.value.reason == "no_system_store" and caught.value.next_step


def test_the_bundle_is_read_as_go_reads_it(tmp_path, monkeypatch):
    broken = CA.pem.replace("M", "!", 1)
    trusted = OTHER.pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE")
    bundle = tmp_path / "bundle.crt"
    bundle.write_text(f"# a comment\r\n{broken}{trusted}{CA.pem}")
    monkeypatch.setattr(_system_store, "BUNDLES", (str(tmp_path / "absent"), str(bundle)))
    store = _system_store.read_store(family(tmp_path))
    assert store.held == {CA.fingerprint}
    assert store.bundle == str(bundle)
    assert store.changed == pytest.approx(max(os.stat(bundle).st_mtime, os.stat(bundle).st_ctime))


def test_no_bundle_holds_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(_system_store, "BUNDLES", (str(tmp_path / "absent"),))
    store = _system_store.read_store(family(tmp_path))
    assert (store.held, store.changed) == (frozenset(), None)


def test_no_two_registries_share_a_file(tmp_path):
    debian = family(tmp_path)
    paths = {
        _anchors.path_of(debian, parse_registry(name), ca.fingerprint) for name in NAMES for ca in (CA, OTHER)
    }
    assert len(paths) == 2 * len(NAMES)
    for path in paths:
        assert len(os.path.basename(path)) <= 255 and set(" :(),") & set(os.path.basename(path)) == set()
        with open(path, "w", encoding="ascii"):
            pass
    for name in NAMES:
        assert len(_anchors.own_paths(debian, parse_registry(name))) == 2


def test_a_neighbour_s_file_is_not_ours(tmp_path):
    debian = family(tmp_path)
    for name in ("harbor.crt", "nodetrust_a.test_.crt", "nodetrust_a.test_0123456789abcdef.pem"):
        (tmp_path / "anchors" / name).touch()
    assert _anchors.own_paths(debian, parse_registry("a.test")) == []


def test_links_left_behind_are_found_and_only_those(tmp_path):
    debian = family(tmp_path)
    links = tmp_path / "links"
    links.mkdir()
    path = _anchors.path_of(debian, parse_registry("a.test"), CA.fingerprint)
    first = links / os.path.basename(path).replace(".crt", ".pem")
    first.symlink_to(path)
    (links / "01234567.0").symlink_to(first.name)
    (links / "89abcdef.0").symlink_to("neighbour.pem")
    (links / "neighbour.pem").symlink_to(tmp_path / "gone")
    assert sorted(_system_store.dangling(debian)) == [str(links / "01234567.0"), str(first)]
    (tmp_path / "anchors" / os.path.basename(path)).touch()
    assert _system_store.dangling(debian) == []


def test_a_tool_that_fails_is_told_in_its_own_words(tmp_path, monkeypatch):
    tool(tmp_path, monkeypatch, "update-ca-certificates", "echo no space left >&2; exit 3")
    with pytest.raises(TrustError) as caught:
        _system_store.rebuild(family(tmp_path))
    assert caught.value.reason == "store_tool_failed" and caught.value.found == "no space left"


def test_a_process_that_reads_another_file_is_found():
    sleeper = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    store = _system_store.Store(_anchors.FAMILIES[0], "/bundle.crt", frozenset(), None)
    for environment, expected in (
        ({}, None),
        ({"SSL_CERT_FILE": "/x.pem"}, "SSL_CERT_FILE=/x.pem"),
        ({"SSL_CERT_FILE": "/bundle.crt", "SSL_CERT_DIR": "/x"}, None),
    ):
        with subprocess.Popen(
            sleeper, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"PATH": "/usr/bin", **environment}
        ) as process:
            assert process.stdout and process.stdin
            process.stdout.readline()
            assert _system_store.override_of(process.pid, store) == expected
            process.stdin.close()

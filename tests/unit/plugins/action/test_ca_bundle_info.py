# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ca_bundle_info as a playbook sees it: run by ansible-playbook against a host that does not exist."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.template import Templar
from ansible.utils.collection_loader import AnsibleCollectionConfig

from ansible_collections.nodetrust.harbor.plugins.action.ca_bundle_info import ActionModule
from ansible_collections.nodetrust.harbor.plugins.plugin_utils import _bundle
from tests.lab import pki
from tests.unit.plugins.plugin_utils.tls_server import serving

HOST = "harbor.example.com"
CA = pki.make_ca("Harbor CA")
OTHER = pki.make_ca("Other CA")


Run = Callable[..., "dict[str, Any]"]


class NoConnection:
    """Stands for the node: any use of it is a failure of the test."""

    # Ansible asks every action's connection whether a directory was made there already.
    _shell = SimpleNamespace(tmpdir=None)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the node was used: {name}")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the action as a task of a playbook in tmp_path/play, started in tmp_path/cwd."""
    for directory in ("play/files", "cwd"):
        (tmp_path / directory).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "cwd")

    def run(check_mode: bool = False, **options: Any) -> dict[str, Any]:
        loader = DataLoader()
        loader.set_basedir(str(tmp_path / "play"))
        task = Task.load(
            {"action": "nodetrust.harbor.ca_bundle_info", "check_mode": check_mode}, loader=loader
        )
        task.args = options
        # What a task has that was read from a playbook in this directory.
        task.get_search_path = lambda: [str(tmp_path / "play")]
        context = PlayContext()
        context.check_mode = check_mode
        plugin = ActionModule(task, cast(Any, NoConnection()), context, loader, Templar(loader=loader), None)
        return plugin.run(task_vars={})

    return run


def test_a_good_list_comes_back_and_nothing_changed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "play/files/ca.crt").write_text("\ufeff" + CA.pem)
    for check_mode in (False, True):
        result = run(check_mode, registries=[{"host": HOST, "ca_file": "ca.crt", "proof_image": "a/b:1"}])
        assert result["changed"] is False
        assert not result.get("failed")
        assert result["warnings"] == []
        (registry,) = result["registries"]
        assert registry["ca_pem"] == CA.pem
        assert registry["proof_image"] == f"{HOST}/a/b:1"
        assert "served" not in registry
        assert json.loads(json.dumps(result)) == result


@pytest.mark.parametrize("place", ["play/files", "play", "cwd"])
def test_a_relative_file_is_found_beside_the_playbook_and_in_the_cwd(
    run: Run, tmp_path: Path, place: str
) -> None:
    (tmp_path / place / "ca.crt").write_text(CA.pem)
    result = run(registries=[{"host": HOST, "ca_file": "ca.crt"}])
    assert result["registries"][0]["source"] == str(tmp_path / place / "ca.crt")


def test_the_playbooks_own_file_comes_before_the_one_in_the_cwd(run: Run, tmp_path: Path) -> None:
    (tmp_path / "play/files/ca.crt").write_text(CA.pem)
    (tmp_path / "cwd/ca.crt").write_text(OTHER.pem)
    result = run(registries=[{"host": HOST, "ca_file": "ca.crt"}])
    assert result["registries"][0]["fingerprints"] == [CA.fingerprint]


def test_a_missing_file_says_where_it_was_looked_for(run: Run, tmp_path: Path) -> None:
    result = run(registries=[{"host": HOST, "ca_file": "ca.crt"}])
    assert result["failed"] is True
    assert str(tmp_path / "play") in result["msg"]
    assert str(tmp_path / "cwd") in result["msg"]
    result = run(registries=[{"host": HOST, "ca_file": "/no/such/ca.crt"}])
    assert result["errors"][0]["path"] == "/no/such/ca.crt"


def test_a_directory_is_called_one(run: Run, tmp_path: Path) -> None:
    (tmp_path / "cwd/ca").mkdir()
    assert "is a directory" in run(registries=[{"host": HOST, "ca_file": "ca"}])["msg"]


def test_every_problem_is_in_the_message_and_in_the_fields(run: Run) -> None:
    result = run(
        registries=[
            {"host": "https://harbor.x", "ca_pem": "junk"},
            {"host": HOST, "ca_pem": CA.pem + CA.key_pem},
        ]
    )
    assert result["failed"] is True
    assert result["changed"] is False
    assert result["reason"] == "invalid_registries"
    assert [error["reason"] for error in result["errors"]] == [
        "invalid_registry",
        "pem_no_certificate",
        "private_key",
    ]
    assert all(error["msg"] in result["msg"] for error in result["errors"])
    assert "3 problems" in result["msg"]
    assert "No node was touched" in result["msg"]
    assert CA.key_pem.splitlines()[1] not in json.dumps(result)


def test_a_list_from_a_templated_string_is_told(run: Run) -> None:
    assert "not a list" in run(registries="harbor.example.com")["msg"]
    assert "no registry in it at all" in run(registries=[])["msg"]


def test_without_cryptography_the_failure_has_a_next_step(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bundle, "HAS_CRYPTOGRAPHY", False)
    result = run(registries=[{"host": HOST, "ca_pem": CA.pem}])
    assert (result["failed"], result["reason"], result["errors"]) == (True, "missing_library", [])
    assert "pip install cryptography" in result["next_step"]


@pytest.fixture
def at_the_server(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Let every registry name lead to one server."""

    def redirect(address: Any) -> None:
        connect = socket.create_connection
        monkeypatch.setattr(socket, "create_connection", lambda _target, timeout: connect(address, timeout))

    return redirect


def test_a_served_certificate_of_another_ca_is_a_warning(
    run: Run, at_the_server: Callable[[Any], None]
) -> None:
    registries = [{"host": HOST, "ca_pem": CA.pem}]
    with serving(pki.issue(OTHER, HOST)) as address:
        at_the_server(address)
        result = run(registries=registries, check_served=True)
    assert not result.get("failed")
    assert result["registries"][0]["served"]["trusted"] is False
    (warning,) = result["warnings"]
    assert "CN=Harbor CA" in warning
    assert "CN=Other CA" in warning


def test_a_served_certificate_of_the_given_ca_is_not(run: Run, at_the_server: Callable[[Any], None]) -> None:
    with serving(pki.issue(CA, HOST)) as address:
        at_the_server(address)
        result = run(registries=[{"host": HOST, "ca_pem": CA.pem}], check_served=True)
    assert result["registries"][0]["served"]["trusted"] is True
    assert result["warnings"] == []


def test_of_a_ca_that_a_rotation_takes_away_it_says_so_and_asks_for_no_other(run: Run) -> None:
    soon = pki.make_ca("Old CA", not_after=datetime.now(timezone.utc) + timedelta(days=3))
    rotation = {"hosts": [HOST], "ca_pem": CA.pem}
    registries = [{"host": HOST, "ca_pem": soon.pem}, {"host": "other.example.com", "ca_pem": soon.pem}]
    result = run(registries=registries, rotation=rotation)
    assert [one["ending_fingerprints"] for one in result["registries"]] == [[soon.fingerprint], []]
    (warning,) = result["warnings"]
    assert warning.startswith("other.example.com: ")
    (first, _other) = run(registries=registries, rotation=rotation, only_new=True)["registries"]
    assert (first["fingerprints"], first["ending_fingerprints"]) == ([CA.fingerprint], [])


def test_an_expired_ca_is_an_error_or_a_finding(run: Run) -> None:
    expired = pki.make_ca("Old CA", not_after=datetime.now(timezone.utc) - timedelta(hours=1))
    registries = [{"host": HOST, "ca_pem": expired.pem}, {"host": "other.example.com", "ca_pem": CA.pem}]
    assert run(registries=registries)["reason"] == "invalid_registries"
    result = run(registries=registries, allow_expired=True)
    assert [one["expired"] for one in result["registries"]] == [True, False]
    (warning,) = result["warnings"]
    assert warning.startswith(f"{HOST}: ") and "expired on" in warning


def test_a_registry_out_of_reach_is_no_error(run: Run) -> None:
    result = run(registries=[{"host": "harbor.invalid", "ca_pem": CA.pem}], check_served=True)
    assert not result.get("failed")
    assert result["warnings"] == []
    assert result["registries"][0]["served"]["reachable"] is False


PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - nodetrust.harbor.ca_bundle_info:
        registries: "{{ registries }}"
      register: bundles
      failed_when: false
    - ansible.builtin.assert:
        that:
          - bundles.registries is defined
          - bundles is not changed
          - bundles.registries[0].fingerprints == [pin]
        quiet: true
    - nodetrust.harbor.ca_bundle_info:
        registries: []
"""


def test_a_real_playbook_reaches_it_without_a_connection(tmp_path: Path) -> None:
    for directory, credential in (("play/files", CA), ("cwd", OTHER)):
        (tmp_path / directory).mkdir(parents=True)
        (tmp_path / directory / "ca.crt").write_text(credential.pem)
    (tmp_path / "play/play.yml").write_text(PLAYBOOK)
    variables = {"registries": [{"host": HOST, "ca_file": "ca.crt"}], "pin": CA.fingerprint}
    tool = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [
            tool,
            "--check",
            "-i",
            "nowhere.invalid,",
            "-c",
            "ssh",
            "-e",
            json.dumps(variables),
            "../play/play.yml",
        ],
        cwd=tmp_path / "cwd",
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(AnsibleCollectionConfig.collection_paths),
            "ANSIBLE_LOCAL_TEMP": str(tmp_path),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_FORCE_COLOR": "0",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "ok=2" in done.stdout, done.stdout + done.stderr
    assert "unreachable=0" in done.stdout
    assert "failed=1" in done.stdout
    assert "no registry in it at all" in done.stdout + done.stderr

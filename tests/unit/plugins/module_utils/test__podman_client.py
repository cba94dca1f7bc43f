# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What podman is called with and what its answers mean, with a program in its place that writes both down."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils._podman_client import Podman, home_of_root
from ansible_collections.nodetrust.harbor.plugins.module_utils._pull import prove

IMAGE = "harbor.lab.internal:8443/library/hello:1"
X509 = "x509: certificate signed by unknown authority"
PINGING = f'initializing source docker://{IMAGE}: pinging container registry h: Get "https://h/v2/": '


def program(place: Path, script: str) -> str:
    path = place / "podman"
    path.write_text(
        f'#!/bin/sh\ncd {place}\nfor word; do case $word in --authfile=*) cp "${{word#*=}}" auth;; esac; done\n'
        f'echo "$@" > args\nenv > env\n{script}\n'
    )
    path.chmod(0o755)
    return f"podman:{path}"


def test_a_pull_that_succeeds_returns_the_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/srv/somebody")
    monkeypatch.setenv("CONTAINER_HOST", "ssh://elsewhere")
    monkeypatch.setenv("REGISTRY_AUTH_FILE", "/srv/somebody/auth.json")
    podman = Podman(program(tmp_path, "echo abc123"), 10)
    assert podman.pull(IMAGE) == "abc123"
    assert (tmp_path / "args").read_text().startswith("pull --quiet --tls-verify=true --authfile=")
    assert (tmp_path / "args").read_text().endswith(f" {IMAGE}\n")
    environment = (tmp_path / "env").read_text().splitlines()
    assert f"HOME={home_of_root()}" in environment
    assert not [line for line in environment if line.startswith(("CONTAINER_HOST", "REGISTRY_AUTH_FILE"))]
    # A login that somebody left on the node must not make the proof.
    assert json.loads((tmp_path / "auth").read_text()) == {"auths": {}}


def test_a_login_lies_in_a_private_file_for_the_call_alone(tmp_path: Path) -> None:
    Podman(
        program(
            tmp_path,
            'echo ok; for w in "$@"; do case $w in --authfile=*) stat -c %a "${w#*=}" > mode;; esac; done',
        ),
        10,
    ).pull(IMAGE, ("robot$x", "s3:cret"))
    auth = json.loads((tmp_path / "auth").read_text())["auths"]["harbor.lab.internal:8443"]["auth"]
    assert base64.b64decode(auth) == b"robot$x:s3:cret"
    assert (tmp_path / "mode").read_text() == "600\n"
    args = (tmp_path / "args").read_text()
    assert "s3:cret" not in args + (tmp_path / "env").read_text()
    assert not Path(args.split("--authfile=")[1].split()[0]).exists()


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        (f"Trying to pull...\nError: {PINGING}{X509}", "unknown_authority"),
        (f"Error: unable to copy from source docker://r: {PINGING}{X509}", "unknown_authority"),
        ("Error: initializing source docker://r: reading manifest 9 in h/x: manifest unknown", "not_found"),
        ("Error: read /etc/containers/certs.d/h/x.crt: is a directory", "ca_file_unusable"),
        ("Error: missing key ca.key for client certificate ca.cert", "client_cert_broken"),
        (
            "Error: initializing source docker://r: reading manifest 1 in h/x: unauthorized: authentication required",
            "unauthorized",
        ),
        ("", "unknown"),
    ],
)
def test_every_refusal_has_its_name(tmp_path: Path, stderr: str, reason: str) -> None:
    (tmp_path / "said").write_text(stderr)
    result = prove(Podman(program(tmp_path, "cat said >&2; exit 125"), 10), IMAGE)
    assert (result.ok, result.reason, result.via) == (False, reason, "podman")


def test_the_warning_before_the_error_is_not_the_error(tmp_path: Path) -> None:
    (tmp_path / "said").write_text(f'time="x" level=warning msg="{X509}"\nError: manifest unknown\n')
    assert prove(Podman(program(tmp_path, "cat said >&2; exit 125"), 10), IMAGE).reason == "not_found"


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        ("", "timeout"),
        (
            'time="2026-01-01T00:00:00Z" level=warning msg="Failed, retrying in 1s ... (1/3). Error: '
            'initializing source docker://r: pinging container registry h: Get \\"https://h/v2/\\": '
            'dial tcp 10.0.0.1:443: connect: connection refused"\n',
            "connection_refused",
        ),
    ],
)
def test_the_last_of_its_tries_is_told_when_time_is_up(tmp_path: Path, stderr: str, reason: str) -> None:
    (tmp_path / "said").write_text(stderr)
    result = prove(Podman(program(tmp_path, "cat said >&2; exec sleep 60"), 3), IMAGE)
    assert (result.reason, result.code) == (reason, "DeadlineExceeded")


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    result = prove(Podman(f"podman:{tmp_path}/none"), IMAGE)
    assert result.reason == "cri_client_broken" and f"{tmp_path}/none --version" in (result.remedy or "")


def test_there_is_nothing_to_wait_for(tmp_path: Path) -> None:
    podman = Podman(program(tmp_path, "echo podman version 5.4.2"), 10)
    assert podman.wait_ready(60) == {"runtime_name": "podman", "runtime_version": "5.4.2", "api_version": ""}

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Desired trust and observed nodes, built by hand for the tests of decisions."""

from __future__ import annotations

from ansible_collections.nodetrust.harbor.plugins.module_utils._containerd import (
    CERTS_DIR,
    Config,
    Containerd,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import (
    FoundCertificate,
    HostDirectory,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._hosts_toml import parse_hosts_toml
from ansible_collections.nodetrust.harbor.plugins.module_utils._mark import ca_content
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import parse_registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._node import FileState, Process
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import fingerprint
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import Desired
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime_containerd import ContainerdRuntime
from tests.lab import pki

REGISTRY = parse_registry("harbor.test")
HOST_DIR = f"{CERTS_DIR}/harbor.test"
CA = pki.make_ca("right")
PIN = fingerprint(CA.der)
WRONG = "SHA256:" + ":".join(["AA"] * 32)


def desired():
    return Desired(REGISTRY, (CA.der,), frozenset({PIN}))


def containerd(
    config_path=CERTS_DIR,
    *,
    version="2.1.9",
    started=1000.0,
    changed=900.0,
    running=None,
    legacy=(),
    local_pull=False,
    cri_error=None,
    dump=None,
):
    return ContainerdRuntime(
        Containerd(
            process=Process(
                7, "containerd", ("containerd",), "/usr/bin/containerd", "containerd.service", started
            ),
            unit="containerd.service",
            endpoint="unix:///run/containerd/containerd.sock",
            version=version,
            major=int(version[0]),
            config=Config(
                FileState("/etc/containerd/config.toml", "file", b"version = 2\n"),
                config_path,
                dump or {},
                local_pull,
                tuple(legacy),
                (),
                changed,
            ),
            running_config_path=running,
            cri_error=cri_error,
        ),
        client=None,
    )


def directory(*found, exists=True, problems=(), hosts_toml=None, others=(), ca_file=None):
    """A host directory holding (pin, file name) pairs; ca_file is what ca.crt is, if not what its pins say."""
    certificates = [
        FoundCertificate(pin, "CN=x", None, None, True, f"{HOST_DIR}/{name}") for pin, name in found
    ]
    in_it = [pin for pin, name in found if name == "ca.crt"]
    if ca_file is None:
        ca_file = ca_content([CA.der]) if in_it == [PIN] else b"x"
    state = FileState(f"{HOST_DIR}/ca.crt", "file", ca_file) if in_it else FileState("", "absent")
    return HostDirectory(
        REGISTRY, HOST_DIR, exists, certificates, list(problems), state, hosts_toml, list(others)
    )


def hosts_toml(text):
    return parse_hosts_toml(f"{HOST_DIR}/hosts.toml", text, REGISTRY, 2)

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node in a test's hands: lay a state out, call the collection, see what the runtime does, and bring it back."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from testinfra.host import Host

from tests.lab.verify import nodes

CERTS_DIR = "/etc/containerd/certs.d"
CONFIG = "/etc/containerd/config.toml"


class Node:
    """One node of the lab."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.name: str = host.backend.get_hostname()
        self.major = int(nodes.CONTAINERD_VERSIONS[self.name][0])

    def sh(self, script: str) -> str:
        return str(self.host.check_output("sh -c %s", script))

    def put(self, path: str, content: str | bytes) -> None:
        raw = content.encode() if isinstance(content, str) else content
        self.sh(
            f"mkdir -p \"$(dirname '{path}')\" && echo {base64.b64encode(raw).decode()} | base64 -d > '{path}'"
        )

    def content(self, path: str) -> bytes:
        return base64.b64decode(self.sh(f"base64 '{path}'"))

    def state(self) -> list[str]:
        """Every file that a run might touch, with its inode and times, and containerd's PID."""
        places = "/etc/containerd /etc/docker /etc/ssl /var/lib/nodetrust.harbor /var/lib/kubelet /opt"
        find = f"find {places} -printf '%p %y %l %i %m %u %s %T@ %C@\n' 2>/dev/null"
        return sorted(self.sh(f"{find}; systemctl show -P MainPID containerd").splitlines())

    def trust(self, *flags: str, **options: Any) -> dict[str, Any]:
        registry = {"host": nodes.REGISTRY, "ca_pem": nodes.ca_pem()}
        return nodes.module(self.name, "registry_trust", {"registries": [registry], **options}, *flags)

    def gone(self) -> dict[str, Any]:
        """Take the trust away again."""
        result = nodes.module(
            self.name, "registry_trust", {"state": "absent", "registries": [{"host": nodes.REGISTRY}]}
        )
        assert not result["failed"], result["msg"]
        return result

    def check(self) -> dict[str, Any]:
        registry = {"host": nodes.REGISTRY, "fingerprints": [nodes.pin()]}
        return nodes.module(self.name, "ca_fingerprint", {"registries": [registry]})

    def refuses(self, reason: str | tuple[str, ...], *flags: str, **options: Any) -> dict[str, Any]:
        """registry_trust fails with this reason, says it all, and leaves everything as it was."""
        before = self.state()
        result = self.trust(*flags, **options)
        assert result.get("failed"), result
        assert result["reason"] in ((reason,) if isinstance(reason, str) else reason), result["msg"]
        assert self.state() == before
        self.says_it_all(result)
        return result

    def says_it_all(self, result: dict[str, Any]) -> None:
        print(result["msg"])
        assert result["changed"] is False and result["node"] == self.name
        assert result["msg"].startswith(f"{self.name}: ")
        for field in ("registry", "path", "found", "expected", "next_step"):
            value = result[field]
            for word in value if isinstance(value, list) else [value]:
                assert not word or str(word).rstrip(".") in result["msg"], field
        assert result["next_step"]

    def pulls(self) -> bool:
        said = nodes.witness(self.host, nodes.HELLO)
        if not said.startswith("sha256:"):
            print(said)
        return said.startswith("sha256:")

    def witness(self) -> str:
        return nodes.witness(self.host, nodes.HELLO)

    def restart(self) -> None:
        self.sh("systemctl reset-failed containerd; systemctl restart containerd")

    def dump(self) -> str:
        """What containerd's own parser sees, without the line that names the files it came from."""
        lines = self.sh("containerd config dump").splitlines()
        return "\n".join(line for line in lines if not line.startswith("imports"))


@pytest.fixture
def node(host: Host) -> Iterator[Node]:
    """The node, and afterwards again as prepare.yml made it."""
    yield Node(host)
    host.run_expect([0], "/usr/local/sbin/restore")

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of scenario `mtls_and_ports` share: its registries, and their certificates."""

from __future__ import annotations

from tests.lab.verify import nodes

PLAIN = nodes.REGISTRY
PORT = f"{nodes.REGISTRY}:8443"
MTLS = f"{nodes.REGISTRY}:8445"
ADDRESS = "10.89.77.10:8446"
ELSEWHERE = f"{nodes.REGISTRY}:8447"
ALL = [PLAIN, PORT, MTLS, ADDRESS, ELSEWHERE]


def pem(name: str) -> str:
    return (nodes.RUN / "pki" / name).read_text()


def hello(registry: str) -> str:
    return f"{registry}/library/hello:1"

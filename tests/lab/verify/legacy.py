# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of scenario `migrate` do with nodes: give them a configuration, ask the collection, pull."""

from __future__ import annotations

import json
from typing import Any

from tests.lab.verify import nodes
from tests.lab.verify.pipeline import ad_hoc, call, results, shell, witness

CONFIG = "/etc/containerd/config.toml"
CERTS_DIR = "/etc/containerd/certs.d"
GRPC = 'plugins."io.containerd.grpc.v1.cri"'


def lay(text: str, where: list[str], **drop_ins: str) -> None:
    """Give these nodes a configuration, and have them run with it."""
    shell(where, nodes.ca_pem(), "cat > /opt/site.pem")
    shell(where, text, f"cat > {CONFIG}")
    for name, content in drop_ins.items():
        shell(where, content, f"mkdir -p /etc/containerd/conf.d; cat > /etc/containerd/conf.d/{name}.toml")
    shell(where, "systemctl reset-failed containerd; systemctl restart containerd")


def pulls(image: str, where: list[str]) -> set[str]:
    """The nodes that can pull an image."""
    said = witness(where, image)
    print(said)
    return {node for node, answer in said.items() if answer.startswith("sha256:")}


def trust(where: list[str], **options: Any) -> dict[str, dict[str, Any]]:
    return results(shown(where, **options))


def shown(where: list[str], *flags: str, **options: Any) -> str:
    """What a user sees of a call on these nodes."""
    registry = {"host": nodes.REGISTRY, "ca_pem": nodes.ca_pem()}
    given = {"registries": [registry], "migrate_legacy": True, **options}
    return ad_hoc(where, "nodetrust.harbor.registry_trust", given, *flags)


def findings(where: list[str]) -> dict[str, list[tuple[str, bool]]]:
    registry = {"host": nodes.REGISTRY, "fingerprints": [nodes.pin()]}
    said = call(where, "nodetrust.harbor.ca_fingerprint", {"registries": [registry]})
    print(json.dumps(said, indent=1))
    return {
        node: [(item["finding"], item["breaks"]) for item in result["upgrade_findings"]]
        for node, result in said.items()
    }

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scenarios about Docker and podman ask of their nodes. The witness is the engine's own command line."""

from __future__ import annotations

import re
from typing import Any

from testinfra.host import Host

from tests.lab.verify import nodes

# By node, as the suites of tests/lab/inventory.yml.in have them.
DOCKER_VERSIONS = {"engine1": "20.10.", "engine2": "26.1.", "engine3": "28.5."}
PODMAN_VERSIONS = {"engine1": "4.3.", "engine2": "5.4.", "engine3": "5.8."}
REGISTRIES = (nodes.REGISTRY, f"{nodes.REGISTRY}:8443")


def pull(host: Host, engine: str, image: str = nodes.HELLO) -> str:
    """What the engine says to a pull; `pulled` if it succeeds."""
    done = host.run("timeout 60 %s pull -q %s", engine, image)
    return "pulled" if done.rc == 0 else str(done.stderr)


def trust(engine: str, node: str = "engines", *flags: str, **options: Any) -> dict[str, dict[str, Any]]:
    """registry_trust with this run's CA and a proof, on one node or all of them."""
    entry = {"host": nodes.REGISTRY, "ca_pem": nodes.ca_pem(), "proof_image": "library/hello:1"}
    given = {"runtime": engine, "registries": [entry], **options}
    return nodes.modules(node, "registry_trust", given, *flags)


def check(engine: str, node: str = "engines") -> dict[str, dict[str, Any]]:
    """ca_fingerprint with this run's pin."""
    registries = [{"host": nodes.REGISTRY, "fingerprints": [nodes.pin()]}]
    return nodes.modules(node, "ca_fingerprint", {"runtime": engine, "registries": registries})


def request(engine: str) -> dict[str, Any]:
    """The variables that a user writes for these nodes."""
    return nodes.request(*REGISTRIES, harbor_ca_nodes="engines", harbor_ca_runtime=engine)


def idle_run(engine: str) -> list[str]:
    """Onboard again, where all is well; the modules that ran on the nodes, and nothing else may have happened."""
    run = nodes.playbook("onboard_node", request(engine), "-vvv")
    assert run.returncode == 0, run.stdout
    assert (
        len(re.findall(r"^engine\d +: ok=\d+ +changed=0 +unreachable=0 +failed=0", run.stdout, re.MULTILINE))
        == 3
    )
    return re.findall(r"Using module file .*/(\w+)\.py", run.stdout)

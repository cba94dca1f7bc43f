# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of scenario `cluster` ask of the cluster, past the collection's own client."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from tests.lab.verify import nodes

KUBE = nodes.RUN / "kube"
INVENTORY = nodes.RUN / "cluster" / "cluster_nodes.yml"
OUTCOME = nodes.RUN / "outcome.json"
TAINT = "nodetrust.harbor/unproven"
LABEL = "harbor-certified"
PROOF = "nodetrust.harbor/proof"
CORDONED = "nodetrust.harbor/cordoned"
BUDGET = "/apis/policy/v1/namespaces/default/poddisruptionbudgets/web/status"


def call(method: str, path: str, body: Any = None, user: str = "kubeconfig") -> dict[str, Any]:
    """One request as the administrator, or with a kubelet's credential."""
    config = json.loads((KUBE / user).read_text())
    cluster, login = config["clusters"][0]["cluster"], config["users"][0]["user"]
    request = urllib.request.Request(
        cluster["server"] + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {login['token']}",
            "Content-Type": "application/json" if method == "POST" else "application/merge-patch+json",
        },
    )
    context = ssl.create_default_context(cafile=cluster["certificate-authority"])
    with urllib.request.urlopen(request, context=context, timeout=20) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def node(name: str) -> dict[str, Any]:
    return call("GET", f"/api/v1/nodes/{name}")


def patch(name: str, body: dict[str, Any], user: str = "kubeconfig") -> None:
    call("PATCH", f"/api/v1/nodes/{name}", body, user)


def set_ready(name: str, on: bool) -> None:
    """What the kubelet would say of itself."""
    conditions = [item for item in node(name)["status"]["conditions"] if item["type"] != "Ready"]
    ready = {"type": "Ready", "status": "True" if on else "False"}
    said = (
        {"reason": "KubeletReady"} if on else {"reason": "KubeletNotReady", "message": "PLEG is not healthy"}
    )
    body = {"status": {"conditions": [*conditions, {**ready, **said}]}}
    call("PATCH", f"/api/v1/nodes/{name}/status", body)


def set_cordon(name: str, on: bool, ours: bool) -> None:
    mark = {CORDONED: "true" if on and ours else None}
    patch(name, {"metadata": {"annotations": mark}, "spec": {"unschedulable": on or None}})


def taints(name: str) -> list[str]:
    return [f"{item['key']}:{item['effect']}" for item in node(name)["spec"].get("taints") or []]


def marks(name: str) -> tuple[str | None, str | None, list[str]]:
    """Label, proof and taints."""
    metadata = node(name)["metadata"]
    return metadata["labels"].get(LABEL), metadata["annotations"].get(PROOF), taints(name)


def cordoned(name: str) -> bool:
    return node(name)["spec"].get("unschedulable") is True


def pods() -> set[str]:
    return {pod["metadata"]["name"] for pod in call("GET", "/api/v1/pods")["items"]}


def audit() -> list[dict[str, Any]]:
    """Every request so far."""
    return [json.loads(line) for line in (KUBE / "audit.jsonl").read_text().splitlines()]


def writes(since: int = 0) -> list[dict[str, Any]]:
    """All but reading, and asking what one may do."""
    return [
        request
        for request in audit()[since:]
        if request["method"] != "GET" and not request["path"].endswith("/selfsubjectaccessreviews")
    ]


def groups() -> dict[str, set[str]]:
    """The groups that the inventory plugin makes."""
    command = ["ansible-inventory", "-i", str(INVENTORY), "--list"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=_environment())
    return {name: set(group.get("hosts", [])) for name, group in json.loads(said.stdout).items()}


def start(*flags: str, **variables: Any) -> subprocess.Popen[str]:
    """Begin to onboard the nodes of the cluster."""
    OUTCOME.unlink(missing_ok=True)
    given = {"harbor_ca_result_file": str(OUTCOME), **variables}
    command = ["ansible-playbook", "-i", str(INVENTORY), "nodetrust.harbor.onboard_node"]
    return subprocess.Popen(
        [*command, "-e", json.dumps(given), *flags],
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def onboard(*flags: str, **variables: Any) -> tuple[int, str, dict[str, Any]]:
    """Onboard them: exit status, what was said, the outcome of each node."""
    run = start(*flags, **variables)
    said = run.communicate(timeout=300)[0]
    return run.returncode, said, json.loads(OUTCOME.read_text())["nodes"] if OUTCOME.exists() else {}


def wait_for(what: Callable[[], Any], run: subprocess.Popen[str]) -> None:
    """Until it is true; the end of the run before that is a failure, and so are two minutes."""
    deadline = time.monotonic() + 120
    while not what():
        assert run.poll() is None, run.communicate()[0]
        assert time.monotonic() < deadline, "it did not happen within two minutes"
        time.sleep(0.2)


def _environment() -> dict[str, str]:
    return {
        **os.environ,
        **nodes.AS_A_USER,
        # As for a user: a group without nodes, such as stale, is no error.
        "ANSIBLE_HOST_PATTERN_MISMATCH": "warning",
    }

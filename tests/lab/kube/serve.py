# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's API server as a process of its own, for scenarios whose steps are processes too.

    python -m ansible_collections.nodetrust.harbor.tests.lab.kube.serve DIRECTORY

Reads DIRECTORY/objects.json: lists of keyword arguments of make_node, make_pod and make_pdb. Writes
DIRECTORY/kubeconfig (an administrator's), DIRECTORY/kubelet-NAME for each node, and DIRECTORY/audit.jsonl with one
line for each request. Ends when DIRECTORY/kubeconfig is gone.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TextIO

from ansible_collections.nodetrust.harbor.tests.lab.kube import KubeApi, User, make_node, make_pdb, make_pod
from ansible_collections.nodetrust.harbor.tests.lab.kube.access import KUBELET
from ansible_collections.nodetrust.harbor.tests.lab.kube.server import Request

_MAKERS = {"nodes": make_node, "pods": make_pod, "budgets": make_pdb}


class Audit(list[Request]):
    """What the server records, also where another process can read it."""

    def __init__(self, file: TextIO) -> None:
        super().__init__()
        self.file = file

    def append(self, request: Request) -> None:
        super().append(request)
        self.file.write(json.dumps(request._asdict()) + "\n")
        self.file.flush()


def fill(api: KubeApi, directory: Path) -> None:
    objects = json.loads((directory / "objects.json").read_text())
    for kind, make in _MAKERS.items():
        for arguments in objects.get(kind, []):
            api.store.add(make(**arguments))
    for node in objects["nodes"]:
        name = node["name"]
        api.users.append(User(f"system:node:{name}", KUBELET, token=f"kubelet-{name}"))
        api.write_kubeconfig(directory / f"kubelet-{name}", user=f"system:node:{name}")


def main() -> None:
    directory = Path(sys.argv[1])
    with KubeApi() as api, (directory / "audit.jsonl").open("w", encoding="utf-8") as log:
        api.requests = Audit(log)
        fill(api, directory)
        # Whoever waits for the file must not read half of it.
        api.write_kubeconfig(directory / "kubeconfig.new").rename(directory / "kubeconfig")
        while (directory / "kubeconfig").exists():
            time.sleep(0.2)


if __name__ == "__main__":
    main()

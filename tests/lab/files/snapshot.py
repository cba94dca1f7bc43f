# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print, as JSON, all that a run without changes must leave alone on a node.

The processes of containerd, of dockerd and of the lab's container, and of every file that a runtime reads its
inode, times and content.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from typing import Any

ROOTS = (
    "/etc/containerd",
    "/etc/containers",
    "/etc/docker",
    os.path.expanduser("~root/.config/containers"),
    "/etc/ssl/certs",
    "/usr/local/share/ca-certificates",
    "/var/lib/nodetrust.harbor",
)


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def file_facts(path: str) -> list[Any]:
    info = os.lstat(path)
    content = ""
    if os.path.isfile(path) and not os.path.islink(path):
        with open(path, "rb") as stream:
            content = hashlib.sha256(stream.read()).hexdigest()
    return [info.st_ino, info.st_mode, info.st_mtime_ns, info.st_ctime_ns, content]


def main() -> None:
    files = {}
    for root in ROOTS:
        for directory, _subdirectories, names in os.walk(root):
            for path in [directory, *(os.path.join(directory, name) for name in names)]:
                files[path] = file_facts(path)
    print(
        json.dumps(
            {
                "containerd": output("systemctl", "show", "-P", "MainPID", "containerd"),
                "dockerd": output("pgrep", "-x", "dockerd"),
                "containers": output("ctr", "--namespace", "k8s.io", "task", "ls", "-q"),
                "container_pids": output("pgrep", "-x", "busybox"),
                "files": files,
            },
            sort_keys=True,
        )
    )


if __name__ == "__main__":
    main()

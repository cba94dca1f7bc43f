# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""As the connection local, but on one of the nodes of tests/scale/nodes.py."""

from __future__ import annotations

DOCUMENTATION = """
name: simulated
short_description: run commands in the name spaces of a simulated node
description: For tests/scale only.
extends_documentation_fragment: connection_pipelining
options:
  pid:
    description: The process whose name spaces and root these are.
    type: int
    vars: [{name: simulated_pid}]
"""

import shlex
from typing import Any

from ansible.plugins.connection.local import Connection as Local


class Connection(Local):
    """What local does, one level down."""

    transport = "simulated"

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> Any:
        enter = ["nsenter", f"--target={self.get_option('pid')}", "--mount", "--pid", "--root", "--wd"]
        # As over SSH, nothing of the environment here is known there.
        inside = ["env", "-i", "HOME=/root", "LANG=C.UTF-8", "PATH=/usr/bin:/bin", "/bin/sh", "-c", cmd]
        return super().exec_command(shlex.join(enter + inside), in_data, sudoable)

    def put_file(self, in_path: str, out_path: str) -> None:
        super().put_file(in_path, f"/proc/{self.get_option('pid')}/root{out_path}")

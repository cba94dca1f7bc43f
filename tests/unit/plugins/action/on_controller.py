# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run an action plugin as a task, on a host that nobody can connect to."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.template import Templar


class NoConnection:
    """Stands for the node: any use of it is a failure of the test."""

    _shell = SimpleNamespace(tmpdir=None)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the node was used: {name}")


def run_action(
    module: Any, check_mode: bool = False, diff: bool = False, hostvars: Any = None, **options: Any
) -> dict[str, Any]:
    loader = DataLoader()
    name = f"nodetrust.harbor.{module.__name__.rpartition('.')[2]}"
    task = Task.load({"action": name, "check_mode": check_mode, "diff": diff}, loader=loader)
    task.args = options
    context = PlayContext()
    context.check_mode, context.diff = check_mode, diff
    plugin = module.ActionModule(task, NoConnection(), context, loader, Templar(loader=loader), None)
    result: dict[str, Any] = plugin.run(task_vars={"hostvars": hostvars or {}})
    json.dumps(result)
    return result

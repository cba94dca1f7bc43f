# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a playbook in a directory of its own, on this machine and with no other behind it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible.utils.collection_loader import AnsibleCollectionConfig


def play(
    directory: Path, playbook: str, variables: dict[str, Any], *flags: str, **environment: str
) -> tuple[int, str]:
    """Exit status, and what was said. The inventory is fleet.yml."""
    program = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [str(program), "-i", "fleet.yml", playbook, "-e", json.dumps(variables), *flags],
        cwd=directory,
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(AnsibleCollectionConfig.collection_paths),
            "ANSIBLE_LOCAL_TEMP": str(directory / "tmp"),
            # What make sets here, a user may not have set.
            "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "false",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_FORCE_COLOR": "0",
            "COLUMNS": "2000",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr

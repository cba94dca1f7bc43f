# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command costs: wall time, CPU time and memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Cost(NamedTuple):
    """CPU time is that of the process and all its children, the peak is that of the largest one among them."""

    cpu: float
    peak_mb: float
    wall: float


# A process of its own: what is started from a large one inherits its peak (Linux keeps it over exec).
_MEASURE = """
import json, resource, subprocess, sys, time
begin = time.monotonic()
code = subprocess.call(sys.argv[2:], stdout=open(sys.argv[1], "wb"))
wall = time.monotonic() - begin
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([code, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, wall]))
"""


def run(command: Sequence[str], output: Path, cwd: Path | None = None) -> Cost:
    """Run a command to its end, which has to be a good one; what it prints goes to output."""
    measured = subprocess.run(
        [sys.executable, "-S", "-c", _MEASURE, str(output), *command],
        stdout=subprocess.PIPE,
        cwd=cwd,
        check=True,
    )
    code, cpu, peak, wall = json.loads(measured.stdout)
    if code:
        said = output.read_text(encoding="utf-8", errors="replace")[-4000:]
        raise SystemExit(f"{said}\nscale: {' '.join(command)} failed with {code}")
    return Cost(cpu, peak, wall)

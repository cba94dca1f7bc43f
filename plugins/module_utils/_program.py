# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a program on a node, never for longer than it is given.

**PRIVATE** to the collection.
"""

from __future__ import annotations

import subprocess
from typing import NamedTuple


class Done(NamedTuple):
    """How a program ended."""

    status: int
    stdout: bytes
    stderr: bytes


class Late(TimeoutError):
    """It did not end in time; stderr is what it had said by then."""

    def __init__(self, words: str, stderr: bytes) -> None:
        super().__init__(words)
        self.stderr = stderr


def run(
    argv: list[str],
    limit: float,
    stdin: bytes = b"",
    env: dict[str, str] | None = None,
    pass_fds: tuple[int, ...] = (),
) -> Done:
    """Run argv without a shell and wait for at most limit seconds; then it is killed.

    Raises:
        OSError: it can't be started.
        Late: it did not end in time.
    """
    try:
        # A module's run_command knows no time limit, and the core never sees a module.
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            argv, input=stdin, capture_output=True, timeout=limit, env=env, pass_fds=pass_fds, check=False
        )
    except subprocess.TimeoutExpired as late:
        raise Late(f"{argv[0]} did not end within {limit:g} seconds", late.stderr or b"") from None
    return Done(done.returncode, done.stdout, done.stderr)

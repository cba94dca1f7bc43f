# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""run_steps.py STEP...   Run targets of the Makefile one after the other and say how long each took.

`a|b` runs a beside b; every line of output carries the name of its step. All steps run, also
after one has failed, except that nothing follows a failed step written with `!`. The last line
counts them in the words of a test runner; the exit status is 1 unless all have passed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from typing import Any

WHAT = {
    "lab-packages": "system packages of the lab: name what is missing, install it",
    "lint": "format, ruff, mypy, yamllint, ansible-lint, changelog",
    "unit": "unit tests",
    "oldest-core": "unit tests once more, on the oldest ansible-core that is supported",
    "build": "the tarball, installed into an empty place and used from there",
    "docs": "documentation of every plugin and role",
    "report-test": "the report in a real browser, metrics, alerts, dashboard",
    "sanity": "ansible-test sanity, in a copy outside the checkout",
    "molecule": "every scenario on real nodes",
}


class Step:
    """One target of the Makefile, running."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seconds = 0.0
        self.code: int | None = None
        self.last_words: deque[str] = deque(maxlen=30)
        self._start = time.monotonic()
        say(name, f"starts: {WHAT[name]}")
        # Its own process group: Ctrl-C must reach it once, from here, and leave it time to clean up.
        self.process = subprocess.Popen(
            [os.environ.get("MAKE", "make"), name],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1", "PY_COLORS": "0"},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._waiter = threading.Thread(target=self._finish, daemon=True)
        self._waiter.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            text = line.decode("utf-8", "replace").rstrip("\n")
            self.last_words.append(text)
            say(self.name, text)

    def _finish(self) -> None:
        code = self.process.wait()
        self.seconds = time.monotonic() - self._start
        # A process that the step left behind may hold the pipe; the step is over all the same.
        self._reader.join(timeout=5)
        say(self.name, f"{'passed' if code == 0 else 'FAILED'} after {self.seconds:.0f} s")
        self.code = code

    def wait(self) -> None:
        """Wait for the end."""
        self._waiter.join()

    def stop(self) -> None:
        """Ask the whole step to end."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)


_LOCK = threading.Lock()


def say(name: str, line: str) -> None:
    """One whole line at a time, whoever speaks."""
    with _LOCK:
        print(f"{name:>12} | {line}", flush=True)


def main(groups: list[str]) -> int:
    """Run the groups in order."""
    running: list[Step] = []
    done: list[Step] = []

    def interrupted(number: int, _frame: Any) -> None:
        raise KeyboardInterrupt(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    start = time.monotonic()
    stopped = ""
    try:
        for group in groups:
            running = [Step(name) for name in group.rstrip("!").split("|")]
            for step in running:
                step.wait()
                done.append(step)
            if group.endswith("!") and any(step.code for step in running):
                stopped = f"The steps after {group.rstrip('!')} did not run: they cannot work without it."
                break
    except KeyboardInterrupt:
        stopped = "Interrupted; the steps that were running have cleaned up."
        for step in running:
            step.stop()
        for step in running:
            if step not in done:
                step.wait()
                step.code = step.code or 1
                done.append(step)

    # Steps side by side talk into each other: what a failed one said last stands here once more.
    for step in done:
        if step.code:
            print(f"\n{step.name} failed; the last that it said:")
            print("\n".join(step.last_words))
    print()
    for step in done:
        print(f"{step.name:>12}   {'passed' if step.code == 0 else 'FAILED'}   {step.seconds:6.0f} s")
    print(f"{'all':>12}            {time.monotonic() - start:6.0f} s")
    if stopped:
        print(stopped)
    failed = sum(1 for step in done if step.code)
    print(f"{len(done) - failed} passed, {failed} failed", flush=True)
    return 1 if failed or stopped else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

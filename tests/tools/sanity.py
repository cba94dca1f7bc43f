# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ansible-test sanity on a copy of the checkout, and don't believe an empty success.

ansible-test wants the path .../ansible_collections/NAMESPACE/NAME for real, not through a link,
and inside a directory that git ignores it skips every file and still exits 0. So the copy lies
in a temporary directory outside the checkout.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".cache" / "sanity-home"
PYTHONS = ["3.9", "3.10", "3.11", "3.12", "3.13", "3.14"]


def copy_checkout(target: Path) -> None:
    """Copy what git has or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name, follow_symlinks=False)


def link_pythons(target: Path) -> list[str]:
    """Link each working Python into one directory: PATH may hold shims that exist and fail."""
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = []
    for version in PYTHONS:
        name = f"python{version}"
        places = [Path(sys.base_prefix, "bin", name), *home.glob(f"versions/{version}.*/bin/{name}")]
        places += [Path(directory, name) for directory in os.environ["PATH"].split(os.pathsep) if directory]
        for place in places:
            if place.exists() and runs(place, version):
                (target / name).symlink_to(place.resolve())
                found.append(version)
                break
    return found


def runs(python: Path, version: str) -> bool:
    """Tell whether this is a CPython of that version that can make environments."""
    code = "import sys, venv, ensurepip; print(sys.implementation.name, '%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.split() == ["cpython", version]


def prepare_home() -> None:
    """Give ansible-test a home under .cache, with pip's bootstrap script and the user's pip settings.

    ansible-test passes on HOME and PATH and little else, so a mirror that the user has set by
    environment variable or in his own home would be lost.
    """
    cache = HOME / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    requirements = Path(sys.prefix).glob("lib/*/site-packages/ansible_test/_internal/python_requirements.py")
    versions = re.findall(r"pip='([\d.]+)'", next(requirements).read_text())
    if not versions:
        sys.exit(
            "sanity: this ansible-test no longer says which pip it wants; see get_pip.py beside this file."
        )
    for version in versions:
        shutil.copy(ROOT / "tests/tools/get_pip.py", cache / f"get_pip_{version.replace('.', '_')}.py")

    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    settings = {
        key: str(ast.literal_eval(value))
        for key, value in re.findall(r"^(?:global|install|:env:)\.([\w-]+)=(.*)$", listed, re.MULTILINE)
    }
    settings |= {"cache-dir": str(ROOT / ".cache" / "pip"), "quiet": "2"}
    text = "".join(f"{key} = " + "\n    ".join(value.split()) + "\n" for key, value in settings.items())
    (HOME / ".config" / "pip").mkdir(parents=True, exist_ok=True)
    (HOME / ".config" / "pip" / "pip.conf").write_text("[global]\n" + text)


def main() -> int:
    """Copy, run, judge."""
    with tempfile.TemporaryDirectory(prefix="nodetrust-sanity-") as name:
        copy = Path(name, "ansible_collections", "nodetrust", "harbor")
        copy_checkout(copy)
        tools = Path(name, "bin")
        tools.mkdir()
        pythons = link_pythons(tools)
        prepare_home()
        missing = [version for version in PYTHONS if version not in pythons]
        print(
            f"sanity: compile and import on Python {', '.join(pythons)}; not found here: {', '.join(missing) or 'none'}"
        )
        sys.stdout.flush()
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "PYTHON"))
        }
        environment["HOME"] = str(HOME)
        environment["PATH"] = os.pathsep.join([str(tools), environment["PATH"]])
        command = ["ansible-test", "sanity", "--local", "--color", "no", *sys.argv[1:]]
        done = subprocess.Popen(
            command, cwd=copy, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        output = []
        assert done.stdout is not None
        for line in done.stdout:
            output.append(line)
            if not re.match(
                r"WARNING: (Skipping|Reviewing)|Running sanity test|Installing requirements|Bootstrapping",
                line,
            ):
                sys.stdout.write(line)
        code = done.wait()
    return code or judge(output, complete=len(sys.argv) == 1)


def judge(output: list[str], *, complete: bool) -> int:
    """Say what ran; refuse a success in which nothing did."""
    tests = {match[1] for line in output if (match := re.match(r'Running sanity test "([\w-]+)"', line))}
    if any("All targets skipped" in line for line in output) or (
        complete and not {"compile", "import", "validate-modules"} <= tests
    ):
        ran = ", ".join(sorted(tests)) or "nothing"
        print(f"sanity: ansible-test was content, but it ran only: {ran}. That is no proof.")
        return 1
    print(f"sanity: {len(tests)} tests passed: {', '.join(sorted(tests))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

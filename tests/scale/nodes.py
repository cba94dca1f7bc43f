# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated nodes: each with a root, a process table and a containerd of its own. Linux, as root.

What is real: the files, the name spaces, the Python that modules run in, and every byte that Ansible sends. What is
not: the machine behind them, which all of them share with the controller; and the runtime. Its process waits and does
nothing, nobody answers at its socket, and `crictl version` and `containerd config dump` print at once what those of
containerd 2.1 would.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

CONFIG_FILE, CERTS_DIR = "/etc/containerd/config.toml", "/etc/containerd/certs.d"
SOCKET = "/run/containerd/containerd.sock"
# A node whose disk is full, and one whose runtime is down.
FULL, STOPPED = "full", "stopped"

_OWN = ("etc/containerd", "opt/bin", "proc", "root", "run/containerd", "tmp", "var/lib", "var/tmp")
# The libraries of the machine, and the Python of this process, which need not lie in /usr.
_SHARED = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/dev", sys.base_prefix)
# All that nodes have in their own /usr/bin, so that a runtime of the machine is none of theirs.
_PROGRAMS = ("cat", "env", "openssl", "sh")

_CONTAINERD = f"""#!/bin/sh
test "$*" = "--config {CONFIG_FILE} config dump" && exec cat {CONFIG_FILE}
echo "containerd github.com/containerd/containerd v2.1.4 0"
"""
_CRICTL = """#!/bin/sh
printf 'Version:  0.1.0\\nRuntimeName:  containerd\\nRuntimeVersion:  v2.1.4\\nRuntimeApiVersion:  v1\\n'
"""
# A node ends with its standard input, so none outlives the process that made it.
_INIT = "read _forever\n"
_START = """
set -e
root=$1 name=$2 programs=$3; shift 3
if [ "$name" = full ]; then
    mkdir "$root.full"
    mount -t tmpfs -o size=1m tmpfs "$root.full"
    cp -a "$root/." "$root.full"
    root=$root.full
    cat /dev/zero >"$root/zeros" 2>/dev/null || :
fi
for place in "$@"; do mount --rbind "$place" "$root$place"; done
mount --bind "$programs" "$root/usr/bin"
[ -h "$root/bin" ] || mount --bind "$programs" "$root/bin"
mount -t proc proc "$root/proc"
exec chroot "$root" "/opt/bin/$name" /opt/init
"""


@contextlib.contextmanager
def simulated(
    directory: Path, kinds: Mapping[str, str], cas: Mapping[str, str]
) -> Iterator[dict[str, dict[str, Any]]]:
    """Nodes that trust these CAs; for each the variables of its host.

    Parameters:
        kinds: FULL, STOPPED or nothing for each name.
        cas: for each registry its CA bundle as PEM text.
    """
    if os.geteuid() != 0:
        raise SystemExit("scale: simulated nodes have name spaces of their own. Next step: run it as root")
    started: dict[str, subprocess.Popen[bytes]] = {}
    with contextlib.ExitStack() as held:
        held.callback(lambda: [process.wait() for process in started.values()])
        held.enter_context(_listening(str(directory / "socket")))
        _write_programs(directory)
        reading, writing = os.pipe()
        held.callback(os.close, writing)
        held.callback(os.close, reading)
        for name, kind in kinds.items():
            _make_root(directory, directory / name, cas, kind)
            started[name] = _start(directory, name, kind, reading)
        yield {name: _variables(directory, name, kinds[name], process) for name, process in started.items()}


@contextlib.contextmanager
def _listening(path: str) -> Iterator[None]:
    """One socket for all nodes: each has a link to it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()
        thread = threading.Thread(target=_take, args=(listener,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def _take(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            listener.accept()[0].close()


def _write_programs(directory: Path) -> None:
    programs = directory / "bin"
    programs.mkdir()
    for name in _PROGRAMS:
        shutil.copy(shutil.which(name) or name, programs / name)
    if sys.base_prefix == "/usr":
        shutil.copy(_python(), programs / Path(_python()).name)
    for path, text in {
        programs / "crictl": _CRICTL,
        directory / "containerd": _CONTAINERD,
        directory / "init": _INIT,
    }.items():
        path.write_text(text)
        path.chmod(0o755)


def _python() -> str:
    return os.path.realpath(sys.executable)


def _config() -> str:
    """As long as what `containerd config default` prints: some 60 tables with 4 keys each."""
    tables = [
        f"[plugins.'io.containerd.internal.v1.sample-{number}']\n"
        "  address = ''\n  enabled = true\n  max_count = 10\n  options = ['one', 'two']\n"
        for number in range(60)
    ]
    registry = f"[plugins.'io.containerd.cri.v1.images'.registry]\n  config_path = '{CERTS_DIR}'\n"
    return "\n".join(["version = 3\n", *tables, registry])


def _make_root(directory: Path, root: Path, cas: Mapping[str, str], kind: str) -> None:
    for place in _OWN:
        (root / place).mkdir(parents=True)
    for shared in map(Path, _shared()):
        here = root / shared.relative_to("/")
        if shared.is_symlink():
            here.symlink_to(shared.readlink())
        else:
            here.mkdir(parents=True, exist_ok=True)
    os.link(directory / "bin/sh", root / "opt/bin" / (kind or "containerd"))
    os.link(directory / "init", root / "opt/init")
    Path(f"{root}{CONFIG_FILE}").write_text(_config())
    for registry, ca in cas.items():
        certs = Path(f"{root}{CERTS_DIR}") / registry
        certs.mkdir(parents=True)
        (certs / "ca.crt").write_text(ca)
    if kind != STOPPED:
        os.link(directory / "socket", f"{root}{SOCKET}")


def _shared() -> Sequence[str]:
    there = [place for place in _SHARED if os.path.exists(place)]
    return [place for place in there if not place.startswith("/usr/")]


def _start(directory: Path, name: str, kind: str, reading: int) -> subprocess.Popen[bytes]:
    mounted = [place for place in _shared() if not os.path.islink(place)]
    enter = ["unshare", "--mount", "--pid", "--fork", "--propagation=private", "/bin/sh", "-c", _START, "sh"]
    paths = [str(directory / name), kind or "containerd", str(directory / "bin")]
    return subprocess.Popen([*enter, *paths, *mounted], stdin=reading)


def _variables(directory: Path, name: str, kind: str, process: subprocess.Popen[bytes]) -> dict[str, Any]:
    pid = _running(process.pid, kind or "containerd")
    if not kind:
        # What runs is a shell, which knows no `config dump`. As after an upgrade, its file becomes another one.
        program = directory / name / "opt/bin/containerd"
        program.unlink()
        os.link(directory / "containerd", program)
    return {"simulated_pid": pid, "ansible_connection": "simulated", "ansible_python_interpreter": _python()}


def _running(parent: int, program: str, seconds: float = 60.0) -> int:
    """The first process of a node, once it has become what it shall be."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError):
            pid = int(Path(f"/proc/{parent}/task/{parent}/children").read_text())
            if os.readlink(f"/proc/{pid}/exe").endswith(f"/opt/bin/{program}"):
                return pid
        time.sleep(0.01)
    raise SystemExit(f"scale: a simulated node did not start {program} within {seconds:g} seconds")

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which runtime pulls images on this node? Asked of the running system, not of the distribution's name.

**PRIVATE** to the collection.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import NamedTuple

from ansible_collections.nodetrust.harbor.plugins.module_utils import _node
from ansible_collections.nodetrust.harbor.plugins.module_utils._cri import Cri, CriError
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import Runtime
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtimes import RUNTIMES, TRACES

_DOCKER_SOCKET = "/run/docker.sock"
_KUBELET_PROGRAMS = ("/usr/bin/kubelet", "/usr/local/bin/kubelet", "/opt/bin/kubelet")
_KUBELET_FILES = ("/var/lib/kubelet/kubeadm-flags.env", "/var/lib/kubelet/config.yaml")
_ENDPOINT = re.compile(
    r"^[^#\n]*container-?runtime-?endpoint[\"']?[ \t]*[=:][ \t]*[\"']?([^\s\"']+)",
    re.IGNORECASE | re.MULTILINE,
)


class Found(NamedTuple):
    """The runtime to work with; why says what decided."""

    name: str
    socket: str
    why: str


def detect(wanted: str, timeout: float) -> tuple[Runtime, str]:
    """Find the runtime that pulls images here, and ask it.

    Parameters:
        wanted: a runtime's name, or auto.
        timeout: seconds that one pull may take.

    Returns:
        The runtime, and what decided.

    Raises:
        TrustError: none runs, or several run and nothing says which one counts.
    """
    kubelet, running = kubelet_endpoint(), listening()
    present = [name for name in installed() if not RUNTIMES[name].daemonless]
    if wanted == "auto" and kubelet is None:
        running = rivals(running, present, any(map(os.path.exists, _KUBELET_PROGRAMS)), _without_cri)
    found = decide(wanted, kubelet, running, present)
    return RUNTIMES[found.name].observe(found.socket, timeout), found.why


def decide(wanted: str, kubelet: str | None, running: dict[str, str], present: list[str]) -> Found:
    """The decision alone: what the user wants, what kubelet is pointed at, what listens, what is installed."""
    if wanted != "auto":
        return _running(wanted, running, present, "the runtime option names it")
    if kubelet:
        socket, names = socket_of(kubelet), names_of_endpoint(kubelet)
        if names:  # k3s and RKE2 share one
            name = next((name for name in names if name in running), names[0])
            return _running(name, running, present, f"kubelet is pointed at {socket}")
        raise TrustError(
            f"kubelet pulls through {socket}, which belongs to no runtime known here",
            reason="unknown_runtime",
            path=socket,
            found=socket,
            expected=f"one of {', '.join(item for sockets in sockets_of_all().values() for item in sockets)}",
            next_step="set the runtime option if this is one of the known runtimes at another address",
        )
    inside = [name for name in running if RUNTIMES[name].kubelet_inside]
    if len(inside) == 1:
        return _running(inside[0], running, present, f"the kubelet inside {inside[0]} pulls with it")
    if len(running) > 1:
        raise TrustError(
            "several runtimes run here and no kubelet says which one pulls",
            reason="several_runtimes",
            found=[f"{name} at {socket}" for name, socket in running.items()],
            expected="one runtime, or a kubelet that is pointed at one",
            next_step="set harbor_ca_runtime (the runtime option of the module) to the one that kubelet will use",
        )
    for name in running:
        return _running(name, running, present, "it is the only runtime that listens here")
    raise _none(present)


def rivals(
    running: dict[str, str], present: list[str], kubelet_installed: bool, without_cri: Callable[[str], bool]
) -> dict[str, str]:
    """Those of the runtimes here that can be meant where no kubelet says which one it is.

    A containerd without CRI beside dockerd is dockerd's own. A dockerd without cri-dockerd is of no use to a
    kubelet that is installed and not yet pointed anywhere. podman is a tool wherever something else is
    installed. What remains is a question: to guess Docker here is how a CA lands where nobody reads it.
    """
    left = dict(running)
    for name in running:
        others = {*left, *present} - {name}
        if RUNTIMES[name].daemonless and others:
            del left[name]
    if "containerd" in left and "docker" in left:
        if without_cri(left["containerd"]):
            del left["containerd"]
        elif kubelet_installed and left["docker"] == _DOCKER_SOCKET:
            del left["docker"]
    return left


def _without_cri(socket: str) -> bool:
    try:
        Cri(f"unix://{socket}").version()
    except CriError as error:
        return error.reason == "cri_not_loaded"
    return False


def kubelet_endpoint() -> str | None:
    """Where kubelet sends its pulls: its command line first, then the files kubeadm writes."""
    for process in _node.processes("kubelet"):
        endpoint = process.option("--container-runtime-endpoint")
        if endpoint:
            return endpoint
        break
    return endpoint_in_files()


def endpoint_in_files() -> str | None:
    for path in _KUBELET_FILES:
        state = _node.read_state(path)
        match = _ENDPOINT.search((state.content or b"").decode("utf-8", "replace"))
        if match:
            return match.group(1)
    return None


def names_of_endpoint(endpoint: str) -> list[str]:
    """The runtimes that may listen at an endpoint of kubelet's."""
    socket = socket_of(endpoint)
    return [name for name, traces in TRACES.items() if socket in traces]


def socket_of(endpoint: str) -> str:
    return re.sub(r"^/var/run/", "/run/", endpoint.partition("://")[2] or endpoint)


def sockets_of_all() -> dict[str, tuple[str, ...]]:
    return {name: runtime.sockets for name, runtime in RUNTIMES.items()}


def listening() -> dict[str, str]:
    """The runtimes that listen, each with its socket."""
    found = {}
    for name in RUNTIMES.here():
        socket = RUNTIMES[name].listening()
        if socket is not None:
            found[name] = socket
    return found


def installed() -> list[str]:
    """Those that are installed, whether they run or not."""
    return [name for name in RUNTIMES.here() if RUNTIMES[name].installed()]


def _running(name: str, running: dict[str, str], present: list[str], why: str) -> Found:
    if name in running:
        return Found(name, running[name], why)
    if name in present:
        raise _stopped(name)
    raise TrustError(
        f"{name} doesn't run here",
        reason="no_runtime",
        found=[f"{other} at {socket}" for other, socket in running.items()] or "no runtime that listens",
        expected=f"{name} at {', '.join(_places(name))}",
        next_step=f"install and start {name}, or name the runtime that this node has",
    )


def _places(name: str) -> tuple[str, ...]:
    runtime = RUNTIMES[name]
    return runtime.programs if runtime.daemonless else runtime.sockets


def _stopped(name: str) -> TrustError:
    return TrustError(
        f"{name} is installed but doesn't run: what it would read can't be asked of it, and nothing can be proved",
        reason="runtime_stopped",
        found=f"no socket at {', '.join(sockets_of_all()[name])}",
        expected=f"a running {name}",
        next_step=f"systemctl start {name}; journalctl -u {name} tells why it stopped; then run again",
    )


def _none(present: list[str]) -> TrustError:
    if len(present) == 1:
        return _stopped(present[0])
    return TrustError(
        "no container runtime was found",
        reason="no_runtime",
        found=f"installed but stopped: {', '.join(present)}" if present else "no socket of any known runtime",
        expected=f"one of {', '.join(RUNTIMES)}, running",
        next_step="install and start the runtime first: this step belongs after it and before kubeadm join",
    )

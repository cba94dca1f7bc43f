# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pull with podman, which has no daemon: the program itself, as root runs it.

**PRIVATE** to the collection. Credentials lie for the length of one call in a file that only root can
read; a login that somebody left on the node is never used.
"""

from __future__ import annotations

import base64
import json
import os
import pwd
import re
import tempfile

from ansible_collections.nodetrust.harbor.plugins.module_utils import _program
from ansible_collections.nodetrust.harbor.plugins.module_utils._cri_errors import CriError
from ansible_collections.nodetrust.harbor.plugins.module_utils._images import registry_of_image

SCHEME = "podman:"
PROGRAM = "/usr/bin/podman"

_LOOK = 10.0
# What would send podman to another machine, another configuration or another login.
_OTHERS = ("CONTAINER", "PODMAN_", "DOCKER_", "REGISTRY_AUTH_FILE", "XDG_")
_RETRIED = re.compile(r"Failed, retrying in .*?\(\d+/\d+\)\. Error: (.*?)\"?$", re.MULTILINE)


class Podman:
    """The podman of a node.

    Parameters:
        endpoint: ``podman:/path/of/the/program``, or just ``podman:``.
        timeout: seconds that one pull may take.
    """

    def __init__(self, endpoint: str = SCHEME, timeout: float = 60.0) -> None:
        self.program = endpoint[len(SCHEME) :] or PROGRAM
        self.endpoint = SCHEME + self.program
        self.timeout = float(timeout)
        self.used: str | None = None

    def version(self) -> str:
        """As in `podman version 5.4.2`."""
        return self._run(["--version"], _LOOK).strip().rpartition(" ")[2]

    def pull(self, image: str, auth: tuple[str, str] | None = None) -> str:
        """Pull, and return the ID of the image."""
        with tempfile.TemporaryDirectory(prefix="nodetrust-") as private:
            path = os.path.join(private, "auth.json")
            with open(
                os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
            ) as stream:
                json.dump({"auths": _login(image, auth)}, stream)
            # Whatever registries.conf says: a pull that verifies nothing proves nothing.
            options = ["--quiet", "--tls-verify=true", f"--authfile={path}"]
            return self._run(["pull", *options, image], self.timeout).strip()

    def wait_ready(self, seconds: float) -> dict[str, str]:
        """Nothing runs between two pulls, so there is nothing to wait for."""
        return {"runtime_name": "podman", "runtime_version": self.version(), "api_version": ""}

    def _run(self, args: list[str], limit: float) -> str:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
        home = {"HOME": home_of_root(), "LC_ALL": "C"}
        self.used = "podman"
        try:
            done = _program.run([self.program, *args], limit, env={**inherited, **home})
        except _program.Late as late:
            raise _late(self.program, limit, late.stderr) from late
        except OSError as error:
            raise _broken(self.program, str(error)) from error
        if done.status != 0:
            raise _failed(self.program, _last_error(done.stderr) or f"exit status {done.status}")
        return done.stdout.decode("utf-8", "replace")


def home_of_root() -> str:
    """Where root's own settings lie; sudo may leave another HOME in the environment."""
    return pwd.getpwuid(0).pw_dir


def _login(image: str, auth: tuple[str, str] | None) -> dict[str, dict[str, str]]:
    if auth is None:
        return {}
    return {registry_of_image(image): {"auth": base64.b64encode(":".join(auth).encode()).decode("ascii")}}


def _last_error(stderr: bytes) -> str:
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    errors = [line[len("Error: ") :] for line in lines if line.startswith("Error: ")]
    return errors[-1] if errors else " ".join(lines)[-500:]


def _late(program: str, limit: float, stderr: bytes) -> CriError:
    # It tries three times for minutes (runtime-facts §9); what the last try met says more than the time it took.
    met = _RETRIED.findall(stderr.decode("utf-8", "replace"))
    if met:
        return _failed(program, met[-1].replace('\\"', '"'), "DeadlineExceeded")
    words = f"no answer within {limit:g} seconds"
    return CriError(
        "podman did not end in time.",
        code="DeadlineExceeded",
        detail=words,
        via="podman",
        reason="timeout",
        path=program,
        found=words,
        expected="an image",
        next_step="Look at the network from this node to the registry, or allow more time",
    )


def _failed(program: str, words: str, code: str = "Unknown") -> CriError:
    return CriError(
        "podman could not do it.",
        code=code,
        detail=words,
        via="podman",
        reason="call_failed",
        path=program,
        found=words,
        expected="an image",
        next_step=f"Run it by hand on the node: {program} pull IMAGE",
    )


def _broken(program: str, words: str) -> CriError:
    return CriError(
        "The podman of this node does not start.",
        code="Unavailable",
        detail=words,
        via=None,
        reason="cri_client_broken",
        path=program,
        found=words,
        expected="a working podman",
        next_step=f"Run it by hand on the node: {program} --version",
    )

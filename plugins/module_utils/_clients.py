# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From an endpoint to what can pull there. One rule, by how the endpoint is written.

**PRIVATE** to the collection.
"""

from __future__ import annotations

import os

from ansible_collections.nodetrust.harbor.plugins.module_utils._cri import Cri
from ansible_collections.nodetrust.harbor.plugins.module_utils._docker_engine import DEFAULT_SOCKET, Engine
from ansible_collections.nodetrust.harbor.plugins.module_utils._podman_client import SCHEME, Podman
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import Client


def client_of(endpoint: str, timeout: float, program: str = "auto") -> Client:
    """A socket called docker.sock speaks the Engine API, `podman:` is the program, all else is CRI.

    Parameters:
        endpoint: as a runtime's facts name it.
        timeout: seconds that one pull may take.
        program: what carries a CRI call, for Cri.
    """
    if endpoint.startswith(SCHEME):
        return Podman(endpoint, timeout)
    if os.path.basename(endpoint) == os.path.basename(DEFAULT_SOCKET):
        return Engine(endpoint, timeout)
    return Cri(endpoint, timeout, program)

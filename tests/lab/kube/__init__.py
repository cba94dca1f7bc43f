# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Kubernetes API server for tests: small, strict, and true to the published API.

    with KubeApi() as api:
        api.store.add(make_node("worker-1"))
        path = api.write_kubeconfig(tmp_path / "kubeconfig", user="admin")

Tests steer it through this Python object only; there is no HTTP path that a real server lacks.
What the lab does not know (paths, verbs, parameters, content types) is an error, and is recorded
in ``api.requests`` like everything else.
"""

from __future__ import annotations

from ansible_collections.nodetrust.harbor.tests.lab.kube.access import Rule, User
from ansible_collections.nodetrust.harbor.tests.lab.kube.objects import make_node, make_pdb, make_pod
from ansible_collections.nodetrust.harbor.tests.lab.kube.server import Fault, KubeApi

__all__ = ["Fault", "KubeApi", "Rule", "User", "make_node", "make_pdb", "make_pod"]

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""k3s: where it differs from RKE2. The rest is in `_rancher.py`.

**PRIVATE** to the collection.
"""

from __future__ import annotations

from ansible_collections.nodetrust.harbor.plugins.module_utils._rancher import Rancher


class K3sRuntime(Rancher):
    """k3s, server or agent."""

    name = "k3s"
    programs = ("/usr/local/bin/k3s", "/usr/bin/k3s", "/opt/bin/k3s")
    config_dir = "/etc/rancher/k3s"
    data_dir = "/var/lib/rancher/k3s"
    process_names = ("k3s-server", "k3s-agent", "k3s")

    @classmethod
    def default_unit(cls, server: bool) -> str:
        return "k3s.service" if server else "k3s-agent.service"

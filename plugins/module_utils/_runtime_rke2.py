# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RKE2: where it differs from k3s. The rest is in `_rancher.py`.

**PRIVATE** to the collection.
"""

from __future__ import annotations

from ansible_collections.nodetrust.harbor.plugins.module_utils._rancher import Rancher


class Rke2Runtime(Rancher):
    """RKE2, server or agent."""

    name = "rke2"
    programs = ("/usr/local/bin/rke2", "/usr/bin/rke2", "/opt/rke2/bin/rke2")
    config_dir = "/etc/rancher/rke2"
    data_dir = "/var/lib/rancher/rke2"
    process_names = ("rke2",)

    @classmethod
    def default_unit(cls, server: bool) -> str:
        return "rke2-server.service" if server else "rke2-agent.service"

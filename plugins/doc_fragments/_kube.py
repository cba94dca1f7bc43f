# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How plugins of this collection get at a cluster: the options they share."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - The kubeconfig to use; several separated by a colon, as in E(KUBECONFIG).
      - Without it E(KUBECONFIG) counts, then C(~/.kube/config).
    type: str
  in_cluster:
    description:
      - Use the service account of the pod that Ansible runs in, instead of a kubeconfig.
    type: bool
    default: false
  request_timeout:
    description:
      - How many seconds one request to the API server may take.
    type: float
    default: 30
requirements:
  - kubernetes >= 31 (Python package, on the controller)
"""

#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Contract of cluster_access_info; the code is the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_access_info
short_description: Check before a run that the cluster allows what it will need
version_added: 0.1.0
description:
  - Asks the API server, with a SelfSubjectAccessReview for each right, whether we may do what the jobs need.
  - Fails if not, and names what is missing. So a run stops before it has cordoned a node that it may not drain.
author:
  - The nodetrust.harbor maintainers (@nodetrust)
extends_documentation_fragment:
  - nodetrust.harbor._kube
  - nodetrust.harbor.attributes
  - nodetrust.harbor.attributes.info_module
  - nodetrust.harbor.attributes.controller
options:
  jobs:
    description:
      - V(inventory) to read nodes, V(certification) to label, annotate and taint them, V(condition) to set a
        condition in their status, V(drain) to cordon them and evict their pods.
      - C(deploy/rbac) has a manifest for each.
    type: list
    elements: str
    choices: [inventory, certification, condition, drain]
    required: true
  contexts:
    description: The contexts of the kubeconfig to ask. Without it the current one.
    type: list
    elements: str
    default: []
seealso:
  - module: nodetrust.harbor.node_certification
"""

EXAMPLES = r"""
- name: Stop now if the nodes cannot be certified later
  nodetrust.harbor.cluster_access_info:
    jobs: [certification, drain]
  run_once: true
"""

RETURN = r"""
clusters:
  description: What is missing in each cluster; nothing is an empty list.
  returned: always, if the clusters answered
  type: list
  elements: dict
  contains:
    context:
      description: The cluster.
      type: str
    missing:
      description: The rights, as verb and resource.
      type: list
      elements: str
  sample: [{context: prod-eu, missing: [patch nodes, create pods/eviction]}]
reason:
  description: Stable name of what went wrong.
  returned: failure
  type: str
"""

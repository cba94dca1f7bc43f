#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Contract of node_drain; the code is the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node_drain
short_description: Empty a node before its runtime restarts, and give it back afterwards
version_added: 0.1.0
description:
  - V(cordoned) keeps new pods away and leaves those that run.
  - V(drained) cordons the node and evicts its pods. PodDisruptionBudgets are respected. An eviction that a budget
    refuses is asked for again until O(timeout). No pod is ever deleted past its budget.
  - Pods of DaemonSets, mirror pods and finished pods stay, and with O(in_cluster) so does the pod that this runs in.
    That one is known by its host name, so it must not share the network of its node.
  - A connection that is lost while pods are evicted is waited for until O(timeout).
  - A drain that fails gives the node back, if the same call cordoned it.
  - V(ready) waits until the cluster calls the node Ready, and changes nothing. An API server that does not answer
    is waited for too.
  - V(released) uncordons the node as soon as it is Ready, if this module had cordoned it, in this run or in an
    earlier one that died. A cordon of somebody else stays, and nothing is waited for. So does one that is clearly
    younger than ours, after somebody had uncordoned the node in between.
  - Runs on the controller. The node is not connected to.
author:
  - The nodetrust.harbor maintainers (@nodetrust)
extends_documentation_fragment:
  - nodetrust.harbor._kube
  - nodetrust.harbor.attributes
  - nodetrust.harbor.attributes.controller
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  name:
    description: The node. C(cluster_node.name) of the inventory plugin.
    type: str
    required: true
  state:
    description: Whether to keep new pods away, to empty the node too, to wait for it, or to give it back.
    type: str
    choices: [cordoned, drained, ready, released]
    required: true
  timeout:
    description: Seconds until a drain, or the wait for the node to be Ready, fails.
    type: float
    default: 300
  interval:
    description: Seconds between two looks.
    type: float
    default: 5
  evict_bare_pods:
    description: Evict pods without a controller too. Nothing starts them again. Without it they fail the drain.
    type: bool
    default: false
  evict_local_data:
    description: Evict pods with an C(emptyDir), whose content is lost. Without it they fail the drain.
    type: bool
    default: true
  context:
    description: The context of the kubeconfig. Without it the current one.
    type: str
notes:
  - A restart of containerd or CRI-O leaves containers running. Docker stops them, unless live-restore is on.
"""

EXAMPLES = r"""
- name: Restart with care
  block:
    - name: Empty the node
      nodetrust.harbor.node_drain:
        name: "{{ cluster_node.name }}"
        context: "{{ cluster_node.cluster }}"
        state: drained

    - name: Restart the runtime
      ansible.builtin.systemd_service:
        name: docker
        state: restarted

    - name: Wait until the node is Ready
      nodetrust.harbor.node_drain:
        name: "{{ cluster_node.name }}"
        context: "{{ cluster_node.cluster }}"
        state: ready

  always:
    - name: Give the node back
      nodetrust.harbor.node_drain:
        name: "{{ cluster_node.name }}"
        context: "{{ cluster_node.cluster }}"
        state: released
"""

RETURN = r"""
cordoned:
  description: Whether this call cordoned the node.
  returned: O(state=cordoned) or O(state=drained)
  type: bool
evicted:
  description: The pods that were evicted, or in check mode would be.
  returned: O(state=cordoned) or O(state=drained)
  type: list
  elements: str
left:
  description: The pods that stay by their nature.
  returned: O(state=cordoned) or O(state=drained)
  type: list
  elements: str
uncordoned:
  description: Whether this call uncordoned the node.
  returned: O(state=released)
  type: bool
reason:
  description: Stable name of what went wrong, such as V(drain_timeout), V(pods_not_evictable) or V(node_not_ready).
  returned: failure
  type: str
"""

#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Contract of node_certification; the code is the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node_certification
short_description: Let the cluster say which nodes are proven
version_added: 0.1.0
description:
  - Sets on each proven node a label, an annotation that says what was proved, and removes the taint
    that keeps pods away. Takes label and annotation from nodes that lost their proof, and puts the taint back.
  - One call for all nodes of a run. The cluster is read once, and a node is patched only where it differs.
    A run without changes writes nothing.
  - Labels, annotations and taints of others are never touched. A node that changes while it is
    patched is read again (409); a busy server is waited for (429).
  - A node object that was made anew since the proof is not certified.
  - Runs on the controller. Use it with C(run_once), after the last proof of the run.
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
    support: full
  idempotent:
    support: full
options:
  nodes:
    description: The nodes, by their names in the cluster. Either this or O(hosts).
    type: list
    elements: dict
    suboptions:
      name:
        description: The name of the node object. C(cluster_node.name) of the inventory plugin.
        type: str
        required: true
      state:
        description: As O(state), for this node.
        type: str
        choices: [certified, uncertified, absent]
      context:
        description: As O(context), for this node. C(cluster_node.cluster) of the inventory plugin.
        type: str
      uid:
        description:
          - The UID of the node object that was proved. C(cluster_node.uid) of the inventory plugin.
          - If the node has another one by now, it is left alone, whatever the state, and the task fails.
        type: str
      registries:
        description: As O(registries), for this node.
        type: list
        elements: dict
        suboptions:
          host:
            description: The registry as in image references.
            type: str
            required: true
          fingerprints:
            description: SHA-256 fingerprints of the CAs that the pull was verified with.
            type: list
            elements: str
            required: true
      runtime:
        description: The runtime that pulled, as in C(containerRuntimeVersion). Without it what the node says now.
        type: str
      proved_at:
        description: When it was proved, in UTC, such as V(2026-11-23T05:00:00Z). Without it now.
        type: str
  hosts:
    description:
      - Hosts of the inventory plugin P(nodetrust.harbor.cluster_nodes#inventory), for which the role
        C(nodetrust.harbor.harbor_ca) has left its outcome in C(harbor_ca_result) in this run.
      - A proof that succeeded certifies, if there was a pull from every registry of the outcome.
      - A pull that was refused because of the certificate takes the certificate away,
        and so does C(drifted) in the outcome, for drift that could not be corrected.
      - Whatever else went wrong says nothing about the node's trust, and changes nothing. Hosts that are no nodes of a
        cluster, or have no outcome, are left out.
      - With another O(state) than V(certified) the outcome does not matter, and all nodes get that state.
    type: list
    elements: str
  uncertify_at_most:
    description:
      - With O(hosts), the percentage of them that may lose their certificate in one call. If it would be more, and
        more than one node, none of them loses it and the task fails, for then the registry is likely at fault. Tainting
        a whole cluster would not help. Nodes that proved their trust are certified all the same, and nodes that have
        nothing to lose do not count.
    type: int
    default: 50
  state:
    description:
      - V(certified) sets label and annotation and removes the taint, with whatever effect it has.
      - V(uncertified) removes label and annotation and adds the taint.
      - V(absent) removes all three.
    type: str
    choices: [certified, uncertified, absent]
    default: certified
  registries:
    description: What was proved. Required for nodes that become V(certified), here or in O(nodes[].registries).
    type: list
    elements: dict
    default: []
    suboptions:
      host:
        description: The registry as in image references.
        type: str
        required: true
      fingerprints:
        description: SHA-256 fingerprints of the CAs that the pull was verified with.
        type: list
        elements: str
        required: true
  label:
    description:
      - The label that says V(true) on a proven node.
      - Any node can set V(harbor-certified) on itself with its own credential. It cannot set
        V(node-restriction.kubernetes.io/harbor-certified). Use that one if pods are placed by the label.
    type: str
    default: harbor-certified
  annotation:
    description: The annotation that holds the proof as JSON.
    type: str
    default: nodetrust.harbor/proof
  taint:
    description:
      - The taint that nodes register with and keep until they are proven. A node cannot remove it itself.
      - Empty if another controller owns the taint.
    type: str
    default: nodetrust.harbor/unproven
  taint_effect:
    description: The effect of the taint when it is put back. V(NoExecute) evicts pods that already run.
    type: str
    choices: [NoSchedule, PreferNoSchedule, NoExecute]
    default: NoSchedule
  condition:
    description:
      - Type of a condition to set in the status of the node as well, such as V(HarborTrusted).
      - For node-readiness-controller, whose rules turn conditions into taints. Leave O(taint) empty then.
      - Needs the right to patch C(nodes/status); see C(deploy/rbac/condition.yml).
    type: str
    default: ""
  proof_validity_hours:
    description:
      - How long a proof counts. One that is younger than half of it is not written again for its time alone, unless the
        inventory found it stale.
    type: int
    default: 168
  context:
    description: The context of the kubeconfig. Without it the current one.
    type: str
notes:
  - Use the same names and validity as in the inventory file of P(nodetrust.harbor.cluster_nodes#inventory).
seealso:
  - plugin: nodetrust.harbor.cluster_nodes
    plugin_type: inventory
  - module: nodetrust.harbor.cluster_access_info
"""

EXAMPLES = r"""
- name: After the role, certify the nodes that proved their trust, and take it back from those that lost it
  nodetrust.harbor.node_certification:
    hosts: "{{ ansible_play_batch }}"
  run_once: true

- name: One node, with a label that it cannot set on itself
  nodetrust.harbor.node_certification:
    nodes:
      - name: worker-3
        uid: 0b6e8a2e-54f0-4f6c-8c53-3a7d2f1f6a10
    label: node-restriction.kubernetes.io/harbor-certified
    registries:
      - host: harbor.example.com
        fingerprints: ["SHA256:5E:7A:…"]
  run_once: true

- name: Forget about certification, on every node of two clusters
  nodetrust.harbor.node_certification:
    state: absent
    nodes:
      - {name: worker-1, context: prod-eu}
      - {name: worker-1, context: prod-us}
  run_once: true
"""

RETURN = r"""
changes:
  description: The nodes that were patched, or in check mode would be.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the node.
      type: str
    context:
      description: Its cluster.
      type: str
    state:
      description: What it says now.
      type: str
    changed:
      description: What was different, of V(label), V(annotation), V(taint) and V(condition).
      type: list
      elements: str
  sample: [{name: worker-3, context: prod-eu, state: certified, changed: [label, annotation, taint]}]
unchanged:
  description: How many nodes already said it.
  returned: always
  type: int
missing:
  description: Nodes that are not in the cluster. Nothing was done for them, and that is a warning.
  returned: always
  type: list
  elements: str
failures:
  description:
    - Nodes that could not be marked, with their context and the reason. The others were; the task fails all the same.
    - Of a cluster that does not answer these are all nodes, and nodes of other clusters go on.
  returned: always
  type: list
  elements: dict
hosts:
  description: For each of O(hosts) what its node says now.
  returned: with O(hosts)
  type: dict
  contains:
    certified:
      description: Whether it is certified; none if it is no node of a cluster.
      type: bool
    why:
      description: In words.
      type: str
    failed:
      description: Whether it should have been marked and was not.
      type: bool
  sample: {worker-3: {certified: true, why: proved by a pull, failed: false}}
reason:
  description: Stable name of what went wrong, such as V(forbidden), V(unreachable) or V(nothing_proved).
  returned: failure
  type: str
next_step:
  description: What to do about it.
  returned: failure
  type: str
"""

#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Contract of rotation_gate; the code is the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rotation_gate
short_description: Stop a rotation of CAs whose earlier phase is not complete on every node
version_added: 0.1.0
author:
  - The nodetrust.harbor maintainers (@nodetrust)
description:
  - The judgement between the phases of the playbook C(rotate_ca). It reads what nodes have said in the same run, and
    remembers nothing.
  - Refuses a rotation without a new CA, of a registry that no node has, to the CA that is there already, or without
    an image to prove it with.
  - Refuses the phases V(switch) and V(remove) as long as a node does not hold the new CA in effect, and names it.
  - With O(served) refuses as long as a node that has a rotated registry, by O(nodes), has not looked at what that
    serves, or sees a chain that the new CA does not verify by itself. A node that cannot connect by itself is passed
    over for a registry that another node has seen.
options:
  phase:
    description: The phase that is to begin.
    type: str
    choices: [add, switch, remove]
    required: true
  rotations:
    description: The rotation of each node, with C(hosts) and the new CA.
    type: list
    elements: raw
    required: true
  turns:
    description: What M(nodetrust.harbor.ca_bundle_info) returned as C(rotation) for the nodes.
    type: list
    elements: dict
    required: true
  nodes:
    description: From the name of each node to what M(nodetrust.harbor.node_audit) returned for it.
    type: dict
    default: {}
  served:
    description:
      - From the name of each node to the C(registries) of M(nodetrust.harbor.registry_served_info), and to an empty
        list if that failed.
    type: dict
extends_documentation_fragment:
  - nodetrust.harbor.attributes
  - nodetrust.harbor.attributes.info_module
  - nodetrust.harbor.attributes.controller
seealso:
  - module: nodetrust.harbor.node_audit
  - module: nodetrust.harbor.registry_served_info
"""

EXAMPLES = r"""
- name: Stop unless every node holds both CAs
  nodetrust.harbor.rotation_gate:
    phase: remove
    rotations: ["{{ harbor_ca_rotation }}"]
    turns: "{{ request.rotation }}"
    nodes: "{{ dict(ansible_play_hosts | zip(ansible_play_hosts | map('extract', hostvars, 'audit'))) }}"
  run_once: true
"""

RETURN = r"""
nodes:
  description: The nodes because of which the phase may not begin.
  type: list
  elements: str
  returned: failure
reason:
  description:
    - Stable name of the failure. V(no_rotation), V(invalid_rotation), V(rotation_unknown_registry),
      V(rotation_same_ca), V(rotation_without_proof), V(rotation_not_complete) or V(new_ca_not_served).
  type: str
  returned: failure
registry:
  description: The registry that the failure is about.
  type: str
  returned: failure
found:
  description: What was found.
  type: raw
  returned: failure
expected:
  description: What was expected.
  type: raw
  returned: failure
next_step:
  description: What to do now.
  type: str
  returned: failure
"""

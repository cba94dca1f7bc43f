#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Contract of node_audit; the code is the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node_audit
short_description: Compare a node's trust with the list of registries, in one task
version_added: 0.1.0
author:
  - The nodetrust.harbor maintainers (@nodetrust)
description:
  - Checks the list of registries on the controller as M(nodetrust.harbor.ca_bundle_info) does, and then asks the node
    by M(nodetrust.harbor.ca_fingerprint) whether it holds exactly those CAs, in effect, and the client certificate if
    the list has one. The key stays on the controller. One connection, one call.
  - A CA in the list that has expired is compared as any other, for what nodes hold is to be seen on that day too.
  - Reads only, pulls nothing, and does not fail when the answer is no. It fails if the list is wrong or the node
    cannot be judged.
options:
  registries:
    description:
      - The list as the user writes it, with C(host), C(ca_file) or C(ca_pem), and what else
        M(nodetrust.harbor.ca_bundle_info) takes.
    type: list
    elements: dict
    required: true
  rotation:
    description:
      - The CA that replaces another, with C(hosts), C(ca_file) or C(ca_pem), and C(fingerprints).
      - While it is given, a node is right with the old and the new CA, and with the new one alone.
    type: dict
    default: {}
  runtime:
    description:
      - As for M(nodetrust.harbor.ca_fingerprint).
    type: str
    default: auto
  store:
    description:
      - As for M(nodetrust.harbor.ca_fingerprint).
    type: str
    default: runtime
extends_documentation_fragment:
  - nodetrust.harbor.attributes
  - nodetrust.harbor.attributes.info_module
  - nodetrust.harbor.attributes.linux
seealso:
  - module: nodetrust.harbor.ca_fingerprint
  - module: nodetrust.harbor.fleet_report
"""

EXAMPLES = r"""
- name: Compare every node with the list
  nodetrust.harbor.node_audit:
    registries: "{{ harbor_ca_registries }}"
  register: audit
  ignore_unreachable: true
  ignore_errors: true
"""

RETURN = r"""
in_sync:
  description: Does every registry have exactly the CAs of the list, where the runtime reads them?
  type: bool
  returned: success
in_effect:
  description: Is that true, and does the running process use those files?
  type: bool
  returned: success
curable:
  description:
    - Is a registry not in effect whose CAs still hold? To bring back one that has expired would cure nothing.
  type: bool
  returned: success
expired:
  description: The registries of the list of which no CA holds any more.
  type: list
  elements: str
  returned: success
only_new:
  description: With O(rotation), does the node trust the new CA and no longer the old one?
  type: bool
  returned: when it is so
registries:
  description: One entry for each registry, as M(nodetrust.harbor.ca_fingerprint) returns it.
  type: list
  elements: dict
  returned: success
restart_due:
  description: Is a restart of the runtime due?
  type: bool
  returned: success
restart_why:
  description: The same in words.
  type: str
  returned: success
restart_evidence:
  description: What the system said.
  type: dict
  returned: success
runtime:
  description: The runtime that was asked.
  type: dict
  returned: success
reason:
  description: Stable name of the failure.
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

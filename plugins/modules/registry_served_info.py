#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which certificate a registry serves to this node, and whether a CA bundle by itself leads to it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: registry_served_info
short_description: Ask from a node which certificate a registry serves, and whether a CA verifies it
version_added: 0.1.0
author:
  - The nodetrust.harbor maintainers (@nodetrust)
description:
  - Makes a TLS handshake with each registry and judges its certificate by the given bundle alone. What the node trusts
    otherwise does not count, so this tells whether a registry has changed to a new CA while nodes still trust both.
  - This is evidence and not the proof. A runtime may pull through a proxy or a mirror, which this module does not use.
  - Reads only, and does not fail when the answer is no.
options:
  registries:
    description: The registries, each with its bundle.
    type: list
    elements: dict
    required: true
    suboptions:
      host:
        description: The registry, C(host) or C(host:port), exactly as it stands in image references.
        type: str
        required: true
      ca_pem:
        description: The CA bundle as PEM text.
        type: str
        required: true
  wait:
    description: Seconds to ask again until each bundle verifies what is served.
    type: float
    default: 0
extends_documentation_fragment:
  - nodetrust.harbor.attributes
  - nodetrust.harbor.attributes.info_module
  - nodetrust.harbor.attributes.linux
seealso:
  - module: nodetrust.harbor.registry_pull
  - module: nodetrust.harbor.ca_bundle_info
"""

EXAMPLES = r"""
- name: Does the registry serve a certificate of the new CA already?
  nodetrust.harbor.registry_served_info:
    registries:
      - host: harbor.example.com
        ca_pem: "{{ lookup('ansible.builtin.file', 'new-ca.crt') }}"
  register: served

- name: Show it
  ansible.builtin.debug:
    var: served.trusted
"""

RETURN = r"""
trusted:
  description: Does each bundle verify what its registry serves?
  type: bool
  returned: success
registries:
  description: One entry for each registry, in the order of the option.
  type: list
  elements: dict
  returned: success
  contains:
    registry:
      description: The registry.
      type: str
    reachable:
      description: Whether a certificate could be had at all.
      type: bool
    reason:
      description: Why not, or why it is not trusted; else null.
      type: str
    trusted:
      description: Whether the bundle alone verifies it. Null if not reachable.
      type: bool
    name_matches:
      description: Whether the served certificate is for this name. Null if not reachable.
      type: bool
    certificate:
      description:
        - The served certificate, with C(fingerprint), C(subject), C(issuer), C(not_before), C(not_after) and C(is_ca).
          Null if not reachable.
      type: dict
reason:
  description: Stable name of the failure.
  type: str
  returned: failure
next_step:
  description: What to do now.
  type: str
  returned: failure
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodetrust.harbor.plugins.module_utils import _module
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import parse_registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import split, to_pem
from ansible_collections.nodetrust.harbor.plugins.module_utils._served import look_until


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "registries": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "host": {"type": "str", "required": True},
                    "ca_pem": {"type": "str", "required": True},
                },
            },
            "wait": {"type": "float", "default": 0},
        },
        supports_check_mode=True,
    )
    try:
        bundles = {
            parse_registry(entry["host"]).name: to_pem(split(entry["ca_pem"].encode("utf-8")))
            for entry in module.params["registries"]
        }
        seen = look_until(bundles, module.params["wait"])
    except TrustError as exc:
        _module.fail(module, exc)
    module.exit_json(
        changed=False,
        trusted=all(served.trusted for served in seen.values()),
        registries=[{"registry": name, **served.to_dict()} for name, served in seen.items()],
    )


if __name__ == "__main__":
    main()

#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does this node hold exactly the pinned CAs, where its runtime reads them, in effect?"""

from __future__ import annotations

DOCUMENTATION = r"""
module: ca_fingerprint
short_description: Check the CA fingerprints that a node's container runtime trusts for a registry
version_added: 0.1.0
author:
  - The nodetrust.harbor maintainers (@nodetrust)
description:
  - Answers for one or several registries whether this node holds exactly the pinned set of CAs, in the file that its
    runtime really reads, and whether the running process has that file in effect.
  - Compares fingerprints of certificates, not bytes of files, and the whole set. One CA too many is as wrong as one
    too few.
  - Reads only. It never changes anything, never pulls, and does not fail when the answer is no.
options:
  registries:
    description: The registries and their pins.
    type: list
    elements: dict
    required: true
    suboptions:
      host:
        description: The registry, C(host) or C(host:port), exactly as it stands in image references.
        type: str
        required: true
      fingerprints:
        description:
          - The pins, SHA-256 fingerprints of the DER certificates, as C(openssl x509 -fingerprint -sha256) prints
            them. Upper or lower case, with or without colons, with or without a prefix such as V(SHA256:).
        type: list
        elements: str
        required: true
      extra_ca_fingerprints:
        description:
          - The pins of CAs that are there for other hosts of this registry, such as its token service. Together with
            the others they are the whole set.
        type: list
        elements: str
      client_fingerprint:
        description:
          - The SHA-256 fingerprint of the client certificate that this node has to show to the registry.
          - The node is right if it holds that certificate with the key that belongs to it, where the runtime reads
            both. A key that this collection has put there must be readable by root alone.
          - Without it nobody asks for a client certificate. The key itself is never needed here, and never returned.
        type: str
  runtime:
    description:
      - The runtime whose trust is meant. V(auto) takes the one that kubelet is pointed at, else the only one that
        runs. V(podman) is a tool for it wherever V(containerd), V(crio) or V(docker) is installed too.
      - V(k3s), V(rke2), V(k0s) and V(microk8s) bring one of their own,
        and with their own kubelet they are the one that V(auto) takes.
    type: str
    choices: [auto, containerd, crio, docker, k0s, k3s, microk8s, podman, rke2]
    default: auto
  store:
    description:
      - Where the CAs are meant to lie. V(runtime) is the directory that the runtime reads for each registry.
      - V(system) is the trust store of the system, as Debian, RHEL and SUSE have it, with its tool run. CAs there are
        trusted by every program on the node and for every registry. A runtime reads that store once for each process,
        so it needs a restart, unless a pull shows that it has not read it yet; podman needs none.
    type: str
    choices: [runtime, system]
    default: runtime
extends_documentation_fragment:
  - nodetrust.harbor.attributes
  - nodetrust.harbor.attributes.linux
attributes:
  check_mode:
    support: full
    details:
      - Reads only.
  diff_mode:
    support: N/A
    details:
      - Changes nothing, so there is no difference to show.
  idempotent:
    support: full
seealso:
  - module: nodetrust.harbor.registry_trust
"""

EXAMPLES = r"""
- name: Ask whether the node trusts exactly the pinned CA
  nodetrust.harbor.ca_fingerprint:
    registries:
      - host: harbor.example.com
        fingerprints:
          - "SHA256:5E:A1:…"
  register: trust

- name: Stop before the node takes pods
  ansible.builtin.assert:
    that: trust.in_effect
    fail_msg: "{{ trust.registries | map(attribute='reasons') | flatten | join('; ') }}"
"""

RETURN = r"""
in_sync:
  description: Does every registry have exactly its pinned CAs in the file that the runtime reads?
  type: bool
  returned: success
in_effect:
  description: Is that true for every registry, and does the running process use those files?
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
    path:
      description: The file that the runtime reads, or would read if it were there.
      type: str
    files:
      description: All files from which the runtime takes CAs for this registry.
      type: list
      elements: str
    found:
      description:
        - Each certificate found, with its C(fingerprint), C(subject), C(not_before) and C(not_after) (ISO 8601, UTC),
          C(is_ca), and the C(path) of its file.
      type: list
      elements: dict
    found_fingerprints:
      description: The fingerprints found, sorted.
      type: list
      elements: str
    expected_fingerprints:
      description: The pins, in the same form, sorted.
      type: list
      elements: str
    extra_ca_fingerprints:
      description: Those of them that are there for other hosts of this registry.
      type: list
      elements: str
    client_fingerprint:
      description: The fingerprint of the client certificate in C(client.cert), if there is one.
      type: str
    in_sync:
      description:
        - Are the two sets equal, is the client certificate the pinned one if one is pinned, and does nothing break
          the directory?
      type: bool
    in_effect:
      description: Is it in sync, and does the running process read this directory?
      type: bool
    restart_due:
      description: Does the running process lack something that it reads only at its start?
      type: bool
    reasons:
      description: Why not, in words. Empty if all is well.
      type: list
      elements: str
restart_due:
  description: Is a restart of the runtime due?
  type: bool
  returned: success
restart_why:
  description: The same in words.
  type: str
  returned: success
node_time:
  description: The time on the node's own clock, in UTC. A clock that is far off makes a good CA invalid.
  type: str
  returned: success
  sample: "2026-11-23T08:00:00Z"
restart_evidence:
  description: What the system said, process, start time, configuration file and its last change (ISO 8601, UTC).
  type: dict
  returned: success
restart_stops:
  description:
    - Why the restart that is due would stop the containers of this node, as that of dockerd without live-restore does.
    - V(none) if it would not, or if none is due.
  type: str
  returned: success
runtime:
  description:
    - The runtime that was asked, and what decided for it.
    - With k3s, RKE2 and k0s C(is_server) says that a restart of its unit bounces a part of the control plane, so that
      a play can take such nodes one at a time.
  type: dict
  returned: success
upgrade_findings:
  description:
    - What of this node's registry settings the next major version of its runtime would no longer do, or do
      otherwise. On containerd 1.x that is containerd 2.x. Empty if nothing is known.
  type: list
  elements: dict
  returned: success
  contains:
    finding:
      description: Stable name, such as V(legacy_tls), V(colon_list), V(version_1_section) or V(drop_in_merge).
      type: str
    breaks:
      description: Would pulls that work now fail?
      type: bool
    path:
      description: The file.
      type: str
    line:
      description: Its line, if there is one.
      type: int
    message:
      description: What changes, in words.
      type: str
    next_step:
      description: What to do before the upgrade.
      type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodetrust.harbor.plugins.module_utils import _module, _observe
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "registries": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "host": {"type": "str", "required": True},
                    "fingerprints": {"type": "list", "elements": "str", "required": True},
                    "extra_ca_fingerprints": {"type": "list", "elements": "str"},
                    "client_fingerprint": {"type": "str"},
                },
            },
            "runtime": _module.RUNTIME_SPEC,
            "store": {"type": "str", "choices": ["runtime", "system"], "default": "runtime"},
        },
        supports_check_mode=True,
    )
    try:
        result = _observe.check(_module.trust_request(module.params, needs_bundle=False))
    except TrustError as exc:
        _module.fail(module, exc)
    module.exit_json(**result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the container runtime of a node trust exactly the pinned CAs of its registries."""

from __future__ import annotations

DOCUMENTATION = r"""
module: registry_trust
short_description: Make a node's container runtime trust a registry's CA
version_added: 0.1.0
author:
  - The nodetrust.harbor maintainers (@nodetrust)
description:
  - Puts the CA bundle of each registry where the runtime of this node really reads it, and nowhere else.
  - On containerd that is C(/etc/containerd/certs.d/<registry>/ca.crt). If C(config_path) in C(config.toml) does not
    lead there, that one key is set in place. Every other byte of the file stays, containerd's own parser accepts the
    result before it replaces the old file, and the old file is kept beside it with the suffix C(.before-nodetrust).
  - On Docker it is C(/etc/docker/certs.d/<registry>/ca.crt). On podman and CRI-O it is the directory of the registry
    that they read already, else one in C(/etc/containers/certs.d). None of them needs a restart for that.
  - Never restarts anything. It says whether a restart is due, why, and what the system said that makes it so.
  - If a registry has a O(registries[].proof_image) and no restart stands between, the image is pulled through the
    runtime itself as the proof. If that pull fails because of what was changed, the change is taken back.
  - In a C(hosts.toml) that somebody else wrote, C(ca) is added where the registry itself is asked, with a comment by
    which O(state=absent) finds and removes it again. Every other byte stays. A file that its owner writes anew, and
    whatever else is in the way, is named in the failure, together with the way out.
options:
  state:
    description:
      - V(present) makes the node trust exactly the given CAs for each registry.
      - V(absent) takes away the CA file and the client certificate that this module puts there. C(config_path) stays,
        since other registries may need it.
      - V(previous) brings back what the last change of this module on this node replaced.
      - V(forgotten) takes away the record of that change and its directory, C(/var/lib/nodetrust.harbor), for a node
        that is given up after V(absent). While another run changes the node it fails.
    type: str
    choices: [present, absent, previous, forgotten]
    default: present
  registries:
    description:
      - The registries. Required for O(state=present) and O(state=absent).
    type: list
    elements: dict
    default: []
    suboptions:
      host:
        description: The registry, C(host) or C(host:port), exactly as it stands in image references.
        type: str
        required: true
      ca_pem:
        description:
          - The CA bundle as PEM text. Required for O(state=present).
        type: str
      fingerprints:
        description:
          - The pins, SHA-256 fingerprints of the DER certificates. The set must be equal to that of the bundle.
          - Without pins the bundle itself is what is expected.
        type: list
        elements: str
      extra_ca_pem:
        description:
          - CAs of other hosts that pulls from this registry lead to, as PEM text. A token service or an object storage
            with a certificate of another CA is verified with what lies in the directory of the registry itself.
          - They are put into the same file, count among the pinned CAs, and are shown separately in the result.
        type: str
      extra_ca_fingerprints:
        description: Their pins, as O(registries[].fingerprints).
        type: list
        elements: str
      client_cert_pem:
        description:
          - The client certificate as PEM text, for a registry that asks for one. Certificates that lead to its CA may
            follow it.
          - Written as C(client.cert) beside the CA file. A pair that somebody else put there is left alone if it is
            the same, and is otherwise a failure.
          - If it is left out, a pair that this module had written is taken away.
        type: str
      client_key_pem:
        description:
          - Its private key as PEM text, without a password. Written as C(client.key) with mode 0600. Never logged,
            never in a diff, never in a result. What it replaces is kept for O(state=previous), readable by root only.
        type: str
      proof_image:
        description:
          - The image to pull as the proof, with or without the registry in front.
          - The image stays in the runtime's store. A further proof costs one request.
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
  migrate_legacy:
    description:
      - Move registry settings of the old kind, C(registry.mirrors) and C(registry.configs.*.tls) in containerd's
        C(config.toml), to C(hosts.toml) files that say the same. They can't stand beside C(config_path), so without
        this option a node that has them is refused.
      - Logins stay where they are. C(insecure_skip_verify) is moved for nobody. For a registry in O(registries) the
        pinned CA takes its place, for any other one the run stops and says so.
      - The old file is kept with the suffix C(.before-nodetrust). Check mode and diff show the whole plan.
    type: bool
    default: false
  store:
    description:
      - Where the CAs are meant to lie. V(runtime) is the directory that the runtime reads for each registry.
      - V(system) is the trust store of the system, as Debian, RHEL and SUSE have it, with its tool run. CAs there are
        trusted by every program on the node and for every registry. A runtime reads that store once for each process,
        so it needs a restart, unless a pull shows that it has not read it yet; podman needs none.
    type: str
    choices: [runtime, system]
    default: runtime
  root:
    description:
      - The root of a machine image or chroot that is mounted on this machine, as an absolute path. The image is
        prepared instead of the running system, so that a machine made from it is born trusting.
      - Nothing is restarted and nothing is pulled; RV(proof) is V(none), C(offline) of the runtime is V(true), and
        C(in_effect) of each registry is V(false).
      - The runtime is told by the programs that are installed in it; O(runtime) decides where there are several.
      - containerd's own parser in the image checks C(config.toml). If it is for another architecture, the file is
        checked by this module's parser, and files that it imports are a failure.
      - If the image uses SELinux, have it relabelled at its first start, C(touch ROOT/.autorelabel).
    type: path
  credentials:
    description:
      - Logins for registries that ask for one. Used for the proof only, never written to the node, never logged,
        never on a command line.
    type: list
    elements: dict
    default: []
    suboptions:
      registry:
        description: The registry, as in O(registries[].host).
        type: str
        required: true
      username:
        description: The user or robot account.
        type: str
        required: true
      password:
        description: Its password or token.
        type: str
        required: true
  timeout:
    description: Seconds that one pull may take.
    type: float
    default: 60
extends_documentation_fragment:
  - nodetrust.harbor.attributes
  - nodetrust.harbor.attributes.linux
attributes:
  check_mode:
    support: full
    details:
      - Predicts every change and the restart. Pulls nothing, so RV(proof) is V(skipped).
  diff_mode:
    support: full
    details:
      - Shows the certificates of a CA file, and of C(config.toml) only the lines that change.
  idempotent:
    support: full
seealso:
  - module: nodetrust.harbor.ca_fingerprint
  - module: nodetrust.harbor.registry_pull
  - module: nodetrust.harbor.ca_bundle_info
"""

EXAMPLES = r"""
- name: Trust the private Harbor and prove it
  nodetrust.harbor.registry_trust:
    registries:
      - host: harbor.example.com
        ca_pem: "{{ lookup('ansible.builtin.file', 'harbor-ca.crt') }}"
        proof_image: library/hello:1
  register: trust

- name: Show what made a restart due
  ansible.builtin.debug:
    var: trust.restart_why
  when: trust.restart_due

- name: Take the CA away again
  nodetrust.harbor.registry_trust:
    state: absent
    registries:
      - host: harbor.example.com
"""

RETURN = r"""
changes:
  description: One line for each step, in the order in which they were taken (or would be, in check mode).
  type: list
  elements: str
  returned: always
  sample: ["create /etc/containerd/certs.d/harbor.example.com/ca.crt"]
registries:
  description: For each registry what was found and what was expected, as M(nodetrust.harbor.ca_fingerprint) returns it.
  type: list
  elements: dict
  returned: O(state=present) or O(state=absent)
runtime:
  description:
    - The runtime that was worked with, and what decided for it.
    - With k3s, RKE2 and k0s C(is_server) says that a restart of its unit bounces a part of the control plane, so that
      a play can take such nodes one at a time.
  type: dict
  returned: O(state=present) or O(state=absent)
restart_due:
  description: Does the running process lack something that it reads only at its start?
  type: bool
  returned: always
restart_why:
  description: The same in words.
  type: str
  returned: always
restart_evidence:
  description: What the system said, process, start time, configuration file and its last change (ISO 8601, UTC).
  type: dict
  returned: always
restart_stops:
  description:
    - Why the restart that is due would stop the containers of this node, as that of dockerd without live-restore does.
    - V(none) if it would not, or if none is due.
  type: str
  returned: always
proof:
  description:
    - V(proven) if every proof image was pulled, V(failed) if one was not.
    - V(pending_restart) if the pull has to wait for the restart.
    - V(skipped) in check mode, V(none) if no registry has a proof image.
  type: str
  returned: O(state=present) or O(state=absent)
proof_images:
  description: Full references of the proof images, for M(nodetrust.harbor.registry_pull) after a restart.
  type: list
  elements: str
  returned: O(state=present) or O(state=absent)
pulls_before:
  description: The pulls before the change, as M(nodetrust.harbor.registry_pull) returns them.
  type: list
  elements: dict
  returned: O(state=present) or O(state=absent)
pulls:
  description: The pulls that are the proof.
  type: list
  elements: dict
  returned: O(state=present) or O(state=absent)
revertible:
  description:
    - Would O(state=previous) bring back something that the next start of the runtime is about?
    - That is a change of this run, or one of an earlier run that the running process has not started with yet.
  type: bool
  returned: O(state=present) or O(state=absent)
rolled_back:
  description: Was the state before the change brought back?
  type: bool
  returned: always
backup_file:
  description: Where the old configuration file lies, if it was changed.
  type: str
  returned: O(state=present) or O(state=absent)
reason:
  description: Stable name of the failure, such as V(foreign_hosts_toml), V(legacy_registry_config) or
    V(unknown_authority).
  type: str
  returned: failure
registry:
  description: The registry that the failure is about.
  type: str
  returned: failure
path:
  description: The file that the failure is about.
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
node:
  description: The node's own name.
  type: str
  returned: failure
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodetrust.harbor.plugins.module_utils import _module, _trust
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {
                "type": "str",
                "choices": ["present", "absent", "previous", "forgotten"],
                "default": "present",
            },
            "registries": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "host": {"type": "str", "required": True},
                    "ca_pem": {"type": "str"},
                    "fingerprints": {"type": "list", "elements": "str"},
                    "extra_ca_pem": {"type": "str"},
                    "extra_ca_fingerprints": {"type": "list", "elements": "str"},
                    "client_cert_pem": {"type": "str"},
                    "client_key_pem": {"type": "str", "no_log": True},
                    "proof_image": {"type": "str"},
                },
            },
            "runtime": _module.RUNTIME_SPEC,
            "migrate_legacy": {"type": "bool", "default": False},
            "store": {"type": "str", "choices": ["runtime", "system"], "default": "runtime"},
            "root": {"type": "path"},
            "credentials": _module.CREDENTIALS_SPEC,
            "timeout": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    state = module.params["state"]
    try:
        if state == "previous":
            result = _trust.take_back(module.check_mode, module.params["root"])
        elif state == "forgotten":
            result = _trust.forget(module.check_mode)
        else:
            request = _module.trust_request(module.params, needs_bundle=state == "present")
            result = _trust.ensure(request, state, module.check_mode)
    except TrustError as exc:
        _module.fail(module, exc)
    module.exit_json(**result)


if __name__ == "__main__":
    main()

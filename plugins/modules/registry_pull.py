#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof: can this node pull from the registry, through its own runtime, right now?"""

from __future__ import annotations

DOCUMENTATION = r"""
module: registry_pull
short_description: Prove with a real pull that a node's container runtime trusts a registry
version_added: 0.1.0
author:
  - The nodetrust.harbor maintainers (@nodetrust)
description:
  - Pulls images through the node's own container runtime, through CRI as the kubelet does, through Docker's Engine API,
    or with podman. Files in place and matching fingerprints are evidence. Only such a pull is a proof.
  - Needs nothing installed on the node. For CRI C(crictl) carries the call where the node has it, else C(curl), which
    must list HTTP2 in C(curl --version). Both give the same results. The Engine API needs neither.
  - A pull always asks the registry, even for an image that the node has already. Name an image that is small and stays.
    To prove the way to the layers as well, it must be one that the node does not have yet.
  - The task fails if a pull fails. RV(pulls[].reason) then says why with a stable name, and RV(pulls[].remedy) what
    to do.
options:
  images:
    description:
      - The images to pull, each with its registry in front, as in C(harbor.example.com/library/hello:1).
      - With an empty list the module only waits until the runtime answers.
    type: list
    elements: str
    required: true
  credentials:
    description:
      - Logins for registries that ask for one. Never logged and never on a command line. With a login C(curl) is
        preferred for CRI, because nobody can look into its standard input. A login that is left on the node, as by
        C(docker login) or C(podman login), is never used.
    type: list
    elements: dict
    default: []
    suboptions:
      registry:
        description: The registry, C(host) or C(host:port), exactly as it stands in image references.
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
  endpoint:
    description:
      - Where the runtime takes pulls, as RV(nodetrust.harbor.registry_trust#module:runtime) names it.
      - A socket is a CRI socket, as C(unix:///run/containerd/containerd.sock). One that is called C(docker.sock) speaks
        Docker's Engine API. C(podman:/usr/bin/podman) runs that program, and C(podman:) alone the one in C(/usr/bin).
    type: str
    default: unix:///run/containerd/containerd.sock
  client:
    description: What carries the calls to a CRI socket. V(auto) takes the first that works.
    type: str
    choices: [auto, crictl, curl]
    default: auto
  timeout:
    description:
      - Seconds that one pull may take. The runtime itself gives up on a silent address after 30.
    type: float
    default: 60
  wait:
    description:
      - Seconds to wait for the runtime to answer before the first pull, for use after its restart. The state of the
        service says nothing. With a rejected configuration containerd is active and its CRI is absent.
    type: float
    default: 0
  before:
    description:
      - The RV(pulls) of an earlier task, from before a change. RV(regressed) compares with them.
    type: list
    elements: dict
    default: []
extends_documentation_fragment:
  - nodetrust.harbor.attributes
  - nodetrust.harbor.attributes.linux
attributes:
  check_mode:
    support: full
    details:
      - Pulls nothing, so RV(proven) is V(false).
  diff_mode:
    support: N/A
    details:
      - There is nothing to compare.
  idempotent:
    support: full
    details:
      - Never reports a change, although the pulled images stay in the runtime's store.
seealso:
  - module: nodetrust.harbor.registry_trust
  - module: nodetrust.harbor.ca_fingerprint
"""

EXAMPLES = r"""
- name: Prove that this node can pull from the private Harbor
  nodetrust.harbor.registry_pull:
    images:
      - harbor.example.com/library/hello:1

- name: Prove it with a robot account
  nodetrust.harbor.registry_pull:
    images:
      - harbor.example.com/theater-msa/movie-service:latest
    credentials:
      - registry: harbor.example.com
        username: robot$nodes
        password: "{{ vault_harbor_token }}"

- name: After a restart, wait for the CRI itself and prove that nothing got worse
  nodetrust.harbor.registry_pull:
    images: "{{ trust.pulls_before | map(attribute='image') | list }}"
    before: "{{ trust.pulls_before }}"
    wait: 60
"""

RETURN = r"""
pulls:
  description:
    - One entry for each of O(images), in the same order. Empty in check mode and when the runtime did not answer.
  type: list
  elements: dict
  returned: always
  contains:
    image:
      description: The image as it was given.
      type: str
    registry:
      description: The registry that the image belongs to.
      type: str
    ok:
      description: Was it pulled?
      type: bool
    reason:
      description:
        - V(pulled), or the stable name of the failure.
        - The node does not trust the registry. V(unknown_authority), V(ca_reissued_same_name), V(not_a_ca),
          V(weak_signature), V(expired), V(not_yet_valid), V(name_mismatch), V(no_san), V(ip_without_san),
          V(key_usage), V(name_constraints), V(token_unknown_authority), V(blob_unknown_authority),
          V(token_ca_ignored).
        - Something on the node is in the way. V(ca_file_unusable), V(client_cert_broken), V(cri_not_loaded),
          V(cri_unavailable), V(engine_unavailable), V(cri_v1alpha2_only), V(no_cri_client),
          V(cri_client_broken), V(unsafe_credentials), V(node_storage), V(invalid_image).
        - TLS is fine and the registry says no. V(unauthorized), V(denied), V(not_found), V(rate_limited),
          V(server_error).
        - The registry is out of reach. V(dns), V(connection_refused), V(connection_reset), V(unreachable),
          V(connect_timeout), V(tls_timeout), V(proxy), V(timeout).
        - The server does not fit. V(client_cert_required), V(client_cert_refused), V(tls_version), V(plain_http).
        - V(unknown) is anything else.
      type: str
    message:
      description: The runtime's own words. Secrets in URLs are masked.
      type: str
    remedy:
      description: What to do about it.
      type: str
    code:
      description: The gRPC code, or for Docker and podman the one that fits best. V(OK) for a pull that succeeded.
      type: str
    via:
      description: What carried the call, V(crictl), V(curl), V(docker) or V(podman). None if no call was made.
      type: str
    image_ref:
      description: The reference under which the runtime knows the pulled image.
      type: str
  sample:
    - image: harbor.example.com/library/hello:1
      registry: harbor.example.com
      ok: false
      reason: unknown_authority
      message: >-
        failed to pull and unpack image "harbor.example.com/library/hello:1": failed to resolve reference
        "harbor.example.com/library/hello:1": failed to do request: Head
        "https://harbor.example.com/v2/library/hello/manifests/1": tls: failed to verify certificate: x509: certificate
        signed by unknown authority
      remedy: this node does not trust the registry's CA
      code: Unknown
      via: crictl
      image_ref:
runtime:
  description: Which runtime answered. None if none did, and in check mode.
  type: dict
  returned: always
  contains:
    runtime_name:
      description: Its name.
      type: str
    runtime_version:
      description: Its version.
      type: str
    api_version:
      description: The version of CRI or of the Engine API that it speaks. Empty for podman.
      type: str
  sample: {runtime_name: containerd, runtime_version: 2.1.9, api_version: v1}
proven:
  description: Was at least one image pulled, and every one?
  type: bool
  returned: always
regressed:
  description:
    - Does a pull fail in a way that a change of trust on this node can have caused, and that it did not fail in before?
    - Bringing back what was there before is only of use if this is true.
  type: bool
  returned: always
reason:
  description: The RV(pulls[].reason) of the first pull that failed, or why the runtime did not answer.
  type: str
  returned: failure
registry:
  description: The registry that the failure is about.
  type: str
  returned: failure
path:
  description: The socket or program, if the runtime did not answer.
  type: str
  returned: failure
found:
  description: What was found, the runtime's words.
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

from ansible_collections.nodetrust.harbor.plugins.module_utils import _module, _proof
from ansible_collections.nodetrust.harbor.plugins.module_utils._clients import client_of
from ansible_collections.nodetrust.harbor.plugins.module_utils._cri import DEFAULT_ENDPOINT
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "images": {"type": "list", "elements": "str", "required": True},
            "credentials": _module.CREDENTIALS_SPEC,
            "endpoint": {"type": "str", "default": DEFAULT_ENDPOINT},
            "client": {"type": "str", "choices": ["auto", "crictl", "curl"], "default": "auto"},
            "timeout": {"type": "float", "default": 60},
            "wait": {"type": "float", "default": 0},
            "before": {"type": "list", "elements": "dict", "default": []},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        client = client_of(given["endpoint"], given["timeout"], given["client"])
        if module.check_mode:
            result = _proof.not_pulled(given["images"])
        else:
            logins = _module.credentials(given["credentials"])
            result = _proof.prove_all(client, given["images"], logins, given["before"], given["wait"])
    except TrustError as exc:
        _module.fail(module, exc)
    module.exit_json(**result)


if __name__ == "__main__":
    main()

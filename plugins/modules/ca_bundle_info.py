#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Contract of ca_bundle_info; the code is the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ca_bundle_info
short_description: Check CA bundles on the controller before any node is touched
version_added: 0.1.0
description:
  - Reads the CA bundle of each registry on the controller, checks it as it will be used, and returns what was found.
    No node is touched, and no connection to one is opened.
  - A bundle passes if every block in it is a certificate, every certificate is a CA that is valid now (but for
    O(allow_expired)), and, where O(registries[].fingerprints) are given, the set of certificates is exactly the set
    of the fingerprints.
  - A byte order mark, Windows line ends, text around the blocks and repeated certificates are accepted. What is
    returned is free of them.
  - All problems of all entries are reported at once. Content of files is never shown, because a private key may have
    been given by mistake.
requirements:
  - cryptography 41 or later, on the controller
author:
  - The nodetrust.harbor maintainers (@nodetrust)
extends_documentation_fragment:
  - nodetrust.harbor.attributes
  - nodetrust.harbor.attributes.info_module
  - nodetrust.harbor.attributes.controller
options:
  registries:
    description:
      - The registries and the CA bundle of each. There must be at least one, and no registry twice.
      - Keys that are not listed here are an error.
    type: list
    elements: dict
    required: true
    suboptions:
      host:
        description:
          - The registry exactly as it stands in image references, before the first slash, as V(harbor.example.com) or
            V(harbor.example.com:8443).
          - Runtimes take V(harbor.example.com) and V(harbor.example.com:443) for two registries.
        type: str
        required: true
      ca_file:
        description:
          - Path of a PEM file on the controller, at most 1 MiB, with one or more CA certificates.
          - A relative path is looked for where Ansible looks for files (C(files/) of the role and of the playbook,
            and their directories), and then in the directory in which the command was started.
          - Exactly one of O(registries[].ca_file) and O(registries[].ca_pem) is required.
        type: path
      ca_pem:
        description:
          - The same as text.
        type: str
      fingerprints:
        description:
          - SHA-256 fingerprints of the CA certificates, with or without colons and the prefix V(SHA256:), in upper or
            lower case.
          - If given, the bundle must hold exactly these certificates. One more or one less is an error.
          - C(openssl x509 -noout -fingerprint -sha256 -in FILE) shows the fingerprint of the first certificate in
            a file.
        type: list
        elements: str
      extra_ca_file:
        description:
          - Path of a PEM file with the CAs of other hosts that pulls from this registry lead to, such as its token
            service or its object storage. Nodes look for them in the directory of the registry.
        type: path
      extra_ca_pem:
        description: The same as text.
        type: str
      extra_ca_fingerprints:
        description: The pins of these CAs, as O(registries[].fingerprints) are those of the registry's own.
        type: list
        elements: str
      client_cert_file:
        description:
          - Path of a PEM file with the client certificate, for a registry that asks for one. It must be valid now and
            meant for clients. The certificates that lead to its CA may follow it.
        type: path
      client_cert_pem:
        description: The same as text.
        type: str
      client_key_file:
        description:
          - Path of the PEM file with its private key, without a password. It may lie in an Ansible vault.
          - It must be the key of the certificate. Nothing of it is ever shown or returned.
        type: path
      client_key_pem:
        description: The same as text.
        type: str
      proof_image:
        description:
          - Image in this registry that nodes pull as the proof, with a tag or a digest.
          - The registry in front may be left out.
        type: str
  rotation:
    description:
      - A CA that replaces another, with C(hosts), the registries it is for, C(ca_file) or C(ca_pem), and
        C(fingerprints). The bundles of those registries then hold the old CA, which may have expired, and the new one.
    type: dict
    default: {}
  only_new:
    description:
      - With O(rotation), leave the old CA out of the bundles.
    type: bool
    default: false
  allow_expired:
    description:
      - Take a CA that has expired for a finding and not for an error, for a run that only looks.
        RV(registries[].expired) says of which registries no CA is left that holds.
      - The new CA of O(rotation) must not have expired all the same.
    type: bool
    default: false
  check_served:
    description:
      - Also ask each registry, from the controller, for the certificate that it serves, and compare that with the
        bundle.
      - What does not match is a warning, not an error, since the nodes may reach another server under that name. A
        registry that cannot be reached is not even a warning.
      - Waits at most 5 seconds for each step on the network. Proxies are not used.
    type: bool
    default: false
seealso:
  - module: nodetrust.harbor.ca_fingerprint
  - module: nodetrust.harbor.registry_trust
"""

EXAMPLES = r"""
- name: Check the CA file of one registry
  nodetrust.harbor.ca_bundle_info:
    registries:
      - host: harbor.example.com
        ca_file: harbor-ca.crt
  register: bundles

- name: Demand exactly one known CA, and compare it with what the registry serves
  nodetrust.harbor.ca_bundle_info:
    registries:
      - host: harbor.example.com:8443
        ca_pem: "{{ lookup('ansible.builtin.file', 'harbor-ca.crt') }}"
        fingerprints:
          - SHA256:9B:1D:5D:2F:05:E4:6D:4F:FF:60:9C:0E:54:BD:16:36:6B:9F:5A:0E:A3:2F:7C:85:F5:0B:09:6A:45:5E:26:D0
        proof_image: library/probe:1
    check_served: true
"""

RETURN = r"""
registries:
  description: The registries in the order given, each with a bundle that is fit to be installed.
  returned: success
  type: list
  elements: dict
  contains:
    host:
      description: The registry as it stands in image references.
      type: str
      sample: harbor.example.com:8443
    ca_pem:
      description: The bundle in one form, with each certificate once and nothing around them.
      type: str
    fingerprints:
      description: SHA-256 fingerprints of the certificates.
      type: list
      elements: str
      sample:
        - SHA256:9B:1D:5D:2F:05:E4:6D:4F:FF:60:9C:0E:54:BD:16:36:6B:9F:5A:0E:A3:2F:7C:85:F5:0B:09:6A:45:5E:26:D0
    ending_fingerprints:
      description: Those of them that O(rotation) takes away.
      type: list
      elements: str
    certificates:
      description: The certificates in the order of the bundle.
      type: list
      elements: dict
      contains:
        fingerprint:
          description: SHA-256 fingerprint.
          type: str
        subject:
          description: Whom the certificate names, as RFC 4514 writes it.
          type: str
          sample: CN=Harbor CA,O=Example
        issuer:
          description: Who signed it.
          type: str
        not_before:
          description: Begin of its validity, in UTC.
          type: str
          sample: "2026-01-01T00:00:00Z"
        not_after:
          description: End of its validity, in UTC.
          type: str
        is_ca:
          description: Whether it may sign others.
          type: bool
    expired:
      description: Have all CAs of the bundle expired, or all CAs for the other hosts of this registry?
      type: bool
    proof_image:
      description: Full reference of the image to pull as the proof, or null.
      type: str
      sample: harbor.example.com:8443/library/probe:1
    source:
      description: The file that was read, or V(ca_pem).
      type: str
    extra_ca_pem:
      description: The bundle of CAs for other hosts of this registry, or null.
      type: str
    extra_ca_fingerprints:
      description: Their fingerprints.
      type: list
      elements: str
    extra_certificates:
      description: These certificates, with the keys of RV(registries[].certificates).
      type: list
      elements: dict
    client_cert_pem:
      description: The client certificate and what follows it, or null.
      type: str
    client_certificate:
      description: The client certificate, with the keys of RV(registries[].certificates), or null.
      type: dict
    client_key_file:
      description: Where its key lies, or null if it was given as text. The key itself is not returned.
      type: str
    served:
      description: What the registry showed to the controller.
      returned: if O(check_served=true)
      type: dict
      contains:
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
          description: The served certificate, with the keys of RV(registries[].certificates). Null if not reachable.
          type: dict
rotation:
  description: For each registry of O(rotation) what it means.
  returned: success
  type: list
  elements: dict
  contains:
    host:
      description: The registry.
      type: str
    ca_pem:
      description: The new bundle by itself.
      type: str
    fingerprints:
      description: Its fingerprints.
      type: list
      elements: str
    to_remove:
      description: The fingerprints of the CAs that go at the end. Empty if the rotation is over.
      type: list
      elements: str
    proof_image:
      description: As in RV(registries[].proof_image).
      type: str
checked_at:
  description: When it was checked, by the controller's clock, in UTC.
  returned: always
  type: str
errors:
  description: Every problem that was found, in all entries.
  returned: failure
  type: list
  elements: dict
  contains:
    where:
      description: Which entry of the list.
      type: str
      sample: entry 2 of 3
    reason:
      description: Stable name of the problem.
      type: str
      sample: not_a_ca
    msg:
      description: The whole problem in sentences.
      type: str
    message:
      description: What is wrong, in one sentence.
      type: str
    registry:
      description: The registry, if its name is valid.
      type: str
    path:
      description: The file that was looked at, or null.
      type: str
    found:
      description: What was there, or null.
      type: raw
    expected:
      description: What should have been there, or null.
      type: raw
    next_step:
      description: What to do now.
      type: str
"""

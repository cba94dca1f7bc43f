#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Contract of fleet_report; the code is the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_report
short_description: Report what a run has found on all its nodes
version_added: 0.1.0
description:
  - Takes the results of a run, one for each node, and writes the fleet as JSON, as one HTML page that needs no
    network, and as metrics for the textfile collector of Prometheus's node exporter.
  - Returns the same in a few lines, and whether somebody has to do something.
  - What nodes have answered is not believed. Types are checked, texts are bounded, a node that contradicts itself or
    answers nonsense becomes V(unknown). Nothing of it is ever templated.
  - CAs and served certificates that end soon are a warning, and later an error, by the controller's clock.
  - Files are replaced whole, also in check mode, for they are no change of a node. One that can't be written is a
    failure, after the others; at the beginning of a run it is a warning, for the nodes are more than the report.
  - Runs on the controller. Use it with C(run_once), at the end of the run; and once at its beginning with
    O(complete=false), so that a run that is killed leaves a document that says so.
author:
  - The nodetrust.harbor maintainers (@nodetrust)
extends_documentation_fragment:
  - nodetrust.harbor.attributes
  - nodetrust.harbor.attributes.info_module
  - nodetrust.harbor.attributes.controller
options:
  results:
    description:
      - A list with one dictionary for each host of the run, also for those that failed or could not be reached.
      - C(node) is the host's name. C(result) is the untouched result of M(nodetrust.harbor.ca_fingerprint),
        M(nodetrust.harbor.registry_trust), or of whichever task failed, or the outcome that the role
        P(nodetrust.harbor.harbor_ca#role) keeps in C(harbor_ca_result); null if there is none. C(unreachable) and
        C(failed) are booleans.
      - C(action) is V(audit) if nothing was to be changed, also by a module in check mode.
      - C(cluster), C(groups) and C(labels) are optional.
      - Either this, O(hosts) or O(documents).
    type: raw
  hosts:
    description:
      - The hosts of the run, for playbooks of this collection. Their results are what the role has left in
        C(harbor_ca_result), and where nothing was done what M(nodetrust.harbor.node_audit) has found. Cluster and
        labels are those that P(nodetrust.harbor.cluster_nodes#inventory) knows, groups those of the inventory.
    type: list
    elements: str
  worked_on:
    description:
      - Those of O(hosts) that this very run has worked on. Of the others C(harbor_ca_result) is passed over, for it is
        what another playbook has left that was imported into the same run.
      - By default all.
    type: list
    elements: str
    version_added: 0.2.0
  documents:
    description:
      - Fleet documents that this module has written before, as paths on the controller. Several become one, such as
        the shards of a large fleet.
    type: list
    elements: path
  registries:
    description:
      - The registries as M(nodetrust.harbor.ca_bundle_info) returns them, with C(served) if it was asked for that.
      - Without it the fingerprints that nodes were asked for are not checked against anything, and no expiry is
        known.
    type: list
    elements: dict
    default: []
  playbook:
    description: The playbook of the run, such as V(audit). It is the label C(playbook) of all metrics.
    type: str
    default: ""
  run_id:
    description: Tells this run apart from others.
    type: str
    default: ""
  started:
    description:
      - When the run began, in UTC, such as V(2026-11-23T05:00:00Z). Without it now.
      - A node whose clock shows a time outside of the run is reported.
    type: str
    default: ""
  complete:
    description:
      - Whether the run has come to its end.
      - If not, and there are no results yet, the metrics of the run before stay, but for C(nodetrust_run_complete).
    type: bool
    default: true
  warning_days:
    description: So many days before its end a CA or a served certificate is a warning.
    type: int
    default: 30
  error_days:
    description: So many days before its end it is an error, and needs a person.
    type: int
    default: 7
  json_file:
    description: Where to write the fleet document, on the controller. C(docs/fleet.schema.json) describes it.
    type: path
  html_file:
    description: Where to write the page.
    type: path
  metrics_file:
    description:
      - Where to write the metrics. The name has to end in C(.prom) for the node exporter.
      - One file for each playbook.
    type: path
  fail_on:
    description:
      - Fail after the files are written if the status is V(needs_a_person), or if it is anything but clean
        (V(not_clean)).
    type: str
    choices: [never, needs_a_person, not_clean]
    default: never
seealso:
  - module: nodetrust.harbor.ca_bundle_info
  - module: nodetrust.harbor.ca_fingerprint
"""

EXAMPLES = r"""
- name: Report the audit
  nodetrust.harbor.fleet_report:
    results: "{{ fleet_results }}"
    registries: "{{ bundles.registries }}"
    playbook: audit
    started: "{{ fleet_started }}"
    json_file: fleet.json
    html_file: fleet.html
    metrics_file: /var/lib/prometheus/node-exporter/nodetrust_audit.prom
  run_once: true
  register: fleet

- name: Show it
  ansible.builtin.debug:
    var: fleet.summary

- name: Make one page of three shards
  nodetrust.harbor.fleet_report:
    documents: [shard-0.json, shard-1.json, shard-2.json]
    html_file: fleet.html
  run_once: true
"""

RETURN = r"""
status:
  description:
    - V(clean) if every node trusts exactly its pinned CAs, V(corrected) if that took a change.
    - V(needs_a_person) if a node drifted and stayed so, failed, could not be reached or answered nonsense, if the run
      was cut off or had no node, if a certificate ends within O(error_days), or if the pinned CAs do not verify what
      a registry serves.
  type: str
  returned: success
  sample: clean
exit_code:
  description: The exit status that a program around the run should end with, 0 for clean, 3 for corrected, 2 else.
  type: int
  returned: success
counts:
  description: The number of nodes in each state.
  type: dict
  returned: success
  sample: {"ok": 3, "corrected": 1, "drifted": 0, "unknown": 0, "unreachable": 1, "failed": 0}
expiry:
  description: V(ok), V(warning), V(error) or V(expired), whichever is the worst.
  type: str
  returned: success
summary:
  description: The run in lines for a terminal.
  type: list
  elements: str
  returned: success
files:
  description: The files that were written.
  type: list
  elements: str
  returned: success
reason:
  description: Stable name of the failure, such as V(report_version), V(report_unfit), V(shards_apart) or
    V(report_not_written).
  type: str
  returned: failure
path:
  description: The file that the failure is about, or null.
  type: str
  returned: failure
found:
  description: What was found, or null.
  type: raw
  returned: failure
expected:
  description: What was expected, or null.
  type: raw
  returned: failure
next_step:
  description: What to do now.
  type: str
  returned: failure
"""

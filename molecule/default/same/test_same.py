# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Again: one module call for a node, no restart, no file touched."""

from __future__ import annotations

import re

from testinfra.host import Host

from tests.lab.verify import nodes

testinfra_hosts = ["ansible://nodes"]


def test_a_run_that_changes_nothing_makes_one_call_and_touches_nothing(host: Host) -> None:
    node = host.backend.get_hostname()
    before = nodes.snapshot(host)
    variables = nodes.request(nodes.REGISTRY, f"{nodes.REGISTRY}:8443")
    run = nodes.playbook("onboard_node", variables, "-vvv", "--limit", node)
    assert run.returncode == 0, run.stdout
    assert nodes.snapshot(host) == before
    assert re.search(rf"{node} +: ok=\d+ +changed=0 +unreachable=0 +failed=0", run.stdout)
    modules = re.findall(r"Using module file .*/(\w+)\.py", run.stdout)
    assert modules == ["registry_trust"]

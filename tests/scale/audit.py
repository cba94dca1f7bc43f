# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an audit of a large fleet costs beside what cannot be done for less. Fails if it is too much. As root.

    python tests/scale/audit.py [--hosts 200] [--rounds 5] [--long-rounds 5]

In each round these run one after the other, so that their ratio holds on a busy machine too; the median of the
rounds counts. All with 20 forks and pipelining, on simulated nodes (tests/scale/nodes.py) with two registries:

    ping     ansible all -m ansible.builtin.ping
    audit    ansible-playbook nodetrust.harbor.audit; nothing has drifted
    builtin  the same job as a good role does it with modules of ansible.builtin (tests/scale/builtin.yml)
    faults   as audit, but one node in 20 refuses SSH, has a full disk, or has a runtime that is down
    many     as audit, with five times the nodes

builtin and many take minutes each; with fewer long rounds than rounds they run in the first ones only.

Controller and nodes are one machine here, so wall time and CPU time are those of both together. Memory is that of
the largest process, which is ansible-playbook itself: its workers share almost all of theirs with it.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import sys
import tempfile
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from typing import Any

from ansible.plugins.loader import init_plugin_loader
from ansible.utils.collection_loader import AnsibleCollectionConfig

init_plugin_loader()

from ansible_collections.nodetrust.harbor.tests.lab import pki
from ansible_collections.nodetrust.harbor.tests.scale.measured import Cost, run
from ansible_collections.nodetrust.harbor.tests.scale.nodes import CERTS_DIR, FULL, STOPPED, simulated

HERE = Path(__file__).resolve().parent
REGISTRIES = ("harbor.example.com", "mirror.example.com:8443")
FORKS, MANY, ONE_IN, ENOUGH = 20, 5, 20, 200
LONG = ("builtin", "many")
PING_LIMIT, GROWTH_LIMIT, FAULTS_LIMIT = 1.3, 1.25 * MANY, 1.15
ENVIRONMENT = {
    "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(AnsibleCollectionConfig.collection_paths),
    "ANSIBLE_CONNECTION_PLUGINS": str(HERE / "connection"),
    "ANSIBLE_FORKS": str(FORKS),
    "ANSIBLE_PIPELINING": "true",
    "ANSIBLE_NOCOLOR": "true",
}

Costs = dict[str, list[Cost]]


class Fleet:
    """The nodes of all inventories, and the commands for them."""

    def __init__(self, directory: Path, registries: list[dict[str, Any]], nodes: dict[str, Any]) -> None:
        self.directory = directory
        self.registries = registries
        self.nodes = nodes

    def inventory(self, name: str, hosts: dict[str, Any]) -> str:
        path = self.directory / f"{name}.json"
        variables = {"harbor_ca_registries": self.registries, "harbor_ca_check_served": False}
        path.write_text(json.dumps({"all": {"hosts": hosts, "vars": variables}}))
        return str(path)

    def audit(self, name: str, hosts: dict[str, Any], fail_on: str = "not_clean") -> list[str]:
        report = {"harbor_ca_report_file": str(self.report(name)), "harbor_ca_fail_on": fail_on}
        return [
            *_program("ansible-playbook", self.inventory(name, hosts)),
            *("nodetrust.harbor.audit", "-e", json.dumps(report)),
        ]

    def builtin(self, name: str, hosts: dict[str, Any]) -> list[str]:
        return [*_program("ansible-playbook", self.inventory(name, hosts)), str(HERE / "builtin.yml")]

    def report(self, name: str) -> Path:
        return self.directory / f"{name}.report.json"

    def states(self, name: str) -> dict[str, str]:
        found = json.loads(self.report(name).read_text())["nodes"]
        return {node["node"]: node["state"] for node in found}

    def run(self, command: list[str]) -> Cost:
        return run(command, self.directory / "output", self.directory)


def _program(name: str, inventory: str) -> list[str]:
    return [str(Path(sys.executable).parent / name), "-i", inventory]


def faulty(hosts: dict[str, Any], nodes: dict[str, Any]) -> dict[str, Any]:
    """The same hosts, but one in 20 is another machine now."""
    refuses = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": _closed_port()}
    kinds = cycle([refuses, nodes[FULL], nodes[STOPPED]])
    return {
        name: next(kinds) if number % ONE_IN == 0 else variables
        for number, (name, variables) in enumerate(hosts.items())
    }


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def check_that_both_find_drift(fleet: Fleet, name: str) -> None:
    """What finds nothing is done in no time."""
    hosts = {name: fleet.nodes[name]}
    commands = [fleet.audit("drift", hosts), fleet.builtin("drift", hosts)]
    ca = Path(f"{fleet.directory / name}{CERTS_DIR}") / fleet.registries[0]["host"] / "ca.crt"
    right = ca.read_text()
    for text, expected in ((right, True), (pki.make_ca("another").pem, False)):
        ca.write_text(text)
        for command in commands:
            try:
                fleet.run(command)
                passed = True
            except SystemExit as e:
                print(e)
                passed = False
            if passed != expected:
                raise SystemExit(
                    f"scale: {' '.join(command)} takes a node for {'right' if passed else 'wrong'}"
                )
    ca.write_text(right)


def measure(fleet: Fleet, hosts: int, rounds: int, long_rounds: int) -> Costs:
    all_hosts = {name: fleet.nodes[name] for name in fleet.nodes if name not in (FULL, STOPPED)}
    some = dict(list(all_hosts.items())[:hosts])
    commands = {
        "ping": [*_program("ansible", fleet.inventory("ping", some)), "all", "-m", "ansible.builtin.ping"],
        "audit": fleet.audit("audit", some),
        "builtin": fleet.builtin("builtin", some),
        "faults": fleet.audit("faults", faulty(some, fleet.nodes), "never"),
        "many": fleet.audit("many", all_hosts),
    }
    costs: Costs = {name: [] for name in commands}
    for number in range(rounds):
        for name, command in commands.items():
            if name in LONG and number >= long_rounds:
                continue
            cost = fleet.run(command)
            costs[name].append(cost)
            print(f"  {name:7} {cost.wall:7.1f} s {cost.cpu:7.1f} CPU s {cost.peak_mb:5.0f} MB", flush=True)
    return costs


def ratio(costs: Costs, one: str, other: str, field: str = "wall") -> float:
    return statistics.median(
        getattr(mine, field) / getattr(theirs, field)
        for mine, theirs in zip(costs[one], costs[other], strict=False)
    )


def table(costs: Costs, hosts: int) -> None:
    print(f"  {'medians':7} {'nodes':>6} {'wall':>9} {'CPU':>9} {'memory':>8} {'to ping':>8} {'to audit':>9}")
    for name, of in costs.items():
        middle = [
            statistics.median(getattr(cost, field) for cost in of) for field in ("wall", "cpu", "peak_mb")
        ]
        nodes = hosts * (MANY if name == "many" else 1)
        print(
            f"  {name:7} {nodes:6} {middle[0]:7.1f} s {middle[1]:7.1f} s {middle[2]:5.0f} MB "
            f"{ratio(costs, name, 'ping'):7.2f}x {ratio(costs, name, 'audit'):8.2f}x"
        )


def judge(costs: Costs, fleet: Fleet) -> bool:
    whole, broken = fleet.states("audit"), fleet.states("faults")
    hit = [name for number, name in enumerate(whole) if number % ONE_IN == 0]
    same = all(broken[name] == state for name, state in whole.items() if name not in hit)
    told = all(broken[name] in ("failed", "unreachable") for name in hit)
    wall, memory = ratio(costs, "many", "audit"), ratio(costs, "many", "audit", "peak_mb")
    checks = {
        f"audit / ping: {ratio(costs, 'audit', 'ping'):.2f} of at most {PING_LIMIT}": ratio(
            costs, "audit", "ping"
        )
        <= PING_LIMIT,
        f"{MANY} times the nodes: {wall:.2f} times the time and {memory:.2f} times the memory, of at most "
        f"{GROWTH_LIMIT:g}": max(wall, memory) <= GROWTH_LIMIT,
        f"faults on {len(hit)} of {len(whole)} nodes: {ratio(costs, 'faults', 'audit'):.2f} times the time of at most "
        f"{FAULTS_LIMIT}": ratio(costs, "faults", "audit") <= FAULTS_LIMIT,
        "each fault is told, and the other nodes are judged as without them": same and told,
    }
    for words, good in checks.items():
        print(f"{words}: {'yes' if good else 'NO'}")
    return all(checks.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hosts", type=int, default=ENOUGH)
    parser.add_argument("--rounds", "--repeat", type=int, default=5)
    parser.add_argument("--long-rounds", type=int, default=5)
    options = parser.parse_args()
    os.environ.update(ENVIRONMENT)
    names = [f"node-{number:04}" for number in range(options.hosts * MANY)]
    ca = pki.make_ca("Harbor CA")
    with ExitStack() as held:
        directory = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="scale-")))
        os.environ["ANSIBLE_HOME"] = str(directory / "ansible")
        (directory / "ca.crt").write_text(ca.pem)
        registries = [
            {"host": host, "ca_file": str(directory / "ca.crt"), "fingerprints": [ca.fingerprint]}
            for host in REGISTRIES
        ]
        kinds = {**dict.fromkeys(names, ""), FULL: FULL, STOPPED: STOPPED}
        nodes = held.enter_context(simulated(directory, kinds, dict.fromkeys(REGISTRIES, ca.pem)))
        fleet = Fleet(directory, registries, nodes)
        check_that_both_find_drift(fleet, names[0])
        print(f"{options.hosts} nodes, {len(registries)} registries, {FORKS} forks, {options.rounds} rounds")
        costs = measure(fleet, options.hosts, options.rounds, options.long_rounds)
        table(costs, options.hosts)
        good = judge(costs, fleet)
    if options.hosts < ENOUGH:
        print(f"scale: what every run costs once weighs too much with less than {ENOUGH} nodes to judge by")
        return 0
    print("scale: " + ("reached" if good else "NOT reached"))
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the cluster side costs for a large fleet, beside what cannot be done for less. Fails if it is too much.

    python tests/scale/inventory.py [--nodes 5000] [--rounds 5]

In each round these run one after the other, each as a process of its own, so that their ratio holds on
a busy machine too; the median of the rounds counts:

    plugin   ansible-inventory --list with cluster_nodes
    fetch    the same client gets the same pages as bytes, reads them with json, keeps the needed fields
    static   ansible-inventory --list of a JSON file with the same hosts, variables and groups
    warm     as plugin, with the cache filled

The API server runs in this process, and its CPU time is not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from ansible.plugins.loader import init_plugin_loader

init_plugin_loader()

from ansible_collections.nodetrust.harbor.plugins.plugin_utils._certification import (
    Report,
    certify,
)
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._certify import Marks, Wish
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kube import connect
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kubeconfig import Access
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._standing import parse_time
from ansible_collections.nodetrust.harbor.tests.lab.kube import KubeApi, make_node

PAGE = 250
CPU_LIMIT = 1.5
MEMORY_LIMIT_MB = 200
PIN = "SHA256:" + ":".join(["AB"] * 32)
TAINT = {"key": "nodetrust.harbor/unproven", "effect": "NoSchedule"}

FETCH = """
import json, sys
from kubernetes import client, config
api = client.CoreV1Api(config.new_client_from_config(sys.argv[1]))
kept, token = [], None
while True:
    more = {"_continue": token} if token else {}
    page = json.loads(api.list_node(limit=int(sys.argv[2]), _preload_content=False, **more).data)
    for node in page["items"]:
        meta, status = node["metadata"], node["status"]
        kept.append((
            meta["name"], meta["uid"], meta["creationTimestamp"], meta["labels"],
            meta["annotations"].get("nodetrust.harbor/proof"), node["spec"].get("providerID"),
            node["spec"].get("taints"), node["spec"].get("unschedulable"), status["addresses"],
            {item["type"]: item["status"] for item in status["conditions"]}, status["nodeInfo"],
        ))
    token = page["metadata"].get("continue")
    if not token:
        break
print(len(kept))
"""


class Cost(NamedTuple):
    cpu: float
    peak_mb: float


# A process of its own: what is started from a large one inherits its peak (Linux keeps it over exec).
MEASURE = """
import json, resource, subprocess, sys
code = subprocess.call(sys.argv[2:], stdout=open(sys.argv[1], "wb"))
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([code, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""


def run(command: list[str], output: Path) -> Cost:
    """CPU time and peak memory of one process and its children."""
    measured = subprocess.run(
        [sys.executable, "-S", "-c", MEASURE, str(output), *command], stdout=subprocess.PIPE, check=True
    )
    code, cpu, peak = json.loads(measured.stdout)
    if code:
        raise SystemExit(f"scale: {' '.join(command)} failed with {code}")
    return Cost(cpu, peak)


def static_from(listed: dict[str, Any]) -> dict[str, Any]:
    """A static inventory with the hosts, variables and groups that --list printed."""
    children: dict[str, Any] = {
        name: {"hosts": {host: {} for host in group["hosts"]}}
        for name, group in listed.items()
        if name not in ("_meta", "all") and group.get("hosts")
    }
    return {"all": {"hosts": listed["_meta"]["hostvars"], "children": children}}


def measure(directory: Path, api: KubeApi, rounds: int) -> bool:
    kubeconfig = str(api.write_kubeconfig(directory / "kubeconfig"))
    plugin, warm, static = directory / "plugin.yml", directory / "warm.yml", directory / "static.json"
    text = f"plugin: nodetrust.harbor.cluster_nodes\nkubeconfig: {kubeconfig}\npage_size: {PAGE}\n"
    plugin.write_text(text)
    cache = f"cache: true\ncache_plugin: ansible.builtin.jsonfile\ncache_connection: {directory}/cache\n"
    warm.write_text(text + cache)
    program = str(Path(sys.executable).parent / "ansible-inventory")
    output = directory / "out"
    commands = {
        "plugin": [program, "-i", str(plugin), "--list"],
        "fetch": [sys.executable, "-c", FETCH, kubeconfig, str(PAGE)],
        "static": [program, "-i", str(static), "--list"],
        "warm": [program, "-i", str(warm), "--list"],
    }
    run(commands["plugin"], output)
    listed = json.loads(output.read_bytes())
    static.write_text(json.dumps(static_from(listed)))
    run(commands["static"], output)
    again = json.loads(output.read_bytes())
    if again["_meta"] != listed["_meta"] or set(again) != set(listed):
        raise SystemExit("scale: the static inventory is not the same inventory")
    run(commands["warm"], output)
    api.requests.clear()
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for _round in range(rounds):
        for name, command in commands.items():
            before = len(api.requests)
            costs[name].append(run(command, output))
            asked = len(api.requests) - before
            print(
                f"  {name:7} {costs[name][-1].cpu:7.2f} CPU s {costs[name][-1].peak_mb:7.0f} MB {asked:4} requests"
            )
            if name == "warm" and asked:
                raise SystemExit("scale: a warm cache asked the API")
    return judge(costs)


def judge(costs: dict[str, list[Cost]]) -> bool:
    cpu = {name: statistics.median(cost.cpu for cost in of) for name, of in costs.items()}
    peak = {name: statistics.median(cost.peak_mb for cost in of) for name, of in costs.items()}
    ratios = [
        (ours.cpu - static.cpu) / fetch.cpu
        for ours, fetch, static in zip(costs["plugin"], costs["fetch"], costs["static"], strict=True)
    ]
    whole = [
        ours.cpu / (fetch.cpu + static.cpu)
        for ours, fetch, static in zip(costs["plugin"], costs["fetch"], costs["static"], strict=True)
    ]
    ratio, more = statistics.median(ratios), peak["plugin"] - peak["static"]
    print("medians: " + ", ".join(f"{name} {cpu[name]:.2f} s {peak[name]:.0f} MB" for name in cpu))
    print(
        f"(plugin - static) / fetch: {ratio:.2f} of at most {CPU_LIMIT}   plugin / (fetch + static): "
        f"{statistics.median(whole):.2f}"
    )
    print(f"memory over static: {more:.0f} MB of at most {MEMORY_LIMIT_MB}")
    return ratio <= CPU_LIMIT and more <= MEMORY_LIMIT_MB


def certification(directory: Path, api: KubeApi, names: list[str], changed: int) -> bool:
    """One paged list and a patch for each node that differs, and no more."""
    kubeconfig = str(api.write_kubeconfig(directory / "kubeconfig"))
    now = parse_time("2026-11-23T05:00:00Z")
    wishes = [Wish(name, "certified", registries={"harbor.example.com": [PIN]}, time=now) for name in names]

    def go() -> Report:
        report = Report()
        with connect(Access(kubeconfig)) as cluster:
            certify(cluster, wishes, Marks(), report, now=lambda: now, check_mode=False)
        return report

    go()
    for name in names[:changed]:
        api.store.edit("nodes", name, lambda node: node["spec"].update(taints=[TAINT]))
    api.requests.clear()
    report = go()
    lists, patches = api.count("GET", "/api/v1/nodes"), api.count("PATCH", "/api/v1/nodes/.*")
    pages = -(-len(names) // PAGE)
    print(
        f"certification: {len(report.changes)} changed, {report.unchanged} unchanged: "
        f"one list in {lists} pages, {patches} patches, {len(api.requests)} requests"
    )
    return (lists, patches, len(api.requests)) == (pages, changed, pages + changed)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    names = [f"node-{number:05}" for number in range(options.nodes)]
    with tempfile.TemporaryDirectory(prefix="scale-") as temporary, KubeApi() as api:
        for number, name in enumerate(names):
            address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
            api.store.add(make_node(name, address=address, control_plane=number < 3))
        size = len(api.store.page("nodes", None, 1, "").texts[0])
        print(f"{options.nodes} nodes of {size} bytes, pages of {PAGE}, {options.rounds} rounds")
        ok = measure(Path(temporary), api, options.rounds)
        ok = certification(Path(temporary), api, names, min(50, options.nodes)) and ok
    print("scale: " + ("reached" if ok else "NOT reached"))
    return 0 if ok else 1


if __name__ == "__main__":
    raise SystemExit(main())

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the report of a large fleet costs: to make it, and to read it in a browser. Fails if it is too much.

    python tests/scale/report.py [--nodes 5000] [--rounds 5]

Three fleets with two registries: every node fine; every third in trouble; every node failed with a text of its own.
Each is made at a fifth of the size too, so that growth can be seen. For each round, in processes of their own:

    answers  only the answers of the nodes, which is what there is before the report
    report   the same, then document, JSON, page and metrics; CPU time and memory are given over `answers`
    usable   from the start of the navigation to the second frame that is painted after the table stands, in chromium,
             beside the same page of a fleet without nodes
    filter   from a key in the search field to the new table, laid out
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ansible.plugins.loader import init_plugin_loader

init_plugin_loader()

from ansible_collections.nodetrust.harbor.tests.report.browser import Browser, browser

PAGE_LIMIT = 3_000_000
USABLE_LIMIT_MS = 2000.0
FLEETS = ("fine", "trouble", "flames")

MAKE = """
import json, resource, sys
from pathlib import Path
from ansible.plugins.loader import init_plugin_loader
init_plugin_loader()
from ansible_collections.nodetrust.harbor.plugins.plugin_utils import _fleet_metrics, _fleet_page, _fleet_store
from ansible_collections.nodetrust.harbor.tests.report.fleet import (
    HARBOR, MIRROR, answer, bundle, document, entry, registry, sample_entries,
)

fleet, size, report, directory = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "report", Path(sys.argv[4])
name = "worker-{:04d}.north.example.com".format
entries = {
    "fine": lambda: [entry(name(n), answer(registry(), registry(MIRROR, 2))) for n in range(size)],
    "trouble": lambda: sample_entries(size),
    "flames": lambda: [
        entry(name(n), {"failed": True, "reason": "no_space", "msg": f"{name(n)}: " + f"disk {n} is full. " * 20})
        for n in range(size)
    ],
}[fleet]()
sizes = {}
if report:
    found = document(entries, [bundle(trusted=True), bundle(MIRROR, 2, days=23, trusted=True)])
    renderers = {"json": _fleet_store.to_json, "html": _fleet_page.render, "prom": _fleet_metrics.render}
    for ending, render in renderers.items():
        path = directory / f"{fleet}.{ending}"
        _fleet_store.write(str(path), render(found))
        sizes[ending] = path.stat().st_size
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"cpu": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024, **sizes}))
"""
# Asked after the load event, so what the question itself takes is counted too.
PAINTED = (
    "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"
)
FILTER = """
(() => {
  const field = document.getElementById("search");
  const start = performance.now();
  field.value = "worker-1";
  field.dispatchEvent(new Event("input"));
  document.body.getBoundingClientRect();
  return performance.now() - start;
})()"""


def make(fleet: str, size: int, what: str, directory: Path) -> dict[str, float]:
    """One process that makes the answers, or the answers and the report."""
    done = subprocess.run(
        [sys.executable, "-c", MAKE, fleet, str(size), what, str(directory)],
        stdout=subprocess.PIPE,
        check=True,
    )
    cost: dict[str, float] = json.loads(done.stdout)
    return cost


def over(fleet: str, size: int, directory: Path, rounds: int) -> dict[str, float]:
    """What the report costs over the answers, as the median of the rounds."""
    pairs = [
        [make(fleet, size, what, directory) for what in ("answers", "report")] for _round in range(rounds)
    ]
    cost = {
        key: statistics.median(report[key] - answers[key] for answers, report in pairs)
        for key in ("cpu", "peak_mb")
    }
    return {**pairs[-1][1], **cost}


def read(program: Browser, page: Path) -> tuple[float, float, float]:
    """Milliseconds until usable and for a filter, and MB of the script's memory."""
    program.open(page)
    usable: float = program.js(PAINTED)
    # The first key makes the texts to search in; the slowest one is what counts.
    filtered: float = program.js(FILTER)
    return usable, filtered, program.call("Runtime.getHeapUsage")["usedSize"] / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    ok = True
    print(f"{options.nodes} nodes, 2 registries, medians of {options.rounds}")
    with tempfile.TemporaryDirectory(prefix="scale-") as temporary, browser() as program:
        directory = Path(temporary)
        small = over("fine", 0, directory, 1)
        (directory / "fine.html").rename(directory / "empty.html")
        print(f"  {'fleet':8} {'nodes':>6} {'CPU s':>6} {'memory':>8} {'JSON':>9} {'page':>9} {'metrics':>8}")
        print(
            f"  {'none':8} {0:6} {small['cpu']:6.2f} {small['peak_mb']:5.0f} MB {'':9} {small['html'] / 1e6:6.2f} MB"
        )
        for fleet in FLEETS:
            for size in (options.nodes // 5, options.nodes):
                cost = over(fleet, size, directory, options.rounds)
                print(
                    f"  {fleet:8} {size:6} {cost['cpu']:6.2f} {cost['peak_mb']:5.0f} MB {cost['json'] / 1e6:6.2f} MB "
                    f"{cost['html'] / 1e6:6.2f} MB {cost['prom'] / 1e3:5.0f} kB"
                )
                ok = ok and cost["html"] < PAGE_LIMIT
        program.look()
        times: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ("empty", *FLEETS)}
        for _round in range(options.rounds):
            for name, of in times.items():
                of.append(read(program, directory / f"{name}.html"))
        print(f"  {'page':8} {'usable ms':>10} {'over none':>10} {'filter ms':>10} {'script MB':>10}")
        median: dict[str, Any] = {
            name: [statistics.median(row) for row in zip(*of)] for name, of in times.items()
        }
        for name, (usable, filtered, heap) in median.items():
            more = statistics.median(mine[0] / none[0] for mine, none in zip(times[name], times["empty"]))
            print(f"  {name:8} {usable:10.0f} {more:9.2f}x {filtered:10.0f} {heap:10.1f}")
            ok = ok and usable < USABLE_LIMIT_MS
    print(
        f"page under {PAGE_LIMIT / 1e6:g} MB and usable within {USABLE_LIMIT_MS:g} ms: "
        + ("yes" if ok else "NO")
    )
    return 0 if ok else 1


if __name__ == "__main__":
    raise SystemExit(main())

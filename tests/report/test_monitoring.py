# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics, alert rules and dashboard, judged by promtool, and held together by the names that they share."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_metrics import HELP, NAMED, render
from ansible_collections.nodetrust.harbor.tests.report.fleet import (
    HARBOR,
    MIRROR,
    answer,
    bundle,
    document,
    entry,
    sample,
)

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "nodetrust.yml"
TESTS = ROOT / "tests" / "report" / "alerts.yml"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "nodetrust.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
# Of kubelet, in pkg/kubelet/metrics: the names since Kubernetes 1.14, with the label operation_type.
KUBELET = {
    "kubelet_runtime_operations_total",
    "kubelet_runtime_operations_errors_total",
    "kubelet_runtime_operations_duration_seconds_bucket",
}
GROUPS = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
RULE_LIST = [rule for group in GROUPS for rule in group["rules"]]
NAME = re.compile(r"(?<![\w:])(?:nodetrust[_:]|kubelet_)[\w:]+")


def promtool(*arguments: str, given: str | None = None) -> str:
    done = subprocess.run(["promtool", *arguments], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def names(expression: str) -> set[str]:
    return set(NAME.findall(re.sub(r'"[^"]*"', "", expression)))


@pytest.mark.parametrize(
    "found",
    [
        sample(48),
        document([]),
        document([entry("a")], complete=False),
        document(
            [entry('a"b\\c', answer(), cluster="x\ny")], [bundle(trusted=False, days=-3)], playbook='p"\\'
        ),
    ],
)
def test_promtool_finds_nothing_to_say_of_the_metrics(found: dict[str, Any]) -> None:
    assert promtool("check", "metrics", given=render(found)) == ""


def test_every_metric_that_is_documented_is_written() -> None:
    written = set(re.findall(r"^# TYPE (\w+) gauge$", render(sample(48)), re.MULTILINE))
    assert written == set(HELP)


def values(text: str) -> dict[str, float]:
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line[0] != "#"
    }


def test_the_numbers_are_those_of_the_document() -> None:
    found = sample(48)
    told = values(render(found))
    for state, count in found["counts"].items():
        sums = [
            value
            for key, value in told.items()
            if key.startswith("nodetrust_nodes{") and f'state="{state}"' in key
        ]
        assert (len(sums), sum(sums)) == (2, count)
    assert told['nodetrust_run_status{playbook="correct_drift",status="needs_a_person"}'] == 1
    assert told['nodetrust_expiry_threshold_seconds{playbook="correct_drift",level="error"}'] == 7 * 86400
    ends = [value for key, value in told.items() if key.startswith("nodetrust_certificate_expiry")]
    assert len(ends) == len(found["expiry"])
    assert min(ends) == 1797408000


def test_a_ca_that_is_being_replaced_has_a_kind_of_its_own() -> None:
    given = {**bundle(days=3), "ending_fingerprints": bundle()["fingerprints"]}
    told = render(document([entry("a", answer())], [given, bundle(MIRROR, 2)]))
    kinds = re.findall(r'nodetrust_certificate_expiry\w+{.*registry="([^"]+)",kind="(\w+)"', told)
    assert kinds == [(HARBOR, "ca_ending"), (MIRROR, "ca")]


def test_a_large_fleet_in_flames_has_a_bounded_number_of_series() -> None:
    told = render(document([entry(f"n{number}", unreachable=True) for number in range(5000)]))
    assert told.count("\nnodetrust_node_unhealthy_info{") == NAMED
    assert values(told)['nodetrust_node_unhealthy_omitted{playbook="audit"}'] == 5000 - NAMED
    assert len(told.splitlines()) < 250


def test_a_run_that_begins_leaves_the_numbers_of_the_one_before() -> None:
    before = render(sample(48))
    begun = render(document([], complete=False), before)
    changed = [
        pair for pair in zip(before.splitlines(), begun.splitlines(), strict=True) if pair[0] != pair[1]
    ]
    line = 'nodetrust_run_complete{playbook="correct_drift"}'
    assert changed == [(f"{line} 1", f"{line} 0")]
    assert "nodetrust_run_complete" in render(document([], complete=False), "")


def test_the_rules_hold_in_time() -> None:
    promtool("check", "rules", str(RULES))
    promtool("test", "rules", str(TESTS))


def test_every_alert_is_seen_firing() -> None:
    cases = [
        case
        for test in yaml.safe_load(TESTS.read_text(encoding="utf-8"))["tests"]
        for case in test.get("alert_rule_test", [])
    ]
    for rule in RULE_LIST:
        if "alert" in rule:
            mine = [bool(case["exp_alerts"]) for case in cases if case["alertname"] == rule["alert"]]
            assert True in mine, f"{rule['alert']} is never seen firing"
            assert {"summary", "description"} <= rule["annotations"].keys()
            assert rule["labels"]["severity"] in ("warning", "critical")


def test_rules_and_dashboard_use_metrics_that_exist() -> None:
    recorded = {rule["record"] for rule in RULE_LIST if "record" in rule}
    expressions = [rule["expr"] for rule in RULE_LIST]
    expressions += [target["expr"] for panel in PANELS for target in panel["targets"]]
    expressions += [item["definition"] for item in DASHBOARD["templating"]["list"] if item["type"] == "query"]
    used = set().union(*map(names, expressions))
    assert used <= set(HELP) | KUBELET | recorded
    assert all(names(expression) for expression in expressions)


def test_prometheus_can_read_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = []
    for panel in PANELS:
        for target in panel["targets"]:
            expression = target["expr"].replace("$__rate_interval", "5m")
            assert "$" not in expression.replace("$playbook", "").replace("$cluster", "")
            rules.append({"record": f"dashboard:{panel['id']}:{target['refId']}", "expr": expression})
    path = tmp_path / "dashboard.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", str(path))


def test_the_dashboard_has_the_form_that_grafana_loads() -> None:
    assert {"uid", "title", "schemaVersion", "panels", "templating", "time"} <= DASHBOARD.keys()
    assert "id" not in DASHBOARD  # Grafana gives one; a foreign one would replace another dashboard
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    variables = {item["name"] for item in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD))) - {"__rate_interval", "__all"}
    assert used == variables
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    for panel in PANELS:
        assert panel["type"] in {"stat", "table", "timeseries", "bargauge"}
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0

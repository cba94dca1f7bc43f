# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guides repeat of the code is the code's own words."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from ansible_collections.nodetrust.harbor.plugins.module_utils._pull_failures import _TABLE
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_metrics import HELP

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TROUBLESHOOTING = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")


def test_every_pull_failure_stands_in_the_guide_with_its_remedy() -> None:
    section = TROUBLESHOOTING.partition("## The node says no")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE))
    assert rows == {row.name: row.remedy for row in _TABLE}


def test_the_guide_names_every_reason_that_a_node_may_give() -> None:
    # What was handed over is refused on the controller, in words that need no guide; what a pull says has its table.
    elsewhere = {
        "_module",
        "_pem",
        "_pem_faults",
        "_toml_model",
        "_cri_errors",
        "_docker_engine",
        "_podman_client",
    }
    files = [path for path in (ROOT / "plugins" / "module_utils").glob("*.py") if path.stem not in elsewhere]
    assert len(files) > 50
    code = "".join(path.read_text(encoding="utf-8") for path in files)
    reasons = set(re.findall(r'reason="(\w+)"', code)) | set(re.findall(r'Problem\(\s*"(\w+)"', code))
    missing = {reason for reason in reasons if f"`{reason}`" not in TROUBLESHOOTING}
    assert not missing


def test_the_readme_names_the_packages_that_the_lab_installs() -> None:
    packages = [
        line
        for line in (ROOT / "tests" / "lab" / "packages.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    assert f"`{' '.join(packages)}`" in README


def test_the_inventory_of_the_readme_is_one() -> None:
    (text,) = re.findall(r"```yaml\n(all:\n.*?)```", README, re.DOTALL)
    entry = yaml.safe_load(text)["all"]["vars"]["harbor_ca_registries"][0]
    assert set(entry) == {"host", "ca_file", "fingerprints", "proof_image"}
    assert len(text.splitlines()) <= 12


FLEET = (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8")


def test_the_guide_of_the_fleet_has_every_metric_in_its_own_words() -> None:
    rows = dict(re.findall(r"^\| `(nodetrust_\w+)` \|.*\| (.+) \|$", FLEET, re.MULTILINE))
    assert rows == HELP


def test_the_guide_of_the_fleet_has_every_alert_with_its_severity() -> None:
    groups = yaml.safe_load((ROOT / "deploy" / "prometheus" / "nodetrust.yml").read_text(encoding="utf-8"))[
        "groups"
    ]
    alerts = {
        rule["alert"]: rule["labels"]["severity"]
        for group in groups
        for rule in group["rules"]
        if "alert" in rule
    }
    rows = dict(re.findall(r"^\| `(Node\w+)` \| (\w+) \| .+ \|$", FLEET, re.MULTILINE))
    assert rows == alerts


def test_the_guide_of_the_fleet_names_every_field_of_the_document() -> None:
    schema = json.loads((ROOT / "docs" / "fleet.schema.json").read_text(encoding="utf-8"))
    section = FLEET.partition("## The document")[2].partition("## Metrics")[0]
    assert {name for name in schema["properties"] if f"`{name}`" not in section} == set()


def test_the_pictures_of_the_guides_are_there_and_small() -> None:
    for guide in (ROOT / "docs").glob("*.md"):
        for name in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", guide.read_text(encoding="utf-8")):
            assert 0 < (guide.parent / name).stat().st_size < 150_000, name

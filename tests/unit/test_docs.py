# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guides repeat of the code is the code's own words."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from ansible_collections.nodetrust.harbor.plugins.module_utils._pull_failures import _TABLE

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TROUBLESHOOTING = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")


def test_every_pull_failure_stands_in_the_guide_with_its_remedy() -> None:
    section = TROUBLESHOOTING.partition("## The node says no")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE))
    assert rows == {row.name: row.remedy for row in _TABLE}


def test_the_guide_names_every_reason_that_a_node_may_give() -> None:
    files = (
        "_plan",
        "_detect",
        "_containerd",
        "_containerd_legacy",
        "_apply",
        "_trust",
        "_desired",
        "_client_pair",
        "_client_steps",
        "_offline",
        "_system_store",
        "_runtime_system",
        "_host_dir",
        "_node",
        "_rancher",
        "_registries_yaml",
        "_runtime_k0s",
        "_runtime_microk8s",
        "_yaml_model",
    )
    code = "".join(
        (ROOT / "plugins" / "module_utils" / f"{name}.py").read_text(encoding="utf-8") for name in files
    )
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

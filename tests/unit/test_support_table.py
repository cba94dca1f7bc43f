# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The support table claims what the scenarios run, no more and no less."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.nodetrust.harbor.plugins.module_utils._runtimes import RUNTIMES

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "runtimes.md").read_text(encoding="utf-8")
ASPECTS = ["installed", "in effect", "restart", "proof", "absent"]
HEAD = f"| runtime | version | {' | '.join(ASPECTS)} |"
# A scenario without such a file covers nothing in the table.
COVERS = sorted(ROOT.glob("molecule/*/covers.yml"))


def table() -> dict[tuple[str, str], dict[str, str]]:
    rows = {}
    for line in GUIDE.partition(HEAD)[2].partition("\n\n")[0].splitlines()[2:]:
        runtime, version, *cells = [cell.strip() for cell in line.strip("| ").split("|")]
        assert (runtime, version) not in rows, f"two rows for {runtime} {version}"
        rows[runtime, version] = dict(zip(ASPECTS, cells, strict=True))
    return rows


def entries() -> list[tuple[Path, dict[str, Any]]]:
    return [
        (path.parent, entry) for path in COVERS for entry in yaml.safe_load(path.read_text(encoding="utf-8"))
    ]


def function(scenario: Path, name: str) -> ast.FunctionDef:
    """The test of that name, in a step that the scenario really takes."""
    file, _colons, test = name.partition("::")
    sequence = yaml.safe_load((scenario / "molecule.yml").read_text(encoding="utf-8"))["scenario"][
        "test_sequence"
    ]
    step = file.partition("/")[0]
    assert ("verify" if step == "tests" else f"verify {step}") in sequence, (
        f"{scenario.name} never verifies {step}"
    )
    tree = ast.parse((scenario / file).read_text(encoding="utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == test]
    assert found, f"{scenario.name}/{file} has no {test}"
    return found[0]


def assigned(file: Path, name: str) -> Any:
    """What a file gives a name at its top level; None if it doesn't."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    return None


def versions_of(runtime: str) -> tuple[str, dict[str, str]]:
    """The table in which the lab's tests look up a node's version of this runtime, and that table."""
    kind = runtime.partition(",")[0]
    name = f"{kind.upper()}_VERSIONS"
    file = "nodes.py" if kind == "containerd" else "engines.py"
    return name, assigned(ROOT / "tests/lab/verify" / file, name)


def expanded(pattern: str) -> set[str]:
    """The hosts of the lab that a pattern like `registries:node4` means."""

    def below(group: dict[str, Any]) -> set[str]:
        children = (group.get("children") or {}).values()
        return {*(group.get("hosts") or {}), *(host for child in children for host in below(child))}

    def groups(tree: dict[str, Any]) -> dict[str, set[str]]:
        found = {name: below(group) for name, group in tree.items()}
        for group in tree.values():
            found |= groups(group.get("children") or {})
        return found

    known = groups(yaml.safe_load((ROOT / "tests/lab/inventory.yml.in").read_text(encoding="utf-8")))
    return {host for name in re.split("[:,]", pattern) for host in known.get(name, {name})}


def booted(scenario: Path) -> set[str]:
    """The hosts that a scenario starts."""
    said = yaml.safe_load((scenario / "molecule.yml").read_text(encoding="utf-8"))["ansible"]
    words = said.get("executor", {}).get("args", {}).get("ansible_playbook", [])
    options = dict(word.split("=", 1) for word in words)
    boots = options.get("--extra-vars", "").partition("lab_boots=")[2] or "registries:nodes"
    limit = options.get("--limit")
    return expanded(boots) & (expanded(limit) if limit else expanded("lab"))


def hosts_of(scenario: Path, file: str) -> set[str]:
    """The hosts on which a file's tests run: those that it names, or else all that the scenario starts."""
    patterns = [word.partition("://")[2] for word in assigned(scenario / file, "testinfra_hosts") or []]
    one = assigned(scenario / file, "NODE")
    named = patterns or assigned(scenario / file, "NODES") or ([one] if one else ["lab"])
    return expanded(":".join(named)) & booted(scenario)


def test_every_cell_says_run_exactly_where_a_scenario_covers_it() -> None:
    claimed = {
        (*row, aspect) for row, cells in table().items() for aspect, cell in cells.items() if cell == "run"
    }
    covered = {
        (entry["runtime"], version, aspect)
        for _scenario, entry in entries()
        for version in entry["versions"]
        for aspect in entry["aspects"]
    }
    assert claimed == covered


def test_every_other_cell_says_what_it_is() -> None:
    cells = {cell for row in table().values() for cell in row.values()}
    assert cells == {"run", "files only"}


@pytest.mark.parametrize(
    ("scenario", "entry"), entries(), ids=lambda value: value.name if isinstance(value, Path) else ""
)
def test_what_covers_a_cell_exists_and_can_fail(scenario: Path, entry: dict[str, Any]) -> None:
    assert set(entry["aspects"]) <= set(ASPECTS)
    for name in [entry["seen_in"], *entry["aspects"].values()]:
        body = ast.unparse(function(scenario, name))
        # Some say it all in a helper of their own file.
        helpers = set(re.findall(r"\b([a-z_]+)\(", body))
        source = (scenario / name.partition("::")[0]).read_text(encoding="utf-8")
        bodies = [
            ast.unparse(node)
            for node in ast.parse(source).body
            if isinstance(node, ast.FunctionDef) and node.name in helpers
        ]
        assert any("assert " in text for text in [body, *bodies]), f"{name} asserts nothing"


@pytest.mark.parametrize(
    ("scenario", "entry"), entries(), ids=lambda value: value.name if isinstance(value, Path) else ""
)
def test_every_version_is_seen_and_tested_on_a_node_that_has_it(
    scenario: Path, entry: dict[str, Any]
) -> None:
    table_name, version_of = versions_of(entry["runtime"])
    assert table_name in ast.unparse(function(scenario, entry["seen_in"])), (
        f"{entry['seen_in']} of {scenario.name} looks at no version"
    )
    for name in [entry["seen_in"], *entry["aspects"].values()]:
        there = {version_of.get(node, "").rstrip(".") for node in hosts_of(scenario, name.partition("::")[0])}
        assert set(entry["versions"]) <= there, f"{name} of {scenario.name} runs on {there} only"


def test_a_version_whose_node_a_scenario_leaves_out_is_found() -> None:
    _name, version_of = versions_of("containerd")
    node = next(node for node, version in version_of.items() if version == "1.7.")
    assert node in hosts_of(ROOT / "molecule/default", "gone/test_gone.py")
    assert node not in hosts_of(ROOT / "molecule/foreign", "tests/test_foreign.py")
    assert node not in booted(ROOT / "molecule/mtls_and_ports")


@pytest.mark.parametrize("name", RUNTIMES)
def test_every_runtime_has_a_row(name: str) -> None:
    named = {runtime.partition(",")[0].lower().replace("-", "") for runtime, _version in table()}
    assert name in named


def test_the_readme_leads_there() -> None:
    assert "docs/runtimes.md" in (ROOT / "README.md").read_text(encoding="utf-8")


def shown_diff() -> dict[str, list[tuple[str, list[str]]]]:
    """The diff of the smallest runtime in the guide: for each file its hunks, head and lines."""
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    files = re.split(
        r"^--- .*\n\+\+\+ b/", guide.partition("```diff\n")[2].partition("```\n")[0], flags=re.MULTILINE
    )
    return {
        path: [
            (head, lines.splitlines())
            for head, lines in re.findall(r"^(@@ .* @@)\n((?:[ +-].*\n|\+\n)+)", hunks, re.MULTILINE)
        ]
        for path, _newline, hunks in (file.partition("\n") for file in files[1:])
    }


def test_the_smallest_runtime_in_the_guide_is_the_one_in_the_code_and_can_be_applied() -> None:
    shown = shown_diff()
    assert {Path(path).name for path in shown} == {
        "_runtime_crio.py",
        "_runtimes.py",
        "registry_trust.py",
        "ca_fingerprint.py",
        "argument_specs.yml",
        "runtimes.md",
    }
    for path, hunks in shown.items():
        code = (ROOT / path).read_text(encoding="utf-8")
        for head, lines in hunks:
            old = [line[1:] for line in lines if line[0] in " -"]
            new = [line[1:] for line in lines if line[0] in " +"]
            counts = re.fullmatch(r"@@ -\d+,(\d+) \+\d+,(\d+) @@", head)
            assert counts and (int(counts[1]), int(counts[2])) == (len(old), len(new)), path
            assert "\n".join(["", *new, ""]) in f"\n{code}", f"{path} has other lines"
            assert old or code.splitlines() == new, f"{path} is not shown whole"

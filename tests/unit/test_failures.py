# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A failure is a small report: whoever raises one says what was found, what was expected, and what to do now."""

from __future__ import annotations

import ast
from pathlib import Path

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
FIELDS = {"found", "expected", "next_step"}
# These fill the fields themselves, from the failures or the pull that they tell of; a parser's say where and what.
COMPOSED = {"InvalidRegistries", "ProofFailed", "TomlError", "YamlError"}


def _names(nodes: list[ast.expr]) -> set[str]:
    return {node.id for node in nodes if isinstance(node, ast.Name)}


def test_every_failure_says_what_was_found_what_was_expected_and_what_to_do() -> None:
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in PLUGINS.rglob("*.py")}
    classes = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    family = {"TrustError"}
    for _generation in range(3):
        family |= {node.name for node in classes if _names(node.bases) & family}
    calls = [
        (path, node)
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _names([node.func]) & family - COMPOSED
    ]
    assert len(calls) > 150
    silent = {}
    for path, call in calls:
        given = {keyword.arg for keyword in call.keywords}
        # With two stars some come from elsewhere: those of a pull, or shared by the failures of one function.
        if None not in given and not given >= FIELDS:
            silent[f"{path.name}:{call.lineno}"] = sorted(FIELDS - {str(name) for name in given})
    assert silent == {}

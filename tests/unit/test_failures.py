# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A failure is a small report: whoever raises one says what was found, what was expected, and what to do now."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
FIELDS = {"found", "expected", "next_step"}
# These fill the fields themselves, from the failures or the pull that they tell of; a parser's say where and what.
COMPOSED = {"InvalidRegistries", "ProofFailed", "TomlError", "YamlError"}


def _names(nodes: Iterable[ast.AST]) -> set[str]:
    return {node.id for node in nodes if isinstance(node, ast.Name)}


def _keys_of_dictionaries(tree: ast.AST) -> dict[str, set[object]]:
    """What stands in the dictionaries that are written out in a file, by the name that they are given."""
    keys: dict[str, set[object]] = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.Dict):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for name in _names(targets):
                keys.setdefault(name, set()).update(
                    key.value for key in node.value.keys if isinstance(key, ast.Constant)
                )
    return keys


def test_every_failure_says_what_was_found_what_was_expected_and_what_to_do() -> None:
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in PLUGINS.rglob("*.py")}
    classes = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    family = {"TrustError"}
    for _generation in range(3):
        family |= {node.name for node in classes if _names(node.bases) & family}
    count, silent = 0, {}
    for path, tree in trees.items():
        shared = _keys_of_dictionaries(tree)
        for call in ast.walk(tree):
            if not (isinstance(call, ast.Call) and _names([call.func]) & family - COMPOSED):
                continue
            count += 1
            given: set[object] = {keyword.arg for keyword in call.keywords}
            starred = _names(keyword.value for keyword in call.keywords if keyword.arg is None)
            if None in given and not starred & set(shared):
                continue  # handed on from whoever calls
            given = given.union(*(shared[name] for name in starred))
            if not given >= FIELDS:
                silent[f"{path.name}:{call.lineno}"] = sorted(FIELDS - given)
    assert count > 150
    assert silent == {}

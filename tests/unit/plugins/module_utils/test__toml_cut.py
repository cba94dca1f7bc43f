# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables and keys taken out of a text: tomllib sees them gone, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from ansible_collections.nodetrust.harbor.plugins.module_utils._toml import TomlError, parse, remove
from tests.unit.plugins.module_utils.toml_texts import exact, paths, same_each_time, tomllib, valid_texts

REGISTRY = ("plugins", "io.containerd.grpc.v1.cri", "registry")
GRPC = 'plugins."io.containerd.grpc.v1.cri"'


@pytest.mark.parametrize(
    ("text", "gone", "result"),
    [
        (
            "[a]\n  # about it\n  [a.mirrors] # k\n    x = [\n 1 ]\n\n  [a.mirrors.y]\n[b]\n",
            "mirrors",
            "[a]\n  # about it\n\n[b]\n",
        ),
        ("[a]\r\nmirrors.x.y = 1\r\nk = 1\r\n", "mirrors", "[a]\r\nk = 1\r\n"),
        ("a = { k = 1, mirrors = { x = 1 }, l = 2 }\n", "mirrors", "a = { k = 1, l = 2 }\n"),
        ("a = { mirrors = 1, k = 2 }\n", "mirrors", "a = { k = 2 }\n"),
        ("a = {mirrors = 1}\n", "mirrors", "a = {}\n"),
        ("a = {mirrors.x = 1, k = 2, mirrors.y = {}}\n", "mirrors", "a = {k = 2}\n"),
        ('[a]\nk = """\n[a.mirrors]\n"""\n', "mirrors", '[a]\nk = """\n[a.mirrors]\n"""\n'),
        ("[a]\nk = 1\n[[a.mirrors]]\nx = 1\n[[a.mirrors]]\nx = 2", "mirrors", "[a]\nk = 1\n"),
    ],
)
def test_what_goes_and_what_stays(text: str, gone: str, result: str) -> None:
    assert remove(text, [("a", gone)]) == result
    assert remove(result, [("a", gone)]) == result


def without(data: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    if len(path) == 1:
        data.pop(path[0], None)
    elif isinstance(data.get(path[0]), dict):
        without(data[path[0]], path[1:])
    return data


def pruned(data: Any) -> Any:
    if not isinstance(data, dict):
        return data
    inner = {key: pruned(value) for key, value in data.items()}
    return {key: value for key, value in inner.items() if value != {}}


@settings(same_each_time, max_examples=300)
@given(valid_texts(), paths)
def test_takes_that_out_and_changes_nothing_else(text: str, path: tuple[str, ...]) -> None:
    expected = pruned(without(tomllib.loads(text), path))
    try:
        result = remove(text, [path])
    except TomlError as error:
        # Only where an array of tables hides what the path names.
        assert "without changing more" in error.message
        assert any(text.find(mark) >= 0 for mark in ("[[", "[{")), text
        return
    assert exact(pruned(tomllib.loads(result))) == exact(expected)
    assert remove(result, [path]) == result
    if parse(text).line(path) is None:
        assert result == text
    # What is left are lines of the text, in their order, or one of them shortened inside its braces.
    rest = iter(text.splitlines())
    for line in result.splitlines():
        assert any(line == other or "{" in other for other in rest), line

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our edits, judged by containerd's own parser: it sees our change and no other, in every form of a configuration."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils import _legacy
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml import (
    TomlError,
    parse,
    remove,
    set_string,
)
from tests.lab.verify.configs import GRPC, IMAGES, configurations
from tests.lab.verify.legacy import CERTS_DIR, CONFIG, trust
from tests.lab.verify.pipeline import shell

tomllib: Any = importlib.import_module("tomllib")

# Reads a list of texts, says for each what containerd makes of it.
DUMP = r"""
import json, subprocess, sys, tempfile
answers = []
for text in json.load(sys.stdin):
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(text.encode())
        file.flush()
        done = subprocess.run(["containerd", "--config", file.name, "config", "dump"], capture_output=True)
    answers.append(done.stdout.decode() if done.returncode == 0 else None)
print(json.dumps(answers))
"""


def dumps(node: str, texts: list[str]) -> list[dict[str, Any] | None]:
    said = shell([node], json.dumps(texts), f"python3 -c '{DUMP}'")[node]
    return [None if answer is None else tomllib.loads(answer) for answer in json.loads(said)]


def registry_of(dump: dict[str, Any], name: str) -> dict[str, Any]:
    """Take the registry table out of a dump, and what names the trial file."""
    dump.pop("imports", None)
    registry: dict[str, Any] = dump["plugins"][name].pop("registry")
    return registry


def edited(version: int, name: str, text: str) -> str:
    place = ("plugins", name, "registry")
    paths = _legacy.old_paths(place, parse(text).get(place) or {})
    return set_string(remove(text, paths), (*place, "config_path"), CERTS_DIR)


def test_containerd_sees_our_change_and_no_other() -> None:
    # containerd 2.x takes both versions and shows them under its own name.
    for node, plugin in {"node1": GRPC, "node3": IMAGES}.items():
        forms = [form for form in configurations() if node == "node3" or form[0] == 2]
        before = dumps(node, [text for _version, _name, text in forms])
        after = dumps(node, [edited(*form) for form in forms])
        for form, old, new in zip(forms, before, after):
            assert old is not None, f"{node} refuses the form itself: {form}"
            assert new is not None, form
            was, now = registry_of(old, plugin), registry_of(new, plugin)
            assert old == new, form
            assert now["config_path"] == CERTS_DIR, form
            assert not now.get("mirrors"), form
            logins = {
                host: entry["auth"] for host, entry in (was.get("configs") or {}).items() if entry.get("auth")
            }
            left = now.get("configs") or {}
            assert {host: entry["auth"] for host, entry in left.items() if entry.get("auth")} == logins, form
            assert not any(entry.get("tls") for entry in left.values()), form
            assert {
                key: value for key, value in was.items() if key not in ("config_path", "mirrors", "configs")
            } == {
                key: value for key, value in now.items() if key not in ("config_path", "mirrors", "configs")
            }, form


# Where containerd's parser and ours differ: text, what 1.6 does, what 2.1 does, what we do.
ODD = {
    "line end in braces": ("x = { a = 1,\n b = 2 }\n", True, True, False),
    "last comma in braces": ("x = { a = 1, }\n", False, True, False),
    "leading zero": ("x = 02\n", True, False, False),
    "control character": ("# \x01\n", True, False, False),
    "number beyond 64 bits": ("x = 99999999999999999999\n", False, True, True),
    "dotted key in braces": ("x = { a.b = 1 }\n", True, True, True),
    "table twice": ("[debug]\n[debug]\n", False, False, False),
    "table below an array of tables": ("[[x]]\n[x.y]\nz = 1\n", True, True, True),
    "time": ("x = 07:32:00\n", True, True, True),
}


def reads(text: str) -> bool:
    try:
        parse(text)
    except TomlError:
        return False
    return True


def test_where_the_parsers_differ() -> None:
    texts = [f"version = 2\n{text}" for text, *_said in ODD.values()]
    seen = zip(ODD, dumps("node1", texts), dumps("node3", texts), map(reads, texts))
    assert {name: (one is not None, two is not None, ours) for name, one, two, ours in seen} == {
        name: tuple(said) for name, (_text, *said) in ODD.items()
    }


@pytest.mark.parametrize(
    ("node", "name", "reason"),
    [("node3", "last comma in braces", "toml"), ("node1", "number beyond 64 bits", "config_broken")],
)
def test_what_only_one_of_the_parsers_reads_is_not_edited(node: str, name: str, reason: str) -> None:
    text = f"version = 2\n{ODD[name][0]}"
    shell([node], text, f"cat > {CONFIG}")
    try:
        result = trust([node])[node]
        assert result["failed"] and result["reason"] == reason, result
        assert shell([node], f"cat {CONFIG}")[node] == text.strip()
    finally:
        shell([node], "/usr/local/sbin/restore")

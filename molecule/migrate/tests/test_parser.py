# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our edits, judged by containerd's own parser: it sees our change and no other, in every form of a configuration."""

from __future__ import annotations

import importlib
import json
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils import _legacy
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml import (
    TomlError,
    parse,
    remove,
    set_string,
)
from tests.lab.verify.configs import configurations
from tests.lab.verify.legacy import CERTS_DIR
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
    for node, names in {
        "node1": ("io.containerd.grpc.v1.cri",),
        "node3": ("io.containerd.cri.v1.images",),
    }.items():
        forms = [form for form in configurations() if node == "node3" or form[0] == 2]
        before = dumps(node, [text for _version, _name, text in forms])
        after = dumps(node, [edited(*form) for form in forms])
        # containerd 2.x takes both versions and shows them under its own name.
        name = names[0]
        assert sum(dump is not None for dump in before) >= len(forms) - 2, (
            f"{node} refuses the forms themselves"
        )
        for form, old, new in zip(forms, before, after):
            if old is None:
                continue
            assert new is not None, form
            was, now = registry_of(old, name), registry_of(new, name)
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


ODD = {
    "mixed array": "version = 2\noom_score = 0\nx = [1, 'a']\n",
    "dotted key in braces": "version = 2\n[debug]\n[proxy_plugins]\nx = { a.b = 'c' }\n",
    "line end in braces": "version = 2\n[proxy_plugins]\nx = { type = 'snapshot',\n address = '/x' }\n",
    "last comma in braces": "version = 2\n[proxy_plugins]\nx = { type = 'snapshot', }\n",
    "table after array of tables": "version = 2\n[[x]]\n[x.y]\nz = 1\n",
    "local time": "version = 2\nx = 07:32:00\n",
    "empty quoted key": "version = 2\n'' = 1\n",
    "twice": "version = 2\n[debug]\nlevel = 'info'\nlevel = 'info'\n",
    "table twice": "version = 2\n[debug]\n[debug]\n",
    "leading zero": "version = 02\n",
    "BOM": "\ufeffversion = 2\n",
    "control character": "version = 2 # \x01\n",
    "bare key with a letter beyond ASCII": "version = 2\n\u00e9 = 1\n",
    "no value": "version = 2\nx =\n",
}


def reads(text: str) -> bool:
    try:
        parse(text)
    except TomlError:
        return False
    return True


def test_where_the_parsers_differ_nothing_is_taken_for_granted() -> None:
    ours = {name: reads(text) for name, text in ODD.items()}
    differ: dict[str, dict[str, str]] = {}
    for node in ("node1", "node3"):
        for name, dump in zip(ODD, dumps(node, list(ODD.values()))):
            if (dump is not None) is not ours[name]:
                differ.setdefault(name, {})[node] = (
                    "containerd reads it" if dump is not None else "only we read it"
                )
    print(json.dumps(differ, indent=1))
    assert differ == {}

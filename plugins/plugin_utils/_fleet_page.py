# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet document as one HTML page that holds everything it needs and asks for nothing.

**PRIVATE** to the collection. Pure, but for the three files in _fleet_files. What nodes have said stands in a block of
JSON in which no character means anything to HTML; the page's own script turns it into text.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_node import STATES
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_summary import lines

_HERE = Path(__file__).resolve().parent / "_fleet_files"
_SLOT = re.compile("@([A-Z]+)@")
LARGEST = 2_900_000
# How long the texts of a node and its lists may be, until the page is small enough.
_LIMITS = ((1000, 32), (300, 5), (100, 3), (40, 1))


def render(document: Mapping[str, Any]) -> str:
    """The page. If every node has much to say of its own, texts are cut until it fits; the JSON has them whole."""
    page = ""
    for limit, many in _LIMITS:
        page = _fill(document, limit, many)
        if len(page) <= LARGEST:
            break
    return page


def _fill(document: Mapping[str, Any], limit: int, many: int) -> str:
    style, script = (_read(name) for name in ("page.css", "page.js"))
    data = compact(document, limit, many)
    if (limit, many) != _LIMITS[0]:
        data["warnings"] = [
            *data["warnings"],
            f"Texts longer than {limit} characters and lists longer than {many} are cut on this page, and labels are "
            "left out. The JSON file has all of it.",
        ]
    slots = {
        "CSP": "; ".join(
            (
                "default-src 'none'",
                f"style-src '{_digest(style)}'",
                f"script-src '{_digest(script)}'",
                "base-uri 'none'",
                "form-action 'none'",
                "require-trusted-types-for 'script'",
            )
        ),
        "STYLE": style,
        "SCRIPT": script,
        "SUMMARY": "".join(f"<li>{html.escape(line)}</li>" for line in lines(document)),
        "DATA": _inert(data),
    }
    return _SLOT.sub(lambda slot: slots[slot.group(1)], _read("page.html"))


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _digest(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _inert(data: Any) -> str:
    """JSON in ASCII, in which the characters that could end the block are written as escapes."""
    written = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


class _Shared:
    """Values that many nodes have in common, each kept once."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}

    def place(self, value: Any) -> int:
        key = json.dumps(value, sort_keys=True)
        if key not in self._places:
            self._places[key] = len(self.values)
            self.values.append(value)
        return self._places[key]


def compact(document: Mapping[str, Any], limit: int, many: int) -> dict[str, Any]:
    """What the page's script reads: the document, with one short row for each node."""
    shared = _Shared()
    whole_texts = (limit, many) == _LIMITS[0]

    def cut(value: Any) -> Any:
        if isinstance(value, str):
            return value if len(value) <= limit else value[: limit - 1] + "…"
        if isinstance(value, list):
            return [cut(item) for item in value[:many]]
        return value

    def row(node: Mapping[str, Any]) -> list[Any]:
        why = {key: cut(node[key]) for key in ("reason", "message", "next_step", "found", "expected")}
        more = {key: cut(node[key]) for key in ("changes", "restart_due", "groups")}
        # A fingerprint is an identity; it is never cut.
        whole = ("found_fingerprints", "expected_fingerprints", "registry")
        registries = [
            shared.place({key: value if key in whole else cut(value) for key, value in one.items()})
            for one in node["registries"]
        ]
        return [
            node["node"],
            shared.place(node["cluster"]),
            STATES.index(node["state"]),
            shared.place(why),
            shared.place(node["runtime"]),
            shared.place(more),
            # Each by itself: nearly all of them stand on many nodes, but no two nodes have all in common.
            [shared.place(f"{key}={value}") for key, value in node["labels"].items()] if whole_texts else [],
            node["clock_skew_seconds"],
            shared.place(registries),
        ]

    rows = [row(node) for node in document["nodes"]]
    top = ("run", "status", "counts", "warnings", "registries", "expiry")
    return {
        **{key: document[key] for key in top},
        "states": list(STATES),
        "clusters": sorted({node["cluster"] for node in document["nodes"] if node["cluster"]}),
        "nodes": rows,
        "shared": shared.values,
    }

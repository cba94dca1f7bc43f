# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a YAML text says and where: its nodes, and the one error of this family.

**PRIVATE** to the collection, part of `_yaml`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Union

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError

Path = tuple[str, ...]

# Plain words that Go's YAML takes for "nothing", and for true.
NULLS = ("", "~", "null", "Null", "NULL")
TRUE = ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON")

_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_ESCAPED = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class YamlError(TrustError):
    """A text that isn't the YAML read here, or a change that can't be made in it. `line` counts from 1."""

    def __init__(
        self,
        message: str,
        *,
        line: int | None = None,
        source: str | None = None,
        found: Any = None,
        expected: Any = None,
        next_step: str | None = None,
    ) -> None:
        where = [source] if source else []
        where += [f"line {line}"] if line is not None else []
        super().__init__(
            f"{', '.join(where)}: {message}." if where else f"{message}.",
            reason="yaml",
            path=source,
            found=found,
            expected=expected,
            next_step=next_step
            or "Rewrite this line as plain YAML (keys, values, lists; spaces, no tabs), then run again",
        )
        self.line = line


@dataclass
class Scalar:
    """A value on one line. style is plain, single, double, or none where nothing stands."""

    value: str
    style: str
    start: int
    end: int

    @property
    def is_null(self) -> bool:
        return self.style == "none" or (self.style == "plain" and self.value in NULLS)


@dataclass
class Sequence:
    """A list; flow says that it stands in brackets."""

    flow: bool
    start: int
    end: int = -1
    items: list[Node] = field(default_factory=list)


@dataclass
class Entry:
    """One `key: value` of a mapping."""

    key: Scalar
    colon: int
    value: Node


@dataclass
class Mapping:
    """Keys and values; flow says that they stand in braces. indent is the column of the keys of a block."""

    flow: bool
    start: int
    indent: int = 0
    end: int = -1
    entries: list[Entry] = field(default_factory=list)

    def get(self, key: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.key.value == key), None)


Node = Union[Scalar, Sequence, Mapping]


class Document:
    """A text that was read. `data` holds each scalar as the text it stands for, "" where there is nothing."""

    def __init__(self, text: str, root: Node) -> None:
        self.text = text
        self.root = root
        self.data = plain_data(root)

    def node(self, path: Path) -> Node | None:
        """The node at a path of mappings, None where there is none."""
        node: Node = self.root
        for key in path:
            entry = node.get(key) if isinstance(node, Mapping) else None
            if entry is None:
                return None
            node = entry.value
        return node

    def string(self, path: Path) -> str | None:
        """The text of the scalar at a path; None where there is none, or nothing in it."""
        node = self.node(path)
        return node.value if isinstance(node, Scalar) and not node.is_null else None

    def is_true(self, path: Path) -> bool:
        return self.string(path) in TRUE

    def keys(self, path: Path) -> list[str]:
        """The keys of the mapping at a path, in the order of the text."""
        node = self.node(path)
        return [entry.key.value for entry in node.entries] if isinstance(node, Mapping) else []

    def line(self, path: Path) -> int | None:
        """The line on which the key at a path stands."""
        parent = self.node(path[:-1])
        entry = parent.get(path[-1]) if path and isinstance(parent, Mapping) else None
        return None if entry is None else self.text.count("\n", 0, entry.key.start) + 1


def plain_data(node: Node) -> Any:
    """A node as dicts, lists and strings."""
    if isinstance(node, Mapping):
        return {entry.key.value: plain_data(entry.value) for entry in node.entries}
    if isinstance(node, Sequence):
        return [plain_data(item) for item in node.items]
    return node.value


def quote(value: str) -> str:
    """A value in double quotes, on one line."""
    return '"' + "".join(_ESCAPED.get(char) or _escape_control(char) for char in value) + '"'


def quote_key(key: str) -> str:
    """A key bare where it is a plain word for every parser, else in quotes."""
    return key if _BARE.fullmatch(key) and key not in (*TRUE, *NULLS) else quote(key)


def show_path(path: Path) -> str:
    """A path for messages."""
    return ".".join(quote_key(key) for key in path)


def _escape_control(char: str) -> str:
    code = ord(char)
    if code < 0x20 or 0x7F <= code <= 0xA0 or char in "\u2028\u2029\ufeff\ufffe\uffff":
        return f"\\x{code:02X}" if code < 0x100 else f"\\u{code:04X}"
    return char

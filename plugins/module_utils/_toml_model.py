# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a TOML text says and where: the document, its tables, and the one error of this family.

**PRIVATE** to the collection, part of `_toml`.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError

Path = tuple[str, ...]

# Ways in which a table came to be. They decide what may still be added to it, and how.
IMPLICIT = "implicit"  # only named on the way to a deeper [header]
HEADER = "header"
DOTTED = "dotted"  # named by the front part of a dotted key
INLINE = "inline"  # { … }: closed for ever
ARRAY = "array"  # [[header]]

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}
_QUOTED = {char: "\\" + name for name, char in ESCAPES.items()}


class TomlError(TrustError):
    """A text that isn't TOML, or a change that can't be made in it. `line` counts from 1."""

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
            reason="toml",
            path=source,
            found=found,
            expected=expected,
            next_step=next_step
            or "Rewrite this line as plain TOML 1.0, even if a containerd takes it as it is, then run again",
        )
        self.line = line


class Entry(NamedTuple):
    """One `[header]`, or one `key = value` (also inside an inline table), and where it stands."""

    path: Path
    is_header: bool
    section: int | None  # length of the path of the header above it; None inside an inline table
    start: int
    value: int  # where the value starts; for a header the same as start
    end: int
    line: int


class Table:
    """How a table was made: beside the plain dict that the caller sees."""

    __slots__ = ("children", "close", "last", "made", "open", "values")

    def __init__(self, made: str) -> None:
        self.made = made
        self.values: dict[str, Any] = {}
        self.children: dict[str, Table] = {}
        self.open = self.close = self.last = -1  # inline: the braces and the end of the last value


class Document:
    """A text that was read. `data` equals what tomllib gives."""

    def __init__(self, text: str, root: Table, entries: list[Entry]) -> None:
        self.text = text
        self.root = root
        self.data = root.values
        self.entries = sorted(entries, key=lambda entry: entry.start)

    def get(self, path: Path, default: Any = None) -> Any:
        """The value at a path of tables; the default where there is none."""
        value: Any = self.data
        for key in path:
            if not isinstance(value, dict) or key not in value:
                return default
            value = value[key]
        return value

    def line(self, path: Path) -> int | None:
        """The line of a header or key; of a table without its own header the first line in it."""
        under = [entry for entry in self.entries if entry.path[: len(path)] == path]
        exact = [entry for entry in under if entry.path == path]
        return (exact or under)[0].line if under else None

    def lines_under(self, path: Path) -> list[int]:
        """All lines with a header or key at or below a path, those inside arrays of tables included."""
        return sorted({entry.line for entry in self.entries if entry.path[: len(path)] == path})

    def key_paths(self) -> list[Path]:
        """The path of every `key = value`, in the order of the text."""
        return [entry.path for entry in self.entries if not entry.is_header]


def show_path(path: Path) -> str:
    """A path as one writes it in TOML."""
    return ".".join(quote_key(key) for key in path)


def quote_key(key: str) -> str:
    """A key bare where it may be, else in double quotes."""
    return key if BARE_KEY.fullmatch(key) else quote(key)


def quote(value: str) -> str:
    """A value as a basic string on one line."""
    return '"' + "".join(_QUOTED.get(char) or _quote_control(char) for char in value) + '"'


def _quote_control(char: str) -> str:
    return char if char >= " " and char != "\x7f" else f"\\u{ord(char):04X}"

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The grammar of TOML 1.0: which tables and keys there are, and which may not be said twice.

**PRIVATE** to the collection, part of `_toml`. Takes and refuses the same texts as tomllib, which
nodes with Python before 3.11 don't have.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._toml_model import (
    ARRAY,
    DOTTED,
    HEADER,
    IMPLICIT,
    INLINE,
    Document,
    Entry,
    Path,
    Table,
    TomlError,
    show_path,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml_scan import (
    LINE_END,
    TRIVIA,
    WS,
    Scanner,
)

# Far deeper than any real file, far less than what exhausts the interpreter's stack.
_MAX_DEPTH = 100


class Reader(Scanner):
    """One pass over a text."""

    def __init__(self, text: str, source: str | None) -> None:
        super().__init__(text, source)
        self.root = self.section = Table(HEADER)
        self.section_path: Path = ()
        self.entries: list[Entry] = []

    def line_of(self, path: Path) -> str:
        """Where a path was last defined: inside an array of tables only the newest element counts."""
        under = [entry for entry in reversed(self.entries) if entry.path[: len(path)] == path]
        exact = [entry for entry in under if entry.path == path]
        return f"line {(exact or under)[0].line}" if under else "the same line"

    def read(self) -> Document:
        if self.text.startswith("\ufeff"):
            raise self.error(
                "the text starts with a byte order mark (BOM), which TOML doesn't allow",
                next_step="Save the file as UTF-8 without BOM, then run again",
            )
        while True:
            self.skip(TRIVIA)
            if self.pos == len(self.text):
                return Document(self.text, self.root, self.entries)
            if self.peek() == "[":
                self.header()
            else:
                self.statement(self.section, self.section_path, len(self.section_path))
            if not self.skip(LINE_END):
                self.skip(WS)
                raise self.error(f"{self.here()} where the line should end")

    def header(self) -> None:
        start = self.pos
        is_array = self.take("[[")
        if not is_array:
            self.pos += 1
        self.skip(WS)
        path = self.key()
        self.skip(WS)
        self.expect("]]" if is_array else "]", "that closes the header")
        self.check_depth(len(path), start)

        parent = self.root
        for depth, key in enumerate(path[:-1], 1):
            child = parent.children.get(key)
            if child is None:
                if key in parent.values:
                    raise self.twice(path[:depth], start)
                child = self.add_table(parent, key, IMPLICIT)
            elif child.made == INLINE:
                raise self.closed(path[:depth], start)
            parent = child

        key = path[-1]
        child = parent.children.get(key)
        if is_array:
            if child is None and key not in parent.values:
                parent.values[key] = []
            elif child is None or child.made != ARRAY:
                raise self.twice(path, start)
            child = parent.children[key] = Table(ARRAY)
            parent.values[key].append(child.values)
        elif child is None:
            if key in parent.values:
                raise self.twice(path, start)
            child = self.add_table(parent, key, HEADER)
        elif child.made == IMPLICIT:
            child.made = HEADER
        elif child.made == INLINE:
            raise self.closed(path, start)
        else:
            raise self.twice(path, start)
        self.section, self.section_path = child, path
        self.entries.append(Entry(path, True, len(path), start, start, self.pos, self.line_at(start)))

    def statement(self, table: Table, base: Path, section: int | None, depth: int = 0) -> None:
        """Read `key = value` into a table. `depth` counts the arrays around it."""
        start = self.pos
        keys = self.key()
        self.skip(WS)
        self.expect("=", "after the key")
        self.skip(WS)
        path = base + keys
        self.check_depth(len(path) + depth, start)
        for count, key in enumerate(keys[:-1], len(base) + 1):
            child = table.children.get(key)
            if child is None:
                if key in table.values:
                    raise self.twice(path[:count], start)
                child = self.add_table(table, key, DOTTED)
            elif child.made == INLINE:
                raise self.closed(path[:count], start)
            elif child.made == IMPLICIT:
                child.made = DOTTED
            elif child.made != DOTTED:
                raise self.twice(path[:count], start)
            table = child
        if keys[-1] in table.values:
            raise self.twice(path, start)
        value_start = self.pos
        value = self.value(path, depth)
        if isinstance(value, Table):
            table.children[keys[-1]] = value
            value = value.values
        table.values[keys[-1]] = value
        self.entries.append(Entry(path, False, section, start, value_start, self.pos, self.line_at(start)))

    @staticmethod
    def add_table(parent: Table, key: str, made: str) -> Table:
        child = parent.children[key] = Table(made)
        parent.values[key] = child.values
        return child

    def check_depth(self, depth: int, at: int) -> None:
        if depth > _MAX_DEPTH:
            raise self.error(f"more than {_MAX_DEPTH} levels inside each other", at)

    def twice(self, path: Path, at: int) -> TomlError:
        return self.error(f"{show_path(path)} is defined twice, before on {self.line_of(path)}", at)

    def closed(self, path: Path, at: int) -> TomlError:
        return self.error(
            f"{show_path(path)} is an inline table ({self.line_of(path)}), so nothing can be added", at
        )

    def value(self, path: Path, depth: int) -> Any:
        char = self.peek()
        if char and char in "\"'":
            return self.string(char * 3 if self.text.startswith(char * 3, self.pos) else char)
        if char == "[":
            return self.array(path, depth + 1)
        if char == "{":
            return self.inline_table(path, depth)
        return self.scalar()

    def array(self, path: Path, depth: int) -> list[Any]:
        start = self.pos
        self.check_depth(len(path) + depth, start)
        self.pos += 1
        values: list[Any] = []
        while True:
            self.skip(TRIVIA)
            if self.take("]"):
                return values
            value = self.value(path, depth)
            values.append(value.values if isinstance(value, Table) else value)
            self.skip(TRIVIA)
            if not self.take(",") and self.peek() != "]":
                raise self.error(
                    f"{self.here()} instead of ',' or ']' in the array of line {self.line_at(start)}"
                )

    def inline_table(self, path: Path, depth: int) -> Table:
        table = Table(INLINE)
        table.open = self.pos
        self.pos += 1
        self.skip(WS)
        if not self.take("}"):
            while True:
                self.statement(table, path, None, depth)
                table.last = self.pos
                self.skip(WS)
                if self.take("}"):
                    break
                self.expect(",", "or '}' in the inline table")
                self.skip(WS)
        table.close = self.pos - 1
        return table

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set one string in a TOML text and leave every other byte as it was.

**PRIVATE** to the collection, part of `_toml`. Each change is one span of the text: the old value,
or an empty span where a line or an inline key goes. The result is read again and compared before
anybody gets it.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from ansible_collections.nodetrust.harbor.plugins.module_utils._toml_model import (
    ARRAY,
    DOTTED,
    HEADER,
    INLINE,
    Document,
    Entry,
    Path,
    Table,
    TomlError,
    quote,
    quote_key,
    show_path,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml_reader import Reader


class Edit(NamedTuple):
    """Put `new` in the place of text[start:end]."""

    start: int
    end: int
    new: str


def set_string(text: str, path: Path, value: str, source: str | None = None) -> str:
    """The text with the string at `path` set: in place where the key exists, else where it belongs.

    Raises TomlError where the text isn't TOML or something that isn't a table is in the way.
    """
    edit = plan_edit(text, path, value, source)
    if edit is None:
        return text
    result = text[: edit.start] + edit.new + text[edit.end :]
    _check(text, result, path, value, source)
    return result


def plan_edit(text: str, path: Path, value: str, source: str | None = None) -> Edit | None:
    """The one change that `set_string` makes; None where the value is set already."""
    if not path:
        raise ValueError("the path of a key has at least one part")
    try:
        "".join((*path, value)).encode("utf-8")
    except UnicodeEncodeError as error:
        raise TomlError(
            f"{show_path(path)!a} or its new value isn't valid Unicode",
            source=source,
            found=f"{error.reason} at character {error.start}",
            expected="a path and a value that UTF-8 can hold",
            next_step="Give a path and value that UTF-8 can hold",
        ) from error
    return _Editor(Reader(text, source).read(), path, value, source).plan()


class _Editor:
    def __init__(self, document: Document, path: Path, value: str, source: str | None) -> None:
        self.document = document
        self.text = document.text
        self.path = path
        self.value = value
        self.source = source
        self.newline = "\r\n" if 2 * self.text.count("\r\n") > self.text.count("\n") else "\n"

    def plan(self) -> Edit | None:
        # The deepest table on the way to the key that the text has already.
        table, depth, brace, brace_depth = self.document.root, 0, None, 0
        for depth, key in enumerate(self.path[:-1]):
            child = table.children.get(key)
            if child is None:
                if key in table.values:
                    raise self.refuse(self.path[: depth + 1], "is a value, not a table")
                break
            if child.made == ARRAY:
                raise self.refuse(self.path[: depth + 1], "is an array of tables")
            table = child
            if table.made == INLINE:
                brace, brace_depth = table, depth + 1
        else:
            depth = len(self.path) - 1
            if self.path[-1] in table.values:
                return self.replace(table)

        if brace is not None:
            return self.insert_inline(brace, brace_depth)
        if table.made == DOTTED:
            return self.insert_line(self.siblings(depth)[-1])
        if depth == len(self.path) - 1 and table.made == HEADER:
            return self.insert_key(depth)
        return self.append_table()

    def refuse(self, path: Path, what: str) -> TomlError:
        return TomlError(
            f"{show_path(self.path)} can't be set, because {show_path(path)} {what}",
            line=self.document.line(path),
            source=self.source,
            found=f"{show_path(path)}, which {what}",
            expected="a table, or nothing",
            next_step=f"Make {show_path(path)} a table by hand, or remove it, then run again",
        )

    def replace(self, table: Table) -> Edit | None:
        old = table.values[self.path[-1]]
        if self.path[-1] in table.children:
            raise TomlError(
                f"{show_path(self.path)} is a table, but has to be a string",
                line=self.document.line(self.path),
                source=self.source,
                found="a table",
                expected="a string, or nothing",
                next_step="Remove this table by hand, then run again",
            )
        if isinstance(old, str) and old == self.value:
            return None
        entry = next(e for e in self.document.entries if e.path == self.path)
        literal = self.text[entry.value] == "'" and _fits_literal(self.value)
        return Edit(entry.value, entry.end, f"'{self.value}'" if literal else quote(self.value))

    # Inline tables

    def insert_inline(self, table: Table, depth: int) -> Edit:
        rest = self.path[depth:]
        if rest[0] in table.values:  # a dotted key already made this table, and a second one may add to it
            pair = self.pair(rest)
        else:
            # Nested braces, because not every parser takes dotted keys inside braces.
            pair = self.pair(rest[-1:])
            for key in reversed(rest[:-1]):
                pair = f"{quote_key(key)} = {{ {pair} }}"
        if table.last >= 0:
            return Edit(table.last, table.last, f", {pair}")
        blank = self.text[table.open + 1 : table.close]
        return Edit(table.open + 1, table.open + 1, f" {pair}" if blank else f" {pair} ")

    # Lines

    def insert_key(self, depth: int) -> Edit:
        """A line in a table that has a header, or before the first header of the text."""
        siblings = self.siblings(depth)
        if siblings:
            return self.insert_line(siblings[-1])
        headers = [entry for entry in self.document.entries if entry.is_header]
        if depth:
            header = next(entry for entry in headers if entry.path == self.path[:depth])
            line = self.indent_of(header) + self.indent_step() + self.pair(self.path[depth:])
            return self.line_after(header.end, line)
        at = self.above_comment(headers[0].start) if headers else len(self.text)
        gap = self.newline if headers else ""
        lead = self.newline if at and self.text[at - 1] != "\n" else ""
        return Edit(at, at, lead + self.pair(self.path) + self.newline + gap)

    def siblings(self, depth: int) -> list[Entry]:
        """The key lines that a new key in the table at path[:depth] can stand below.

        In a table with a header these are the keys under that header; where dotted keys made the
        table, the keys with the same front part.
        """
        front = self.path[:depth]
        return [
            entry
            for entry in self.document.entries
            if entry.section is not None and not entry.is_header and entry.section <= depth
            and entry.path[:depth] == front
        ]  # fmt: skip

    def insert_line(self, sibling: Entry) -> Edit:
        line = self.indent_of(sibling) + self.pair(self.path[sibling.section :])
        return self.line_after(sibling.end, line)

    def line_after(self, end: int, line: str) -> Edit:
        """A new line below the one on which a header or value ends."""
        at = self.text.find("\n", end) + 1
        if at:
            return Edit(at, at, line + self.newline)
        return Edit(len(self.text), len(self.text), self.newline + line + self.newline)

    def append_table(self) -> Edit:
        header = f"[{show_path(self.path[:-1])}]"
        lead = ""
        if self.text and not self.text.endswith("\n"):
            lead = self.newline
        if self.text.strip() and not self.text.endswith(("\n\n", "\n\r\n")):
            lead += self.newline
        body = self.indent_step() + self.pair(self.path[-1:])
        return Edit(len(self.text), len(self.text), lead + header + self.newline + body + self.newline)

    def pair(self, keys: Path) -> str:
        return f"{show_path(keys)} = {quote(self.value)}"

    def indent_of(self, entry: Entry) -> str:
        """What stands before a header or key on its line: always blanks."""
        return self.text[self.text.rfind("\n", 0, entry.start) + 1 : entry.start]

    def indent_step(self) -> str:
        """How much deeper than its header this file writes a key."""
        steps: Counter[str] = Counter()
        for header, key in zip(self.document.entries, self.document.entries[1:]):
            if header.is_header and not key.is_header:
                steps[self.indent_of(key)[len(self.indent_of(header)) :]] += 1
        return steps.most_common(1)[0][0] if steps else ""

    def above_comment(self, at: int) -> int:
        """The start of the comment block that stands right above a header, or of the header's line."""
        start = self.text.rfind("\n", 0, at) + 1
        while start:
            above = self.text.rfind("\n", 0, start - 1) + 1
            if not self.text[above:start].lstrip().startswith("#"):
                break
            start = above
        return start


def _fits_literal(value: str) -> bool:
    return "'" not in value and all((char >= " " and char != "\x7f") or char == "\t" for char in value)


def _check(text: str, result: str, path: Path, value: str, source: str | None) -> None:
    """Never hand out a text that says anything else than it should."""
    wanted = Reader(text, source).read().data
    table = wanted
    for key in path[:-1]:
        table = table.setdefault(key, {})
    table[path[-1]] = value
    try:
        same = same_data(Reader(result, source).read().data, wanted)
    except TomlError:
        same = False
    if not same:
        raise TomlError(
            f"setting {show_path(path)} here would change more than this key, so nothing was changed",
            line=Reader(text, source).read().line(path[:-1]),
            source=source,
            found="a layout in which it hangs together with other settings",
            expected="a layout in which it stands by itself",
            next_step="Set this key by hand, then run again and report the file's layout",
        )


def same_data(one: Any, other: Any) -> bool:
    """Equality that tells 1 from True and 1.0, and takes nan for nan."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_data(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same_data, one, other))
    return bool(one == other) if not isinstance(one, float) else repr(one) == repr(other)

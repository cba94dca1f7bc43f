# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set or remove one string in a YAML text and leave every other byte as it was.

**PRIVATE** to the collection, part of `_yaml`. Each change is one span of the text. The result is
read again and compared before anybody gets it.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from typing import Any, NamedTuple

from ansible_collections.nodetrust.harbor.plugins.module_utils._yaml_model import (
    Document,
    Entry,
    Mapping,
    Path,
    Scalar,
    YamlError,
    quote,
    quote_key,
    show_path,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._yaml_reader import Reader

# What may replace a plain value without quotes and is a string for every parser.
_PLAIN_VALUE = re.compile(r"/[A-Za-z0-9/._-]*")


class Edit(NamedTuple):
    """Put `new` in the place of text[start:end]."""

    start: int
    end: int
    new: str


def set_string(text: str, path: Path, value: str, source: str | None = None) -> str:
    """The text with the string at `path` set, in place where the key exists, else in a new entry.

    Raises:
        YamlError: the text can't be read, or something that isn't a mapping is in the way.
    """
    document = Reader(text, source).read()
    if document.string(path) == value:
        return text
    edit = _Editor(document, path, source).set(value)
    wanted = copy.deepcopy(document.data) if document.data else {}
    table = wanted
    for key in path[:-1]:
        child = table.get(key)
        table[key] = child if isinstance(child, dict) else {}  # the editor fills nothing but a null
        table = table[key]
    table[path[-1]] = value
    return _applied(document, edit, [wanted], path, source)


def remove(text: str, path: Path, source: str | None = None) -> str:
    """The text without the key at `path`, and without the mappings around it that hold nothing else.

    A mapping that becomes empty stays, as a key without a value, where somebody wrote a comment in it.
    """
    document = Reader(text, source).read()
    if document.node(path) is None:
        return text
    edit, depth = _Editor(document, path, source).remove()
    wanted = copy.deepcopy(document.data)
    table = wanted
    for key in path[: depth - 1]:
        table = table[key]
    del table[path[depth - 1]]
    results = [wanted]
    if not table:  # an empty block reads as nothing at all
        nothing = copy.deepcopy(wanted)
        results.append(_replaced(nothing, path[: depth - 1], ""))
    return _applied(document, edit, results, path, source)


class _Editor:
    def __init__(self, document: Document, path: Path, source: str | None) -> None:
        self.document = document
        self.text = document.text
        self.path = path
        self.source = source
        self.newline = "\r\n" if 2 * self.text.count("\r\n") > self.text.count("\n") else "\n"

    # Set

    def set(self, value: str) -> Edit:
        root = self.document.root
        if isinstance(root, Scalar) and root.style == "none":
            return self.line_below(len(self.text), self.lines(0, self.path, value))
        if not isinstance(root, Mapping):
            raise self.refuse(())
        mapping, depth = root, 0
        for depth, key in enumerate(self.path[:-1]):
            entry = mapping.get(key)
            if entry is None:
                return self.insert(mapping, depth, value)
            child = entry.value
            if isinstance(child, Scalar) and child.is_null:
                return self.fill(mapping, entry, depth + 1, value)
            if not isinstance(child, Mapping):
                raise self.refuse(self.path[: depth + 1])
            mapping = child
        last = mapping.get(self.path[-1])
        if last is None:
            return self.insert(mapping, len(self.path) - 1, value)
        if not isinstance(last.value, Scalar):
            raise self.refuse(self.path, "is a list or a mapping, not a string", "a string, or nothing")
        return self.replace(last.value, value)

    def refuse(
        self, path: Path, what: str = "isn't a mapping", expected: str = "a mapping, or nothing"
    ) -> YamlError:
        name = show_path(path) or "the text as a whole"
        return YamlError(
            f"{show_path(self.path)} can't be set, because {name} {what}",
            line=self.document.line(path) if path else 1,
            source=self.source,
            found=f"{name} {what}",
            expected=expected,
            next_step=f"Correct {name} by hand, then run again",
        )

    @staticmethod
    def replace(old: Scalar, value: str) -> Edit:
        if old.style == "none":
            return Edit(old.start, old.end, " " + quote(value))
        if old.style == "plain" and _PLAIN_VALUE.fullmatch(value):
            return Edit(old.start, old.end, value)
        if old.style == "single" and value.isprintable():
            return Edit(old.start, old.end, "'" + value.replace("'", "''") + "'")
        return Edit(old.start, old.end, quote(value))

    def fill(self, mapping: Mapping, entry: Entry, depth: int, value: str) -> Edit:
        """A value for a key that has none."""
        child = entry.value
        if mapping.flow or child.end > child.start:
            gap = "" if child.end > child.start else " "
            return Edit(child.start, child.end, gap + self.braces(self.path[depth:], value))
        indent = mapping.indent + self.step()
        return self.line_below(child.end, self.lines(indent, self.path[depth:], value))

    def insert(self, mapping: Mapping, depth: int, value: str) -> Edit:
        """A new last entry of a mapping."""
        rest = self.path[depth:]
        if not mapping.flow:
            return self.line_below(mapping.end, self.lines(mapping.indent, rest, value))
        pair = self.braces(rest, value)[1:-1]
        if mapping.entries:
            last = mapping.entries[-1].value
            gap = (
                " " if isinstance(last, Scalar) and last.style == "none" else ""
            )  # `key:,` is read in two ways
            return Edit(last.end, last.end, f"{gap}, {pair}")
        return Edit(mapping.start + 1, mapping.start + 1, pair)

    def lines(self, indent: int, keys: Path, value: str) -> str:
        step, rows = self.step(), []
        for level, key in enumerate(keys):
            rows.append(" " * (indent + level * step) + quote_key(key) + ":")
        return self.newline.join(rows) + " " + quote(value)

    @staticmethod
    def braces(keys: Path, value: str) -> str:
        inner = quote(value)
        for key in reversed(keys):
            inner = f"{{{quote_key(key)}: {inner}}}"
        return inner

    def line_below(self, end: int, line: str) -> Edit:
        """A new line below the one on which something ends."""
        at = self.text.find("\n", end) + 1
        if at:
            return Edit(at, at, line + self.newline)
        at = len(self.text)
        lead = self.newline if self.text.strip("\ufeff") and not self.text.endswith("\n") else ""
        return Edit(at, at, lead + line + self.newline)

    def step(self) -> int:
        """How much deeper than its key this file writes a mapping."""
        steps: Counter[int] = Counter()
        todo = [self.document.root]
        while todo:
            node = todo.pop()
            for entry in node.entries if isinstance(node, Mapping) else []:
                child = entry.value
                if (
                    isinstance(node, Mapping)
                    and isinstance(child, Mapping)
                    and not node.flow
                    and not child.flow
                ):
                    steps[child.indent - node.indent] += 1
                todo.append(child)
        return steps.most_common(1)[0][0] if steps else 2

    # Remove

    def remove(self) -> tuple[Edit, int]:
        """The edit, and how much of the path is the key that goes: shorter where nothing else was in it."""
        depth = len(self.path)
        while depth > 1:
            around = self.document.node(self.path[: depth - 1])
            holder = self.document.node(self.path[: depth - 2])
            if not isinstance(around, Mapping) or not isinstance(holder, Mapping) or len(around.entries) > 1:
                break
            if self.commented(holder, around):
                break
            depth -= 1
        mapping = self.document.node(self.path[: depth - 1])
        entry = mapping.get(self.path[depth - 1]) if isinstance(mapping, Mapping) else None
        if not isinstance(mapping, Mapping) or entry is None:
            raise ValueError("nothing to remove")
        return self.cut_braces(mapping, entry) if mapping.flow else self.cut_lines(entry), depth

    def commented(self, holder: Mapping, around: Mapping) -> bool:
        """Did somebody write a comment between a key and the one entry of its mapping?"""
        entry = next(entry for entry in holder.entries if entry.value is around)
        inside = around.entries[0]
        gap = self.text[entry.colon : inside.key.start] + self.text[inside.value.end : around.end]
        return "#" in gap

    def cut_lines(self, entry: Entry) -> Edit:
        start = self.text.rfind("\n", 0, entry.key.start) + 1
        if self.text[start : entry.key.start].strip(" "):
            start = entry.key.start  # a byte order mark, or a dash
        end = self.text.find("\n", entry.value.end) + 1 or len(self.text)
        return Edit(start, end, "")

    def cut_braces(self, mapping: Mapping, entry: Entry) -> Edit:
        at = mapping.entries.index(entry)
        if at + 1 < len(mapping.entries):
            return Edit(entry.key.start, mapping.entries[at + 1].key.start, "")
        if at:
            return Edit(mapping.entries[at - 1].value.end, entry.value.end, "")
        return Edit(mapping.start + 1, mapping.end - 1, "")


def _replaced(data: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    table = data
    for key in path[:-1]:
        table = table[key]
    table[path[-1]] = value
    return data


def _applied(document: Document, edit: Edit, wanted: list[Any], path: Path, source: str | None) -> str:
    """Never hand out a text that says anything else than it should, or that lost somebody's comment."""
    text = document.text
    gone = text[edit.start : edit.end]
    result = text[: edit.start] + edit.new + text[edit.end :]
    try:
        same = Reader(result, source).read().data in wanted
    except YamlError:
        same = False
    if not same or (not edit.new and _has_comment_line(gone)):
        raise YamlError(
            f"changing {show_path(path)} here would change more than this key, so nothing was changed",
            line=document.line(path) or text.count("\n", 0, edit.start) + 1,
            source=source,
            found="a layout in which it hangs together with other settings",
            expected="a layout in which it stands by itself",
            next_step="Change this key by hand, then run again and report the file's layout",
        )
    return result


def _has_comment_line(gone: str) -> bool:
    return any(line.lstrip().startswith("#") for line in gone.splitlines()[1:])

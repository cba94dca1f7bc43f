# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the YAML that people write into registries.yaml, and refuses the rest instead of guessing.

**PRIVATE** to the collection, part of `_yaml`. Read are block and flow mappings and sequences, and
scalars on one line. Refused are anchors, aliases, tags, scalars over several lines, explicit keys,
merge keys, directives, several documents. No message repeats a value: the file may hold passwords.
"""

from __future__ import annotations

from ansible_collections.nodetrust.harbor.plugins.module_utils._yaml_model import (
    Document,
    Entry,
    Mapping,
    Node,
    Scalar,
    Sequence,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._yaml_scan import REFUSED, Scanner

_MAX_DEPTH = 30
_MAX_KEY = 1000  # YAML allows 1024 characters in a key without `?`


class Reader(Scanner):
    """Reads one text."""

    def read(self) -> Document:
        self.to_next()
        if self.marker("---"):
            self.pos += 3
            self.end_of_line("after ---")
            self.to_next()
        if self.at_end():
            return Document(self.text, Scalar("", "none", self.pos, self.pos))
        self.no_marker()
        root = self.block(0)
        if not self.at_end():
            self.no_marker()
            raise self.error("the indentation fits to nothing above")
        return Document(self.text, root)

    # Blocks

    def block(self, depth: int) -> Node:
        """The node that starts here, first on its line or behind `- `."""
        if depth > _MAX_DEPTH:
            raise self.error(f"more than {_MAX_DEPTH} levels inside each other")
        if self.peek() == "-" and self.blank_ahead(1):
            return self.block_sequence(self.column(), depth)
        if self.key_ahead():
            return self.block_mapping(self.column(), depth)
        node = self.inline(depth, flow=False)
        self.end_of_line("after the value")
        self.to_next()
        return node

    def block_mapping(self, indent: int, depth: int) -> Mapping:
        mapping = Mapping(False, self.pos, indent)
        while (
            not self.at_end()
            and self.column() == indent
            and not self.marker("---")
            and not self.marker("...")
        ):
            if not self.key_ahead():
                raise self.error("here should stand a key and a colon")
            key = self.key(mapping)
            self.blanks()
            colon = self.pos
            self.pos += 1
            value = self.block_value(indent, colon + 1, depth, in_mapping=True)
            mapping.entries.append(Entry(key, colon, value))
            mapping.end = value.end
        self.deeper_is_wrong(indent)
        return mapping

    def block_sequence(self, indent: int, depth: int) -> Sequence:
        sequence = Sequence(False, self.pos)
        while not self.at_end() and self.column() == indent and self.peek() == "-" and self.blank_ahead(1):
            self.pos += 1
            item = self.block_value(indent, self.pos, depth, in_mapping=False)
            sequence.items.append(item)
            sequence.end = item.end
        self.deeper_is_wrong(indent)
        return sequence

    def deeper_is_wrong(self, indent: int) -> None:
        if not self.at_end() and self.column() > indent:
            raise self.error("the indentation fits to nothing above, or a value goes on over several lines")

    def block_value(self, indent: int, after: int, depth: int, *, in_mapping: bool) -> Node:
        """What belongs to a key or a dash: on the same line, or deeper on the next ones."""
        self.blanks()
        if self.peek() not in ("", "\r", "\n", "#"):
            if not in_mapping:
                return self.block(depth + 1)
            value = self.inline(depth + 1, flow=False)
            self.end_of_line("after the value")
            self.to_next()
            return value
        self.to_next()
        column = self.column()
        dash = self.peek() == "-" and self.blank_ahead(1)
        if not self.at_end() and (column > indent or (in_mapping and column == indent and dash)):
            return self.block(depth + 1)
        return Scalar("", "none", after, after)

    # Keys and values

    def key_ahead(self) -> bool:
        start = self.pos
        try:
            if self.peek() in ("'", '"'):
                self.quoted()
            elif not self.plain(flow=False):
                return False
            while self.peek() == " ":
                self.pos += 1
            return self.peek() == ":" and self.blank_ahead(1)
        finally:
            self.pos = start

    def key(self, mapping: Mapping, *, flow: bool = False) -> Scalar:
        start = self.pos
        key = self.scalar(flow=flow)
        if key.style == "plain" and key.value == "<<":
            raise self.error("a merge key (<<) is not read here", start)
        if self.pos - start > _MAX_KEY:
            raise self.error(f"a key of more than {_MAX_KEY} characters", start)
        twice = mapping.get(key.value)
        if twice is not None:
            line = self.text.count("\n", 0, twice.key.start) + 1
            raise self.error(f"this key stands twice in the same mapping, before on line {line}", start)
        return key

    def inline(self, depth: int, *, flow: bool) -> Node:
        if depth > _MAX_DEPTH:
            raise self.error(f"more than {_MAX_DEPTH} levels inside each other")
        char = self.peek()
        if char == "[":
            return self.flow_sequence(depth)
        if char == "{":
            return self.flow_mapping(depth)
        return self.scalar(flow=flow)

    def scalar(self, *, flow: bool) -> Scalar:
        start = self.pos
        char = self.peek()
        if char and char in "'\"":
            value = self.quoted()
            return Scalar(value, "single" if char == "'" else "double", start, self.pos)
        text = self.plain(flow=flow)
        if not text:
            if char in REFUSED:
                raise self.error(f"{REFUSED[char]} is not read here")
            raise self.error(
                f"the character {char!a} stands where a key or value should" if char else "the text ends"
            )
        return Scalar(text, "plain", start, self.pos)

    # Brackets and braces

    def in_flow(self) -> None:
        self.to_next()
        self.no_marker()

    def flow_sequence(self, depth: int) -> Sequence:
        sequence = Sequence(True, self.pos)
        start = self.pos
        self.pos += 1
        self.in_flow()
        while self.peek() != "]":
            sequence.items.append(self.inline(depth + 1, flow=True))
            self.separator("]", start)
        self.pos += 1
        sequence.end = self.pos
        return sequence

    def flow_mapping(self, depth: int) -> Mapping:
        mapping = Mapping(True, self.pos)
        start = self.pos
        self.pos += 1
        self.in_flow()
        while self.peek() != "}":
            key = self.key(mapping, flow=True)
            self.blanks()
            value: Node = Scalar("", "none", key.end, key.end)
            colon = key.end
            if self.peek() == ":":
                colon = self.pos
                self.pos += 1
                value = Scalar("", "none", self.pos, self.pos)
                self.in_flow()
                if self.peek() not in (",", "}"):
                    value = self.inline(depth + 1, flow=True)
            mapping.entries.append(Entry(key, colon, value))
            self.separator("}", start)
        self.pos += 1
        mapping.end = self.pos
        return mapping

    def separator(self, close: str, start: int) -> None:
        self.in_flow()
        if self.peek() == ",":
            self.pos += 1
            self.in_flow()
        elif self.peek() != close:
            opened = self.text.count("\n", 0, start) + 1
            raise self.error(f"here should stand ',' or {close!r}, for what line {opened} opens")

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of YAML: blanks, comments, line ends, scalars.

**PRIVATE** to the collection, part of `_yaml`. No message repeats a value: registries.yaml may hold
passwords.
"""

from __future__ import annotations

import re

from ansible_collections.nodetrust.harbor.plugins.module_utils._yaml_model import YamlError

# What may not stand in a text: controls, lone surrogates, a second BOM, and the line ends that only YAML knows.
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]|\r(?!\n)"
)
_INDICATORS = "[]{},#&*!|>'\"%@`?:"
# A plain scalar ends before ` #` and before a colon that a blank follows; in brackets also before , [ ] { }.
_PLAIN = re.compile(
    r"(?:[^ \t\r\n:#]|:(?=[^ \t\r\n])|(?<=[^ \t\r\n])#| +(?=[^ \t\r\n#])(?!:(?:[ \t\r\n]|\Z)))+"
)
_PLAIN_FLOW = re.compile(
    r"(?:[^ \t\r\n:#,?\[\]{}]|:(?=[^ \t\r\n,\[\]{}])|(?<=[^ \t\r\n])#"
    r"| +(?=[^ \t\r\n#,?\[\]{}])(?!:(?:[ \t\r\n,\[\]{}]|\Z)))+"
)
_SINGLE = re.compile(r"'((?:[^'\r\n]|'')*)'")
_DOUBLE = re.compile(r'"((?:[^"\\\r\n]|\\[^\r\n])*)"')
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)")
_ESCAPES = {
    "0": "\0", "a": "\a", "b": "\b", "t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "e": "\x1b",
    " ": " ", '"': '"', "/": "/", "\\": "\\", "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029",
}  # fmt: skip
REFUSED = {
    "&": "an anchor (&)", "*": "an alias (*)", "!": "a tag (!)", "|": "a text over several lines (|)",
    ">": "a text over several lines (>)", "?": "a key with a question mark", "%": "a directive (%)",
    "@": "a reserved character (@)", "`": "a reserved character (`)",
}  # fmt: skip


class Scanner:
    """A text and a position in it. A byte order mark at its start is no part of it."""

    def __init__(self, text: str, source: str | None = None) -> None:
        self.text = text
        self.source = source
        self.base = 1 if text.startswith("\ufeff") else 0
        self.pos = self.base
        bad = _FORBIDDEN.search(text, self.base)
        if bad:
            raise self.error(f"the character {bad.group()!a} can't stand here", bad.start())

    def error(self, message: str, at: int | None = None) -> YamlError:
        line = self.text.count("\n", 0, self.pos if at is None else at) + 1
        return YamlError(message, line=line, source=self.source)

    def peek(self, ahead: int = 0) -> str:
        return self.text[self.pos + ahead : self.pos + ahead + 1]

    def at_end(self) -> bool:
        return self.pos >= len(self.text)

    def line_start(self, pos: int) -> int:
        return max(self.text.rfind("\n", 0, pos) + 1, self.base)

    def column(self) -> int:
        return self.pos - self.line_start(self.pos)

    def blank_ahead(self, ahead: int = 0) -> bool:
        return self.peek(ahead) in ("", " ", "\n", "\r", "\t")

    def marker(self, mark: str) -> bool:
        return self.column() == 0 and self.text.startswith(mark, self.pos) and self.blank_ahead(len(mark))

    def no_marker(self) -> None:
        if self.marker("---") or self.marker("..."):
            raise self.error("a second document starts here, or the first one ends; only one can be read")

    def blanks(self) -> None:
        while self.peek() == " ":
            self.pos += 1
        if self.peek() == "\t":
            raise self.error("a tab stands here, where only spaces may")

    def comment(self) -> None:
        if self.peek() == "#":
            if self.pos > self.base and self.text[self.pos - 1] not in " \n":
                raise self.error("a # without a space before it")
            end = self.text.find("\n", self.pos)
            self.pos = len(self.text) if end < 0 else end

    def end_of_line(self, where: str) -> None:
        self.blanks()
        self.comment()
        if self.peek() == "\r":
            self.pos += 1
        if not self.at_end() and self.peek() != "\n":
            raise self.error(f"something more stands {where}")

    def to_next(self) -> None:
        """Over blanks, comments and line ends to what comes next."""
        while True:
            self.blanks()
            self.comment()
            if self.peek() == "\r":
                self.pos += 1
            if self.peek() != "\n":
                return
            self.pos += 1

    def plain(self, *, flow: bool) -> str:
        if self.peek() in _INDICATORS:  # also at the end of the text
            return ""
        if self.peek() == "-" and (self.blank_ahead(1) or (flow and self.peek(1) in ",[]{}")):
            return ""
        match = (_PLAIN_FLOW if flow else _PLAIN).match(self.text, self.pos)
        if match is None:
            return ""
        self.pos = match.end()
        return match.group()

    def quoted(self) -> str:
        double = self.peek() == '"'
        match = (_DOUBLE if double else _SINGLE).match(self.text, self.pos)
        if match is None:
            raise self.error("the quotes that open here don't close on this line")
        start = self.pos
        self.pos = match.end()
        if not double:
            return match.group(1).replace("''", "'")
        return _ESCAPE.sub(lambda escape: self.escape(escape.group(1), start), match.group(1))

    def escape(self, name: str, start: int) -> str:
        if name in _ESCAPES:
            return _ESCAPES[name]
        code = int(name[1:], 16) if len(name) > 1 else -1
        if 0 <= code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF:
            return chr(code)
        raise self.error("a backslash in double quotes starts no known escape", start)

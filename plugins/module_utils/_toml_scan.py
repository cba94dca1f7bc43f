# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of TOML: whitespace, comments, keys, strings, numbers, dates.

**PRIVATE** to the collection, part of `_toml`. No message repeats a value: containerd's
configuration may hold passwords.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from datetime import date, datetime, time, timedelta, timezone
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._toml_model import (
    BARE_KEY,
    ESCAPES,
    Path,
    TomlError,
)

_CONTROL = r"\x00-\x08\x0a-\x1f\x7f"  # all but the tab
WS = re.compile(r"[ \t]*")
TRIVIA = re.compile(rf"(?:[ \t]+|\r?\n|#[^{_CONTROL}]*(?=\r?\n|\Z))*")
LINE_END = re.compile(rf"[ \t]*(?:#[^{_CONTROL}]*)?(?:\r?\n|\Z)")
_BARE_VALUE = re.compile(r"[A-Za-z0-9_+\-.:]+")
# Bodies up to, not including, what ends them. The quotes inside a multi-line string are one or two.
_BODIES = {
    '"': re.compile(rf'(?:[^"\\{_CONTROL}]+|\\[^{_CONTROL}])*'),
    "'": re.compile(rf"[^'{_CONTROL}]*"),
    '"""': re.compile(rf'(?:[^"\\{_CONTROL}]+|\r?\n|\\(?:[^{_CONTROL}]|\r?\n)|"{{1,2}}(?!"))*'),
    "'''": re.compile(rf"(?:[^'{_CONTROL}]+|\r?\n|'{{1,2}}(?!'))*"),
}
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|[ \t]*\r?\n[ \t\r\n]*|.)|\r\n")
_INTEGER = re.compile(
    r"[+-]?(?:0|[1-9](?:_?[0-9])*)|0x[0-9A-Fa-f](?:_?[0-9A-Fa-f])*|0o[0-7](?:_?[0-7])*|0b[01](?:_?[01])*"
)
_FLOAT = re.compile(r"[+-]?(?:0|[1-9](?:_?[0-9])*)(?:\.[0-9](?:_?[0-9])*)?(?:[eE][+-]?[0-9](?:_?[0-9])*)?")
_WORDS = {"true": True, "false": False} | {
    sign + word: float(sign + word) for word in ("inf", "nan") for sign in ("", "+", "-")
}
_TIME = r"([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])(?:\.([0-9]+))?"
_LOCAL_TIME = re.compile(_TIME)
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_DATE_TIME = re.compile(rf"{_DATE.pattern}(?:[Tt ]{_TIME}(?:([Zz])|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))?)?")
_TIME_AFTER_SPACE = re.compile(r" [0-9]{2}:[0-9:.Zz+\-]*")


class Scanner:
    """A text and a position in it."""

    def __init__(self, text: str, source: str | None) -> None:
        self.text = text
        self.source = source
        self.pos = 0
        self.line_starts = [0] + [match.end() for match in re.finditer("\n", text)]

    def error(self, message: str, at: int | None = None, **fields: Any) -> TomlError:
        line = self.line_at(self.pos if at is None else at)
        return TomlError(message, line=line, source=self.source, **fields)

    def line_at(self, pos: int) -> int:
        return bisect_right(self.line_starts, pos)

    def peek(self) -> str:
        return self.text[self.pos : self.pos + 1]

    def skip(self, pattern: re.Pattern[str]) -> bool:
        match = pattern.match(self.text, self.pos)
        if match:
            self.pos = match.end()
        return match is not None

    def take(self, token: str) -> bool:
        if self.text.startswith(token, self.pos):
            self.pos += len(token)
            return True
        return False

    def expect(self, token: str, what: str) -> None:
        if not self.take(token):
            raise self.error(f"{self.here()} instead of {token!r} {what}")

    def here(self) -> str:
        char = self.peek()
        if char == "#" and not LINE_END.match(self.text, self.pos):
            return "a comment with a control character stands"
        names = {"": "the text ends", "\n": "the line ends", "\r": "a carriage return stands"}
        return names.get(char) or f"the character {char!a} stands"

    def key(self) -> Path:
        keys = []
        while True:
            quotes = self.peek()
            if quotes and quotes in "\"'":
                keys.append(self.string(quotes))
            else:
                start = self.pos
                if not self.skip(BARE_KEY):
                    raise self.error(f"{self.here()} where a key should stand")
                keys.append(self.text[start : self.pos])
            after = self.pos
            self.skip(WS)
            if not self.take("."):
                self.pos = after
                return tuple(keys)
            self.skip(WS)

    def scalar(self) -> Any:
        """A value without quotes or brackets."""
        match = _BARE_VALUE.match(self.text, self.pos)
        if match is None:
            raise self.error(f"{self.here()} where a value should stand")
        token = match.group()
        if _DATE.fullmatch(token):
            after_space = _TIME_AFTER_SPACE.match(self.text, match.end())
            token += after_space.group() if after_space else ""
        value = self.interpret(token)
        self.pos += len(token)
        return value

    def interpret(self, token: str) -> Any:
        if token in _WORDS:
            return _WORDS[token]
        try:
            if _INTEGER.fullmatch(token):
                return int(token.replace("_", ""), 0)
            if _FLOAT.fullmatch(token):
                return float(token.replace("_", ""))
            local = _LOCAL_TIME.fullmatch(token)
            if local:
                return _time(local.groups())
            moment = _DATE_TIME.fullmatch(token)
            if moment:
                return _date_time(moment.groups())
        except ValueError:
            pass  # February 30, or a number with thousands of digits
        raise self.error("the value is neither a string in quotes nor a number, date, true or false")

    def string(self, quotes: str) -> str:
        start = self.pos
        self.pos += len(quotes)
        multiline = len(quotes) == 3
        if multiline and not self.take("\n"):
            self.take("\r\n")
        body_start = self.pos
        self.skip(_BODIES[quotes])
        body = self.text[body_start : self.pos]
        if not self.take(quotes):
            char = self.peek()
            if char not in ("", "\n", "\\") and not self.text.startswith("\r\n", self.pos):
                raise self.error(f"the control character {char!a} stands in a string")
            raise self.error("the string that starts here is not closed", start)
        for _extra in range(2 if multiline else 0):
            body += quotes[0] if self.take(quotes[0]) else ""
        if quotes[0] == '"' and "\\" in body:
            return _ESCAPE.sub(lambda match: self.escape(match, body_start), body)
        return body.replace("\r\n", "\n")

    def escape(self, match: re.Match[str], body_start: int) -> str:
        name = match.group(1)
        if name is None:
            return "\n"
        if name in ESCAPES:
            return ESCAPES[name]
        if "\n" in name:
            return ""
        if len(name) > 1:
            code = int(name[1:], 16)
            if code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF:
                return chr(code)
        raise self.error("a backslash in double quotes starts no known escape", body_start + match.start())


def _time(groups: tuple[Any, ...], zone: timezone | None = None) -> time:
    hour, minute, second, fraction = groups
    return time(int(hour), int(minute), int(second), int((fraction or "")[:6].ljust(6, "0")), zone)


def _date_time(groups: tuple[Any, ...]) -> date:
    day = date(*(int(part) for part in groups[:3]))
    if groups[3] is None:
        return day
    zulu, sign, hours, minutes = groups[7:]
    zone = timezone.utc if zulu else None
    if sign:
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        zone = timezone(-offset if sign == "-" else offset)
    return datetime.combine(day, _time(groups[3:7], zone))

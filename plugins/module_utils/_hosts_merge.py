# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put our CA and our client certificate into a hosts.toml, and take them out again so that no other byte changes.

**PRIVATE** to the collection. What is ours carries a comment that says so: the file itself is the
record, and it stays right while its owner edits it. Pure: texts in, texts out.
"""

from __future__ import annotations

import os
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._client_pair import CERT_FILE, KEY_FILE
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml_edit import same_data
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml_model import (
    HEADER,
    Document,
    Entry,
    Path,
    TomlError,
    quote,
    show_path,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml_reader import Reader
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml_scan import TRIVIA

ADDED = "# added by nodetrust.harbor"
LISTED = "# extended by nodetrust.harbor"
MADE_LIST = "# made a list by nodetrust.harbor"
_MARKS = (ADDED, LISTED, MADE_LIST)
_KEY = "ca"
_CLIENT = "client"


def merge(text: str, tables: list[Path], name: str, path: str) -> str:
    """The text with `ca` naming our file in each of these tables, in a form that 1.6 to 2.3 obey.

    Parameters:
        tables: () for the top level, ("host", url) for a [host] table; each is there already.
        name: our file's name, relative to the directory of the hosts.toml.
        path: the hosts.toml itself.

    Raises:
        TomlError: a table is written in a way that can't be added to; nothing else is tried.
    """
    before = Reader(text, path).read().data
    result = text
    for table in tables:
        result = _with_ca(Reader(result, path).read(), table, name, path)
    if "host" not in Reader(result, path).read().data:
        # 1.x rejects a file without this table (runtime-facts §3).
        result = _at_end(result, f"[host] {ADDED}")
    now = Reader(result, path).read().data
    if unmerge(result, name, path) != unmerge(text, name, path) or not same_data(
        _foreign(now), _foreign(before)
    ):
        raise _by_hand(
            "ca can't be added here so that nothing else changes and it can be taken back", None, path
        )
    return result


def unmerge(text: str, name: str, path: str) -> str:
    """The text without what `merge` put there; what its owner has changed since stays as it is."""
    result = text
    while True:
        document = Reader(result, path).read()
        marked = next(
            ((entry, mark) for entry in document.entries for mark in _marks_of(document, entry)), None
        )
        if marked is None:
            return result
        result = _without(document, *marked, name, path)


def with_client(text: str, tables: list[Path], path: str) -> str:
    """The text with our client certificate named in each of these tables, of which none names one yet."""
    line = f"{_CLIENT} = [[{quote(CERT_FILE)}, {quote(KEY_FILE)}]] {ADDED}"
    for table in tables:
        text = _with_line(Reader(text, path).read(), table, line, path)
    return text


def without_client(text: str, path: str) -> str:
    """The text without what `with_client` put there."""
    while is_merged(text):
        document = Reader(text, path).read()
        entry = next((one for one in document.entries if _is_our_client(document, one)), None)
        if entry is None:
            break
        text = _without_line(text, entry)
    return text


def names_client(value: object, directory: str) -> bool:
    """Does a `client` lead to our pair, however that is written?"""
    own = [os.path.join(directory, name) for name in (CERT_FILE, KEY_FILE)]
    return isinstance(value, list) and any(
        isinstance(pair, list)
        and all(isinstance(item, str) for item in pair)
        and [os.path.normpath(os.path.join(directory, item)) for item in pair] == own
        for pair in value
    )


def is_merged(text: str) -> bool:
    """Is anything in this text ours?"""
    return any(mark in text for mark in _MARKS)


def names(value: object, name: str, directory: str) -> bool:
    """Does a `ca` lead to our file, however that is written?"""
    own = os.path.join(directory, name)
    values = value if isinstance(value, list) else [value]
    return any(
        isinstance(item, str) and os.path.normpath(os.path.join(directory, item)) == own for item in values
    )


def _foreign(data: dict[str, Any]) -> dict[str, Any]:
    """What a file says besides `ca` and an empty [host] table."""
    hosts = data.get("host")
    rest = {key: value for key, value in data.items() if key not in (_KEY, "host")}
    if not isinstance(hosts, dict):
        return {**rest, "host": hosts} if hosts is not None else rest
    tables = {
        url: {key: value for key, value in entry.items() if key != _KEY} if isinstance(entry, dict) else entry
        for url, entry in hosts.items()
    }
    return {**rest, "host": tables} if tables else rest


def _with_ca(document: Document, table: Path, name: str, path: str) -> str:
    text = document.text
    value = document.get((*table, _KEY))
    if value is None:
        return _with_line(document, table, f"{_KEY} = {quote(name)} {ADDED}", path)
    if names(value, name, os.path.dirname(path)):
        return text
    entry = _statement(document, (*table, _KEY), path)
    if isinstance(value, str):
        new, mark = f"[{text[entry.value : entry.end]}, {quote(name)}]", MADE_LIST
    else:
        last = max((end for _start, end in _elements(document, entry)), default=entry.value + 1)
        lead = ", " if value else ""
        new, mark = f"{text[entry.value : last]}{lead}{quote(name)}{text[last : entry.end]}", LISTED
    return f"{text[: entry.value]}{new} {mark}{text[entry.end :]}"


def _with_line(document: Document, table: Path, line: str, path: str) -> str:
    """One more line in a table: right below its header, or below the last key of the top level."""
    text = document.text
    if table:
        made = document.root
        for key in table:
            made = made.children[key]
        if made.made != HEADER:
            raise _by_hand(
                f"{show_path(table)} has no header of its own, so no ca can be put below it",
                document.line(table),
                path,
            )
        header = next(entry for entry in document.entries if entry.is_header and entry.path == table)
        first = next((entry for entry in document.entries if entry.start > header.start), None)
        indent = _indent(text, first if first is not None and not first.is_header else header)
        return _below(text, header.end, indent + line)
    own = [entry for entry in document.entries if entry.section == 0 and not entry.is_header]
    if own:
        return _below(text, own[-1].end, _indent(text, own[-1]) + line)
    headers = [entry for entry in document.entries if entry.is_header]
    if not headers:
        return _at_end(text, line)
    at = text.rfind("\n", 0, headers[0].start) + 1
    return text[:at] + line + _newline(text) + text[at:]


def _below(text: str, end: int, line: str) -> str:
    at = text.find("\n", end) + 1
    if not at:
        return _at_end(text, line)
    return text[:at] + line + _newline(text) + text[at:]


def _at_end(text: str, line: str) -> str:
    """A last line; whether the text ends with a line end stays as it was."""
    if text and not text.endswith("\n"):
        return text + _newline(text) + line
    return text + line + _newline(text)


def _newline(text: str) -> str:
    return "\r\n" if 2 * text.count("\r\n") > text.count("\n") else "\n"


def _marks_of(document: Document, entry: Entry) -> list[str]:
    if entry.section is None:
        return []
    rest = document.text[entry.end : _line_end(document.text, entry.end)]
    return [mark for mark in _MARKS if rest.startswith(f" {mark}")]


def _is_our_client(document: Document, entry: Entry) -> bool:
    return (
        not entry.is_header
        and entry.path[-1] == _CLIENT
        and ADDED in _marks_of(document, entry)
        and document.get(entry.path) == [[CERT_FILE, KEY_FILE]]
    )


def _without(document: Document, entry: Entry, mark: str, name: str, path: str) -> str:
    """The text without one mark and what it stands for."""
    text = document.text
    value = document.get(entry.path)
    unmarked = text[: entry.end] + text[entry.end + 1 + len(mark) :]
    if entry.is_header:
        return unmarked if value else _without_line(text, entry)
    if _is_our_client(document, entry):
        return _without_line(text, entry)
    if mark == ADDED:
        return _without_line(text, entry) if names(value, name, os.path.dirname(path)) else unmarked
    if not isinstance(value, list) or name not in value:
        return unmarked
    spans = _elements(document, entry)
    index = value.index(name)
    if mark == MADE_LIST and len(spans) == 2:
        start, end = spans[1 - index]
        return text[: entry.value] + text[start:end] + unmarked[entry.end :]
    if index:
        start, end = spans[index - 1][1], spans[index][1]
    else:
        start, end = spans[0][0], spans[1][0] if len(spans) > 1 else spans[0][1]
    return text[:start] + text[end : entry.end] + unmarked[entry.end :]


def _without_line(text: str, entry: Entry) -> str:
    start = text.rfind("\n", 0, entry.start) + 1
    end = text.find("\n", entry.end) + 1
    if not end:
        # The last line, and no line end behind it: the one before it came with it.
        before = text[:start]
        return before[: -len("\r\n")] if before.endswith("\r\n") else before[:-1]
    return text[:start] + text[end:]


def _elements(document: Document, entry: Entry) -> list[tuple[int, int]]:
    """Where each element of an array stands."""
    reader = Reader(document.text, None)
    reader.pos = entry.value + 1
    spans: list[tuple[int, int]] = []
    while True:
        reader.skip(TRIVIA)
        if reader.take("]"):
            return spans
        start = reader.pos
        reader.value(entry.path, 1)
        spans.append((start, reader.pos))
        reader.skip(TRIVIA)
        reader.take(",")


def _statement(document: Document, path: Path, source: str) -> Entry:
    entry = next((item for item in document.entries if item.path == path and not item.is_header), None)
    if entry is None or entry.section is None:
        raise _by_hand(f"{show_path(path)} stands inside braces", document.line(path), source)
    return entry


def _indent(text: str, entry: Entry) -> str:
    return text[text.rfind("\n", 0, entry.start) + 1 : entry.start]


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    if end < 0:
        return len(text)
    return end - 1 if text[end - 1 : end] == "\r" else end


def _by_hand(what: str, line: int | None, path: str) -> TomlError:
    return TomlError(
        what,
        line=line,
        source=path,
        found=f"line {line}" if line is not None else "another layout",
        expected='[host."https://…"] tables with one key on a line',
        next_step=f"write {path} that way, or set ca in it by hand to our file, then run again",
    )

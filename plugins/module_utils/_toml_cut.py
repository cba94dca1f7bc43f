# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take tables and keys out of a TOML text and leave every other byte as it was.

**PRIVATE** to the collection, part of `_toml`. The lines that held what goes are removed whole;
comments and blank lines of their own stay. The result is read again and compared before anybody gets it.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._toml_edit import Edit, same_data
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml_model import (
    Document,
    Entry,
    Path,
    TomlError,
    show_path,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml_reader import Reader


def remove(text: str, paths: list[Path], source: str | None = None) -> str:
    """The text without the keys and tables at these paths and below them.

    A path that isn't there is no error. Tables on the way that are empty afterwards may be gone too.

    Raises:
        TomlError: the text isn't TOML, or it can't be done without changing more.
    """
    for path in paths:
        text = _remove(text, path, source)
    return text


def _remove(text: str, path: Path, source: str | None) -> str:
    before = Reader(text, source).read()
    result = text
    for edit in reversed(_lines(before, path)):
        result = result[: edit.start] + edit.new + result[edit.end :]
    try:
        document = Reader(result, source).read()
        while (pair := _pair(document, path)) is not None:
            result = result[: pair.start] + pair.new + result[pair.end :]
            document = Reader(result, source).read()
        same = same_data(_pruned(document.data), _pruned(_without(before.data, path)))
    except TomlError:
        same = False
    if not same:
        raise TomlError(
            f"{show_path(path)} can't be taken out here without changing more, so nothing was changed",
            line=before.line(path),
            source=source,
            found="a layout in which it hangs together with other settings",
            expected="a layout in which it stands by itself",
            next_step="Take it out by hand, then run again and report the file's layout",
        )
    return result


def _lines(document: Document, path: Path) -> list[Edit]:
    """The lines of the headers and statements at or below a path."""
    edits = []
    for entry in document.entries:
        if entry.section is not None and entry.path[: len(path)] == path:
            start = document.text.rfind("\n", 0, entry.start) + 1
            end = document.text.find("\n", entry.end) + 1 or len(document.text)
            edits.append(Edit(start, end, ""))
    return edits


def _pair(document: Document, path: Path) -> Edit | None:
    """The first such pair inside braces, with the comma before it, or behind it if it is the first."""
    inner = [entry for entry in document.entries if entry.section is None]
    entry = next((item for item in inner if item.path[: len(path)] == path), None)
    if entry is None:
        return None
    braces = [item for item in document.entries if item.value < entry.start and entry.end < item.end]
    level = [item for item in inner if item.start > braces[-1].value and item.end < braces[-1].end]
    pairs = [item for item in level if not any(_holds(other, item) for other in level)]
    index = pairs.index(entry)
    if index:
        return Edit(pairs[index - 1].end, entry.end, "")
    return Edit(entry.start, pairs[1].start if len(pairs) > 1 else entry.end, "")


def _holds(outer: Entry, inner: Entry) -> bool:
    return outer.value < inner.start and inner.end < outer.end


def _without(data: dict[str, Any], path: Path) -> dict[str, Any]:
    copy = dict(data)
    if len(path) == 1:
        copy.pop(path[0], None)
    elif isinstance(copy.get(path[0]), dict):
        copy[path[0]] = _without(copy[path[0]], path[1:])
    return copy


def _pruned(data: dict[str, Any]) -> dict[str, Any]:
    """Without empty tables: one that was only named on the way goes with what was in it."""
    tables = {key: _pruned(value) if isinstance(value, dict) else value for key, value in data.items()}
    return {key: value for key, value in tables.items() if value != {}}

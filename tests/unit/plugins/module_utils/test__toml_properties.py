# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever the text: read as tomllib reads it, and edited so that tomllib sees that one change.

The texts come from toml_texts.py.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.nodetrust.harbor.plugins.module_utils._toml import TomlError, parse, set_string
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml_edit import plan_edit
from tests.unit.plugins.module_utils.toml_texts import (
    exact,
    paths,
    read,
    same_each_time,
    texts,
    tomllib,
    valid_texts,
)


def same_as_tomllib(text: str) -> None:
    expected = read(text)
    if expected is None:
        with pytest.raises(TomlError) as caught:
            parse(text)
        assert 1 <= (caught.value.line or 0) <= text.count("\n") + 1
    else:
        assert exact(parse(text).data) == exact(expected)


@same_each_time
@given(texts())
def test_reads_and_refuses_as_tomllib_does(text: str) -> None:
    same_as_tomllib(text)


@same_each_time
@given(valid_texts())
def test_reads_what_tomllib_reads(text: str) -> None:
    same_as_tomllib(text)


@same_each_time
@given(st.data(), valid_texts())
def test_reads_and_refuses_damaged_texts_as_tomllib_does(data: st.DataObject, text: str) -> None:
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 2))
    new = data.draw(
        st.sampled_from([*"\"'[]{}=.,#\n\r\t \\x0_\x00\x7f", "", '"""', "'''", "\\u00e9", "\\ud800"])
    )
    same_as_tomllib(text[:at] + new + text[at + cut :])


@same_each_time
@given(st.text(alphabet="\"'[]{}=.,#\n\t \\ab01_-+:eETZ", max_size=12).map(lambda text: f"a = {text}"))
def test_reads_and_refuses_any_value_as_tomllib_does(text: str) -> None:
    same_as_tomllib(text)


@same_each_time
@given(valid_texts())
def test_knows_the_line_of_every_key(text: str) -> None:
    document = parse(text)
    for entry in document.entries:
        assert entry.line == text.count("\n", 0, entry.start) + 1
        assert entry.line in document.lines_under(entry.path[:1])
        assert (text[entry.start] == "[") == entry.is_header
        if not entry.is_header:
            assert exact(read("v = " + text[entry.value : entry.end])) is not None
    assert all(document.line(path) is not None for path in document.key_paths())


def expectation(data: dict[str, Any], path: tuple[str, ...], value: str) -> dict[str, Any] | None:
    """The data with the string set; None if something that isn't a table, or is one, is in the way."""
    table = data
    for key in path[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            return None
    old = table.get(path[-1])
    if isinstance(old, dict) or (
        isinstance(old, list) and old and all(isinstance(item, dict) for item in old)
    ):
        return None
    table[path[-1]] = value
    return data


@settings(same_each_time, max_examples=250)
@given(valid_texts(), paths, st.sampled_from(["/etc/containerd/certs.d", "", "it's \"\\\x01é"]))
def test_sets_that_string_and_changes_nothing_else(text: str, path: tuple[str, ...], value: str) -> None:
    before = tomllib.loads(text)
    expected = expectation(tomllib.loads(text), path, value)
    if expected is None:
        with pytest.raises(TomlError) as caught:
            set_string(text, path, value)
        assert caught.value.line is not None
        assert "would change more" not in str(caught.value)
        return
    result = set_string(text, path, value)
    assert exact(tomllib.loads(result)) == exact(expected)
    assert set_string(result, path, value) == result

    edit = plan_edit(text, path, value)
    if edit is None:
        assert result == text
        assert exact(before) == exact(expected)
        return
    assert result == text[: edit.start] + edit.new + text[edit.end :]
    old_value = text[edit.start : edit.end]
    if parse(text).line(path) is None:
        assert old_value == "", "a new key only adds to the text"
    else:
        assert exact(tomllib.loads(f"v = {old_value}")["v"]) == exact(parse(text).get(path))
    if "\n" in text:
        assert ("\r\n" in edit.new) <= ("\r\n" in text)
        assert ("\n" in edit.new.replace("\r\n", "")) <= ("\r\n" not in text)

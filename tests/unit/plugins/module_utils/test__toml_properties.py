# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever the text: read as tomllib reads it, and edited so that tomllib sees that one change.

The texts are built to be awkward: headers and keys inside strings and comments, all ways to write
a table, CRLF, indentation. The examples are the same in each run.
"""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.nodetrust.harbor.plugins.module_utils._toml import TomlError, parse, set_string
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml_edit import plan_edit

# The reference. Not by an import statement: the oldest Python that mypy checks for doesn't have it.
tomllib: Any = importlib.import_module("tomllib")

same_each_time = settings(derandomize=True, database=None, deadline=None, max_examples=120)

# Few keys, so that they meet. Each with the ways to write it.
KEYS = {
    "plugins": ["plugins", '"plugins"'],
    "io.containerd.grpc.v1.cri": ['"io.containerd.grpc.v1.cri"', "'io.containerd.grpc.v1.cri'"],
    "registry": ["registry", "'registry'", '"r\\u0065gistry"'],
    "config_path": ["config_path", '"config_path"'],
    "mirrors": ["mirrors"],
}
VALUES = [
    '""', "''", '"/a:/b" ', "'/etc/containerd/certs.d'", "'''\n[plugins]\nconfig_path = 'x'\n'''",
    '"""\n[[plugins]]\r\n# "quotes" \\\n  config_path = \\"\\"""" ', '"# no comment, config_path = 1"', '"\\\\"',
    "0x1F", "-1_0", "1.5e3", "nan", "true", "1979-05-27 07:32:00Z", "07:32:00",
    "[]", "[\n  1, # ]\n  'x', ]", "[{config_path = 1}, [{}]]", "{}", "{ }",
]  # fmt: skip
COMMENTS = ["", "", " # note", '\t# config_path = ""', "# [plugins] '"]

names = st.sampled_from(sorted(KEYS))
paths = st.lists(names, min_size=1, max_size=4).map(tuple)
spelled_keys = names.flatmap(lambda name: st.sampled_from(KEYS[name]))
dotted_keys = st.builds(
    lambda keys, dot: dot.join(keys),
    st.lists(spelled_keys, min_size=1, max_size=3),
    st.sampled_from([".", " . "]),
)
values = st.recursive(
    st.sampled_from(VALUES),
    lambda inner: st.lists(st.tuples(dotted_keys, inner), max_size=3).map(
        lambda pairs: "{" + ", ".join(f"{key} = {value}" for key, value in pairs) + "}"
    ),
    max_leaves=4,
)
lines = st.builds(
    lambda indent, body, comment: indent + body + comment,
    st.sampled_from(["", "", "  ", "\t"]),
    st.one_of(
        st.just(""),
        dotted_keys.map(lambda key: f"[{key}]"),
        dotted_keys.map(lambda key: f"[{key}]"),
        dotted_keys.map(lambda key: f"[[{key}]]"),
        st.tuples(dotted_keys, values).map(lambda pair: f"{pair[0]} = {pair[1]}"),
        st.tuples(dotted_keys, values).map(lambda pair: f"{pair[0]}={pair[1]}"),
    ),
    st.sampled_from(COMMENTS),
)
newlines = st.sampled_from(["\n", "\n", "\r\n"])


def with_newline(text: str, newline: str) -> str:
    return text.replace("\r\n", "\n").replace("\n", newline)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Any lines: many of these texts say something twice."""
    end = draw(st.sampled_from(["", "\n", "\n\n"]))
    return with_newline("\n".join(draw(st.lists(lines, max_size=10))) + end, draw(newlines))


@st.composite
def valid_texts(draw: st.DrawFn) -> str:
    """Lines are added as long as tomllib takes them all."""
    newline = draw(newlines)
    text = ""
    for line in draw(st.lists(lines, max_size=10)):
        longer = text + with_newline(line + "\n", newline)
        if read(longer) is not None:
            text = longer
    return text if draw(st.booleans()) else text.removesuffix(newline)


def read(text: str) -> dict[str, Any] | None:
    try:
        data: dict[str, Any] = tomllib.loads(text)
        return data
    except tomllib.TOMLDecodeError:
        return None


def exact(value: Any) -> Any:
    """A form in which 1, 1.0 and True differ, nan equals itself, and the order of keys doesn't count."""
    if isinstance(value, dict):
        return {key: exact(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [exact(inner) for inner in value]
    return type(value).__name__, repr(value)


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

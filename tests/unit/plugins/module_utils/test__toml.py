# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TOML is read and edited as the tables below say. Runs on every Python that a node may have."""

from __future__ import annotations

import cProfile
import math
from datetime import date, datetime, timedelta, timezone
from datetime import time as clock
from typing import Any

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils._toml import (
    TomlError,
    parse,
    set_string,
)

CRI = ("plugins", "io.containerd.grpc.v1.cri")
REGISTRY = (*CRI, "registry")
CONFIG_PATH = (*REGISTRY, "config_path")
CERTS_D = "/etc/containerd/certs.d"
IMAGES = ("plugins", "io.containerd.cri.v1.images", "registry", "config_path")

# What `containerd config default` looks like on 1.x, cut down, with the old registry settings filled in.
LEGACY = """\
version = 2

[plugins]

  [plugins."io.containerd.grpc.v1.cri"]
    sandbox_image = "pause:3.6"

    [plugins."io.containerd.grpc.v1.cri".registry]
      config_path = ""

      [plugins."io.containerd.grpc.v1.cri".registry.configs]
        [plugins."io.containerd.grpc.v1.cri".registry.configs."h:8443".tls]
          ca_file = "/ca.crt"

      [plugins."io.containerd.grpc.v1.cri".registry.mirrors]
        [plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]
          endpoint = [
            "https://m.example",
          ]
"""


# Reading


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"a\\tb\\u00e9\\U0001F600\\\\\\""', 'a\tb\u00e9\U0001f600\\"'),
        ("'C:\\no\\escape # no comment'", "C:\\no\\escape # no comment"),
        ('"""\nfirst\n"quoted" \\\n   joined"""', 'first\n"quoted" joined'),
        ('""""two quotes at the end"""""', '"two quotes at the end""'),
        ("'''\n[header]\nkey = 'x'\n'''", "[header]\nkey = 'x'\n"),
        ('"""a\r\nb\\r\\n"""', "a\nb\r\n"),
        ("+1_000", 1000),
        ("-0", 0),
        ("0xDEAD_beef", 0xDEADBEEF),
        ("0o755", 0o755),
        ("0b1101", 13),
        ("6.5", 6.5),
        ("-1e1_0", -1e10),
        ("5E-2", 0.05),
        ("inf", math.inf),
        ("-inf", -math.inf),
        ("true", True),
        ("false", False),
        ("1979-05-27", date(1979, 5, 27)),
        ("07:32:00.5", clock(7, 32, 0, 500000)),
        ("1979-05-27 07:32:00", datetime(1979, 5, 27, 7, 32)),
        ("1979-05-27T07:32:00.1234567Z", datetime(1979, 5, 27, 7, 32, 0, 123456, timezone.utc)),
        ("1979-05-27t07:32:00-07:30", datetime(1979, 5, 27, 7, 32, tzinfo=timezone(-timedelta(hours=7.5)))),
        ('[1, "a", [2.0], # why\n\n {x = 1},\n]', [1, "a", [2.0], {"x": 1}]),
        ("[]", []),
        ("{ }", {}),
        ("{a.b = 1, 'c d' = {}, a.e = [2]}", {"a": {"b": 1, "e": [2]}, "c d": {}}),
    ],
)
def test_value_is_read(value: str, expected: Any) -> None:
    found = parse(f"key = {value} # note").data["key"]
    assert found == expected
    assert type(found) is type(expected)


def test_nan_is_read() -> None:
    assert math.isnan(parse("a = -nan").data["a"])


def test_tables_are_read() -> None:
    text = """\
top . "quoted.key" . 'x' = 1
[a.b]
c.d = 2
[ a ]
"" = 3
[[list]]
[[list.inner]]
n = 1
[list.table]
n = 2
[[list]]
[a.b.c.e]
"""
    assert parse(text).data == {
        "top": {"quoted.key": {"x": 1}},
        "a": {"b": {"c": {"d": 2, "e": {}}}, "": 3},
        "list": [{"inner": [{"n": 1}], "table": {"n": 2}}, {}],
    }


@pytest.mark.parametrize("text", ["", "\n", "# only a comment", " \t", "\r\n\r\n"])
def test_text_without_keys_is_an_empty_document(text: str) -> None:
    assert parse(text).data == {}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a = 1\na = 2", 2, "a is defined twice, before on line 1"),
        ("[a]\n\n[a]", 3, "a is defined twice, before on line 1"),
        ("[a]\nb = 1\n[a.b]", 3, "a.b is defined twice, before on line 2"),
        ("[[a]]\nx = 1\n[[a]]\nx = 2\nx = 3", 5, "a.x is defined twice, before on line 4"),
        ("[[a]]\n[a]", 2, "a is defined twice"),
        ("[a]\n[[a]]", 2, "a is defined twice"),
        ("a = []\n[[a]]", 2, "a is defined twice"),
        ("[a]\nb.c = 1\n[a.b]", 3, "a.b is defined twice"),
        ("[a.b]\n[a]\nb.c = 1", 3, "a.b is defined twice"),
        ("a.b = 1\na.b.c = 2", 2, "a.b is defined twice"),
        ("a = {b = 1}\na.c = 2", 2, "a is an inline table (line 1), so nothing can be added"),
        ("a = {b = 1}\n[a.c]", 2, "a is an inline table"),
        ("a = {b = {}, b.c = 1}", 1, "a.b is an inline table"),
        ("a = {b = 1, b = 2}", 1, "a.b is defined twice"),
        ("a = {b = 1,}", 1, "the character '}' stands where a key should stand"),
        ("a = {b = 1\n}", 1, "the line ends instead of ','"),
        ("a = [1 2]", 1, "instead of ',' or ']' in the array of line 1"),
        ("a = [\n1,\n", 3, "the text ends where a value should stand"),
        ("a = 1 b = 2", 1, "the character 'b' stands where the line should end"),
        ("a", 1, "the text ends instead of '=' after the key"),
        ("a =\nb = 1", 1, "the line ends where a value should stand"),
        ("= 1", 1, "the character '=' stands where a key should stand"),
        ("a. = 1", 1, "where a key should stand"),
        ("\n[a", 2, "the text ends instead of ']' that closes the header"),
        ("[]", 1, "where a key should stand"),
        ("[[a] ]", 1, "instead of ']]'"),
        ("[a] b = 1", 1, "where the line should end"),
        ('a = "x', 1, "the string that starts here is not closed"),
        ('a = "x\n"', 1, "the string that starts here is not closed"),
        ("x = 1\na = '''x\ny\n''", 2, "the string that starts here is not closed"),
        ('a = "x\\', 1, "the string that starts here is not closed"),
        ('a = "\\x"', 1, "a backslash in double quotes starts no known escape"),
        ('a = """\n\\ x"""', 2, "a backslash in double quotes starts no known escape"),
        ('a = "\\ud800"', 1, "a backslash in double quotes starts no known escape"),
        ('a = "\x07"', 1, "the control character '\\x07' stands in a string"),
        ("a = '\x7f'", 1, "the control character '\\x7f' stands in a string"),
        ("a = 1\n# \x00", 2, "a comment with a control character"),
        ("a = 1\rb = 2", 1, "a carriage return stands where the line should end"),
        ("a = 01", 1, "neither a string in quotes nor a number"),
        ("a = 1__0", 1, "neither a string in quotes nor a number"),
        ("a = 1.", 1, "neither a string in quotes nor a number"),
        ("a = +0x1", 1, "neither a string in quotes nor a number"),
        ("a = True", 1, "neither a string in quotes nor a number"),
        ("a = /etc", 1, "the character '/' stands where a value should stand"),
        ("a = 2021-02-29", 1, "neither a string in quotes nor a number"),
        ("a = 24:00:00", 1, "neither a string in quotes nor a number"),
        ("\ufeffa = 1", 1, "byte order mark"),
        ("a = " + "[" * 200, 1, "more than 100 levels"),
        (".".join("k" * 101) + " = 1", 1, "more than 100 levels"),
    ],
)
def test_refusal_names_line_and_cause(text: str, line: int, words: str) -> None:
    with pytest.raises(TomlError) as caught:
        parse(text, source="config.toml")
    assert caught.value.line == line
    assert str(caught.value).startswith(f"config.toml, line {line}: ")
    assert words in str(caught.value)
    assert caught.value.facts()["reason"] == "toml"
    assert caught.value.facts()["path"] == "config.toml"
    assert caught.value.facts()["next_step"]


@pytest.mark.parametrize(
    "value", ["s3cret", '"s3cret', '"s3cret\\x"', '"s3cret" s3cret', '["s3cret" "s3cret"]', '{p="s3cret",}']
)
def test_refusal_never_repeats_a_value(value: str) -> None:
    with pytest.raises(TomlError) as caught:
        parse(f"password = {value}\n")
    assert "3cret" not in str(caught.value)


def test_get_finds_values_and_tables() -> None:
    document = parse(LEGACY)
    assert document.get(CONFIG_PATH) == ""
    assert document.get((*REGISTRY, "mirrors", "docker.io")) == {"endpoint": ["https://m.example"]}
    assert document.get((*CONFIG_PATH, "deeper"), "default") == "default"
    assert document.get(("nothing",)) is None


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("version",), 1),
        (REGISTRY, 8),
        (CONFIG_PATH, 9),
        ((*REGISTRY, "configs"), 11),
        ((*REGISTRY, "configs", "h:8443"), 12),
        ((*REGISTRY, "mirrors", "docker.io", "endpoint"), 17),
        (("nothing",), None),
    ],
)
def test_line_of_a_definition(path: tuple[str, ...], line: int | None) -> None:
    assert parse(LEGACY).line(path) == line


def test_line_prefers_the_header_over_what_stands_before_it() -> None:
    assert parse("[a.b]\nx = 1\n[a]\ny = 2\n").line(("a",)) == 3
    assert parse("z = 1\na.b.c = 1\na.b.d = 2\n").line(("a", "b")) == 2


def test_lines_under_names_every_line_of_legacy_settings() -> None:
    document = parse(LEGACY)
    assert document.lines_under((*REGISTRY, "configs")) == [11, 12, 13]
    assert document.lines_under((*REGISTRY, "mirrors")) == [15, 16, 17]
    assert document.lines_under(("nothing",)) == []


def test_lines_under_sees_dotted_inline_and_repeated_tables() -> None:
    text = "[r]\nmirrors.x.y = 1\n[[l]]\nmirrors = { z = 1 }\n[[l]]\nmirrors.z = 2\n"
    assert parse(text).lines_under(("r", "mirrors")) == [2]
    assert parse(text).lines_under(("l", "mirrors", "z")) == [4, 6]
    assert parse(text).key_paths() == [
        ("r", "mirrors", "x", "y"), ("l", "mirrors"), ("l", "mirrors", "z"), ("l", "mirrors", "z"),
    ]  # fmt: skip


def test_a_file_twice_as_long_takes_twice_the_calls() -> None:
    def calls(tables: int) -> int:
        lines = (f'[plugins."io.containerd.{n}"]\n  path = "/x/{n}"\n  level = {n}' for n in range(tables))
        return _calls("\n".join(lines))

    assert calls(100) < 300 * 100  # it takes 175 calls for a table of three lines
    assert calls(200) < 2.1 * calls(100)


def test_an_unclosed_string_of_any_length_is_refused_fast() -> None:
    for quotes in ('"', "'", '"""', "'''"):
        with pytest.raises(TomlError, match="not closed"):
            parse(f"a = {quotes}" + "x\\\\" * 100_000)


def _calls(text: str) -> int:
    """How many calls of functions it takes to read a text: no clock, so no other work of this machine counts."""
    profiler = cProfile.Profile()
    profiler.runcall(parse, text)
    return sum(entry.callcount for entry in profiler.getstats())


# Editing: before, path, after

HEADER = '[plugins."io.containerd.grpc.v1.cri".registry]'
LINE = f'config_path = "{CERTS_D}"'

EDITS = {
    "existing value": (LEGACY, CONFIG_PATH, LEGACY.replace('config_path = ""', LINE)),
    "single quotes stay single": (
        "[plugins.'io.containerd.cri.v1.images'.registry]\n  config_path = '/a:/b' # both\n",
        IMAGES,
        f"[plugins.'io.containerd.cri.v1.images'.registry]\n  config_path = '{CERTS_D}' # both\n",
    ),
    "value over several lines": ("a = '''\nx = 1\n''' # c\nb = 1", ("a",), f"a = '{CERTS_D}' # c\nb = 1"),
    "value of another type": ("a = [ # c\n 1,\n]\nb = 1\n", ("a",), f'a = "{CERTS_D}"\nb = 1\n'),
    "look-alikes in strings and comments": (
        '# config_path = ""\n[r]\na = \'config_path = ""\'\nb = """\n[r]\nconfig_path = ""\n"""\nconfig_path=""\n',
        ("r", "config_path"),
        '# config_path = ""\n[r]\na = \'config_path = ""\'\nb = """\n[r]\nconfig_path = ""\n"""\n'
        f'config_path="{CERTS_D}"\n',
    ),
    "same key in another table": (
        f'[a]\nconfig_path = ""\n{HEADER}\nconfig_path = ""\n',
        CONFIG_PATH,
        f'[a]\nconfig_path = ""\n{HEADER}\n{LINE}\n',
    ),
    "inside an inline table": ("a = {b = 1, c = 'x', d = 2}", ("a", "c"), f"a = {{b = 1, c = '{CERTS_D}', d = 2}}"),
    "empty text": ("", CONFIG_PATH, f"{HEADER}\n{LINE}\n"),
    "nothing there yet": ("version = 2\n", CONFIG_PATH, f"version = 2\n\n{HEADER}\n{LINE}\n"),
    "no newline at the end": ("version = 2", CONFIG_PATH, f"version = 2\n\n{HEADER}\n{LINE}\n"),
    "blank line at the end": ("version = 2\n\n", CONFIG_PATH, f"version = 2\n\n{HEADER}\n{LINE}\n"),
    "CRLF": ("version = 2\r\n[a]\r\n", CONFIG_PATH, f"version = 2\r\n[a]\r\n\r\n{HEADER}\r\n{LINE}\r\n"),
    "a file that indents": (
        "[a]\n  b = 1\n[c]\n  d = 1\n", CONFIG_PATH, f"[a]\n  b = 1\n[c]\n  d = 1\n\n{HEADER}\n  {LINE}\n"
    ),
    "header with keys": (
        f"  {HEADER}\n    x = [\n    1]  # why\n\n    # end\n[b]\n",
        CONFIG_PATH,
        f"  {HEADER}\n    x = [\n    1]  # why\n    {LINE}\n\n    # end\n[b]\n",
    ),
    "header with keys, end of text": (f"{HEADER}\n\tx = 1", CONFIG_PATH, f"{HEADER}\n\tx = 1\n\t{LINE}\n"),
    "header without keys": (
        f"[a]\n  b = 1\n  {HEADER} # c\n  [d]\n", CONFIG_PATH, f"[a]\n  b = 1\n  {HEADER} # c\n    {LINE}\n  [d]\n"
    ),
    "header, CRLF": (f"{HEADER}\r\n[b]\r\n", CONFIG_PATH, f"{HEADER}\r\n{LINE}\r\n[b]\r\n"),
    "only deeper headers": (
        f"{HEADER[:-1]}.mirrors]\n", CONFIG_PATH, f"{HEADER[:-1]}.mirrors]\n\n{HEADER}\n{LINE}\n"
    ),
    "empty inline table": ("a.b = {} # c\n", ("a", "b", "k"), f'a.b = {{ k = "{CERTS_D}" }} # c\n'),
    "empty inline table with a blank": ("a = { }\n", ("a", "k"), f'a = {{ k = "{CERTS_D}" }}\n'),
    "inline table": ("a = {b = {c = 1 } }\n", ("a", "b", "k"), f'a = {{b = {{c = 1, k = "{CERTS_D}" }} }}\n'),
    "inline table, tables missing": (
        "a = { b = 1 }\n", ("a", "c", "d.e", "k"), f'a = {{ b = 1, c = {{ "d.e" = {{ k = "{CERTS_D}" }} }} }}\n'
    ),
    "inline table, dotted": ("a = {b.c = 1}\n", ("a", "b", "k"), f'a = {{b.c = 1, b.k = "{CERTS_D}"}}\n'),
    "dotted keys in a table": (
        f"[plugins]\n '{CRI[1]}'.registry.x = 1 # c\n y = 1\n",
        CONFIG_PATH,
        f'[plugins]\n \'{CRI[1]}\'.registry.x = 1 # c\n "{CRI[1]}".registry.{LINE}\n y = 1\n',
    ),
    "dotted keys at the top": (
        "a.b.c = 1\nd = 1\n[e]\n", ("a", "b", "f", "k"), f'a.b.c = 1\na.b.f.k = "{CERTS_D}"\nd = 1\n[e]\n'
    ),
    "key at the top, after the last": ("a = 1 # c\n\n[b]\n", ("k",), f'a = 1 # c\nk = "{CERTS_D}"\n\n[b]\n'),
    "key at the top, before the first header": (
        "# licence\n\n# hosts\n  [b]\n", ("k",), f'# licence\n\nk = "{CERTS_D}"\n\n# hosts\n  [b]\n'
    ),
    "key at the top, only comments": ("# c", ("k",), f'# c\nk = "{CERTS_D}"\n'),
    "below an array of tables": (
        "[[a]]\nb = 1\n", ("c", "k"), f'[[a]]\nb = 1\n\n[c]\nk = "{CERTS_D}"\n'
    ),
    "keys that need quotes": (
        "", ("a b", "", 'q"\\', "é\n"), f'["a b"."".\"q\\"\\\\"]\n"é\\n" = "{CERTS_D}"\n'
    ),
}  # fmt: skip


@pytest.mark.parametrize(("before", "path", "after"), EDITS.values(), ids=EDITS.keys())
def test_edit(before: str, path: tuple[str, ...], after: str) -> None:
    assert set_string(before, path, CERTS_D) == after
    assert parse(after).get(path) == CERTS_D
    assert set_string(after, path, CERTS_D) == after


@pytest.mark.parametrize("written", [f"'{CERTS_D}'", f'"""{CERTS_D}"""', '"/etc/containerd/certs\\u002ed"'])
def test_a_value_that_is_right_already_keeps_its_spelling(written: str) -> None:
    assert set_string(f"a = {written}\n", ("a",), CERTS_D) == f"a = {written}\n"


@pytest.mark.parametrize("value", ["", "it's", 'a"b\\c', "tab\there", "\x00\x7f\r\n", "é\U0001f600", "'''"])
@pytest.mark.parametrize("before", ["", "a = ''\n", 'a = ""\n'])
def test_any_value_survives(before: str, value: str) -> None:
    assert parse(set_string(before, ("a",), value)).data == {"a": value}


@pytest.mark.parametrize(
    ("text", "path", "line", "words"),
    [
        ("x = 1\n[plugins]\n'io.containerd.grpc.v1.cri' = 5\n", CONFIG_PATH, 3, "is a value, not a table"),
        ("plugins = [{}]\n", CONFIG_PATH, 1, "plugins is a value, not a table"),
        ("x = 1\n[[plugins]]\n", CONFIG_PATH, 2, "plugins is an array of tables"),
        ("[a]\n[a.b]\n", ("a", "b"), 2, "a.b is a table, but has to be a string"),
        ("[[a]]\n[[a]]\n", ("a",), 1, "a is a table, but has to be a string"),
        ("a = { b = {} }\n", ("a", "b"), 1, "a.b is a table, but has to be a string"),
        ("a = {}\n[a]\n", ("a", "b"), 2, "nothing can be added"),
        ("\ufeff", ("a",), 1, "byte order mark"),
    ],
)
def test_edit_is_refused(text: str, path: tuple[str, ...], line: int, words: str) -> None:
    with pytest.raises(TomlError) as caught:
        set_string(text, path, CERTS_D, source="config.toml")
    assert caught.value.line == line
    assert str(caught.value).startswith(f"config.toml, line {line}: ")
    assert words in str(caught.value)


def test_a_value_that_no_file_can_hold_is_refused() -> None:
    with pytest.raises(TomlError, match="isn't valid Unicode"):
        set_string("", ("a",), "\udc80")
    with pytest.raises(ValueError, match="at least one part"):
        set_string("", (), "x")


def test_a_wrong_edit_is_caught_before_anybody_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    editor = "ansible_collections.nodetrust.harbor.plugins.module_utils._toml_edit"
    from ansible_collections.nodetrust.harbor.plugins.module_utils import _toml_edit as edit

    for new in ('b = "x"\n', 'a = "x"\nb = true\n', 'a = "x"\na = 1\n', "a = 1\n", ""):
        monkeypatch.setattr(f"{editor}.plan_edit", lambda *args, new=new: edit.Edit(0, len(args[0]), new))
        with pytest.raises(TomlError, match="would change more than this key"):
            set_string("b = 1\n", ("a",), "x")

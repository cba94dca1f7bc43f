# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever the text: read as PyYAML reads it or refused, and edited so that PyYAML sees that one change.

PyYAML's BaseLoader leaves each scalar the text it is, which is what Go puts into a string. The texts
are built to be awkward: keys in strings and comments, blocks and braces, CRLF, odd indentation.
The examples are the same in each run.
"""

from __future__ import annotations

import copy
from typing import Any

import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ansible_collections.nodetrust.harbor.plugins.module_utils._yaml import (
    YamlError,
    parse,
    remove,
    set_string,
)

same_each_time = settings(derandomize=True, database=None, deadline=None, max_examples=120)

HOSTS = ["harbor.test", "harbor.test:8443", "10.0.0.1:5000"]
CA_FILE = "/etc/rancher/k3s/nodetrust.harbor/harbor.test:8443/ca.crt"
VALUES = ["", "a", "/etc/ca.pem", "https://h:8443/v2", '""', "''", "'it''s # no: comment'", '"a\\"b\\u00e9 # {"',
          "a#b", "a b", "-1", "~", "true", "x:y", "é", "a: b", "- a", "*a", "&a b", "!t a", "|", ">-", "@a", "%a",
          "{", "[", "\"open", "'open", "a\tb", "a\u00a0b", "- ", "-", "?", ":", "<<", "a,b", "]"]  # fmt: skip
KEYS = ["configs", "mirrors", "tls", "ca_file", "auth", '"tls"', "'ca_file'", '"harbor.test:8443"', "harbor.test:8443",
        "10.0.0.1:5000", '"*"', "endpoint", "rewrite", "password", '"^a/(.*)"', "<<", "? a", "-a", "on"]  # fmt: skip
COMMENTS = ["", "", "", " # note", " # ca_file: x", "#x", "\t# tab"]

scalars = st.sampled_from(VALUES)
keys = st.sampled_from(KEYS)
flows = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]"),
        st.builds(
            lambda pairs, pad, end: (
                "{" + pad + f",{pad} ".join(f"{k}: {v}" for k, v in pairs) + end + pad + "}"
            ),
            st.lists(st.tuples(keys, inner), max_size=3),
            st.sampled_from(["", " ", "\n  ", " # c\n "]),
            st.sampled_from(["", "", ","]),
        ),
    ),
    max_leaves=5,
)
lines = st.builds(
    lambda indent, dash, body, comment: " " * indent + dash + body + comment,
    st.sampled_from([0, 0, 2, 2, 4, 4, 6, 1, 3]),
    st.sampled_from(["", "", "", "", "- ", "-   ", "-"]),
    st.one_of(
        st.just(""),
        keys.map(lambda key: f"{key}:"),
        keys.map(lambda key: f"{key}:"),
        st.tuples(keys, flows).map(lambda pair: f"{pair[0]}: {pair[1]}"),
        st.tuples(keys, flows).map(lambda pair: f"{pair[0]} :  {pair[1]} "),
        flows,
    ),
    st.sampled_from(COMMENTS),
)


@st.composite
def rough_texts(draw: st.DrawFn) -> str:
    """Any lines: many of these texts are broken."""
    head = draw(
        st.sampled_from(["", "", "---\n", "--- # start\n", "# head\n\n", "\ufeff", "%YAML 1.1\n---\n"])
    )
    tail = draw(st.sampled_from(["", "\n", "\n\n", "\n...\n", "\n---\n"]))
    return with_newline(head + "\n".join(draw(st.lists(lines, max_size=8))) + tail, draw(newlines))


newlines = st.sampled_from(["\n", "\n", "\r\n"])
plain_values = st.sampled_from(["a", '"x # y"', "'it''s'", "/etc/ca.pem", "https://h/v2", "true", "", "~"])
comments = st.sampled_from(["", "", " # note", "  # ca_file: x"])


def with_newline(text: str, newline: str) -> str:
    return text.replace("\r\n", "\n").replace("\n", newline)


def spelled(key: str) -> st.SearchStrategy[str]:
    return st.sampled_from([key if key != "*" else '"*"', f'"{key}"', f"'{key}'"])


@st.composite
def registries(draw: st.DrawFn) -> str:
    """A registries.yaml as somebody may have written it, in blocks and braces."""
    step = draw(st.sampled_from([1, 2, 2, 4]))
    newline = draw(newlines)

    def block(tree: Any, indent: int) -> list[str]:
        rows = []
        for key, value in tree.items():
            if draw(st.integers(0, 5)) == 0:
                rows.append(" " * draw(st.integers(0, 6)) + "# note" + draw(st.sampled_from(["", ": {"])))
            if draw(st.integers(0, 9)) == 0:
                rows.append("")
            lead = " " * indent + draw(spelled(key)) + draw(st.sampled_from([":", ":", " :"]))
            if not isinstance(value, dict):
                rows.append(f"{lead} {value}{draw(comments)}")
            elif draw(st.integers(0, 3)) == 0:
                rows.append(f"{lead} {braces(value)}{draw(comments)}")
            else:
                rows.append(lead + draw(comments))
                rows += block(value, indent + step)
        return rows

    def braces(tree: Any) -> str:
        pad = draw(st.sampled_from(["", " ", "\n "]))
        pairs = [
            f"{draw(spelled(key))}: {braces(value) if isinstance(value, dict) else value}"
            for key, value in tree.items()
        ]
        return "{" + pad + ", ".join(pairs) + draw(st.sampled_from(["", ","] if pairs else [""])) + pad + "}"

    tls = st.dictionaries(
        st.sampled_from(["ca_file", "cert_file", "insecure_skip_verify"]), plain_values, max_size=3
    )
    auth = st.dictionaries(st.sampled_from(["username", "password"]), plain_values, min_size=1, max_size=2)
    entry = st.fixed_dictionaries({}, optional={"auth": auth, "tls": tls})
    configs = st.dictionaries(st.sampled_from([*HOSTS, "*"]), entry, max_size=3)
    mirror = st.fixed_dictionaries({"endpoint": st.just('["https://m.test", "https://h.test/v2"]')})
    mirrors = st.dictionaries(st.sampled_from(["docker.io", "*"]), mirror, max_size=2)
    tree = draw(st.fixed_dictionaries({}, optional={"mirrors": mirrors, "configs": configs}))
    head = draw(st.sampled_from(["", "", "---", "# head", "\ufeff---"]))
    text = newline.join(with_newline(row, newline) for row in ([head] if head else []) + block(tree, 0))
    return text + draw(st.sampled_from(["", newline, newline, newline * 2]))


def read(text: str) -> Any:
    """What PyYAML sees; an empty document is "", as everywhere where nothing stands."""
    # BaseLoader makes nothing but strings, lists and dicts.
    data = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506
    return "" if data is None else data


def same_or_refused(text: str) -> bool:
    try:
        mine = parse(text).data
    except YamlError as error:
        assert 1 <= (error.line or 0) <= text.count("\n") + 1
        return False
    assert mine == read(text)
    return True


@settings(same_each_time, max_examples=600)
@given(rough_texts())
def test_reads_what_pyyaml_reads_or_refuses(text: str) -> None:
    same_or_refused(text)


@same_each_time
@given(registries())
def test_reads_every_registries_yaml(text: str) -> None:
    assert same_or_refused(text)


@settings(same_each_time, max_examples=300)
@given(st.data(), registries())
def test_reads_damaged_texts_as_pyyaml_does_or_refuses(data: st.DataObject, text: str) -> None:
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 2))
    new = data.draw(
        st.sampled_from([*"\"'[]{}:,#\n\r\t -?&*!|>%@`\\\x00\x85\u2028\ufeff", "", "---\n", "\n\n", ": "])
    )
    same_or_refused(text[:at] + new + text[at + cut :])


@settings(same_each_time, max_examples=300)
@given(st.text(alphabet="\"'[]{}:,#\n -ab&*!|>?\\%", max_size=14))
def test_reads_any_text_as_pyyaml_does_or_refuses(text: str) -> None:
    same_or_refused(f"a: {text}")


def expectation(data: Any, path: tuple[str, ...], value: str) -> Any:
    data = copy.deepcopy(data) if data else {}
    table = data
    for key in path[:-1]:
        if not isinstance(table.get(key), dict):
            assert table.get(key) in (None, "", "~"), "the texts have nothing else in the way"
            table[key] = {}
        table = table[key]
    table[path[-1]] = value
    return data


@same_each_time
@given(
    registries(),
    st.sampled_from(HOSTS),
    st.sampled_from(["ca_file", "key_file"]),
    st.sampled_from([CA_FILE, "/a"]),
)
def test_sets_that_string_and_changes_nothing_else(text: str, host: str, key: str, value: str) -> None:
    path = ("configs", host, "tls", key)
    result = set_string(text, path, value)
    assert read(result) == expectation(read(text), path, value)
    assert set_string(result, path, value) == result
    assert_one_span(text, result)
    if "\n" in text:
        assert ("\r\n" in result) == ("\r\n" in text)


@same_each_time
@given(registries(), st.sampled_from(HOSTS))
def test_removes_what_it_has_set(text: str, host: str) -> None:
    path = ("configs", host, "tls", "ca_file")
    assume(parse(text).node(path) is None)
    result = remove(set_string(text, path, CA_FILE), path)
    assert without_empty(read(result)) == without_empty(read(text))
    assert parse(result).node(path) is None
    assert comment_lines(text) == comment_lines(result)


@same_each_time
@given(registries(), st.sampled_from(HOSTS))
def test_removes_that_key_and_changes_nothing_else(text: str, host: str) -> None:
    path = ("configs", host, "tls", "ca_file")
    expected = read(text)
    if parse(text).node(path) is None:
        assert remove(text, path) == text
        return
    del expected["configs"][host]["tls"]["ca_file"]
    try:
        result = remove(text, path)
    except YamlError as error:
        assert "#" in text, "only a comment may be in the way"
        assert "nothing was changed" in str(error)
        return
    assert without_empty(read(result)) == without_empty(expected)
    assert_one_span(text, result)


def assert_one_span(text: str, result: str) -> None:
    """One text is the other with one piece put in or taken out, apart from a replaced value."""
    front = next((i for i, (a, b) in enumerate(zip(text, result)) if a != b), min(len(text), len(result)))
    rest = min(len(text), len(result)) - front
    back = next((i for i in range(rest) if text[-1 - i] != result[-1 - i]), rest)
    changed = text[front : len(text) - back]
    assert "\n" not in changed or not result[front : len(result) - back].strip(), (
        "more than one place has changed"
    )


def comment_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.lstrip().startswith("#")]


def without_empty(data: Any) -> Any:
    """Mappings and keys that hold nothing don't count."""
    if isinstance(data, dict):
        kept = {key: without_empty(value) for key, value in data.items()}
        return {key: value for key, value in kept.items() if value not in ("", "~", {})} or ""
    return data

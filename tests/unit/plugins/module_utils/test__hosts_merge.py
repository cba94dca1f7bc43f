# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our CA in somebody's hosts.toml: tomllib sees `ca` and nothing else change, and it goes without a trace."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.nodetrust.harbor.plugins.module_utils._hosts_merge import (
    ADDED,
    LISTED,
    MADE_LIST,
    is_merged,
    merge,
    unmerge,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml import TomlError
from tests.unit.plugins.module_utils.toml_texts import COMMENTS, exact, read, same_each_time, with_newline

DIRECTORY = "/etc/containerd/certs.d/harbor.test"
PATH = f"{DIRECTORY}/hosts.toml"
OWN = ("host", "https://harbor.test")
TOP = ()


def merged(text: str, *tables: tuple[str, ...]) -> str:
    return merge(text, list(tables), "ca.crt", PATH)


def unmerged(text: str) -> str:
    return unmerge(text, "ca.crt", PATH)


@pytest.mark.parametrize(
    ("text", "tables", "result"),
    [
        (
            'server = "https://harbor.test" # why\n',
            [TOP],
            f'server = "https://harbor.test" # why\nca = "ca.crt" {ADDED}\n[host] {ADDED}\n',
        ),
        ("k = 1", [TOP], f'k = 1\nca = "ca.crt" {ADDED}\n[host] {ADDED}'),
        (
            '[host."https://m.test"]\n\n[host."https://harbor.test"]\n  capabilities = ["pull"]\n',
            [TOP, OWN],
            f'ca = "ca.crt" {ADDED}\n[host."https://m.test"]\n\n[host."https://harbor.test"]\n'
            f'  ca = "ca.crt" {ADDED}\n  capabilities = ["pull"]\n',
        ),
        (
            "ca = 'site.pem' # theirs\n[host]\n",
            [TOP],
            f"ca = ['site.pem', \"ca.crt\"] {MADE_LIST} # theirs\n[host]\n",
        ),
        (
            'ca = [\r\n  "a.pem", # one\r\n]\r\n[host]\r\n',
            [TOP],
            f'ca = [\r\n  "a.pem", "ca.crt", # one\r\n] {LISTED}\r\n[host]\r\n',
        ),
        ("ca = []\n[host]\n", [TOP], f'ca = ["ca.crt"] {LISTED}\n[host]\n'),
        (f'ca = ["a", "{DIRECTORY}/ca.crt"]\n[host]\n', [TOP], f'ca = ["a", "{DIRECTORY}/ca.crt"]\n[host]\n'),
    ],
)
def test_in_and_out(text: str, tables: list[tuple[str, ...]], result: str) -> None:
    assert merged(text, *tables) == result
    assert merged(result, *tables) == result
    assert unmerged(result) == text
    assert is_merged(result) is (result != text)


@pytest.mark.parametrize(
    "text",
    [
        'host = { "https://harbor.test" = { capabilities = ["pull"] } }\n',
        'host."https://harbor.test".capabilities = ["pull"]\n',
        '[host."https://harbor.test".header]\nx = "y"\n',
        'host = { "https://harbor.test" = { ca = "a" } }\n',
    ],
)
def test_a_table_that_cannot_take_a_line_is_left_to_its_owner(text: str) -> None:
    with pytest.raises(TomlError) as caught:
        merged(text, OWN)
    assert PATH in str(caught.value) and "by hand" in str(caught.value)


@pytest.mark.parametrize(
    ("edited", "left"),
    [
        # Its owner has used the table that we needed, or changed what we wrote.
        (f'[host] {ADDED}\n[host."https://m.test"]\n', '[host]\n[host."https://m.test"]\n'),
        (f'ca = "other.pem" {ADDED}\n[host]\n', 'ca = "other.pem"\n[host]\n'),
        (f'ca = ["ca.crt", "a", "b"] {MADE_LIST}\n', 'ca = ["a", "b"]\n'),
        (f'ca = ["ca.crt", "a"] {MADE_LIST}\n', 'ca = "a"\n'),
        (f'ca = ["a"] {LISTED}\n', 'ca = ["a"]\n'),
        (f"# {ADDED}\nx = '''\n[host] {ADDED}\n'''\n", f"# {ADDED}\nx = '''\n[host] {ADDED}\n'''\n"),
    ],
)
def test_what_its_owner_did_since_stays(edited: str, left: str) -> None:
    assert unmerged(edited) == left


CAS = [
    "",
    "",
    'ca = "site.pem"',
    "ca = 'a.pem'",
    "ca = [\"a.pem\", 'b.pem']",
    "ca = [ ]",
    'ca = [\n\t"x", # ]\n]',
]
BODIES = [
    'capabilities = ["pull", "resolve"]',
    "skip_verify = false",
    "x = '''\nca = \"no\"\n[host]\n'''",
    "",
]


@st.composite
def hosts_texts(draw: st.DrawFn) -> str:
    """What somebody may have written: a top level, and [host] tables, ours or not among them."""
    indent = draw(st.sampled_from(["", "  ", "\t"]))

    def body(first: str) -> list[str]:
        said = [
            first,
            *draw(st.lists(st.sampled_from(BODIES), max_size=2, unique=True)),
            draw(st.sampled_from(CAS)),
        ]
        return [indent + line + draw(st.sampled_from(COMMENTS)) for line in said if line]

    lines = [draw(st.sampled_from(["", "# by hand", 'server = "https://harbor.test"']))]
    lines += [line.lstrip(" \t") for line in body("")]
    for url in draw(
        st.lists(
            st.sampled_from(["https://harbor.test", "http://m.test", "https://m.test/v2/p"]), unique=True
        )
    ):
        quote = draw(st.sampled_from("\"'"))
        lines += ["", f"[host.{quote}{url}{quote}]" + draw(st.sampled_from(COMMENTS)), *body("")]
    if draw(st.booleans()):
        lines += ["[host]"]
    return with_newline(
        "\n".join(lines) + draw(st.sampled_from(["", "\n", "\n\n"])), draw(st.sampled_from(["\n", "\r\n"]))
    )


def expected(data: dict[str, Any], tables: list[tuple[str, ...]]) -> dict[str, Any]:
    data = copy.deepcopy(data)
    for path in tables:
        table = data
        for key in path:
            table = table[key]
        old = table.get("ca", [])
        old = old if isinstance(old, list) else [old]
        table["ca"] = [*old, "ca.crt"] if "ca" in table else "ca.crt"
    data.setdefault("host", {})
    return data


@settings(same_each_time, max_examples=400)
@given(hosts_texts(), st.booleans())
def test_whatever_the_text(text: str, own: bool) -> None:
    before = read(text)
    if before is None:
        return
    tables: list[tuple[str, ...]] = [TOP]
    if own and OWN[1] in before.get("host", {}):
        tables.append(OWN)
    result = merged(text, *tables)
    assert exact(read(result)) == exact(expected(before, tables))
    assert merged(result, *tables) == result
    assert unmerged(result) == text
    assert unmerged(text) == text
    if "\n" in text:
        assert ("\r\n" in result) is ("\r\n" in text)

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Awkward TOML texts for tests: headers and keys inside strings and comments, all ways to write a table, CRLF.

The examples are the same in each run.
"""

from __future__ import annotations

import importlib
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

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

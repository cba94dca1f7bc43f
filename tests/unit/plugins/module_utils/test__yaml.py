# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""registries.yaml as people write it: read, edited in place, or refused with its line. PyYAML is the judge."""

from __future__ import annotations

import pytest
import yaml

from ansible_collections.nodetrust.harbor.plugins.module_utils._yaml import (
    YamlError,
    decode,
    parse,
    remove,
    set_string,
)

HOST = "harbor.test:8443"
PATH = ("configs", HOST, "tls", "ca_file")
CA = "/etc/rancher/k3s/nodetrust.harbor/harbor.test:8443/ca.crt"

OURS = """\
configs:
  "harbor.test:8443":
    tls:
      ca_file: "/etc/rancher/k3s/nodetrust.harbor/harbor.test:8443/ca.crt"
"""
# text before, text after: the one is what `remove` makes of the other again
SET = {
    "nothing": ("", OURS),
    "a comment": ("# ours\n", "# ours\n" + OURS),
    "a document start": ("---\n", "---\n" + OURS),
    "mirrors only": (
        "mirrors:\n  docker.io:\n    endpoint:\n      - https://m.test  # near\n",
        "mirrors:\n  docker.io:\n    endpoint:\n      - https://m.test  # near\n" + OURS,
    ),
    "another registry, four blanks": (
        "configs:\n    other.test:\n        auth:\n            username: 'a # b'\n# end\n",
        "configs:\n    other.test:\n        auth:\n            username: 'a # b'\n"
        f'    "{HOST}":\n        tls:\n            ca_file: "{CA}"\n# end\n',
    ),
    "its auth": (
        f"configs:\n  {HOST}:  # the harbor\n    auth:\n      username: u\n\nmirrors: {{}}\n",
        f"configs:\n  {HOST}:  # the harbor\n    auth:\n      username: u\n"
        f'    tls:\n      ca_file: "{CA}"\n\nmirrors: {{}}\n',
    ),
    "its other tls keys": (
        f"configs:\n  '{HOST}':\n    tls:\n      cert_file: /c\n",
        f"configs:\n  '{HOST}':\n    tls:\n      cert_file: /c\n      ca_file: \"{CA}\"\n",
    ),
    "braces": (
        f'configs: {{"{HOST}": {{auth: {{username: u}}}}, other: {{}}}}\n',
        f'configs: {{"{HOST}": {{auth: {{username: u}}, tls: {{ca_file: "{CA}"}}}}, other: {{}}}}\n',
    ),
    "braces over lines": (
        f'configs:\n  "{HOST}": {{\n    tls: {{cert_file: /c,}}\n  }}\n',
        f'configs:\n  "{HOST}": {{\n    tls: {{cert_file: /c, ca_file: "{CA}",}}\n  }}\n',
    ),
    "Windows line ends and a byte order mark": (
        "\ufeff# x\r\nmirrors:\r\n",
        "\ufeff# x\r\nmirrors:\r\n" + OURS.replace("\n", "\r\n"),
    ),
}


@pytest.mark.parametrize("name", SET)
def test_sets_and_takes_away_again(name):
    before, after = SET[name]
    assert set_string(before, PATH, CA) == after
    assert yaml.safe_load(after)["configs"][HOST]["tls"]["ca_file"] == CA
    assert set_string(after, PATH, CA) == after
    assert remove(after, PATH) == before
    assert remove(before, PATH) == before


@pytest.mark.parametrize(
    "old, new",
    [
        ("/old", "/new"),
        ("'/old'", "'/new'"),
        ('"/old"', '"/new"'),
        ("/old  # why", "/new  # why"),
        ("~ # why", "/new # why"),
        ("", ' "/new"'),
    ],
)
def test_replaces_a_value_in_its_own_spelling(old, new):
    text = f"configs:\n  h:\n    tls:\n      ca_file:{' ' if old else ''}"
    gap = " " if old else ""
    assert set_string(
        f"configs:\n  h:\n    tls:\n      ca_file:{gap}{old}\n", ("configs", "h", "tls", "ca_file"), "/new"
    ) == (text + new + "\n")


def test_a_last_line_without_an_end_gets_one():
    assert set_string("mirrors:", PATH, CA) == "mirrors:\n" + OURS


def test_a_comment_of_somebody_else_keeps_its_place():
    text = f"configs:\n  h:\n    # the old CA goes in May\n    tls:\n      ca_file: {CA}\n"
    result = remove(text, ("configs", "h", "tls", "ca_file"))
    assert result == "configs:\n  h:\n    # the old CA goes in May\n"
    assert yaml.safe_load(result) == {"configs": {"h": None}}


@pytest.mark.parametrize(
    "text, line, words",
    [
        ("a: b\nconfigs:\n\th: c\n", 3, "tab"),
        ("a:\tb\n", 1, "tab"),
        ("a: 1\nb: 2\na: 3\n", 3, "twice in the same mapping, before on line 1"),
        ("configs:\n  h: {a: b, 'a': c}\n", 2, "twice"),
        ("a: &x b\n", 1, "anchor"),
        ("a: *x\n", 1, "alias"),
        ("a: !t b\n", 1, "tag"),
        ("a: |\n  b\n", 1, "several lines"),
        ("a: b\n  c\n", 2, "several lines"),
        ("a: 'b\n  c'\n", 1, "don't close on this line"),
        ("a:\n  <<: b\n", 2, "merge key"),
        ("? a\n: b\n", 1, "question mark"),
        ("%YAML 1.1\n---\na: b\n", 1, "directive"),
        ("a: b\n---\nc: d\n", 2, "second document"),
        ("--- a: b\n", 1, "after ---"),
        ("a: b: c\n", 1, "after the value"),
        ("a: [b, c\nd: e\n", 2, "','"),
        ("a: {b: c]\n", 1, "','"),
        ("a:\n    b: c\n  d: e\n", 3, "indentation"),
        ("a: b\nc\n", 2, "a key and a colon"),
        ('a: "\\q"\n', 1, "no known escape"),
        ("a: \x00\n", 1, "can't stand here"),
        ("a: b\rc: d\n", 1, "can't stand here"),
        ("a: " + "[" * 99, 1, "levels"),
    ],
)
def test_what_is_not_read_is_refused_with_its_line(text, line, words):
    for attempt in (parse, lambda text, source: set_string(text, PATH, CA, source)):
        with pytest.raises(YamlError) as caught:
            attempt(text, "/etc/registries.yaml")
        assert caught.value.line == line
        assert words in str(caught.value) and f"/etc/registries.yaml, line {line}: " in str(caught.value)
        assert caught.value.next_step


@pytest.mark.parametrize(
    "text", ["- a\n", "a\n", "configs: a\n", "configs:\n  - a\n", f"configs: {{{HOST!r}: [a]}}\n"]
)
def test_something_else_in_the_way_is_named(text):
    with pytest.raises(YamlError) as caught:
        set_string(text, PATH, CA)
    assert "isn't a mapping" in str(caught.value) and caught.value.line


def test_a_message_never_repeats_a_value():
    for text in ("password: 'geheim\n", "password: geheim: x\n", "a: {geheim: 1, geheim: 2}\n"):
        with pytest.raises(YamlError) as caught:
            parse(text)
        assert "geheim" not in str(caught.value)


def test_only_utf_8_is_text():
    with pytest.raises(YamlError) as caught:
        decode(b"a: b\nc: \xff\n", "/etc/registries.yaml")
    assert caught.value.line == 2 and "UTF-8" in str(caught.value)


def test_questions_to_a_document():
    document = parse('configs:\n  h:\n    tls:\n      insecure_skip_verify: yes\n      ca_file: ~\n  "*":\n')
    assert document.is_true(("configs", "h", "tls", "insecure_skip_verify"))
    assert document.string(("configs", "h", "tls", "ca_file")) is None
    assert document.keys(("configs",)) == ["h", "*"] and document.keys(("configs", "*")) == []
    assert document.line(("configs", "*")) == 6 and document.line(("configs", "x")) is None

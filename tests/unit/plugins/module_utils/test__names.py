# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which names become directories on nodes, and what is said about those that do not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.nodetrust.harbor.plugins.module_utils._images import registry_of_image
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import InvalidRegistry, parse_registry

LONG_LABEL = "a" * 64


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("harbor.example.com", "harbor.example.com", None),
        ("harbor.example.com:8443", "harbor.example.com", 8443),
        ("harbor.example.com:443", "harbor.example.com", 443),
        ("harbor:8443", "harbor", 8443),
        ("harbor.27.96.156.180.nip.io", "harbor.27.96.156.180.nip.io", None),
        ("10.0.0.1", "10.0.0.1", None),
        ("10.0.0.1:5000", "10.0.0.1", 5000),
        ("xn--hrbor-gra.example:65535", "xn--hrbor-gra.example", 65535),
        ("a" * 63 + ".example", "a" * 63 + ".example", None),
        ("a--b.0c", "a--b.0c", None),
    ],
)
def test_a_good_name_is_kept_to_the_letter(text: Any, host: str, port: int | None) -> None:
    assert parse_registry(text) == (text, host, port)


BAD_NAMES = [
    ("", "empty"),
    ("   ", "empty"),
    (None, "not a text", "nothing", "quotes"),
    (10.5, "not a text", "a number"),
    (True, "true or false"),
    (["harbor.x"], "a list"),
    ("https://harbor.example.com", "scheme", "Write harbor.example.com"),
    ("HTTPS://Harbor.example.com/", "scheme", "Write harbor.example.com"),
    ("docker://harbor.example.com:8443/a", "scheme", "Write harbor.example.com:8443"),
    ("http:/harbor.x", "scheme", "Write harbor.x"),
    ("harbor.example.com/project", "path", "Write harbor.example.com"),
    ("harbor.example.com/", "path", "Write harbor.example.com"),
    ("/etc", "path"),
    ("../../etc", "path"),
    ("harbor..example.com", "'..'"),
    ("..", "'..'"),
    ("harbor\\x.example", "backslash"),
    ("robot$ci:geheim@harbor.example.com", "credentials", "change that password"),
    ("https://u:geheim/@x@harbor.x", "credentials"),
    (" harbor.example.com", "space", "Write harbor.example.com"),
    ("harbor .example.com", "space"),
    ("harbor.x\n", "control", "Write harbor.x"),
    ("harbor\x00.x", "control"),
    ("harbor\x1b[31m.x", "control"),
    ("\u202eharbor.x", "invisible"),
    ("harb\u00f6r.x", "ASCII", "xn--"),
    ("harbor.x:\uff18443", "ASCII"),
    ("Harbor.example.com", "upper-case", "lower case", "image references: harbor.example.com"),
    ("[2001:db8::1]:443", "IPv6", "host name"),
    ("2001:db8::1", "IPv6"),
    ("a.b:1:2", "more than one colon"),
    ("*.example.com", "wildcard", "one entry for each"),
    ("harbor.x:0", "port", "1 to 65535"),
    ("harbor.x:70000", "port", "1 to 65535"),
    ("harbor.x:" + "9" * 200, "port", "1 to 65535"),
    ("harbor.x:https", "port", "not a number"),
    ("harbor.x:", "port", "not a number"),
    ("harbor.x:-1", "port", "not a number"),
    ("harbor.x:0443", "begins with a zero", "port 443"),
    (":8443", "no host"),
    ("harbor", "Docker Hub", "add the port"),
    (".harbor.x", "dot", "Write harbor.x"),
    ("harbor.x.", "dot", "Write harbor.x"),
    (".", "dot"),
    ("-harbor.x", "dash"),
    ("harbor-.x", "'harbor-'", "dash"),
    ("harbor_8443_", "underscore", "host:port"),
    ("_default", "underscore"),
    ("har$bor.x", "'$'"),
    ("$(reboot).x", "no host name has"),
    ("{{ lookup('pipe','id') }}.x", "space"),
    ("harbor.x?token=geheim", "'?'"),
    ("localhost", "loopback", "proves nothing"),
    ("localhost:5000", "loopback"),
    ("a.localhost", "loopback"),
    ("127.0.0.1:5000", "loopback"),
    ("127.9.9.9", "loopback"),
    ("127.1:80", "IPv4"),
    ("0x7f000001:80", "IPv4"),
    ("10.0.0.256", "IPv4"),
    ("10.0.0.010", "IPv4", "leading zeros"),
    ("1.2.3.4.5", "IPv4"),
    ("0.0.0.0:80", "no single host"),
    ("239.1.1.1", "no single host"),
    (LONG_LABEL + ".x", "64 characters", "63"),
    ("a." * 126 + "x:80", "256 characters", "253"),
    ("index.docker.io", "Write docker.io"),
]


@pytest.mark.parametrize(("text", "words"), [(row[0], row[1:]) for row in BAD_NAMES])
def test_a_bad_name_is_refused_in_words_that_help(text: Any, words: Sequence[str]) -> None:
    with pytest.raises(InvalidRegistry) as caught:
        parse_registry(text)
    message = str(caught.value)
    assert [word for word in words if word not in message] == []
    assert "Next step: " in message
    assert caught.value.reason == "invalid_registry"
    assert "geheim" not in message + repr(caught.value.facts())
    assert message.isprintable()
    assert message.isascii()


@given(st.one_of(st.text(), st.text(alphabet="aA0-._:/@[]*x \\\n\0", max_size=30)))
def test_nothing_passes_that_could_leave_the_directory(text: Any) -> None:
    try:
        name = parse_registry(text).name
    except InvalidRegistry:
        return
    assert name == text
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*[a-z0-9](:[1-9][0-9]{0,4})?", name)
    assert ".." not in name
    assert len(name) <= 253
    assert registry_of_image(f"{name}/a:1") == name

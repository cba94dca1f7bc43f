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

from ansible_collections.nodetrust.harbor.plugins.module_utils._names import (
    InvalidImage,
    InvalidRegistry,
    image_of_registry,
    parse_registry,
    registry_of_image,
    shown_image,
)

DIGEST = "sha256:" + "0a" * 32
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


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        (f"harbor.x:8443/a/b:1@{DIGEST}", "harbor.x:8443"),
        (f"harbor.x/a@{DIGEST}", "harbor.x"),
        ("harbor.x/theater-msa/movie-service:latest", "harbor.x"),
        ("harbor:5000/a__b.c---d/e:V1_x.y-z", "harbor:5000"),
        ("10.0.0.1/a:1", "10.0.0.1"),
    ],
)
def test_an_image_begins_with_its_registry(image: Any, registry: str) -> None:
    assert registry_of_image(image) == registry
    assert image_of_registry(registry, image) == image


BAD_IMAGES = [
    ("", "empty"),
    (None, "not a text"),
    ("a/b:1", "no registry", "Docker Hub"),
    ("busybox", "no registry"),
    ("harbor.x", "no registry"),
    ("harbor.x/", "no repository"),
    ("harbor.x/:1", "no repository"),
    ("harbor.x/a", "neither a tag nor a digest", "harbor.x/a:latest"),
    ("harbor.x/A:1", "upper-case"),
    ("harbor.x/a//b:1", "repository is not valid"),
    ("harbor.x/a/../b:1", "repository is not valid"),
    ("harbor.x/a___b:1", "repository is not valid"),
    ("harbor.x/-a:1", "repository is not valid"),
    ("harbor.x/a:", "tag"),
    ("harbor.x/a:.1", "tag"),
    ("harbor.x/a:1/b", "tag"),
    ("harbor.x/a:" + "x" * 129, "tag", "128"),
    ("harbor.x/" + "a" * 250 + ":1", "longer than 255"),
    ("harbor.x/a@sha256:12", "digest", "64"),
    ("harbor.x/a@" + DIGEST.upper(), "digest", "lower-case"),
    ("harbor.x/a@", "digest"),
    ("robot:geheim@harbor.x/a:1", "not a digest", "change that password"),
    ("robot:ge@heim@harbor.x/a:1", "not a digest"),
    ("https://harbor.x/a:1", "scheme"),
    ("docker://harbor.x/a:1", "scheme"),
    ("harbor.x/a b:1", "space"),
    ("harbor.x/a:1\n", "not allowed there"),
    ("Harbor.x/a:1", "upper-case", "lower case"),
    ("localhost:5000/a:1", "loopback"),
    ("127.0.0.1/a:1", "loopback"),
]


@pytest.mark.parametrize(("image", "words"), [(row[0], row[1:]) for row in BAD_IMAGES])
def test_a_bad_image_is_refused_in_words_that_help(image: Any, words: Sequence[str]) -> None:
    with pytest.raises(InvalidImage) as caught:
        registry_of_image(image)
    message = str(caught.value)
    assert [word for word in words if word not in message] == []
    assert "Next step: " in message
    assert "geheim" not in message + repr(caught.value.facts())
    assert message.isprintable()


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("theater-msa/movie-service:latest", "harbor.x:8443/theater-msa/movie-service:latest"),
        ("busybox:1", "harbor.x:8443/busybox:1"),
        (f"a/b@{DIGEST}", f"harbor.x:8443/a/b@{DIGEST}"),
        ("harbor.x:8443/a:1", "harbor.x:8443/a:1"),
    ],
)
def test_the_registry_may_be_left_out_of_a_proof_image(image: Any, full: str) -> None:
    assert image_of_registry("harbor.x:8443", image) == full


@pytest.mark.parametrize(
    "image", ["harbor.x/a:1", "harbor.x:443/a:1", "other.example/a:1", "harbor.x:84430/a:1"]
)
def test_an_image_of_another_registry_proves_nothing(image: Any) -> None:
    with pytest.raises(InvalidImage) as caught:
        image_of_registry("harbor.x:8443", image)
    assert "harbor.x:8443" in str(caught.value)


def test_a_shown_image_keeps_its_digest_and_hides_a_password() -> None:
    assert DIGEST in shown_image(f"harbor.x/a@{DIGEST}")
    assert "geheim" not in shown_image("u:geheim@harbor.x/a:1")

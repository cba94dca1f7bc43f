# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which image references serve as a proof, and what is said about those that do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils._images import (
    InvalidImage,
    image_of_registry,
    registry_of_image,
    shown_image,
)

DIGEST = "sha256:" + "0a" * 32


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

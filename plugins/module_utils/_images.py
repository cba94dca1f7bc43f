# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an image reference may be, and which registry it belongs to.

**PRIVATE** to the collection. Standard library only: runs on nodes and on the controller.
"""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import (
    SCHEME,
    InvalidRegistry,
    kind_of,
    parse_registry,
    shown,
)

# The grammar of image references as the runtimes' own parser has it (distribution/reference).
_PATH_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}", re.ASCII)
_ALMOST_DIGEST = re.compile(r"(?:sha|md)[0-9]*[:=-]?[0-9a-fA-F]*", re.ASCII | re.IGNORECASE)
_MAX_REPOSITORY_LENGTH = 255


class InvalidImage(TrustError):
    """An image reference that cannot serve as the proof."""

    def __init__(self, message: str, **fields: Any) -> None:
        fields.setdefault("reason", "invalid_image")
        super().__init__(message, **fields)


def registry_of_image(image: Any) -> str:
    """The registry that a full image reference begins with; the reference itself is checked too."""
    _check_image_writing(image)
    rest, at, digest = image.partition("@")
    first, slash, path = rest.partition("/")
    if not slash or not _looks_like_registry(first):
        raise InvalidImage(
            "The image names no registry, so runtimes would look for it on Docker Hub.",
            found=shown_image(image),
            expected="registry/repository:tag",
            next_step="Put the registry in front, as in harbor.example.com/project/image:tag",
        )
    try:
        registry = parse_registry(first)
    except InvalidRegistry as exc:
        raise InvalidImage(
            f"The image does not begin with a valid registry. {exc.message}",
            found=shown_image(image),
            expected=exc.expected,
            next_step=exc.next_step,
        ) from None
    _check_repository(image, registry.name, path, digest if at else None)
    return registry.name


def image_of_registry(registry: str, image: Any) -> str:
    """The full reference of a proof image, which may be written without its registry.

    `theater-msa/movie-service:1` and `harbor.example.com/theater-msa/movie-service:1` mean the same for the
    registry harbor.example.com. An image of another registry proves nothing here and is refused.
    """
    _check_image_writing(image)
    first, slash, _rest = image.partition("@")[0].partition("/")
    full = image if slash and _looks_like_registry(first) else f"{registry}/{image}"
    owner = registry_of_image(full)
    if owner != registry:
        raise InvalidImage(
            "The image belongs to another registry, so pulling it would prove nothing about this one.",
            registry=registry,
            found=f"an image of {owner}",
            expected=f"an image of {registry}",
            next_step=f"Name an image that lies in {registry}. For a runtime {registry} and {owner} are two "
            "registries, even if they lead to the same server",
        )
    return full


def shown_image(image: Any) -> str:
    """An image reference that is safe to print: an @ may announce a digest or end a password."""
    text = str(image)
    before, at, after = text.partition("@")
    if at and _ALMOST_DIGEST.fullmatch(after):
        return shown(before, 200) + " with the digest " + shown(after, 140)
    return shown(text, 200)


def _looks_like_registry(first: str) -> bool:
    # The runtimes' own rule for telling a registry from the first part of a Docker Hub path.
    return "." in first or ":" in first or first == "localhost" or first != first.lower()


def _check_image_writing(image: Any) -> None:
    fields = {"expected": "registry/repository:tag or registry/repository@sha256:..."}
    if not isinstance(image, str) or not image.strip():
        raise InvalidImage(
            "The image is empty or not a text.",
            found="nothing but blanks" if isinstance(image, str) else kind_of(image),
            next_step="Name an image that every node may pull, or leave the option out",
            **fields,
        )
    _before, at, after = image.partition("@")
    if at and not _DIGEST.fullmatch(after):
        if _ALMOST_DIGEST.fullmatch(after):
            raise InvalidImage(
                "The digest of the image is damaged.",
                found=shown(after, 140),
                expected="sha256: and 64 lower-case hex digits",
                next_step="Copy the digest again from the registry",
            )
        raise InvalidImage(
            "What follows the @ in the image is not a digest. Credentials do not belong there.",
            found="something else after the @, which is not shown",
            next_step="Remove everything up to the @ and, if a password stood there, change that password",
            **fields,
        )
    if re.match(SCHEME, image):
        raise InvalidImage(
            "The image contains a scheme such as https:// or docker://.",
            found=shown_image(image),
            next_step="Write the reference without it",
            **fields,
        )
    if not image.isascii() or not image.isprintable() or " " in image or "\\" in image:
        raise InvalidImage(
            "The image contains a space, a backslash or another character that is not allowed there.",
            found=shown_image(image),
            next_step="Copy the reference from a pod's specification",
            **fields,
        )


def _check_repository(image: str, registry: str, path: str, digest: str | None) -> None:
    repository, colon, tag = path.partition(":")
    fields = {"registry": registry, "found": shown_image(image)}
    if not repository:
        raise InvalidImage(
            "The image names a registry but no repository.",
            expected=f"{registry}/repository:tag",
            next_step="Add the repository and the tag",
            **fields,
        )
    if repository != repository.lower():
        raise InvalidImage(
            "The repository contains upper-case letters, which image references do not allow.",
            expected="a repository in lower case",
            next_step="Write the repository as the registry lists it",
            **fields,
        )
    if not all(_PATH_COMPONENT.fullmatch(part) for part in repository.split("/")):
        raise InvalidImage(
            "The repository is not valid in an image reference.",
            expected="parts of a-z and 0-9, joined by a slash; inside a part a single dot, one or two "
            "underscores, or dashes may stand between letters or digits",
            next_step="Write the repository as the registry lists it",
            **fields,
        )
    if len(registry) + 1 + len(repository) > _MAX_REPOSITORY_LENGTH:
        raise InvalidImage(
            f"Registry and repository together are longer than {_MAX_REPOSITORY_LENGTH} characters.",
            expected=f"at most {_MAX_REPOSITORY_LENGTH} characters",
            next_step="Name another image for the proof",
            **fields,
        )
    if colon and not _TAG.fullmatch(tag):
        raise InvalidImage(
            "The tag of the image is not valid.",
            expected="1 to 128 letters, digits, dots, dashes, underscores; no dot or dash in front",
            next_step="Write the tag as the registry lists it",
            **fields,
        )
    if not colon and digest is None:
        raise InvalidImage(
            "The image has neither a tag nor a digest.",
            expected="registry/repository:tag",
            next_step=f"Say which one is meant, for example {registry}/{repository}:latest",
            **fields,
        )

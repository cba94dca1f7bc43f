# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a registry may be called.

**PRIVATE** to the collection. Standard library only: runs on nodes and on the controller.

A registry is named exactly as in image references, because runtimes look for a directory of
that very name (runtime-facts §3a). The name becomes a path on nodes, so only what is known to be
harmless passes: everything else is refused, with the spelling that would be accepted where one
can be told.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError

# DNS allows 253 characters; a directory name holds 255 bytes. One limit serves both.
MAX_NAME_LENGTH = 253
MAX_LABEL_LENGTH = 63

_EXAMPLE = "harbor.example.com or harbor.example.com:8443"
_IN_LABELS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*:/"
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)


class InvalidRegistry(TrustError):
    """A registry name that must not become a directory on a node."""

    def __init__(self, message: str, **fields: Any) -> None:
        fields.setdefault("reason", "invalid_registry")
        super().__init__(message, **fields)


class Registry(NamedTuple):
    """A registry as it stands in image references."""

    name: str
    host: str
    port: int | None


def shown(value: Any, limit: int = 80) -> str:
    """Text of a user that is safe to print: no credentials, no control characters, not endless."""
    text = str(value)
    if "@" in text:
        text = "***@" + text.rpartition("@")[2]
    text = re.split(r"[?#]", text, maxsplit=1)[0]
    if len(text) > limit:
        text = text[:limit] + "..."
    return ascii(text)


def kind_of(value: Any) -> str:
    """What a value is, in the words of somebody who writes YAML."""
    for types, word in (
        (bool, "true or false"),
        ((int, float), "a number"),
        ((str, bytes), "a text"),
        ((list, tuple), "a list"),
        (dict, "a set of keys and values"),
    ):
        if isinstance(value, types):
            return word
    return "nothing" if value is None else f"a value of type {type(value).__name__}"


def parse_registry(text: Any) -> Registry:
    """The registry that `text` names, or `InvalidRegistry` saying what is wrong with it."""
    _check_writing(text)
    host, colon, port_text = text.partition(":")
    port = _port(text, port_text) if colon else None
    _check_host(text, host)
    if port is None and "." not in host:
        raise InvalidRegistry(
            "The registry has neither a dot nor a port, so runtimes read it as a repository on Docker Hub.",
            found=shown(text),
            expected=_EXAMPLE,
            next_step="Write the full host name, or add the port, exactly as in the image references",
        )
    return Registry(name=text, host=host, port=port)


def _check_writing(text: Any) -> None:
    """Refuse what is not even the shape of host[:port]."""
    if not isinstance(text, str):
        raise InvalidRegistry(
            "The registry is not a text.",
            found=kind_of(text),
            expected=_EXAMPLE,
            next_step="Put the name in quotes",
        )
    if not text.strip():
        raise InvalidRegistry(
            "The registry name is empty.",
            found="nothing but blanks" if text else "an empty text",
            expected=_EXAMPLE,
            next_step="Write the name as it stands in the image references, before the first slash",
        )
    if "@" in text:
        _refuse(
            text,
            "The registry contains credentials (there is an @ in it).",
            next_step="Remove everything up to the @ and, if a password stood there, change that password; "
            "a registry is only host or host:port",
        )
    if re.match(SCHEME, text):
        _refuse(text, "The registry contains a scheme such as https://.")
    if not text.isprintable():
        _refuse(text, "The registry contains control or invisible characters.")
    if " " in text:
        _refuse(text, "The registry contains a space.")
    if "\\" in text:
        _refuse(text, "The registry contains a backslash.")
    if "/" in text:
        _refuse(text, "The registry contains a path.")
    if "[" in text or "]" in text or text.count(":") > 1:
        _refuse(
            text,
            "The registry is an IPv6 address, or has more than one colon. IPv6 literals are not supported: "
            "no runtime was verified with one.",
            next_step="Use a host name that resolves to the address",
        )
    if "*" in text:
        _refuse(
            text,
            "The registry contains a wildcard; runtimes know none.",
            next_step="Write one entry for each registry",
        )
    if not text.isascii():
        _refuse(
            text,
            "The registry contains letters outside ASCII.",
            next_step="Write the name in its ASCII form (xn--...), in the image references too",
        )
    if ".." in text:
        _refuse(text, "The registry contains '..'.")
    if text != text.lower():
        _refuse(
            text,
            "The registry contains upper-case letters.",
            next_step=f"Write it in lower case, as in image references: {text.lower()}",
        )
    if len(text) > MAX_NAME_LENGTH:
        _refuse(text, f"The registry name has {len(text)} characters, more than {MAX_NAME_LENGTH}.")


def _port(text: str, port_text: str) -> int:
    if not (port_text.isascii() and port_text.isdigit()):
        _refuse(
            text, "The port of the registry is not a number.", expected="a port from 1 to 65535, or no colon"
        )
    if len(port_text) > 1 and port_text.startswith("0") and port_text.strip("0"):
        _refuse(
            text, "The port of the registry begins with a zero.", expected=f"port {port_text.lstrip('0')[:6]}"
        )
    # Compared by length first: a very long number is slow to convert.
    if len(port_text) > 5 or not 1 <= int(port_text) <= 65535:
        _refuse(text, "The port of the registry does not exist.", expected="a port from 1 to 65535")
    return int(port_text)


def _check_host(text: str, host: str) -> None:
    if not host:
        _refuse(text, "The registry has a port but no host.")
    labels = host.split(".")
    for label in labels:
        if not label:
            _refuse(text, "The host of the registry begins or ends with a dot.")
        if "_" in label:
            _refuse(
                text,
                "The registry contains an underscore, which image references do not allow in a registry.",
                next_step="If a port was meant, write host:port; else use a host name without underscore",
            )
        if label.startswith("-") or label.endswith("-"):
            _refuse(text, f"The part {shown(label)} of the registry begins or ends with a dash.")
        bad = sorted(set(label) - _IN_LABELS)
        if bad:
            _refuse(
                text, f"The registry contains characters that no host name has: {' '.join(map(ascii, bad))}."
            )
        if len(label) > MAX_LABEL_LENGTH:
            _refuse(
                text,
                f"A part of the registry name has {len(label)} characters; "
                f"DNS allows {MAX_LABEL_LENGTH} between dots.",
            )
    if host == "localhost" or host.endswith(".localhost") or host.startswith("localhost."):
        _refuse_loopback(text)
    if host == "index.docker.io":
        _refuse(
            text,
            "Runtimes know this registry as docker.io.",
            next_step="Write docker.io, which is the name that runtimes look for",
        )
    # A last label that is a number makes the name an address for the system's resolver,
    # also in forms such as 127.1 or 0x7f000001 that do not look like one.
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        _check_ipv4(text, labels)


def _check_ipv4(text: str, labels: list[str]) -> None:
    plain = len(labels) == 4 and all(
        label.isdigit() and len(label) <= 3 and str(int(label)) == label and int(label) <= 255
        for label in labels
    )
    if not plain:
        _refuse(
            text,
            "The registry looks like an IPv4 address but is none.",
            expected="four numbers from 0 to 255 without leading zeros, or a host name",
        )
    if labels[0] == "127":
        _refuse_loopback(text)
    if labels[0] == "0" or int(labels[0]) >= 224:
        _refuse(text, "The registry is an address that no single host can have.")


def _refuse_loopback(text: str) -> None:
    _refuse(
        text,
        "The registry is on the node itself (loopback). Runtimes do not verify certificates there, "
        "so a CA changes nothing and a pull proves nothing.",
        next_step="Use the name or address under which the other nodes reach the registry",
    )


def _refuse(text: str, message: str, expected: str = _EXAMPLE, next_step: str | None = None) -> None:
    raise InvalidRegistry(
        message, found=shown(text), expected=expected, next_step=next_step or _suggestion(text)
    )


def _suggestion(text: str) -> str:
    """The next step, with the very name to write where it can be told."""
    candidate = re.split(r"[/\\?#]", re.sub(SCHEME, "", text.strip()).lstrip("/"), maxsplit=1)[0].strip(".")
    if candidate != text:
        try:
            return (
                f"Write {parse_registry(candidate.lower()).name}, if that is how the image references begin"
            )
        except InvalidRegistry:
            pass
    return "Write the name as it stands in the image references, before the first slash"

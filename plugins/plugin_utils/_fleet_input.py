# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read what a node has answered as if somebody had forged it: types checked, texts bounded, nothing followed.

**PRIVATE** to the collection. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import parse_pin
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kube_errors import plain

SHORT, LONG, MANY = 200, 1000, 32

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,9})?(?:Z|\+00:00)", re.ASCII)


class Garbage(Exception):
    """An answer that is none of ours. Its text says which field, and what was there."""


def kind(value: object) -> str:
    """What a value is, in a word."""
    words: list[tuple[type | tuple[type, ...], str]] = [
        (bool, "a boolean"),
        ((int, float), "a number"),
        (str, "a text"),
        (Mapping, "a dictionary"),
        ((list, tuple), "a list"),
    ]
    return next((word for types, word in words if isinstance(value, types)), "nothing")


def text(value: object, limit: int = SHORT) -> str:
    """One printable line that is not too long; empty for anything that is no text."""
    # str() of a text that is marked for Ansible is a plain one.
    return plain(str(value), limit) if isinstance(value, str) else ""


def words(value: object, limit: int = SHORT) -> str:
    """What was found or expected, which may be a text or a list of texts, as one line."""
    if isinstance(value, (list, tuple)):
        return plain("; ".join(text(item, limit) for item in value[:MANY]), LONG)
    return text(value, limit)


def name(value: object) -> str | None:
    """A stable name such as a reason, if it looks like one."""
    found = text(value)
    return found if _NAME.fullmatch(found) else None


def texts(value: object, limit: int = SHORT, many: int = MANY) -> list[str]:
    """The texts in a list; the rest is counted, not kept."""
    if not isinstance(value, (list, tuple)):
        return []
    found = [line for item in value if (line := text(item, limit))]
    return found if len(found) <= many else [*found[: many - 1], f"and {len(found) - many + 1} more"]


def flag(answer: Mapping[str, Any], key: str) -> bool:
    """A boolean that must be there."""
    value = answer.get(key)
    if not isinstance(value, bool):
        raise Garbage(f"{key} is {kind(value)}, not true or false")
    return value


def pins(answer: Mapping[str, Any], key: str) -> list[str]:
    """Fingerprints that must be there, in the form that this collection gives them."""
    value = answer.get(key)
    if not isinstance(value, (list, tuple)):
        raise Garbage(f"{key} is {kind(value)}, not a list")
    if len(value) > MANY:
        raise Garbage(f"{key} has {len(value)} entries")
    try:
        return sorted({parse_pin(item) for item in value})
    except TrustError:
        raise Garbage(f"{key} holds something that is no SHA-256 fingerprint") from None


def moment(value: object) -> datetime | None:
    """A time in UTC as this collection writes it."""
    found = _TIME.fullmatch(text(value, 64))
    if not found:
        return None
    try:
        return datetime.strptime(found.group(1), "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def stamp(value: datetime | None) -> str | None:
    """The other way round."""
    return value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") if value else None


def mapping(value: object) -> Mapping[str, Any]:
    """The dictionary, or an empty one."""
    return value if isinstance(value, Mapping) else {}

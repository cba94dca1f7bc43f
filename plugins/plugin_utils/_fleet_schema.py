# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check a value by the words of JSON Schema that docs/fleet.schema.json uses, and no others.

**PRIVATE** to the collection. Pure. The schema that users read is the one that is enforced.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "null": lambda value: value is None,
}
_WORDS = {
    "$schema", "$defs", "title", "description", "type", "const", "enum", "pattern", "minimum", "anyOf", "$ref",
    "required", "properties", "additionalProperties", "items",
}  # fmt: skip


def problems(
    value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], where: str = "$"
) -> Iterator[str]:
    """What is wrong, and where. A word that is not known here is a mistake in the schema (KeyError)."""
    if unknown := schema.keys() - _WORDS:
        raise KeyError(f"{where}: {sorted(unknown)}")
    if "$ref" in schema:
        yield from problems(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root, where)
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if types and not any(_TYPES[one](value) for one in types):
        yield f"{where} is not {' or '.join(types)}"
        return
    # To Python, True is 1.
    if "const" in schema and (value != schema["const"] or isinstance(value, bool)):
        yield f"{where} is not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where} is none of {', '.join(schema['enum'])}"
    if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
        yield f"{where} does not look as it should"
    if "minimum" in schema and isinstance(value, (int, float)) and value < schema["minimum"]:
        yield f"{where} is less than {schema['minimum']}"
    if "anyOf" in schema:
        tried = [list(problems(value, one, root, where)) for one in schema["anyOf"]]
        if all(tried):
            yield min(tried, key=len)[0]
    if isinstance(value, dict):
        yield from _in_object(value, schema, root, where)
    if isinstance(value, list) and "items" in schema:
        for number, item in enumerate(value):
            yield from problems(item, schema["items"], root, f"{where}[{number}]")


def _in_object(
    value: dict[str, Any], schema: Mapping[str, Any], root: Mapping[str, Any], where: str
) -> Iterator[str]:
    known = schema.get("properties", {})
    yield from (f"{where}.{key} is missing" for key in schema.get("required", []) if key not in value)
    for key, item in value.items():
        rule = known.get(key, schema.get("additionalProperties"))
        if rule is not None:
            yield from problems(item, rule, root, f"{where}.{key}")

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mark values from outside as never to be templated. The only place that knows how.

**PRIVATE** to the collection. ansible-core 2.19 and later template only what somebody has marked as
trusted, so values from an API are inert as they are. On 2.16 to 2.18 every text is a template unless it
is wrapped; the wrapper shows in ``ansible-inventory --list``, so only texts that could be one are wrapped.
"""

from __future__ import annotations

from typing import Any

try:
    from ansible.template import trust_as_template as _trust  # noqa: F401

    _INERT = True
except ImportError:
    _INERT = False


def _wrap(text: str) -> str:
    from ansible.utils.unsafe_proxy import wrap_var

    return wrap_var(text)  # type: ignore[no-any-return]


def mark_unsafe(value: Any) -> Any:
    """The same value; no text in it will ever be taken for a template."""
    return value if _INERT else _marked(value)


def _marked(value: Any) -> Any:
    if isinstance(value, str):
        return _wrap(value) if "{" in value else value
    if isinstance(value, dict):
        return {_marked(key): _marked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_marked(item) for item in value]
    return value

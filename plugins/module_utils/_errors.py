# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception family of this collection: a failure is a small report, not a sentence.

**PRIVATE** to the collection. The core raises; each plugin has one place that turns what it
catches into a failure with the same fields.
"""

from __future__ import annotations

from typing import Any


class TrustError(Exception):
    """Something stands between a node and its trust in a registry.

    Parameters:
        message: one sentence, without the fields below.
        reason: stable name in snake_case that a program may act on.
        registry: registry as in image references, if the failure belongs to one.
        path: file or directory that was looked at.
        found: what was there.
        expected: what should have been there.
        next_step: what the person on call does now.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        registry: str | None = None,
        path: str | None = None,
        found: Any = None,
        expected: Any = None,
        next_step: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.registry = registry
        self.path = path
        self.found = found
        self.expected = expected
        self.next_step = next_step

    def facts(self) -> dict[str, Any]:
        """The report as fields, for a module's result."""
        return {
            "reason": self.reason,
            "registry": self.registry,
            "path": self.path,
            "found": self.found,
            "expected": self.expected,
            "next_step": self.next_step,
        }

    def __str__(self) -> str:
        sentence = self.message if self.message.endswith(".") else f"{self.message}."
        parts = [f"{self.registry}: {sentence}" if self.registry else sentence]
        for label, value in (
            ("Found", self.found),
            ("Expected", self.expected),
            ("Next step", self.next_step),
        ):
            if value not in (None, "", []):
                text = (
                    ", ".join(str(item) for item in value) if isinstance(value, (list, tuple)) else str(value)
                )
                parts.append(f"{label}: {text.rstrip('.')}.")
        return " ".join(parts)

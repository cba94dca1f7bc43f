# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each test gets its node in its hands."""

from __future__ import annotations

from tests.lab.verify.node import node

__all__ = ["node"]

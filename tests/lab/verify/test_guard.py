# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run with every molecule scenario: nothing tested is a failure, not a pass."""

from __future__ import annotations

from pathlib import Path

import pytest

testinfra_hosts = ["local://"]


def others(request: pytest.FixtureRequest) -> list[pytest.Item]:
    return [item for item in request.session.items if item.path != Path(__file__).resolve()]


def test_the_scenario_has_tests_of_its_own(request: pytest.FixtureRequest) -> None:
    assert others(request), "This scenario has no tests/test_*.py with a test in it: it would prove nothing."


def test_the_tests_have_hosts(request: pytest.FixtureRequest) -> None:
    # pytest skips a test whose list of hosts is empty, and a skipped test is green.
    empty = [
        item.nodeid
        for item in others(request)
        for mark in item.iter_markers("skip")
        if "empty parameter set" in str(mark.kwargs.get("reason"))
    ]
    assert not empty, f"The inventory gives these tests no host to run on: {empty}"

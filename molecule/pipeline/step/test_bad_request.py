# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad requests through the playbook: told in full before a node is touched, and nothing secret is repeated."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tests.lab import pki
from tests.lab.verify import nodes
from tests.lab.verify.pipeline import ADDRESSES, Pipeline, snapshots

CA = pki.make_ca("A CA of this test")
OTHER = pki.make_ca("Another CA")
LEAF = pki.issue(CA, nodes.REGISTRY)
NOW = datetime.now(timezone.utc)
PAST = pki.make_ca("An old CA", not_before=NOW - timedelta(days=9), not_after=NOW - timedelta(days=3))
GOOD: dict[str, Any] = {"host": nodes.REGISTRY, "ca_pem": CA.pem}

REQUESTS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "no file": ([{"host": nodes.REGISTRY, "ca_file": "nowhere.crt"}], "nowhere.crt"),
    "private key": ([{**GOOD, "ca_pem": CA.pem + CA.key_pem}], "private key"),
    "leaf": ([{**GOOD, "ca_pem": LEAF.pem}], "not a CA"),
    "expired": ([{**GOOD, "ca_pem": PAST.pem}], "expired"),
    "one CA too many": ([{**GOOD, "ca_pem": CA.pem + OTHER.pem, "fingerprints": [CA.fingerprint]}], "pin"),
    "scheme": ([{**GOOD, "host": f"https://{nodes.REGISTRY}"}], "https://"),
    "twice": ([GOOD, GOOD], "twice"),
    "unknown key": ([{**GOOD, "fingerprint": CA.fingerprint}], "fingerprint"),
    "no list": ({"host": nodes.REGISTRY}, "list"),  # type: ignore[dict-item]
    "credentials in the name": ([{**GOOD, "host": f"robot:hunter2@{nodes.REGISTRY}"}], "credentials"),
    "login without a password": ([GOOD], "password"),
}
MORE: dict[str, dict[str, Any]] = {
    "login without a password": {
        "harbor_ca_credentials": [{"registry": nodes.REGISTRY, "username": "robot", "passwrd": "hunter2"}]
    }
}


@pytest.mark.parametrize("case", REQUESTS)
def test_a_bad_request_is_told_before_the_node_is_touched(pipeline: Pipeline, case: str) -> None:
    registries, words = REQUESTS[case]
    before = snapshots(["node4"])
    given = {"harbor_ca_registries": registries, **MORE.get(case, {})}
    run = pipeline.run(f"{ADDRESSES['node4']},", "-vvv", **given)
    assert run.returncode == 2, run.stdout
    assert snapshots(["node4"]) == before
    assert "ESTABLISH SSH CONNECTION" not in run.stdout
    (result,) = pipeline.outcome["nodes"].values()
    assert result["ok"] is False and result["reason"]
    said = result["msg"].lower()
    assert words.lower() in said and "next step: " in said, said
    assert "found: " in said or "expected: " in said, said
    said = run.stdout + run.stderr + json.dumps(pipeline.outcome)
    assert not [line for line in CA.key_pem.splitlines()[1:-1] if line in said], (
        "the private key was repeated"
    )
    assert "hunter2" not in said, "the password was repeated"

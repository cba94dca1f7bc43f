# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""node_audit: a bad request touches no node, a good one is one call, and a rotation may make it two."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from ansible_collections.nodetrust.harbor.plugins.action import node_audit
from ansible_collections.nodetrust.harbor.tests.unit.plugins.action.on_controller import run_action
from tests.lab import pki

HOST = "harbor.example.com"
NOW = datetime.now(timezone.utc)
EXPIRED = pki.make_ca("Harbor CA", not_before=NOW - timedelta(days=9), not_after=NOW - timedelta(days=2))
OLD = pki.make_ca("Harbor CA")
NEW = pki.make_ca("Harbor CA")
TOKEN = pki.make_ca("Token CA")
CLIENT = pki.issue(OLD, "node", usage=ExtendedKeyUsageOID.CLIENT_AUTH)
ENTRY = {"host": HOST, "ca_pem": OLD.pem}
ROTATION = {"hosts": [HOST], "ca_pem": NEW.pem}


class Node:
    """A node that holds these CAs, and counts the calls."""

    def __init__(self, *held: str) -> None:
        self.held = set(held)
        self.asked: list[dict[str, Any]] = []

    def __call__(self, **call: Any) -> dict[str, Any]:
        assert call["module_name"] == "nodetrust.harbor.ca_fingerprint"
        self.asked.append(call["module_args"])
        (registry,) = call["module_args"]["registries"]
        wanted = {*registry["fingerprints"], *registry["extra_ca_fingerprints"]}
        return {"in_effect": wanted == self.held, "registries": [sorted(wanted)]}


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    node = Node(OLD.fingerprint)
    monkeypatch.setattr(node_audit.ActionModule, "_execute_module", node)
    return node


def audit(**options: Any) -> dict[str, Any]:
    return run_action(node_audit, **{"registries": [ENTRY], **options})


def test_the_node_is_asked_once_for_exactly_the_pins(node: Node) -> None:
    result = audit(runtime="containerd", store="system")
    assert result["in_effect"] is True
    assert node.asked == [
        {
            "registries": [{"host": HOST, "fingerprints": [OLD.fingerprint], "extra_ca_fingerprints": []}],
            "runtime": "containerd",
            "store": "system",
        }
    ]


def test_the_ca_of_a_token_host_counts(node: Node) -> None:
    node.held.add(TOKEN.fingerprint)
    assert audit(registries=[{**ENTRY, "extra_ca_pem": TOKEN.pem}])["in_effect"] is True
    assert audit()["in_effect"] is False


def test_the_client_certificate_is_asked_for_by_its_fingerprint_and_without_its_key(node: Node) -> None:
    audit(registries=[{**ENTRY, "client_cert_pem": CLIENT.pem, "client_key_pem": CLIENT.key_pem}])
    assert node.asked[0]["registries"][0]["client_fingerprint"] == CLIENT.fingerprint
    assert CLIENT.key_pem.splitlines()[1] not in str(node.asked)


def test_a_bad_request_is_told_and_no_node_is_asked(node: Node) -> None:
    result = audit(registries=[{"host": HOST, "ca_pem": "junk"}])
    assert (result["failed"], result["reason"]) == (True, "invalid_registries")
    assert node.asked == []


@pytest.mark.parametrize(
    ("held", "right", "calls"),
    [
        ([OLD, NEW], True, 1),
        ([NEW], True, 2),
        ([OLD], False, 2),
        ([], False, 2),
        ([NEW, TOKEN], False, 2),
    ],
    ids=["both", "the new one alone", "the old one alone", "none", "one that is not pinned"],
)
def test_while_a_rotation_lasts(node: Node, held: list[pki.Credential], right: bool, calls: int) -> None:
    node.held = {credential.fingerprint for credential in held}
    result = audit(rotation=ROTATION)
    assert (result["in_effect"], len(node.asked)) == (right, calls)
    assert result.get("only_new", False) is (held == [NEW])


def test_drift_in_a_rotation_is_told_against_both(node: Node) -> None:
    assert audit(rotation=ROTATION)["registries"] == [sorted([OLD.fingerprint, NEW.fingerprint])]


def test_without_a_rotation_drift_is_one_call(node: Node) -> None:
    node.held = set()
    assert audit()["in_effect"] is False
    assert len(node.asked) == 1


@pytest.mark.parametrize(
    ("answer", "curable"),
    [
        ({"in_effect": True, "registries": []}, False),
        ({"in_effect": False, "registries": [{"registry": HOST, "in_effect": False}]}, False),
        (
            {
                "in_effect": False,
                "registries": [
                    {"registry": HOST, "in_effect": False},
                    {"registry": "other.example.com", "in_effect": False},
                ],
            },
            True,
        ),
        ({"in_effect": False, "registries": ["junk", {"registry": ["junk"]}]}, True),
        ({"in_effect": False, "registries": 7}, True),
        ({"in_effect": False}, True),
    ],
    ids=["right", "only the expired one", "another one too", "junk", "more junk", "nothing"],
)
def test_an_expired_ca_is_compared_but_nothing_is_cured_by_bringing_it_back(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], curable: bool
) -> None:
    monkeypatch.setattr(node_audit.ActionModule, "_execute_module", lambda _self, **_call: dict(answer))
    good = {"host": "other.example.com", "ca_pem": OLD.pem}
    result = audit(registries=[{**ENTRY, "ca_pem": EXPIRED.pem}, good])
    assert (result["expired"], result["curable"]) == ([HOST], curable)


def test_a_node_without_an_answer_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_audit.ActionModule, "_execute_module", lambda _self, **_call: {"failed": True})
    assert "curable" not in audit()

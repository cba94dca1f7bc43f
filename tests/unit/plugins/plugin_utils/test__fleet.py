# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From answers to the fleet document: states, status, expiry, clocks, and nodes that answer garbage."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.plugin_utils import _fleet_summary
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._bundle import InvalidRegistries
from ansible_collections.nodetrust.harbor.tests.report.fleet import (
    HARBOR,
    MIRROR,
    NOW,
    answer,
    bundle,
    certificate,
    document,
    entry,
    iso,
    pin,
    registry,
)

SCHEMA = json.loads((Path(__file__).parents[4] / "docs" / "fleet.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
PULL = {
    "image": f"{HARBOR}/x:1",
    "registry": HARBOR,
    "ok": True,
    "reason": "ok",
    "message": "",
    "remedy": None,
}
REFUSED = {**PULL, "ok": False, "reason": "unknown_authority", "message": "x509", "remedy": "Pin the CA."}


def only(found: dict[str, Any]) -> dict[str, Any]:
    VALIDATOR.validate(found)
    (node,) = found["nodes"]
    return node


@pytest.mark.parametrize(
    ("given", "state", "reason"),
    [
        (entry(result=answer()), "ok", None),
        (entry(result=answer(registry(found=[]))), "drifted", "drift"),
        (entry(result=answer(registry(found=[1, 2]))), "drifted", "drift"),
        (entry(result=answer(registry(in_effect=False), restart_due=True)), "drifted", "restart_due"),
        (
            entry(result=answer(changed=True, changes=[f"create {HARBOR}"]), action="correct"),
            "corrected",
            None,
        ),
        (entry(result=answer(registry(found=[]), changed=True), action="audit"), "drifted", "drift"),
        (entry(result=answer(changed=True, changes=[f"create {HARBOR}"]), action="audit"), "ok", None),
        (entry(result=answer(proof="proven", pulls=[PULL])), "ok", None),
        (entry(result=answer(proof="failed", pulls=[REFUSED])), "failed", "unknown_authority"),
        (
            entry(result={"failed": True, "msg": "no", "reason": "runtime_stopped"}),
            "failed",
            "runtime_stopped",
        ),
        (entry(result={"ok": False, "msg": "no", "reason": "no_disk"}), "failed", "no_disk"),
        (entry(result={"failed": True, "module_stderr": "Killed"}), "failed", "failed"),
        (entry(result={"msg": "ssh: refused"}, unreachable=True), "unreachable", "unreachable"),
        (entry(unreachable=True), "unreachable", "unreachable"),
        (entry(failed=True), "failed", "no_result"),
        (entry(), "unknown", "no_result"),
        (entry(result="<html>"), "unknown", "garbage_answer"),
        (entry(result={}), "unknown", "garbage_answer"),
        (entry(result=answer(registries=[])), "unknown", "garbage_answer"),
        (entry(result=answer(registries="all fine")), "unknown", "garbage_answer"),
        (entry(result=answer(registries=[7])), "unknown", "garbage_answer"),
        (entry(result=answer(registry(), registry())), "unknown", "garbage_answer"),
        (entry(result=answer(registry(in_sync="yes"))), "unknown", "garbage_answer"),
        (entry(result=answer(registry(found_fingerprints=["AB"]))), "unknown", "garbage_answer"),
        (entry(result=answer(registry(found_fingerprints=[pin(1)] * 99))), "unknown", "garbage_answer"),
        (entry(result=answer(registry("elsewhere.example.com"))), "unknown", "garbage_answer"),
        (entry(result=answer(registry(found=[2], in_sync=True, in_effect=True))), "unknown", "contradiction"),
        (entry(result=answer(registry(number=2))), "unknown", "contradiction"),
        (entry(result=answer(registry(found=[], in_effect=True))), "unknown", "contradiction"),
    ],
)
def test_state_of_a_node(given: dict[str, Any], state: str, reason: str | None) -> None:
    node = only(document([given]))
    assert (node["state"], node["reason"]) == (state, reason)
    if state not in ("ok", "corrected"):
        assert node["message"] and node["next_step"]


def test_one_registry_of_two() -> None:
    both = [bundle(), bundle(MIRROR, 2)]
    node = only(document([entry(result=answer(registry(), registry(MIRROR, 2, [])))], both))
    assert [item["state"] for item in node["registries"]] == ["ok", "drifted"]
    assert node["state"] == "drifted"
    assert "mirror" in node["message"]


def test_a_corrected_registry_is_told_from_one_that_was_right() -> None:
    both = [bundle(), bundle(MIRROR, 2)]
    given = answer(registry(), registry(MIRROR, 2), changed=True, changes=[f"create /x/{MIRROR}/ca.crt"])
    node = only(document([entry(result=given, action="correct")], both))
    assert [item["state"] for item in node["registries"]] == ["ok", "corrected"]
    assert node["changes"] == [f"create /x/{MIRROR}/ca.crt"]


def test_what_was_taken_back_is_no_change() -> None:
    given = {"failed": True, "msg": "no", "changed": True, "changes": ["create x"], "rolled_back": True}
    assert only(document([entry(result=given, action="correct")]))["changes"] == []


def test_proof_is_kept_for_each_registry() -> None:
    both = [bundle(), bundle(MIRROR, 2)]
    given = answer(registry(), registry(MIRROR, 2), proof="proven", pulls=[PULL])
    node = only(document([entry(result=given)], both))
    assert [item["proof"] for item in node["registries"]] == ["proven", "none"]


FAILURE = TrustError(
    "it is down", reason="down", registry=HARBOR, found=["a", "b"], expected="up", next_step="start it"
)


def test_a_failure_is_told_once_not_in_the_message_and_in_the_fields_too() -> None:
    given = {"failed": True, "msg": f"host7: {FAILURE}", "node": "host7", **FAILURE.facts()}
    found = document([entry(result=given)])
    node = only(found)
    assert (node["message"], node["found"], node["expected"]) == (f"{HARBOR}: it is down.", "a; b", "up")
    assert _fleet_summary.lines(found)[-1] == (
        f"failed (down): node1. {HARBOR}: it is down. Found: a; b. Expected: up. Next step: start it."
    )


MISTAKES = InvalidRegistries(
    [
        {
            "where": f"entry {number} of 2",
            "msg": f"It is wrong. Found: {number}. Next step: {step}.",
            "next_step": step,
        }
        for number, step in enumerate(("Cure it", "Cure that too"), 1)
    ]
)


def test_the_next_step_of_a_bad_list_is_the_one_of_its_first_mistake() -> None:
    node = only(document([entry(result={"failed": True, "msg": str(MISTAKES), **MISTAKES.facts()})]))
    assert (node["reason"], node["next_step"]) == ("invalid_registries", "Cure it")
    # What has no field of its own stays in the message.
    for words in ("2 problems", "Found: 1", "Found: 2", "Next step: Cure that too"):
        assert words in node["message"]


@pytest.mark.parametrize("errors", [None, 7, [], [7], [{"next_step": 7}]])
def test_errors_without_a_next_step_leave_the_usual_one(errors: Any) -> None:
    node = only(document([entry(result={"failed": True, "msg": "no", "reason": "x", "errors": errors})]))
    assert "-vvv" in node["next_step"]


def test_texts_are_bounded_and_printable() -> None:
    given = {"failed": True, "msg": "a\x1b[31mb\u202ec\n" + "x" * 100_000, "next_step": ["no text"]}
    node = only(document([entry("n" * 500, given, labels={"a": "\x07" * 9, 1: 2})]))
    assert node["message"].startswith("a [31mb c x")
    assert len(node["message"]) == 1000
    assert len(node["node"]) == 200


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    *sorted(answer()),
    "pulls",
    "proof",
    "changes",
    "msg",
    "reason",
    "found",
    "node_time",
    "ok",
    "failed",
]


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(FIELDS), ANYTHING),
    st.dictionaries(st.sampled_from(sorted(registry())), ANYTHING),
)
def test_whatever_a_node_answers_gives_a_document(top: dict[str, Any], inner: dict[str, Any]) -> None:
    for action in ("audit", "correct"):
        found = document(
            [entry(result=answer({**registry(), **inner}, **top), action=action), entry("other", answer())]
        )
        VALIDATOR.validate(found)
        assert len(found["nodes"]) == 2
        json.dumps(found, allow_nan=False)
        _fleet_summary.lines(found)


@pytest.mark.parametrize("results", [[7], [{}], [entry(), entry()], [entry(node="")]])
def test_results_that_are_none(results: list[Any]) -> None:
    with pytest.raises(TrustError) as caught:
        document(results)
    assert caught.value.reason == "bad_results"


@pytest.mark.parametrize(
    ("entries", "bundles", "run", "status"),
    [
        ([entry(result=answer())], None, {}, "clean"),
        ([entry(result=answer(changed=True), action="correct")], None, {}, "corrected"),
        ([entry(result=answer(registry(found=[])))], None, {}, "needs_a_person"),
        ([entry(result=answer()), entry("b", unreachable=True)], None, {}, "needs_a_person"),
        ([entry(result=answer())], None, {"complete": False}, "needs_a_person"),
        ([], None, {}, "needs_a_person"),
        ([entry(result=answer())], [bundle(days=20)], {}, "clean"),
        ([entry(result=answer())], [bundle(days=6.9)], {}, "needs_a_person"),
        ([entry(result=answer())], [bundle(days=-1)], {}, "needs_a_person"),
        ([entry(result=answer())], [bundle(served=True, days=3)], {}, "needs_a_person"),
        ([entry(result=answer())], [bundle(trusted=False)], {}, "needs_a_person"),
    ],
)
def test_status(entries: list[Any], bundles: Any, run: dict[str, Any], status: str) -> None:
    found = document(entries, bundles, **run)
    VALIDATOR.validate(found)
    assert found["status"] == status


@pytest.mark.parametrize(
    ("days", "level"),
    [
        (31, "ok"),
        (30, "warning"),
        (7.5, "warning"),
        (7, "error"),
        (0.1, "error"),
        (0, "expired"),
        (-9, "expired"),
    ],
)
def test_expiry_has_two_thresholds(days: float, level: str) -> None:
    found = document([entry(result=answer())], [bundle(days=days), bundle(MIRROR, 2, served=1, trusted=True)])
    by_kind = {(one["registry"], one["kind"]): one["level"] for one in found["expiry"]}
    assert by_kind == {(HARBOR, "ca"): level, (MIRROR, "ca"): "ok", (MIRROR, "served"): "ok"}
    assert any("expire" in line for line in found["warnings"]) == (level != "ok")
    assert found["expiry"] == sorted(found["expiry"], key=lambda one: one["not_after"])


def test_expiry_of_a_ca_that_is_only_pinned_comes_from_the_nodes() -> None:
    given = {"host": HARBOR, "fingerprints": [pin(1)]}
    told = answer(registry(found=[1, 2]))
    found = document([entry(result="garbage"), entry("b", told)], [given])
    assert [one["fingerprint"] for one in found["expiry"]] == [pin(1)]


def test_an_expired_ca_is_told_with_a_cure_that_still_works() -> None:
    found = document([entry(result=answer())], [bundle(days=-3)])
    (said,) = (line for line in found["warnings"] if "expired 3 days ago" in line)
    assert "that this one has expired is no obstacle" in said


@pytest.mark.parametrize(("lacking", "step"), [([MIRROR], "rotate_ca"), ([HARBOR, MIRROR], "correct_drift")])
def test_a_node_that_lacks_a_ca_that_has_expired_is_not_sent_to_where_nothing_is_done(
    lacking: list[str], step: str
) -> None:
    bundles = [bundle(), {**bundle(MIRROR, 2, days=-3), "expired": True}]
    told = [
        registry(host, number, [] if host in lacking else None)
        for number, host in enumerate([HARBOR, MIRROR], 1)
    ]
    node = only(document([entry(result=answer(*told))], bundles))
    assert (node["state"], step in node["next_step"]) == ("drifted", True)


def test_two_cas_with_the_same_subject_stay_two() -> None:
    same = [certificate(1, 10, "CN=CA"), certificate(2, 900, "CN=CA")]
    given = {"host": HARBOR, "fingerprints": [pin(1), pin(2)], "certificates": same}
    told = registry(
        found=[1, 2], expected_fingerprints=sorted([pin(1), pin(2)]), in_sync=True, in_effect=True
    )
    found = document([entry(result=answer(told))], [given])
    assert [one["level"] for one in found["expiry"]] == ["warning", "ok"]
    assert only(found)["state"] == "ok"


def rotating(days: float, held: list[int], **more: Any) -> dict[str, Any]:
    """A fleet of one node while a rotation from CA 1, which ends in so many days, to CA 2 lasts."""
    both = sorted([pin(1), pin(2)])
    given = {
        "host": HARBOR,
        "fingerprints": both,
        "ending_fingerprints": [pin(1)],
        "certificates": [certificate(1, days), certificate(2)],
    }
    expected = both if held == [1, 2] else [pin(2)]
    told = registry(found=held, expected_fingerprints=expected, in_sync=True, in_effect=True)
    return document([entry(result=answer(told)), *more.pop("others", [])], [given], **more)


@pytest.mark.parametrize(("days", "level"), [(300, "ok"), (3, "warning"), (-3, "warning")])
def test_a_ca_that_is_being_replaced_is_at_most_a_warning(days: float, level: str) -> None:
    found = rotating(days, [1, 2])
    VALIDATOR.validate(found)
    levels = {one["fingerprint"]: (one["level"], one["ending"]) for one in found["expiry"]}
    assert levels == {pin(1): (level, True), pin(2): ("ok", False)}
    assert found["status"] == "clean"
    said = [line for line in found["warnings"] if "Harbor CA 1" in line]
    assert len(said) == (level != "ok")
    for line in said:
        assert "a rotation replaces" in line and "Finish the rotation" in line
        assert ("expired 3 days ago" if days < 0 else "expires in 3 days") in line


def test_after_the_last_phase_the_old_ca_is_nobodys_any_more() -> None:
    found = rotating(-3, [2])
    VALIDATOR.validate(found)
    assert [one["fingerprint"] for one in found["expiry"]] == [pin(2)]
    (item,) = found["registries"]
    assert (item["expected_fingerprints"], item["ending_fingerprints"]) == ([pin(2)], [])
    # Who could not be asked may still have it.
    assert len(rotating(-3, [2], others=[entry("b", unreachable=True)])["expiry"]) == 2


def test_what_one_list_rotates_away_and_another_one_keeps_is_no_less_than_an_error() -> None:
    keeps = {"host": HARBOR, "fingerprints": [pin(1)], "certificates": [certificate(1, 3)]}
    rotates = {**keeps, "fingerprints": [pin(1), pin(2)], "ending_fingerprints": [pin(1)]}
    for bundles in ([keeps, rotates], [rotates, keeps]):
        (one,) = document([entry(result=answer())], bundles)["expiry"]
        assert (one["level"], one["ending"]) == ("error", False)


@pytest.mark.parametrize("turn", [1, -1])
def test_of_two_lists_for_a_registry_the_worse_look_counts(turn: int) -> None:
    def served(*bundles: dict[str, Any]) -> Any:
        (item,) = document([entry(result=answer())], list(bundles)[::turn])["registries"]
        return item["served"]

    unseen = {**bundle(trusted=None), "served": {"reachable": False, "reason": "refused", "trusted": None}}
    assert served(bundle(trusted=False), bundle(trusted=True))["trusted"] is False
    assert served(bundle(trusted=False), bundle())["trusted"] is False
    assert served(unseen, bundle(trusted=True))["trusted"] is True
    sooner, later = bundle(trusted=True, days=3), bundle(trusted=True)
    sooner["served"] = {**later["served"], "certificate": certificate(101, 3)}
    assert served(sooner, later)["not_after"] == certificate(101, 3)["not_after"]


YEAR = timedelta(days=365)


@pytest.mark.parametrize(
    ("told", "skew", "state"),
    [
        ({}, None, "ok"),
        ({"node_time": iso(NOW - timedelta(seconds=60))}, 0, "ok"),
        ({"node_time": iso(NOW + timedelta(hours=2))}, 7200, "ok"),
        ({"node_time": iso(NOW + YEAR)}, 365 * 86400, "failed"),
        ({"node_time": iso(NOW - YEAR)}, -365 * 86400 + 300, "failed"),
        ({"node_time": "yesterday"}, None, "ok"),
        ({"node_time": 7}, None, "ok"),
        ({"restart_evidence": {"process": {"started": iso(NOW + YEAR)}}}, 365 * 86400, "failed"),
    ],
)
def test_a_wrong_clock_is_told(told: dict[str, Any], skew: float | None, state: str) -> None:
    found = document([entry(result=answer(**told))])
    node = only(found)
    assert (node["clock_skew_seconds"], node["state"]) == (skew, state)
    assert (node["reason"] == "wrong_clock") == (state == "failed")
    assert any("clock is wrong on node1" in line for line in found["warnings"]) == (abs(skew or 0) > 3600)
    # A wrong clock on a node must not move the expiry, which is the controller's to count.
    assert [one["level"] for one in found["expiry"]] == ["ok"]


def test_a_registry_that_the_controller_cannot_reach_is_said_and_fails_nobody() -> None:
    served = {
        "reachable": False,
        "reason": "the connection was refused",
        "trusted": None,
        "certificate": None,
    }
    found = document([entry(result=answer())], [{**bundle(), "served": served}])
    VALIDATOR.validate(found)
    assert found["status"] == "clean"
    assert any(
        "could not see what it serves (the connection was refused)" in line for line in found["warnings"]
    )


def test_pins_for_a_registry_that_no_node_has() -> None:
    found = document([entry(result=answer())], [bundle(), bundle(MIRROR, 2)])
    assert any(MIRROR in line and "no node has a CA" in line for line in found["warnings"])
    assert not any(HARBOR in line for line in found["warnings"])


@pytest.mark.parametrize("found", [[], None], ids=["wholly drifted", "nobody answers"])
def test_a_fleet_that_only_lacks_the_ca_is_not_told_to_take_the_registry_out(found: Any) -> None:
    given = answer(registry(found=found)) if found is not None else "garbage"
    assert document([entry(result=given)])["warnings"] == []


def test_the_schema_says_no_to_more_than_types() -> None:
    good = document([entry(result=answer())])
    for change in (
        {"version": 2},
        {"status": "fine"},
        {"nodes": [{**good["nodes"][0], "state": "great"}]},
        {"run": {**good["run"], "started": "now"}},
    ):
        assert not VALIDATOR.is_valid({**good, **change})


def test_summary_says_the_worst_first_and_joins_what_is_alike() -> None:
    entries = [entry(f"n{number}", answer(registry(found=[]))) for number in range(3)]
    said = _fleet_summary.lines(
        document([*entries, entry("dead", unreachable=True), entry("good", answer())])
    )
    assert said[0] == "audit: needs a person"
    assert said[1] == "5 nodes: 1 ok, 3 drifted, 1 unreachable"
    assert said[2].startswith("unreachable (unreachable): dead.")
    assert said[3].startswith("drifted (drift): n0, n1, n2.")
    many = [entry(f"n{number}", result=7) for number in range(5000)]
    assert len(" ".join(_fleet_summary.lines(document(many)))) < 5000

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rotation: what nodes have to trust meanwhile, and every reason not to begin a phase."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import fingerprint, split
from ansible_collections.nodetrust.harbor.plugins.plugin_utils import _rotation
from tests.lab import pki

NOW = datetime.now(timezone.utc)
DAY = timedelta(days=1)
HOST, OTHER = "harbor.example.com", "harbor.example.com:8443"
OLD, NEW = pki.make_ca("Harbor CA"), pki.make_ca("Harbor CA")
EXPIRED = pki.make_ca("Harbor CA", not_before=NOW - 400 * DAY, not_after=NOW - 2 * DAY)


class Files:
    """Nothing is read from files here."""

    def find(self, path: str) -> str:
        raise AssertionError(path)

    def read_secret(self, path: str) -> bytes:
        raise AssertionError(path)


def entry(credential: pki.Credential = OLD, host: str = HOST, **keys: Any) -> dict[str, Any]:
    return {"host": host, "ca_pem": credential.pem, "proof_image": "library/hello:1", **keys}


def rotation(credential: pki.Credential = NEW, **keys: Any) -> dict[str, Any]:
    return {"hosts": [HOST], "ca_pem": credential.pem, **keys}


def check(
    entries: list[dict[str, Any]], wanted: Any, only_new: bool = False
) -> tuple[dict[str, list[str]], list[dict[str, Any]]]:
    checked, turns = _rotation.check_with_rotation(entries, wanted, Files(), NOW, only_new)
    held = {}
    for registry in checked:
        assert [fingerprint(der) for der in split(registry.ca_pem.encode())] == registry.bundle.fingerprints
        held[registry.host] = registry.bundle.fingerprints
    return held, [turn.to_dict() for turn in turns]


@pytest.mark.parametrize("nothing", [None, {}, {"hosts": None, "ca_file": None, "ca_pem": None}])
def test_without_a_rotation_the_list_counts(nothing: Any) -> None:
    assert check([entry()], nothing) == ({HOST: [OLD.fingerprint]}, [])


def test_meanwhile_both_are_trusted_and_other_registries_are_left_alone() -> None:
    held, turns = check([entry(), entry(host=OTHER)], rotation())
    assert held == {HOST: [OLD.fingerprint, NEW.fingerprint], OTHER: [OLD.fingerprint]}
    assert [(turn["host"], turn["fingerprints"], turn["to_remove"]) for turn in turns] == [
        (HOST, [NEW.fingerprint], [OLD.fingerprint])
    ]


def test_at_the_end_only_the_new_one_is() -> None:
    assert check([entry(), entry(host=OTHER)], rotation(), only_new=True)[0] == {
        HOST: [NEW.fingerprint],
        OTHER: [OLD.fingerprint],
    }


def test_a_certificate_in_both_bundles_is_there_once() -> None:
    held, turns = check([entry(ca_pem=OLD.pem + NEW.pem)], rotation())
    assert held == {HOST: [OLD.fingerprint, NEW.fingerprint]}
    assert turns[0]["to_remove"] == [OLD.fingerprint]


def test_an_old_ca_may_have_expired_but_only_the_one_that_goes() -> None:
    assert check([entry(EXPIRED)], rotation())[0] == {HOST: [EXPIRED.fingerprint, NEW.fingerprint]}
    with pytest.raises(TrustError, match="has expired"):
        check([entry(), entry(EXPIRED, OTHER)], rotation())


def test_who_only_looks_may_have_any_ca_expired_but_the_new_one() -> None:
    def look(entries: list[dict[str, Any]], wanted: Any) -> list[str]:
        checked, _turns = _rotation.check_with_rotation(entries, wanted, Files(), NOW, allow_expired=True)
        return [registry.host for registry in checked if registry.expired(NOW)]

    assert look([entry(EXPIRED)], None) == [HOST]
    assert look([entry(EXPIRED), entry(EXPIRED, OTHER)], rotation()) == [OTHER]
    with pytest.raises(TrustError, match="The new CA in harbor_ca_rotation has 1 problem"):
        look([entry()], rotation(EXPIRED))


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (rotation(EXPIRED), "The new CA in harbor_ca_rotation has 1 problem"),
        (rotation(fingerprints=[OLD.fingerprint]), "is not pinned"),
        (rotation(pki.issue(OLD, HOST)), "is not a CA"),
        (rotation(hosts=[]), "names no registry"),
        (rotation(hosts=["https://x"]), "harbor_ca_rotation: "),
        (rotation(phase="add"), "'phase' is not known"),
        ({"hosts": [HOST]}, "has no CA"),
        ([HOST], "not a set of keys"),
    ],
)
def test_a_bad_rotation_is_named(wanted: Any, words: str) -> None:
    with pytest.raises(TrustError, match=words) as caught:
        check([entry()], wanted)
    assert "Next step: " in str(caught.value)


@pytest.mark.parametrize(
    ("entries", "wanted", "reason"),
    [
        ([entry()], {}, "no_rotation"),
        ([entry()], rotation(hosts=[HOST, OTHER]), "rotation_unknown_registry"),
        ([entry(NEW)], rotation(), "rotation_same_ca"),
        ([entry(proof_image=None)], rotation(), "rotation_without_proof"),
    ],
)
def test_a_rotation_that_leads_nowhere_is_refused(
    entries: list[dict[str, Any]], wanted: Any, reason: str
) -> None:
    turns = check(entries, wanted)[1]
    with pytest.raises(TrustError) as caught:
        _rotation.check_turns([wanted, {}], turns)
    assert caught.value.reason == reason
    assert "Next step: " in str(caught.value)


def test_a_rotation_that_is_over_is_a_note_for_every_other_run() -> None:
    _checked, turns = _rotation.check_with_rotation([entry(NEW)], rotation(), Files(), NOW)
    (note,) = _rotation.notes_of(turns)
    assert "remove harbor_ca_rotation" in note
    _rotation.check_turns([rotation()], check([entry()], rotation())[1])


LACKING = {"in_effect": False, "registries": [{"reasons": ["missing: SHA256:AB"]}]}


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (LACKING, "missing: SHA256:AB"),
        ({"unreachable": True, "msg": "no route"}, "cannot be reached"),
        (None, "cannot be reached"),
        ({"failed": True, "reason": "no_runtime"}, "no_runtime"),
        ({"in_effect": "yes"}, "not in effect"),
    ],
)
@pytest.mark.parametrize("phase", ["switch", "remove"])
def test_a_node_that_is_not_through_stops_the_next_phase(phase: str, result: Any, words: str) -> None:
    results = {"good": {"in_effect": True}, "bad": result}
    with pytest.raises(_rotation.NotComplete, match=f"bad: {words}") as caught:
        _rotation.check_nodes(phase, results)
    assert caught.value.facts()["nodes"] == ["bad"]
    assert "1 of 2 nodes" in str(caught.value)
    _rotation.check_nodes("add", results)
    _rotation.check_nodes(phase, {"good": {"in_effect": True}})


def seen(trusted: bool | None, reachable: bool = True, host: str = HOST) -> dict[str, Any]:
    leaf = {"subject": "CN=x", "issuer": "CN=Harbor CA", "fingerprint": "SHA256:CD"}
    return {
        "registry": host,
        "trusted": trusted,
        "reachable": reachable,
        "reason": None if trusted else "because",
        "certificate": leaf if reachable else None,
    }


GOOD, BAD, BLIND = seen(True), seen(False), seen(None, False)
GOOD_TOO, BAD_TOO, BLIND_TOO = ({**one, "registry": OTHER} for one in (GOOD, BAD, BLIND))


def audited(*hosts: str) -> dict[str, Any]:
    return {"in_effect": True, "registries": [{"registry": host} for host in hosts]}


def look(served: dict[str, Any], results: dict[str, Any] | None = None, rotated: Any = (HOST,)) -> None:
    """Judge what nodes have seen; without results of an audit each of them has every rotated registry."""
    if results is None:
        results = {node: audited(*rotated) for node in served}
    _rotation.check_served(served, results, [{"host": host} for host in rotated])


BOTH = (HOST, OTHER)


@pytest.mark.parametrize(
    ("served", "rotated", "names", "words"),
    [
        ({"a": [GOOD], "b": [BAD]}, [HOST], ["b"], f"{HOST} on b: CN=x, issued by CN=Harbor CA"),
        ({"a": [BLIND]}, [HOST], ["a"], f"{HOST} on a: because"),
        ({"a": [GOOD], "b": []}, [HOST], ["b"], f"{HOST} on b: no answer"),
        ({"a": []}, [HOST], ["a"], "no answer"),
        ({}, [HOST], [], "no node has looked"),
        ({"a": [GOOD, GOOD_TOO], "b": [GOOD]}, BOTH, ["b"], f"{OTHER} on b: no answer"),
        ({"a": [BLIND_TOO, GOOD], "b": [BLIND_TOO, GOOD]}, BOTH, ["a", "b"], f"{OTHER} on a, b: because"),
        ({"a": [BLIND, BLIND_TOO], "b": [GOOD]}, BOTH, ["a", "b"], f"{OTHER} on a: because"),
        ({"a": [BAD, GOOD_TOO]}, BOTH, ["a"], f"{HOST} on a: CN=x"),
        ({"a": [GOOD, BAD_TOO]}, BOTH, ["a"], f"{OTHER} on a: CN=x"),
    ],
    ids=[
        "one sees the old one",
        "nobody can look",
        "one has no answer",
        "nobody has one",
        "no node",
        "no answer for one of two",
        "nobody sees the first of two",
        "nobody sees the last of two",
        "the first of two is the old one",
        "the last of two is the old one",
    ],
)
def test_as_long_as_the_registry_serves_another_ca_nothing_is_removed(
    served: dict[str, Any], rotated: Any, names: list[str], words: str
) -> None:
    with pytest.raises(_rotation.NotComplete) as caught:
        look(served, rotated=rotated)
    assert (caught.value.reason, caught.value.nodes) == ("new_ca_not_served", names)
    assert words in str(caught.value)


def test_a_node_that_cannot_look_for_itself_is_passed_over() -> None:
    look({"a": [GOOD], "b": [BLIND]})
    look({"a": [GOOD, GOOD_TOO], "b": [BLIND, BLIND_TOO], "c": [GOOD, BLIND_TOO]}, rotated=BOTH)


def test_a_node_without_a_rotated_registry_need_not_look() -> None:
    look({"a": [GOOD], "b": []}, {"a": audited(HOST), "b": audited(OTHER)})
    look({"a": [GOOD], "b": [GOOD_TOO]}, {"a": audited(HOST), "b": audited(OTHER)}, rotated=BOTH)
    for junk in ({}, {"registries": 7}, {"registries": [7]}, None):
        with pytest.raises(_rotation.NotComplete, match="no answer"):
            look({"a": [GOOD], "b": []}, {"a": audited(HOST), "b": junk})


def test_many_nodes_do_not_make_a_message_without_an_end() -> None:
    alike = {f"n{number:04}": [BAD] for number in range(1000)}
    with pytest.raises(_rotation.NotComplete) as caught:
        look(alike)
    assert "and 980 more: CN=x" in str(caught.value) and len(str(caught.value)) < 2000
    each = {node: [{**BLIND, "reason": f"of {node}"}] for node in alike}
    with pytest.raises(_rotation.NotComplete) as caught:
        look(each)
    assert len(caught.value.nodes) == 1000 and len(str(caught.value)) < 2500


def test_the_user_interface_names_what_the_code_takes() -> None:
    spec = (Path(__file__).resolve().parents[4] / "roles/harbor_ca/meta/argument_specs.yml").read_text()
    for key in _rotation.KEYS:
        assert f"          {key}:" in spec

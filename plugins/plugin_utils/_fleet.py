# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet document: what a run has found on all its nodes, in one versioned piece of JSON.

**PRIVATE** to the collection. Pure: results in, document out. docs/fleet.schema.json describes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_expiry import expiries, say, worst
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_input import (
    kind,
    mapping,
    moment,
    stamp,
    text,
    texts,
)
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_node import (
    CORRECTED,
    FAILED,
    OK,
    STATES,
    Asked,
    node_from,
)
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_registries import (
    drop_what_is_gone,
    join,
)

SCHEMA, VERSION = "nodetrust.harbor/fleet", 1
CLEAN, DONE, PERSON = "clean", "corrected", "needs_a_person"
# 2 is what ansible-playbook itself ends with when a node has failed.
EXIT_CODES = {CLEAN: 0, DONE: 3, PERSON: 2}
# TLS does not mind seconds; an hour is no drift of a clock that anybody keeps.
SKEW_SECONDS = 3600


def build(
    run: Mapping[str, Any],
    bundles: Sequence[Mapping[str, Any]],
    results: Sequence[Any],
    thresholds: Mapping[str, int],
    now: datetime,
) -> dict[str, Any]:
    """The document of one run.

    Parameters:
        run: playbook, id, started (ISO 8601 in UTC, or empty), complete.
        bundles: registries as ca_bundle_info returns them.
        results: one entry for each host of the run, also for those that could not be reached.
        thresholds: warning_days and error_days.
        now: the controller's time, which is the end of the run.

    Raises:
        TrustError: the playbook has passed something that is no list of results.
    """
    registries = _registries(bundles)
    started = moment(run.get("started")) or now
    asked = Asked(
        {item["registry"]: frozenset(item["expected_fingerprints"]) for item in registries},
        started,
        now,
        frozenset(text(bundle.get("host")) for bundle in bundles if bundle.get("expired") is True),
    )
    nodes = [node_from(entry, asked) for entry in _entries(results)]
    _learn_certificates(registries, results)
    drop_what_is_gone(registries, nodes)
    for node in nodes:
        _heed_clock(node, registries, now)
    return finish(
        {
            "schema": SCHEMA,
            "version": VERSION,
            "run": {
                "playbook": text(run.get("playbook")),
                "id": text(run.get("id")),
                "started": stamp(started),
                "ended": stamp(now) if run.get("complete", True) else None,
                "complete": bool(run.get("complete", True)),
                "thresholds": dict(thresholds),
            },
            "registries": registries,
            "nodes": sorted(nodes, key=lambda node: (node["cluster"] or "", node["node"])),
        },
        now,
    )


def finish(document: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The same document with what follows from it: expiry, counts, status, warnings."""
    run, nodes = document["run"], document["nodes"]
    document["expiry"] = expiries(document["registries"], run["thresholds"], now)
    counted = Counter(node["state"] for node in nodes)
    document["counts"] = {state: counted[state] for state in STATES}
    document["status"] = _status(document)
    document["warnings"] = _warnings(document)
    return document


def _entries(results: Sequence[Any]) -> list[Mapping[str, Any]]:
    seen: set[tuple[str, str]] = set()
    for number, entry in enumerate(results, 1):
        given = mapping(entry)
        key = (text(given.get("cluster")), text(given.get("node")))
        if not key[1] or key in seen:
            raise TrustError(
                f"entry {number} of results is not one node",
                reason="bad_results",
                found=f"node {key[1]} for the second time"
                if key[1]
                else f"{kind(entry)} without the name of a node",
                expected="a dictionary with node, result, unreachable and failed, once for each host",
                next_step="correct the playbook that calls fleet_report",
            )
        seen.add(key)
    return list(results)


def _registries(bundles: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The controller's own knowledge. A registry with different bundles in two clusters has all of them."""
    merged: dict[str, dict[str, Any]] = {}
    for bundle in bundles:
        host = text(bundle.get("host") or bundle.get("registry"))
        if not host:
            raise TrustError(
                "an entry of registries has no host",
                reason="bad_registries",
                found=kind(bundle.get("host")),
                expected="registries as ca_bundle_info returns them",
                next_step="correct the playbook that calls fleet_report",
            )
        item = {
            "registry": host,
            "expected_fingerprints": sorted(
                {*texts(bundle.get("fingerprints")), *texts(bundle.get("extra_ca_fingerprints"))}
            ),
            "ending_fingerprints": texts(bundle.get("ending_fingerprints")),
            "certificates": [
                _certificate(mapping(one))
                for key in ("certificates", "extra_certificates")
                for one in bundle.get(key) or []
            ],
            "served": _served(mapping(bundle.get("served"))),
        }
        merged[host] = join(merged[host], item) if host in merged else item
    return list(merged.values())


def _certificate(given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "fingerprint": text(given.get("fingerprint")),
        "subject": text(given.get("subject")),
        "issuer": text(given.get("issuer")),
        "not_before": stamp(moment(given.get("not_before"))),
        "not_after": stamp(moment(given.get("not_after"))),
    }


def _served(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """From the form of ca_bundle_info."""
    if not given:
        return None
    trusted = given.get("trusted")
    return {
        **_certificate(mapping(given.get("certificate"))),
        "trusted": trusted if isinstance(trusted, bool) else None,
        "error": text(given.get("reason")) or None,
    }


def _learn_certificates(registries: list[dict[str, Any]], results: Sequence[Mapping[str, Any]]) -> None:
    """Where only pins are given, the nodes know when the CAs end; they are believed for pinned ones alone."""
    wanted = {
        (item["registry"], pin): item
        for item in registries
        for pin in set(item["expected_fingerprints"]) - {one["fingerprint"] for one in item["certificates"]}
    }
    for entry in results if wanted else []:
        answer = mapping(entry.get("result"))
        given = answer.get("registries")
        for found in given if isinstance(given, (list, tuple)) else []:
            certificates = mapping(found).get("found")
            for one in certificates if isinstance(certificates, (list, tuple)) else []:
                certificate = _certificate(mapping(one))
                item = wanted.get((text(mapping(found).get("registry")), certificate["fingerprint"]))
                if item and certificate["not_after"]:
                    item["certificates"].append(certificate)
                    del wanted[item["registry"], certificate["fingerprint"]]


def _heed_clock(node: dict[str, Any], registries: list[dict[str, Any]], now: datetime) -> None:
    """A node takes a good CA for expired, or for not valid yet, if its clock says so; then its pulls fail."""
    skew = node["clock_skew_seconds"]
    if skew is None or abs(skew) < SKEW_SECONDS:
        return
    its_time = now.timestamp() + skew
    mine = {item["registry"] for item in node["registries"]}
    wrong = []
    for item in registries:
        for one in [*item["certificates"], *([item["served"]] if item["served"] else [])]:
            begin, end = moment(one["not_before"]), moment(one["not_after"])
            if begin is None or end is None or not begin <= now <= end or item["registry"] not in mine:
                continue
            if not begin.timestamp() <= its_time <= end.timestamp():
                wrong.append(one["subject"])
    ahead = "ahead" if skew > 0 else "behind"
    said = f"Its clock is {abs(skew) / 86400:.1f} days {ahead} of the controller's"
    if wrong and node["state"] != FAILED:
        node.update(
            state=FAILED,
            reason="wrong_clock",
            message=f"{said}, so it takes {', '.join(dict.fromkeys(wrong))} for invalid, and pulls fail.",
            found=f"a clock that is off by {skew:.0f} seconds",
            expected=f"less than {SKEW_SECONDS} seconds",
            next_step="Look at the clock of the node and of the controller (timedatectl), and at what should set them.",
        )
    else:
        node["message"] = f"{said}. {node['message']}".rstrip()


def _status(document: Mapping[str, Any]) -> str:
    good = document["counts"][OK] + document["counts"][CORRECTED]
    refused = any(item["served"] and item["served"]["trusted"] is False for item in document["registries"])
    if (
        not document["run"]["complete"]
        or good < len(document["nodes"])
        or not document["nodes"]
        or refused
        or worst(document["expiry"]) in ("error", "expired")
    ):
        return PERSON
    return DONE if document["counts"][CORRECTED] else CLEAN


def _warnings(document: Mapping[str, Any]) -> list[str]:
    """What concerns no single node. A registry's own troubles first."""
    said = []
    nodes = document["nodes"]
    if not document["run"]["complete"]:
        said.append(
            "The run did not come to its end, so this is not the whole fleet. Next step: run it again."
        )
    for item in document["registries"]:
        served = item["served"]
        if served and served["trusted"] is False:
            said.append(
                f"{item['registry']}: the pinned CA does not verify what the registry serves now ({served['subject']}, "
                f"issued by {served['issuer']}), so pulls fail on every node. Next step: if the registry's CA was "
                "renewed, pin the new one and run nodetrust.harbor.rotate_ca."
            )
        if served and served["trusted"] is None:
            said.append(
                f"{item['registry']}: the controller could not see what it serves ({served['error']}), so "
                "nobody knows when that ends. Next step: look from the controller with openssl s_client -connect."
            )
        asked = any(one["registry"] == item["registry"] for node in nodes for one in node["registries"])
        if nodes and item["expected_fingerprints"] and not asked:
            said.append(
                f"{item['registry']}: pinned, but no node has a CA for it. Next step: compare the name with the one "
                "in image references, port included; if nothing pulls from it, take it out of harbor_ca_registries."
            )
    said += [say(one) for one in document["expiry"] if one["level"] != "ok"]
    skewed = [node["node"] for node in nodes if abs(node["clock_skew_seconds"] or 0) >= SKEW_SECONDS]
    if skewed:
        more = f" and {len(skewed) - 10} more" if len(skewed) > 10 else ""
        said.append(
            f"The clock is wrong on {', '.join(skewed[:10])}{more}. Expiry is counted by the controller's clock. Next "
            "step: timedatectl on both."
        )
    return said

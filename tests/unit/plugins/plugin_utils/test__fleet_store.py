# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents on disk: replaced whole, read with distrust, merged from shards."""

from __future__ import annotations

import copy
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.plugin_utils import _fleet_schema, _fleet_store
from ansible_collections.nodetrust.harbor.tests.report.fleet import (
    MIRROR,
    NOW,
    THRESHOLDS,
    answer,
    bundle,
    document,
    entry,
    iso,
    registry,
)

SCHEMA = json.loads((Path(__file__).parents[4] / "docs" / "fleet.schema.json").read_text(encoding="utf-8"))
GOOD = document([entry(result=answer()), entry("b", unreachable=True)], [bundle(trusted=True)])


def test_a_document_survives_the_disk(tmp_path: Path) -> None:
    path = str(tmp_path / "fleet.json")
    assert _fleet_store.write(path, _fleet_store.to_json(GOOD))
    assert _fleet_store.read(path) == GOOD
    assert not _fleet_store.write(path, _fleet_store.to_json(GOOD))
    assert os.listdir(tmp_path) == ["fleet.json"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "fleet.json"
    path.write_text("old")

    def full(*_args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_fleet_store.os, "fsync", full)
    with pytest.raises(TrustError) as caught:
        _fleet_store.write(str(path), "new")
    assert caught.value.reason == "report_not_written"
    assert "No space left" in str(caught.value)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["fleet.json"]


def without(key: str) -> str:
    return json.dumps({name: value for name, value in GOOD.items() if name != key})


@pytest.mark.parametrize(
    ("content", "reason", "said"),
    [
        (None, "report_unfit", "No such file"),
        ("", "report_unfit", "cut off"),
        (json.dumps(GOOD)[:-40], "report_unfit", "cut off"),
        ("[]", "report_unfit", "a list"),
        ("[" * 100_000, "report_unfit", "cut off"),
        (json.dumps({**GOOD, "schema": "other"}), "report_unfit", "schema other"),
        (json.dumps({**GOOD, "version": 2}), "report_version", "version 2"),
        (without("version"), "report_version", "version None"),
        (without("nodes"), "report_unfit", "$.nodes is missing"),
        (json.dumps({**GOOD, "nodes": [{"node": 7}]}), "report_unfit", "$.nodes[0]"),
    ],
)
def test_what_is_no_document_is_refused(tmp_path: Path, content: str | None, reason: str, said: str) -> None:
    path = tmp_path / "fleet.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(TrustError) as caught:
        _fleet_store.read(str(path))
    assert caught.value.reason == reason
    assert said in str(caught.value)
    assert str(path) == caught.value.path
    assert caught.value.next_step


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    return [path, *(one for key, item in inner for one in places(item, (*path, key)))]


@pytest.mark.parametrize("junk", [None, 7, "x", [], {}, True, -1])
def test_our_reader_of_the_schema_agrees_with_a_whole_one(junk: Any) -> None:
    whole = jsonschema.Draft202012Validator(SCHEMA)
    for path in places(GOOD)[1:]:
        changed = copy.deepcopy(GOOD)
        inner: Any = changed
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = junk
        mine = not list(_fleet_schema.problems(changed, SCHEMA, SCHEMA))
        assert mine == whole.is_valid(changed), path


def test_shards_become_one_fleet() -> None:
    early = document([entry("a", unreachable=True), entry("b", answer())])
    late = copy.deepcopy(
        document([entry("a", answer(registry(MIRROR, 2)))], [bundle(MIRROR, 2)], id="run-2"),
    )
    late["run"]["ended"] = "2026-11-23T09:00:00Z"
    merged = _fleet_store.merge([late, early], THRESHOLDS, NOW)
    assert [(node["node"], node["state"]) for node in merged["nodes"]] == [("a", "ok"), ("b", "ok")]
    assert merged["run"]["ended"] == "2026-11-23T09:00:00Z"
    assert merged["status"] == "clean"
    assert {item["registry"] for item in merged["registries"]} == {"harbor.example.com", MIRROR}
    jsonschema.Draft202012Validator(SCHEMA).validate(merged)


def test_what_one_shard_saw_served_is_not_lost_in_another() -> None:
    bad = document([entry("a", answer())], [bundle(trusted=False)])
    good = document([entry("b", answer())], [bundle(trusted=True)])
    for shards in ([bad, good], [good, bad]):
        merged = _fleet_store.merge(shards, THRESHOLDS, NOW)
        assert (merged["registries"][0]["served"]["trusted"], merged["status"]) == (False, "needs_a_person")


def test_a_document_of_an_earlier_release_has_no_rotation(tmp_path: Path) -> None:
    old = copy.deepcopy(GOOD)
    for item in old["registries"]:
        del item["ending_fingerprints"]
    for one in old["expiry"]:
        del one["ending"]
    path = str(tmp_path / "fleet.json")
    _fleet_store.write(path, _fleet_store.to_json(old))
    merged = _fleet_store.merge([_fleet_store.read(path)], THRESHOLDS, NOW)
    assert merged["registries"][0]["ending_fingerprints"] == []


def test_a_shard_that_was_cut_off_makes_the_whole_incomplete() -> None:
    merged = _fleet_store.merge([GOOD, document([entry("c")], complete=False)], THRESHOLDS, NOW)
    assert (merged["run"]["complete"], merged["run"]["ended"], merged["status"]) == (
        False,
        None,
        "needs_a_person",
    )
    assert "did not come to its end" in merged["warnings"][0]


@pytest.mark.parametrize("hours", [23, 25])
@pytest.mark.parametrize("complete", [True, False])
def test_an_old_shard_does_not_pass_for_one_of_today(hours: int, complete: bool) -> None:
    began = NOW - timedelta(hours=hours)
    old = document([entry("c", answer())], started=iso(began), complete=complete, id="shard-3")
    old["run"]["ended"] = iso(began) if complete else None
    if hours < 24:
        merged = _fleet_store.merge([GOOD, old], THRESHOLDS, NOW)
        assert [node["node"] for node in merged["nodes"]] == ["b", "c", "node1"]
        return
    with pytest.raises(TrustError) as caught:
        _fleet_store.merge([GOOD, old], THRESHOLDS, NOW)
    assert caught.value.reason == "shards_apart"
    for words in (f"document 2 (run shard-3) of {iso(began)}", iso(NOW), "Next step: "):
        assert words in str(caught.value)


def test_expiry_is_counted_anew_when_an_old_document_is_read() -> None:
    merged = _fleet_store.merge([GOOD], THRESHOLDS, NOW + timedelta(days=290))
    assert {one["level"] for one in merged["expiry"]} == {"warning", "expired"}
    assert merged["status"] == "needs_a_person"

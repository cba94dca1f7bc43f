# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fleet documents and files: written whole or not at all, read with distrust, put together from shards.

**PRIVATE** to the collection. Controller only.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet import SCHEMA, VERSION, finish
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_input import kind, moment, stamp, text
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_registries import join
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_schema import problems

_SCHEMA_FILE = Path(__file__).resolve().parents[2] / "docs" / "fleet.schema.json"
# Shards of one round begin together. A document that is older was left by a run that has failed since, or by a shard
# that is none any more.
_ONE_ROUND = timedelta(days=1)
_LARGEST = 200 * 1024 * 1024


def to_json(document: Mapping[str, Any]) -> str:
    """The document as it is written: one node a line, so that a diff of two runs says something."""
    head = {key: value for key, value in document.items() if key != "nodes"}
    nodes = ",\n".join(json.dumps(node, separators=(", ", ": ")) for node in document["nodes"])
    return json.dumps(head, indent=1)[:-2] + f',\n "nodes": [\n{nodes}\n ]\n}}\n'


def write(path: str, content: str, mode: int = 0o644) -> bool:
    """Replace a file whole; False if it is the same already. A reader sees the old or the new one.

    Raises:
        TrustError: it can't be written; the old file is still there.
    """
    target = os.path.abspath(os.path.expanduser(path))
    data = content.encode("utf-8", "replace")
    try:
        with open(target, "rb") as stream:
            if stream.read() == data:
                return False
    except OSError:
        pass
    temporary = None
    try:
        # Its name ends differently, so that the node exporter does not read it (it takes *.prom).
        handle, temporary = tempfile.mkstemp(prefix=".", suffix=".new", dir=os.path.dirname(target))
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, target)
    except OSError as exc:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        raise TrustError(
            "the report can't be written",
            reason="report_not_written",
            path=target,
            found=exc.strerror or str(exc),
            expected="a directory on the controller that exists, may be written to, and has room",
            next_step=f"correct {os.path.dirname(target)} or the path, then run again; nodes are not concerned",
        ) from exc
    return True


def content(path: str) -> str:
    """What a file of ours holds now; nothing if it is not there or can't be read, for then it is written anew."""
    try:
        return Path(os.path.expanduser(path)).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def read(path: str) -> dict[str, Any]:
    """A document that an earlier run has written.

    Raises:
        TrustError: there is none, or it is cut off, or of another version, or not what the schema says.
    """
    target = os.path.abspath(os.path.expanduser(path))
    try:
        if os.path.getsize(target) > _LARGEST:
            raise _unfit(target, "too large", f"more than {_LARGEST} bytes")
        found = json.loads(Path(target).read_text(encoding="utf-8"))
    except OSError as exc:
        raise _unfit(target, "not there or not readable", exc.strerror or str(exc)) from exc
    except (ValueError, RecursionError) as exc:
        raise _unfit(target, "no JSON, or cut off", text(str(exc))) from exc
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        what = f"schema {text(found.get('schema')) or 'none'}" if isinstance(found, dict) else kind(found)
        raise _unfit(target, "no fleet document", what)
    if found.get("version") != VERSION:
        raise TrustError(
            "this fleet document has another version",
            reason="report_version",
            path=target,
            found=f"version {text(str(found.get('version')))}",
            expected=f"version {VERSION}",
            next_step="read it with the release of nodetrust.harbor that wrote it, or run the audit again",
        )
    schema = json.loads(_SCHEMA_FILE.read_text(encoding="utf-8"))
    if wrong := list(islice(problems(found, schema, schema), 5)):
        raise _unfit(target, "not what docs/fleet.schema.json says", wrong)
    return found


def _unfit(path: str, what: str, found: Any) -> TrustError:
    return TrustError(
        f"the fleet document is {what}",
        reason="report_unfit",
        path=path,
        found=found,
        expected="a file that fleet_report has written to json_file",
        next_step="run the audit again; it replaces the file whole",
    )


def merge(documents: list[dict[str, Any]], thresholds: Mapping[str, int], now: datetime) -> dict[str, Any]:
    """One document of several shards. Of a node that stands in two, the run that ended last counts.

    Raises:
        TrustError: one of them is much older than another.
    """
    runs = [document["run"] for document in documents]
    _refuse_old(runs)
    nodes: dict[tuple[str | None, str], dict[str, Any]] = {}
    registries: dict[str, dict[str, Any]] = {}
    for document in sorted(documents, key=lambda one: one["run"]["ended"] or ""):
        for node in document["nodes"]:
            nodes[node["cluster"], node["node"]] = node
        for item in document["registries"]:
            known = registries.get(item["registry"], item)
            registries[item["registry"]] = join(known, item)
    complete = all(run["complete"] for run in runs)
    ends = [end for run in runs if (end := moment(run["ended"]))]
    merged = {
        "schema": SCHEMA,
        "version": VERSION,
        "run": {
            "playbook": " ".join(dict.fromkeys(run["playbook"] for run in runs)),
            "id": " ".join(dict.fromkeys(run["id"] for run in runs)),
            "started": min(run["started"] for run in runs),
            "ended": stamp(max(ends)) if complete and ends else None,
            "complete": complete,
            "thresholds": dict(thresholds),
        },
        "registries": list(registries.values()),
        "nodes": [nodes[key] for key in sorted(nodes, key=lambda key: (key[0] or "", key[1]))],
    }
    return finish(merged, now)


def _refuse_old(runs: list[dict[str, Any]]) -> None:
    times = {
        number: when for number, run in enumerate(runs, 1) if (when := moment(run["ended"] or run["started"]))
    }
    newest = max(times.values(), default=None)
    old = [number for number, when in times.items() if newest and newest - when > _ONE_ROUND]
    if old:
        raise TrustError(
            "the documents are not of one round",
            reason="shards_apart",
            found="; ".join(
                f"document {number} (run {text(runs[number - 1]['id']) or 'without id'}) of {stamp(times[number])}"
                for number in old
            ),
            expected=f"no document that is more than a day older than the newest, of {stamp(newest)}",
            next_step="look why that shard has not run since and run it again; leave its document out if the shard "
            "has no nodes any more",
        )

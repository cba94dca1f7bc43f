# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node object says about its proof: written by certification, judged by the inventory.

**PRIVATE** to the collection. Pure: no clock, no cluster. The annotation may have been written by the
node itself, so everything in it is checked and nothing in it is believed beyond its form.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import parse_registry

CERTIFIED, UNCERTIFIED, STALE = "certified", "uncertified", "stale"

LABEL = "harbor-certified"
LABEL_VALUE = "true"
ANNOTATION = "nodetrust.harbor/proof"
TAINT = "nodetrust.harbor/unproven"

# Clocks of two machines differ; a proof from further ahead than this was not made by a clock.
CLOCKS = timedelta(minutes=5)
_FINGERPRINT = re.compile(r"SHA256(:[0-9A-F]{2}){32}")
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_LONGEST = 64 * 1024


class Proof(NamedTuple):
    """Which registries a node pulled from, pinned to what, when, and through which runtime."""

    registries: dict[str, list[str]]
    time: datetime
    runtime: str

    def to_text(self) -> str:
        return json.dumps(
            {
                "version": 1,
                "registries": {name: sorted(pins) for name, pins in sorted(self.registries.items())},
                "runtime": self.runtime,
                "time": format_time(self.time),
            },
            separators=(",", ":"),
            sort_keys=True,
        )


class Policy(NamedTuple):
    """What has to be true of a proof for it to count."""

    label: str = LABEL
    annotation: str = ANNOTATION
    validity: timedelta = timedelta(days=7)
    registries: dict[str, list[str]] | None = None


class Verdict(NamedTuple):
    """The state of a node, why, and the proof as far as it can be read."""

    state: str
    reason: str
    proof: Proof | None


def format_time(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime(_TIME)


def parse_time(text: str) -> datetime:
    """A time as Kubernetes writes it; ValueError for anything else."""
    return datetime.strptime(text, _TIME).replace(tzinfo=timezone.utc)


def read_proof(text: str) -> Proof:
    """The proof in an annotation; ValueError if it is none."""
    if len(text) > _LONGEST:
        raise ValueError("too long")
    data = json.loads(text)
    if not isinstance(data, dict) or data.get("version") != 1:
        raise ValueError("not version 1")
    registries, runtime, time = data.get("registries"), data.get("runtime"), data.get("time")
    if not isinstance(registries, dict) or not isinstance(runtime, str) or not isinstance(time, str):
        raise ValueError("fields are missing")
    for name, pins in registries.items():
        _check_name(name)
        if not isinstance(pins, list) or not all(
            isinstance(pin, str) and _FINGERPRINT.fullmatch(pin) for pin in pins
        ):
            raise ValueError("a fingerprint is malformed")
    return Proof(registries, parse_time(time), runtime)


def _check_name(name: str) -> None:
    # It becomes a key of a host variable. ansible-core before 2.19 knows of values only that they are no templates.
    try:
        parse_registry(name)
    except TrustError:
        raise ValueError("a registry is malformed") from None


def judge(label: str | None, annotation: str | None, runtime: str, policy: Policy, now: datetime) -> Verdict:
    """Certified, stale or uncertified. Label and proof must both be there: either alone proves nothing."""
    if annotation is None:
        return Verdict(UNCERTIFIED, "label without a proof" if label == LABEL_VALUE else "never proved", None)
    try:
        proof = read_proof(annotation)
    except (ValueError, RecursionError):
        return Verdict(UNCERTIFIED, "the proof is unreadable", None)
    if label != LABEL_VALUE:
        return Verdict(UNCERTIFIED, "proof without the label", proof)
    return Verdict(*(_stale(proof, runtime, policy, now) or (CERTIFIED, "proved")), proof)


def _stale(proof: Proof, runtime: str, policy: Policy, now: datetime) -> tuple[str, str] | None:
    if proof.time > now + CLOCKS:
        return STALE, "the proof is from the future"
    if now - proof.time > policy.validity:
        return STALE, "the proof is too old"
    if proof.runtime != runtime:
        # Another version reads other settings: an upgrade of containerd from 1.7 to 2 ends trust.
        return STALE, "the runtime changed"
    for name, pins in (policy.registries or {}).items():
        if name not in proof.registries:
            return STALE, "a registry was not proved"
        if pins and set(pins) != set(proof.registries[name]):
            return STALE, "other pins were proved"
    return None


def as_facts(verdict: Verdict) -> dict[str, Any]:
    """The verdict as a host variable."""
    proof = verdict.proof
    return {
        "state": verdict.state,
        "reason": verdict.reason,
        "time": format_time(proof.time) if proof else None,
        "runtime": proof.runtime if proof else None,
        "registries": proof.registries if proof else {},
    }

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Desired trust and observed trust in, one plan out. Apply, check mode, diff and report all read that plan.

**PRIVATE** to the collection. Nothing here reads or writes anything.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils import _containerd
from ansible_collections.nodetrust.harbor.plugins.module_utils._containerd import Containerd
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import CA_FILE, HostDirectory
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import Registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import to_pem

# Start times come in hundredths of a second.
_TICK = 0.01


@dataclass(frozen=True)
class Desired:
    """The trust wanted for one registry. ders holds the certificates, pins their fingerprints."""

    registry: Registry
    ders: tuple[bytes, ...]
    pins: frozenset[str]
    proof_image: str | None = None


@dataclass(frozen=True)
class Change:
    """One step. kind is write, remove, rmdir or config; summary is the line for people."""

    kind: str
    path: str
    summary: str
    content: bytes | None = None
    registry: str | None = None


@dataclass(frozen=True)
class Restart:
    """Is a restart due, why, and what the system said that makes it so."""

    due: bool
    why: str
    evidence: dict[str, Any]


@dataclass
class Verdict:
    """One registry on one node: what was found, what was expected, and what is between them."""

    registry: str
    path: str
    directory: HostDirectory
    expected: list[str]
    in_sync: bool
    in_effect: bool
    reasons: list[str]
    blocker: TrustError | None = None

    def to_dict(self, restart: Restart) -> dict[str, Any]:
        certificates = self.directory.certificates
        return {
            "registry": self.registry,
            "path": self.path,
            "files": sorted({certificate.path for certificate in certificates}),
            "found": [vars(certificate) for certificate in certificates],
            "found_fingerprints": sorted({certificate.fingerprint for certificate in certificates}),
            "expected_fingerprints": self.expected,
            "in_sync": self.in_sync,
            "in_effect": self.in_effect,
            "restart_due": restart.due,
            "reasons": self.reasons,
        }


@dataclass
class Plan:
    """changes in the order in which they are applied: files first, the switch to them last."""

    verdicts: list[Verdict]
    restart: Restart
    changes: list[Change] = field(default_factory=list)
    restart_after: Restart | None = None

    @property
    def changed(self) -> bool:
        return bool(self.changes)


def judge(desired: Desired, directory: HostDirectory, containerd: Containerd, restart: Restart) -> Verdict:
    """Does this node hold exactly the pinned CAs for this registry, and does the running process use them?"""
    expected = sorted(desired.pins)
    found = directory.fingerprints
    broken = [problem for problem in directory.problems if problem.breaks]
    in_sync = found == desired.pins and not broken
    reads = not expected or _containerd.covers(
        _running_path(containerd, restart), containerd.major, containerd.config.local_pull
    )
    reasons = [problem.message for problem in directory.problems]
    if expected and not found and not broken:
        reasons.append(f"no CA in {directory.path}")
    missing, extra = sorted(desired.pins - found), sorted(found - desired.pins)
    if found and missing:
        reasons.append(f"missing: {', '.join(missing)}")
    if extra:
        where = sorted({item.path for item in directory.certificates if item.fingerprint in extra})
        reasons.append(f"not pinned: {', '.join(extra)} in {', '.join(where)}")
    reasons += _config_reasons(containerd, restart) if expected else []
    return Verdict(
        registry=desired.registry.name,
        path=_read_path(directory),
        directory=directory,
        expected=expected,
        in_sync=in_sync,
        in_effect=in_sync and reads and not restart.due and not (expected and _without_cri(containerd)),
        reasons=reasons,
        blocker=None if in_sync else _blocker(desired, directory),
    )


def restart_verdict(containerd: Containerd, *, config_will_change: bool = False) -> Restart:
    """Is the running process older than what it reads only at start? (runtime-facts §2)

    1.x tells its config_path in the CRI status; for 2.x the start of the process is compared with
    the last change of the files.
    """
    config = containerd.config
    started = containerd.process.started
    evidence = {
        "process": {"pid": containerd.process.pid, "unit": containerd.unit, "started": _iso(started)},
        "config_file": {"path": config.file.path, "changed": _iso(config.changed)},
        "config_path": {"running": containerd.running_config_path, "next_start": config.config_path},
    }
    who = f"{containerd.unit} (PID {containerd.process.pid}, started {_iso(started)})"
    if config_will_change:
        return Restart(
            True, f"config_path in {config.file.path} changes, and {who} read it only at start", evidence
        )
    if not _containerd.covers(config.config_path, containerd.major, config.local_pull):
        return Restart(
            False, f"a restart alone would not help: config_path is {config.config_path!r}", evidence
        )
    if containerd.running_config_path is not None:
        if os.path.normpath(containerd.running_config_path) == os.path.normpath(config.config_path):
            return Restart(False, f"{who} runs with config_path {containerd.running_config_path}", evidence)
        return Restart(
            True,
            f"{who} runs with config_path {containerd.running_config_path!r}, not {config.config_path!r}",
            evidence,
        )
    if config.changed is not None and config.changed > started + _TICK:
        return Restart(
            True, f"{who} is older than {config.file.path} (changed {_iso(config.changed)})", evidence
        )
    return Restart(
        False, f"{who} is younger than {config.file.path} (changed {_iso(config.changed)})", evidence
    )


def plan_present(desired: list[Desired], directories: list[HostDirectory], containerd: Containerd) -> Plan:
    """What has to change so that every registry is trusted by exactly its pinned CAs.

    Raises:
        TrustError: something that isn't ours is in the way; nothing has been touched.
    """
    now = restart_verdict(containerd)
    if _without_cri(containerd) and not now.due:
        raise _no_cri(containerd)
    plan = Plan(
        [judge(item, directory, containerd, now) for item, directory in zip(desired, directories)], now
    )
    for item, directory, verdict in zip(desired, directories, plan.verdicts):
        if verdict.in_sync:
            continue
        if verdict.blocker is not None:
            raise verdict.blocker
        plan.changes.append(_write_ca(item, directory))
    config = containerd.config
    if not _containerd.covers(config.config_path, containerd.major, config.local_pull):
        plan.changes.append(_set_config_path(containerd))
    plan.restart_after = restart_verdict(
        containerd, config_will_change=any(c.kind == "config" for c in plan.changes)
    )
    return plan


def plan_absent(desired: list[Desired], directories: list[HostDirectory], containerd: Containerd) -> Plan:
    """What has to go so that nothing of ours is left for these registries. config_path stays: others may use it.

    Raises:
        TrustError: a foreign hosts.toml leads to our file.
    """
    now = restart_verdict(containerd)
    plan = Plan(
        [judge(item, directory, containerd, now) for item, directory in zip(desired, directories)], now
    )
    for directory in directories:
        path = os.path.join(directory.path, CA_FILE)
        if (
            not directory.exists
            or directory.ca_file is None
            or directory.ca_file.kind in ("absent", "directory")
        ):
            continue
        if directory.hosts_toml is not None and directory.hosts_toml.refers_to(path):
            raise TrustError(
                f"{directory.hosts_toml.path} leads to {path}; without that file every pull would fail",
                reason="foreign_hosts_toml",
                registry=directory.registry.name,
                path=directory.hosts_toml.path,
                next_step="take ca out of that hosts.toml, or remove it if nobody owns it; then run again",
            )
        name = directory.registry.name
        plan.changes.append(Change("remove", path, f"remove {path}", registry=name))
        if not directory.others:
            plan.changes.append(
                Change("rmdir", directory.path, f"remove the empty {directory.path}", registry=name)
            )
    plan.restart_after = Restart(False, "files under certs.d are read at every pull", now.evidence)
    return plan


def _write_ca(desired: Desired, directory: HostDirectory) -> Change:
    path = os.path.join(directory.path, CA_FILE)
    verb = "replace" if directory.ca_file is not None and directory.ca_file.kind != "absent" else "create"
    content = to_pem(list(desired.ders)).encode("ascii")
    return Change("write", path, f"{verb} {path}", content, desired.registry.name)


def _without_cri(containerd: Containerd) -> bool:
    # A configuration that the CRI plugin rejects leaves containerd running without it (runtime-facts §5).
    # curl before 8 loses every second answer that says so, and only sees the call broken off.
    return containerd.cri_reason in ("cri_not_loaded", "cri_unavailable")


def _no_cri(containerd: Containerd) -> TrustError:
    if containerd.config.legacy:
        return _legacy(containerd, "containerd runs without its CRI")
    return TrustError(
        f"{containerd.unit} runs without its CRI, so nothing can be pulled here ({containerd.config.file.path})",
        reason=containerd.cri_reason or "cri_not_loaded",
        path=containerd.config.file.path,
        found=(containerd.cri_error or "").partition(" Next step:")[0],
        expected="a containerd that answers at its CRI",
        next_step=f"journalctl -u {containerd.unit} | grep 'failed to load plugin' tells why; without such a line look "
        f"for cri in disabled_plugins of {containerd.config.file.path}; mend it, restart containerd, run again",
    )


def _legacy(containerd: Containerd, consequence: str) -> TrustError:
    config = containerd.config
    return TrustError(
        f"registry settings of the old kind in {config.file.path} can't stand beside config_path: {consequence}",
        reason="legacy_registry_config",
        path=config.file.path,
        found=[f"{path}:{line}: {text}" if line else f"{path}: {text}" for path, line, text in config.legacy],
        expected="neither registry.mirrors nor registry.configs.*.tls",
        next_step="move each of them to a hosts.toml under "
        f"{_containerd.CERTS_DIR} in a maintenance window, take these lines out, then run again",
    )


def _set_config_path(containerd: Containerd) -> Change:
    config = containerd.config
    if config.legacy:
        raise _legacy(containerd, "containerd would start without its CRI, or without heeding them")
    lost = _containerd.abandoned(config.config_path, containerd.major, config.local_pull)
    if lost:
        raise TrustError(
            f"config_path in {config.file.path} is {config.config_path}, and what lies there would no longer be read",
            reason="other_certs_directory",
            path=config.file.path,
            found=lost,
            expected=f"config_path = {_containerd.CERTS_DIR}, the one directory that works on every version",
            next_step=f"copy these into {_containerd.CERTS_DIR} (cp -a), then run again",
        )
    found = repr(config.config_path) if config.config_path else "nothing"
    return Change(
        "config",
        config.file.path,
        f"set config_path to {_containerd.CERTS_DIR} in {config.file.path} (was {found})",
    )


def _blocker(desired: Desired, directory: HostDirectory) -> TrustError | None:
    name = desired.registry.name
    for problem in directory.problems:
        if problem.foreign:
            return problem.error(name)
    hosts = directory.hosts_toml
    if hosts is not None and hosts.obeyed:
        return TrustError(
            f"{hosts.path} decides for this registry, and it leads to other CAs",
            reason="foreign_hosts_toml",
            registry=name,
            path=hosts.path,
            found=sorted(directory.fingerprints) or "no CA",
            expected=sorted(desired.pins),
            next_step="let its owner set ca there (at the top level and in the [host] table of this registry), "
            "or remove the file if nobody owns it; then run again",
        )
    own = os.path.join(directory.path, CA_FILE)
    if not directory.exists:
        return None
    foreign = [
        item for item in directory.certificates if item.path != own and item.fingerprint not in desired.pins
    ]
    if foreign:
        return TrustError(
            "another file in this registry's directory adds a CA that isn't pinned",
            reason="extra_ca",
            registry=name,
            path=foreign[0].path,
            found=[f"{item.fingerprint} ({item.subject}) in {item.path}" for item in foreign],
            expected=sorted(desired.pins),
            next_step=f"pin it as well if it belongs there, or move {foreign[0].path} away; then run again",
        )
    return None


def _config_reasons(containerd: Containerd, restart: Restart) -> list[str]:
    config = containerd.config
    reasons = []
    if containerd.cri_error:
        reasons.append(f"the CRI doesn't answer: {containerd.cri_error}")
    if not _containerd.covers(config.config_path, containerd.major, config.local_pull):
        value = repr(config.config_path) if config.config_path else "not set"
        reasons.append(
            f"config_path is {value} in {config.file.path}; containerd doesn't read {_containerd.CERTS_DIR}"
        )
    if restart.due:
        reasons.append(restart.why)
    return reasons


def _running_path(containerd: Containerd, restart: Restart) -> str:
    if containerd.running_config_path is not None:
        return containerd.running_config_path
    return "" if restart.due else containerd.config.config_path


def _read_path(directory: HostDirectory) -> str:
    files = sorted({certificate.path for certificate in directory.certificates})
    return files[0] if len(files) == 1 else directory.path if files else os.path.join(directory.path, CA_FILE)


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return (
        datetime.fromtimestamp(seconds, timezone.utc)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )

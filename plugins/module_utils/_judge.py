# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Desired trust and observed trust in, a verdict out: all that an audit says of a registry on a node.

**PRIVATE** to the collection. Nothing here writes anything.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from ansible_collections.nodetrust.harbor.plugins.module_utils._client_pair import ClientPair
from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import CA_FILE, HostDirectory
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import Desired, Restart, Runtime


class Verdict(NamedTuple):
    """One registry on one node: what was found, what was expected, and what is between them."""

    registry: str
    path: str
    directory: HostDirectory
    expected: list[str]
    in_sync: bool
    in_effect: bool
    reasons: list[str]
    cas_in_sync: bool
    extra: list[str]

    def to_dict(self, restart: Restart) -> dict[str, Any]:
        certificates = self.directory.certificates
        return {
            "registry": self.registry,
            "path": self.path,
            "files": sorted({certificate.path for certificate in certificates}),
            "found": [certificate._asdict() for certificate in certificates],
            "found_fingerprints": sorted({certificate.fingerprint for certificate in certificates}),
            "expected_fingerprints": self.expected,
            "extra_ca_fingerprints": self.extra,
            "client_fingerprint": self.directory.client.fingerprint if self.directory.client else None,
            "in_sync": self.in_sync,
            "in_effect": self.in_effect,
            "restart_due": restart.due,
            "reasons": self.reasons,
        }


def judge(desired: Desired, directory: HostDirectory, runtime: Runtime, restart: Restart) -> Verdict:
    """Does this node hold exactly the pinned CAs for this registry, and does the running process use them?"""
    expected = sorted(desired.pins)
    found = directory.fingerprints
    broken = [problem for problem in directory.problems if problem.breaks]
    cas_in_sync = found == desired.pins and not broken
    has_pair = pair_in_sync(desired, directory)
    left = runtime.left_in_store(desired.registry)
    in_sync = cas_in_sync and has_pair and not left
    reasons = [problem.message for problem in directory.problems]
    if expected and not found and not broken:
        reasons.append(f"no CA in {directory.searched or directory.path}")
    missing, extra = sorted(desired.pins - found), sorted(found - desired.pins)
    if found and missing:
        reasons.append(f"missing: {', '.join(missing)}")
    if extra:
        where = sorted({item.path for item in directory.certificates if item.fingerprint in extra})
        reasons.append(f"not pinned: {', '.join(extra)} in {', '.join(where)}")
    if not has_pair:
        reasons.append(
            f"the client certificate and its key are not in {directory.path}, or are not read there"
        )
    reasons += [f"{path} adds it to the system store, which store: runtime doesn't use" for path in left]
    if expected:
        reasons += runtime.reasons()
        reasons += [restart.why] if restart.due else []
    return Verdict(
        registry=desired.registry.name,
        path=_read_path(directory),
        directory=directory,
        expected=expected,
        in_sync=in_sync,
        in_effect=in_sync and not restart.due and (not expected or runtime.obeys(restart)),
        reasons=reasons,
        cas_in_sync=cas_in_sync,
        extra=sorted(desired.extra),
    )


def pair_in_sync(item: Desired, directory: HostDirectory) -> bool:
    """Does the node hold the client certificate that is wanted, or pinned, where the runtime reads it?"""
    if item.client is not None and not holds(directory, item.client):
        return False
    if item.client_pin is None:
        return True
    found = directory.client
    return found is not None and found.is_pinned(item.client_pin) and is_read(directory)


def holds(directory: HostDirectory, pair: ClientPair) -> bool:
    return directory.client is not None and directory.client.is_that(pair) and is_read(directory)


def is_read(directory: HostDirectory) -> bool:
    """Does the runtime take our pair? A hosts.toml that is obeyed has to name it for each try that ends there."""
    hosts = directory.hosts_toml
    if hosts is None or not hosts.obeyed:
        return True
    from ansible_collections.nodetrust.harbor.plugins.module_utils import _hosts_merge
    from ansible_collections.nodetrust.harbor.plugins.module_utils._toml import parse

    document = parse(hosts.text, hosts.path)
    named = [document.get((*table, "client")) for table in hosts.tables]
    return bool(named) and all(_hosts_merge.names_client(one, directory.path) for one in named)


def _read_path(directory: HostDirectory) -> str:
    if directory.searched:
        return directory.searched
    files = sorted({certificate.path for certificate in directory.certificates})
    return files[0] if len(files) == 1 else directory.path if files else os.path.join(directory.path, CA_FILE)

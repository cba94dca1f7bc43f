# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that install a client certificate in a registry's directory, and take ours away again.

**PRIVATE** to the collection. Nothing here reads or writes anything.
"""

from __future__ import annotations

import os

from ansible_collections.nodetrust.harbor.plugins.module_utils._client_pair import (
    CERT_FILE,
    KEY_FILE,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import CA_FILE, HostDirectory
from ansible_collections.nodetrust.harbor.plugins.module_utils._judge import holds, is_read
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import Change, Desired, Runtime


def install_pair(item: Desired, directory: HostDirectory, runtime: Runtime) -> list[Change]:
    """The steps for the client certificate; the key first, for a certificate without one breaks every pull."""
    name, found = item.registry.name, directory.client
    if item.client is None or holds(directory, item.client):
        return []
    hosts = directory.hosts_toml
    if not runtime.client_pairs or not is_read(directory):
        raise TrustError(
            f"{hosts.path if hosts else runtime.name} decides which client certificate this registry gets",
            reason="client_cert_elsewhere",
            registry=name,
            path=hosts.path if hosts else None,
            found=f"{hosts.path}, which names another one or none" if hosts else runtime.name,
            expected="a runtime that takes client.cert and client.key from the registry's directory",
            next_step="name certificate and key there (client in a hosts.toml, tls in a registries.yaml), leave "
            "client_cert_* out, then run again",
        )
    if found is not None and not found.absent and not found.ours:
        raise TrustError(
            "another client certificate lies under the name that ours would have",
            reason="foreign_client_cert",
            registry=name,
            path=found.cert.path,
            found=found.fingerprint or "a file without a certificate",
            expected=item.client.fingerprint,
            next_step=f"move {found.cert.path} and {found.key.path} away if nobody needs them, then run again",
        )
    there = [file.path for file in (found.key, found.cert) if file.kind != "absent"] if found else []
    files = [(KEY_FILE, "secret", item.client.key_file), (CERT_FILE, "write", item.client.cert_file)]
    changes = []
    for file, kind, content in files:
        path = os.path.join(directory.path, file)
        verb = "replace" if path in there else "create"
        changes.append(Change(kind, path, f"{verb} {path}", content, name))
    return changes


def without_lead(item: Desired, directory: HostDirectory, steps: list[Change]) -> list[Change]:
    """The steps, so that no line of ours in a hosts.toml leads to a pair that is no longer wanted."""
    hosts = directory.hosts_toml
    if hosts is None or not hosts.obeyed:
        return steps
    planned = next((step for step in steps if step.path == hosts.path), None)
    text = (planned.content or b"").decode("utf-8") if planned else hosts.text
    from ansible_collections.nodetrust.harbor.plugins.module_utils import _hosts_merge

    without = _hosts_merge.without_client(text, hosts.path)
    if without == text:
        return steps
    summary = f"take our client certificate out of {hosts.path}"
    change = Change("text", hosts.path, summary, without.encode("utf-8"), item.registry.name)
    return [*(step for step in steps if step is not planned), change]


def _remove_pair(directory: HostDirectory) -> list[Change]:
    if directory.client is None or not directory.client.ours or directory.elsewhere:
        return []
    paths = [file.path for file in (directory.client.cert, directory.client.key) if file.kind != "absent"]
    return [Change("remove", path, f"remove {path}", registry=directory.registry.name) for path in paths]


def with_pair_removed(directory: HostDirectory, changes: list[Change]) -> list[Change]:
    """The steps, with the end of our client certificate; the directory goes last, and only if nothing else is in it.

    An empty one already means something to a runtime (runtime-facts §3).
    """
    pair = _remove_pair(directory)
    if not pair:
        return changes
    steps = [change for change in changes if change.kind != "rmdir"] + pair
    if any(step.kind == "write" and os.path.dirname(step.path) == directory.path for step in steps):
        return steps
    gone = {os.path.basename(change.path) for change in steps}
    ca_stays = directory.ca_file is not None and directory.ca_file.kind != "absent" and CA_FILE not in gone
    if not ca_stays and not set(directory.others) - gone:
        path = directory.path
        steps.append(Change("rmdir", path, f"remove the empty {path}", registry=directory.registry.name))
    return steps

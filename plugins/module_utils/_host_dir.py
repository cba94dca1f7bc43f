# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One registry's directory under certs.d: which CAs containerd takes from it, and what is in the way.

**PRIVATE** to the collection. Every rule here is a row of runtime-facts §3.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ansible_collections.nodetrust.harbor.plugins.module_utils import _node
from ansible_collections.nodetrust.harbor.plugins.module_utils._client_pair import (
    CERT_FILE,
    KEY_FILE,
    FoundPair,
    read_pair,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import Registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._owners import (
    Owner,
    owner_of_directory,
    owner_of_hosts_toml,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import (
    describe,
    fingerprint,
    passed_over,
    split,
)

if TYPE_CHECKING:
    from ansible_collections.nodetrust.harbor.plugins.module_utils._hosts_toml import HostsToml

CA_FILE = "ca.crt"
# What our ca in a hosts.toml mends; the one for everybody is not ours to change.
_ABOUT_CA = ("hosts_toml_without_ca", "hosts_toml_ca_incomplete")
_LINKS = ("host_directory_is_a_link", "certs_d_is_a_link")


class Reader(NamedTuple):
    """How a runtime reads a registry's directory (runtime-facts §3, §8, §9).

    name: the runtime in messages.
    hosts_toml: the major version of the containerd by whose rules a hosts.toml counts; None if it is not read.
    fallbacks: does it know `_default` and `host_port_`?
    junk_breaks: does one file that can't be loaded break the registry? Otherwise it is passed over in silence.
    directory_breaks: does a directory named x.crt break it?
    key_breaks: does a .key without its .cert break it?
    """

    name: str
    hosts_toml: int | None
    fallbacks: bool
    junk_breaks: bool
    directory_breaks: bool
    key_breaks: bool = False


CONTAINERD_1 = Reader("containerd", 1, fallbacks=True, junk_breaks=True, directory_breaks=False)
CONTAINERD_2 = Reader("containerd", 2, fallbacks=True, junk_breaks=True, directory_breaks=False)


class Problem(NamedTuple):
    """Something in the way.

    breaks: pulls from this registry fail or are judged by another CA because of it.
    foreign: it isn't ours to change, so nothing is written while it is there.
    """

    reason: str
    message: str
    path: str
    next_step: str
    breaks: bool = True
    foreign: bool = True

    def error(self, registry: str) -> TrustError:
        return TrustError(
            self.message,
            reason=self.reason,
            registry=registry,
            path=self.path,
            found=None,  # the sentence says it
            expected="nothing that keeps the runtime from reading this registry's CAs, or a run from changing them",
            next_step=self.next_step,
        )


class FoundCertificate(NamedTuple):
    """A certificate that the runtime takes as an anchor for this registry. Times are ISO 8601 in UTC."""

    fingerprint: str
    subject: str | None
    not_before: str | None
    not_after: str | None
    is_ca: bool
    path: str


# Neither compared nor shown: to build the methods for that takes Python as long as to compile the rest.
@dataclass(eq=False, repr=False)
class HostDirectory:
    """What a runtime takes from one registry's directory.

    searched: where the runtime looks, if that is somewhere else than path.
    referrers: hosts.toml files of other registries that lead to our file here.
    """

    registry: Registry
    path: str
    exists: bool = False
    certificates: list[FoundCertificate] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    ca_file: _node.FileState | None = None
    hosts_toml: HostsToml | None = None
    others: list[str] = field(default_factory=list)
    referrers: list[str] = field(default_factory=list)
    client: FoundPair | None = None
    searched: str = ""

    @property
    def fingerprints(self) -> set[str]:
        return {certificate.fingerprint for certificate in self.certificates}

    @property
    def elsewhere(self) -> bool:
        """Does a link lead to it? Nothing is ever written through one, so nothing of ours lies behind it."""
        return any(problem.reason in _LINKS for problem in self.problems)


def read_host_directory(certs_dir: str, registry: Registry, reader: Reader) -> HostDirectory:
    """Read what a runtime would take for a registry, and why not more.

    Raises:
        TrustError: something can't be read at all.
    """
    path = os.path.join(certs_dir, registry.name)
    result = HostDirectory(registry, path)
    result.problems += _problems_of_parent(certs_dir)
    if any(problem.reason == "certs_d_not_a_directory" for problem in result.problems):
        return result
    result.problems += _rewritten(owner_of_directory(certs_dir))
    if reader.fallbacks and registry.port is not None:
        result.problems += _shadow(certs_dir, registry, reader)
    state = _node.read_state(path)
    if state.kind == "absent":
        if reader.fallbacks:
            _read_default(result, certs_dir, reader)
        return result
    if state.kind != "directory":
        result.problems.append(
            Problem(
                "host_directory_not_a_directory",
                f"{path} is a {state.kind}, not a directory",
                path,
                f"look at what put it there, move it away (mv {path} {path}.old) and run again",
            )
        )
        return result
    result.exists = True
    if state.target is not None:
        result.problems.append(
            Problem(
                "host_directory_is_a_link",
                f"{path} is a link to {state.target}; a change would land there",
                path,
                f"manage {state.target}, or replace the link by a directory and run again",
                breaks=False,
            )
        )
    _read_entries(result, path, reader)
    if reader.fallbacks:
        result.problems += _hidden_default(result, certs_dir)
    if reader.hosts_toml is not None:
        result.referrers = _referrers(result, certs_dir, reader.hosts_toml)
    return result


def _rewritten(owner: Owner | None) -> list[Problem]:
    """A change here would be undone by its owner without a word."""
    if owner is None:
        return []
    return [
        Problem(
            "foreign_owner",
            f"{owner.path} belongs to {owner.name} ({owner.sign}): {owner.when}",
            owner.path,
            f"{owner.way_out}; then run again",
            breaks=False,
        )
    ]


def _hidden_default(result: HostDirectory, certs_dir: str) -> list[Problem]:
    default = os.path.join(certs_dir, "_default")
    if result.others or (result.ca_file is not None and result.ca_file.kind != "absent"):
        return []
    if _node.read_state(default).kind != "directory":
        return []
    return [
        Problem(
            "empty_directory",
            f"{result.path} is empty, and because it is there {default} is not read",
            result.path,
            f"remove it (rmdir {result.path}) if {default} was meant, and run again",
            breaks=False,
            foreign=False,
        )
    ]


def _referrers(result: HostDirectory, certs_dir: str, major: int) -> list[str]:
    found = []
    for name in _node.list_directory(certs_dir):
        path = os.path.join(certs_dir, name, "hosts.toml")
        if name != result.registry.name and os.path.isfile(path):
            hosts = _read_hosts_toml(path, result.registry, major)
            if hosts.refers_to(os.path.join(result.path, CA_FILE)):
                found.append(path)
    return found


def _problems_of_parent(certs_dir: str) -> list[Problem]:
    state = _node.read_state(certs_dir)
    if state.kind == "link":
        return [
            Problem(
                "certs_d_is_a_link",
                f"{certs_dir} is a dangling link to {state.target}",
                certs_dir,
                f"create {state.target}, or replace the link by a directory and run again",
            )
        ]
    if state.kind not in ("absent", "directory"):
        return [
            Problem(
                "certs_d_not_a_directory",
                f"{certs_dir} is a {state.kind}, not a directory",
                certs_dir,
                f"look at what put it there, move it away (mv {certs_dir} {certs_dir}.old) and run again",
            )
        ]
    if state.target is not None:
        return [
            Problem(
                "certs_d_is_a_link",
                f"{certs_dir} is a link to {state.target}; a change would land there",
                certs_dir,
                f"replace the link by a directory holding what {state.target} holds, and run again",
                breaks=False,
            )
        ]
    return []


def _shadow(certs_dir: str, registry: Registry, reader: Reader) -> list[Problem]:
    # containerd tries `host_port_` before `host:port` (runtime-facts §3a).
    path = os.path.join(certs_dir, f"{registry.host}_{registry.port}_")
    if _node.read_state(path).kind == "absent":
        return []
    return [
        Problem(
            "shadowed_by_underscore_directory",
            f"{reader.name} reads {path} and never looks at {registry.name}",
            path,
            f"move it away (mv {path} {path}.old): the colon form is understood by every runtime; then run again",
        )
    ]


def _read_default(result: HostDirectory, certs_dir: str, reader: Reader) -> None:
    path = os.path.join(certs_dir, "_default")
    if _node.read_state(path).kind != "directory":
        return
    result.ca_file = None
    fallback = HostDirectory(result.registry, path)
    _read_entries(fallback, path, reader)
    result.certificates = fallback.certificates
    result.problems += [
        problem
        for problem in fallback.problems
        if problem.reason == "mirror_not_verified" or (problem.breaks and problem.reason not in _ABOUT_CA)
    ]
    if fallback.hosts_toml is not None and fallback.hosts_toml.obeyed:
        result.problems.append(
            Problem(
                "default_hosts_toml",
                f"{path}/hosts.toml speaks for every registry without a directory of its own; "
                "a new directory would take this registry away from it",
                f"{path}/hosts.toml",
                f"let its owner add this CA, or create {result.path} by hand with what it says, then run again",
                breaks=False,
            )
        )


def _read_entries(result: HostDirectory, path: str, reader: Reader) -> None:
    names = _node.list_directory(path)
    result.ca_file = _node.read_state(os.path.join(path, CA_FILE))
    result.others = [name for name in names if name != CA_FILE and not name.startswith(".")]
    result.client = read_pair(path)
    if "hosts.toml" in names and reader.hosts_toml is not None:
        result.hosts_toml = _read_hosts_toml(
            os.path.join(path, "hosts.toml"), result.registry, reader.hosts_toml
        )
        if result.hosts_toml.obeyed:
            _take_hosts_toml(result, result.hosts_toml, reader)
            return
        if result.hosts_toml.note:
            result.problems.append(
                Problem(
                    "hosts_toml_ignored",
                    result.hosts_toml.note,
                    result.hosts_toml.path,
                    f"mend or remove it: {reader.name} logs the error and goes on without it",
                    breaks=False,
                    foreign=False,
                )
            )
    for name in names:
        if name.endswith(".crt"):
            take_file(result, os.path.join(path, name), reader, ours=name == CA_FILE)
        elif name.endswith(".cert") and f"{name[:-5]}.key" not in names:
            result.problems.append(
                Problem(
                    "stray_cert",
                    f"{path}/{name} has no key beside it: every pull from this registry fails",
                    f"{path}/{name}",
                    f"a CA must end in .crt: remove {path}/{name}, or add its key {name[:-5]}.key; then run again",
                    foreign=not (name == CERT_FILE and result.client.ours),
                )
            )
        elif name.endswith(".key") and f"{name[:-4]}.cert" not in names and reader.key_breaks:
            result.problems.append(
                Problem(
                    "stray_key",
                    f"{path}/{name} has no certificate beside it: every pull from this registry fails",
                    f"{path}/{name}",
                    f"add its certificate {name[:-4]}.cert, or remove the key; then run again",
                    foreign=not (name == KEY_FILE and result.client.ours),
                )
            )


def _read_hosts_toml(path: str, registry: Registry, major: int) -> HostsToml:
    # Most registries have none.
    from ansible_collections.nodetrust.harbor.plugins.module_utils._hosts_toml import read_hosts_toml

    return read_hosts_toml(path, registry, major)


def _take_hosts_toml(result: HostDirectory, hosts: HostsToml, reader: Reader) -> None:
    own = os.path.join(result.path, CA_FILE)
    result.problems += _rewritten(owner_of_hosts_toml(hosts.path, hosts.text))
    if hosts.target is not None:
        result.problems.append(
            Problem(
                "hosts_toml_is_a_link",
                f"{hosts.path} is a link to {hosts.target}; a change would land there",
                hosts.path,
                f"set ca in {hosts.target}, or replace the link by a file, and run again",
                breaks=False,
            )
        )
    for path in hosts.ca_paths:
        take_file(result, path, reader, ours=path == own)
    if own not in hosts.ca_paths and result.ca_file is not None and result.ca_file.kind == "directory":
        take_file(result, own, reader, ours=True)
    result.problems += [
        Problem(
            "foreign_hosts_toml",
            f"{hosts.path} decides for this registry and {trouble}",
            hosts.path,
            "let its owner mend that, or remove the file if nobody owns it; then run again",
        )
        for trouble in hosts.troubles
    ]
    result.problems += [
        Problem(
            "mirror_not_verified",
            f"{hosts.path} asks {mirror} for images of this registry too, and nobody checks who answers there",
            hosts.path,
            "let its owner give that host a CA (ca), or remove its table",
            breaks=False,
            foreign=False,
        )
        for mirror in hosts.unverified
    ]
    if hosts.ca_paths:
        result.problems += _bare_tables(hosts, reader, result.problems)
    elif not hosts.troubles:
        result.problems.append(
            Problem(
                "hosts_toml_without_ca",
                f"{hosts.path} decides for this registry and names no CA for it (ca is missing), "
                "so the .crt files beside it are never read",
                hosts.path,
                "run again to have ca added there",
                foreign=False,
            )
        )


def _bare_tables(hosts: HostsToml, reader: Reader, problems: list[Problem]) -> list[Problem]:
    """Where a try without a CA follows one that failed for another reason, its x509 is all that is told.

    So 1.x says x509 of a tag that is missing; 2.x only if the table is asked first (runtime-facts §4).
    """
    bare = [table for table in hosts.bare if table or reader.hosts_toml == 1]
    if not bare:
        return []
    where = ", ".join(f'[host."{table[-1]}"]' if table else "the top level" for table in bare)
    return [
        Problem(
            "hosts_toml_ca_incomplete",
            f"{hosts.path} names no CA at {where}, so {reader.name} tells a missing tag or a refused login as x509",
            hosts.path,
            "run again to have ca added there",
            # Pulls work: no reason to stop where the file isn't ours to change.
            breaks=not any(
                problem.reason in ("foreign_owner", "hosts_toml_is_a_link") for problem in problems
            ),
            foreign=False,
        )
    ]


def take_file(result: HostDirectory, path: str, reader: Reader, *, ours: bool) -> None:
    state = _node.read_state(path)
    if state.kind == "directory":
        # Our own name can't be written over it, whether it does harm or not.
        does = "can't read any pull's CA because of it" if reader.directory_breaks else "skips it"
        result.problems.append(
            Problem(
                "crt_is_a_directory",
                f"{path} is a directory; {reader.name} {does}",
                path,
                f"move it away (mv {path} {path}.old) and run again",
                breaks=reader.directory_breaks,
                foreign=ours or reader.directory_breaks,
            )
        )
        return
    if state.content is None:
        _take_unusable(
            result, path, "it is a link to nothing" if state.dangling else "it isn't there", reader, ours
        )
        return
    try:
        ders = split(state.content)
        found = [_found(der, path) for der in ders]
    except TrustError as exc:
        _take_unusable(result, path, exc.message, reader, ours)
        return
    if passed_over(state.content):
        what = "a certificate in it begins inside a line (a byte order mark or blanks stand before it)"
        _take_unusable(result, path, what, reader, ours)
        return
    result.certificates += found


def _take_unusable(result: HostDirectory, path: str, what: str, reader: Reader, ours: bool) -> None:
    effect = "one bad file breaks the registry" if reader.junk_breaks else "it is passed over in silence"
    result.problems.append(
        Problem(
            "ca_file_unusable",
            f"{reader.name} can't load {path}: {what}",
            path,
            f"move it away (mv {path} {path}.old) and run again: {effect}",
            breaks=reader.junk_breaks or ours,
            foreign=reader.junk_breaks and not ours,
        )
    )


def _found(der: bytes, path: str) -> FoundCertificate:
    facts = describe(der)
    return FoundCertificate(
        fingerprint(der), facts.subject, facts.not_before, facts.not_after, facts.is_ca, path
    )

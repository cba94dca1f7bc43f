# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A CA that replaces another: what nodes trust while that lasts, and whether the next phase may begin.

**PRIVATE** to the collection. Controller only. Nothing here touches a node or remembers a phase: what is
done is read from the nodes every time, so a run that died half-way loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import (
    InvalidRegistry,
    kind_of,
    parse_registry,
    shown,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import blocks, fingerprint, to_pem
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._bundle import (
    InvalidRegistries,
    check_registries,
)
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._checked import Bundle, CheckedRegistry

PHASES = ("add", "switch", "remove")
KEYS = ("hosts", "ca_file", "ca_pem", "fingerprints")
_NAMED = 20


class Files(Protocol):
    """Where the files lie that a user names."""

    def find(self, path: str) -> str: ...

    def read_secret(self, path: str) -> bytes: ...


@dataclass(frozen=True)
class Turn:
    """What the rotation means for one registry of one list. The bundle is the new one."""

    host: str
    ca_pem: str
    fingerprints: list[str]
    to_remove: list[str]
    proof_image: str | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "host": self.host,
            "ca_pem": self.ca_pem,
            "fingerprints": self.fingerprints,
            "to_remove": self.to_remove,
            "proof_image": self.proof_image,
        }


class InvalidRotation(TrustError):
    """The rotation cannot be done as it is described."""


class NotComplete(TrustError):
    """The phase before is not complete; nothing was changed."""

    def __init__(self, message: str, nodes: Sequence[str], **fields: Any) -> None:
        super().__init__(message, **fields)
        self.nodes = list(nodes)

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "nodes": self.nodes}


def check_with_rotation(
    entries: Any,
    rotation: Any,
    files: Files,
    now: datetime,
    only_new: bool = False,
    allow_expired: bool = False,
) -> tuple[list[CheckedRegistry], list[Turn]]:
    """The registries with the bundles that nodes have to trust, and what the rotation means for each.

    While a rotation lasts that is the old bundle and the new one, and at its very end the new one alone. The new CA of
    a rotation may never have expired: there would be nothing to rotate to.

    Raises:
        TrustError: the list or the rotation can't be used.
    """
    # Ansible fills options that were left out with null.
    if not rotation or (isinstance(rotation, Mapping) and not any(rotation.values())):
        return check_registries(entries, files.find, now, files.read_secret, allow_expired=allow_expired), []
    hosts = _hosts(rotation)
    new = _new_bundle(rotation, hosts[0], files, now)
    checked = check_registries(entries, files.find, now, files.read_secret, frozenset(hosts), allow_expired)
    turns = [
        Turn(
            registry.host,
            new.pem,
            new.fingerprints,
            [pin for pin in registry.bundle.fingerprints if pin not in new.fingerprints],
            registry.proof_image,
        )
        for registry in checked
        if registry.host in hosts
    ]
    result = [
        replace(registry, bundle=new if only_new else _joined(registry.bundle, new))
        if registry.host in hosts
        else registry
        for registry in checked
    ]
    return result, turns


def _joined(old: Bundle, new: Bundle) -> Bundle:
    """Both, each certificate once, the old ones first."""
    ders = {fingerprint(der): der for der in blocks((old.pem + new.pem).encode("ascii"))}
    facts = {item.fingerprint: item for item in (*old.certificates, *new.certificates)}
    return Bundle(
        to_pem(list(ders.values())), tuple(facts[pin] for pin in ders), f"{old.source} and {new.source}"
    )


def notes_of(turns: Iterable[Turn]) -> list[str]:
    """What a person should know about a rotation that has nothing left to do."""
    return [
        f"{turn.host}: the CA of the list is the new one of harbor_ca_rotation already. Next step: the rotation "
        f"is over, remove harbor_ca_rotation."
        for turn in turns
        if not turn.to_remove
    ]


def check_turns(rotations: Iterable[Any], turns: Iterable[Mapping[str, Any]]) -> None:
    """Refuse a rotation that could not be carried out or proved, before any node is touched.

    Parameters:
        rotations: harbor_ca_rotation of each node that has one.
        turns: what it means for the registries of each node, as `Turn.to_dict` wrote it.
    """
    wanted = {host for rotation in rotations if rotation for host in _hosts(rotation)}
    if not wanted:
        raise InvalidRotation(
            "There is no rotation.",
            reason="no_rotation",
            found="harbor_ca_rotation is not set",
            expected="harbor_ca_rotation with hosts and ca_file",
            next_step="describe the new CA beside harbor_ca_registries, and leave that list as it is",
        )
    known = list(turns)
    unknown = sorted(wanted - {turn["host"] for turn in known})
    if unknown:
        raise InvalidRotation(
            "The rotation is for a registry that no node has.",
            reason="rotation_unknown_registry",
            registry=unknown[0],
            found=unknown,
            expected="registries of harbor_ca_registries, with the port if it stands there",
            next_step="correct hosts of harbor_ca_rotation",
        )
    for turn in known:
        if not turn["to_remove"]:
            raise InvalidRotation(
                "The new CA is the old one: nothing would be replaced.",
                reason="rotation_same_ca",
                registry=turn["host"],
                found=turn["fingerprints"],
                expected="a bundle without the CA that has to go",
                next_step="give the new CA in harbor_ca_rotation; if the rotation is over, remove that variable",
            )
        if not turn["proof_image"]:
            raise InvalidRotation(
                "Without a pull no phase could be proved.",
                reason="rotation_without_proof",
                registry=turn["host"],
                found="no proof_image",
                expected="an image that every node may pull from there",
                next_step="name one as proof_image of this registry in harbor_ca_registries",
            )


def check_nodes(phase: str, results: Mapping[str, Mapping[str, Any] | None]) -> None:
    """Refuse a phase as long as a node has not been through the one before.

    Parameters:
        results: what node_audit said of each node, None for one that said nothing.
    """
    if phase == PHASES[0]:
        return
    lacking = {node: why for node, result in results.items() if (why := _lacks(result))}
    if lacking:
        names = sorted(lacking)
        raise NotComplete(
            f"Phase {phase} was not begun: {len(names)} of {len(results)} nodes do not hold the new CA beside the "
            f"old one, or not in effect",
            names,
            reason="rotation_not_complete",
            found="; ".join(f"{name}: {lacking[name]}" for name in names[:_NAMED]) + _more(names),
            expected="phase add complete on every node",
            next_step="run phase add again; take nodes that are gone for good out of the inventory",
        )


def check_served(
    served: Mapping[str, Iterable[Mapping[str, Any]]],
    results: Mapping[str, Mapping[str, Any] | None],
    turns: Iterable[Mapping[str, Any]],
) -> None:
    """Refuse as long as a node sees a rotated registry serve something that the new CA alone does not verify.

    Each node that has the registry must have looked. One that looked and could not connect, because it pulls through
    a proxy for example, is passed over: its pull is the proof. But somebody has to have seen the new certificate.

    Parameters:
        served: what registry_served_info said on each node; nothing for one on which it failed.
        results: what node_audit said of each node.
        turns: what the rotation means for the registries of each node, as `Turn.to_dict` wrote it.
    """
    rotated = {turn["host"] for turn in turns}
    seen = {(node, one["registry"]): one for node, registries in served.items() for one in registries}
    good = {registry for (_node, registry), one in seen.items() if one["trusted"]}
    wanted = [(node, registry) for node in sorted(results) for registry in _of_these(rotated, results[node])]
    wrong = {key: _shown(seen.get(key)) for key in wanted if _is_wrong(seen.get(key), key[1] in good)}
    unseen = sorted(rotated - good)
    if wrong or unseen or not rotated:
        nodes = list(dict.fromkeys(node for node, _registry in wrong))
        raise NotComplete(
            "Not every node has seen the registry serve a certificate of the new CA",
            nodes,
            reason="new_ca_not_served",
            registry=next((registry for _node, registry in wrong), unseen[0] if unseen else None),
            found=_grouped(wrong) or "no node has looked",
            expected="on every node that has the registry, a chain that the new CA verifies by itself",
            next_step="give the registry its new certificate, with the intermediates if there are any; if it has it, "
            "the CA in harbor_ca_rotation is not the one that signed it. On a node without an answer run "
            "nodetrust.harbor.registry_served_info to see why. Then run this phase again",
        )


def _of_these(rotated: set[str], result: Mapping[str, Any] | None) -> list[str]:
    """Those that a node has, by its audit; all of them as long as that names no registry at all."""
    entries = (result or {}).get("registries")
    known = [one for one in entries if isinstance(one, Mapping)] if isinstance(entries, (list, tuple)) else []
    mine = {str(one.get("registry")) for one in known}
    return sorted(rotated & mine if mine else rotated)


def _is_wrong(seen: Mapping[str, Any] | None, seen_elsewhere: bool) -> bool:
    if seen is None:
        return True
    return not seen["trusted"] and (seen["reachable"] or not seen_elsewhere)


def _shown(seen: Mapping[str, Any] | None) -> str:
    leaf = (seen or {}).get("certificate")
    if leaf:
        return f"{leaf['subject']}, issued by {leaf['issuer']} ({leaf['fingerprint']})"
    return (seen or {}).get("reason") or "no answer"


def _grouped(wrong: Mapping[tuple[str, str], str]) -> str:
    """Nodes that saw the same in one part."""
    groups: dict[tuple[str, str], list[str]] = {}
    for (node, registry), what in wrong.items():
        groups.setdefault((registry, what), []).append(node)
    told = [
        f"{registry} on {', '.join(nodes[:_NAMED])}{_more(nodes)}: {what}"
        for (registry, what), nodes in groups.items()
    ]
    return "; ".join(told[:_NAMED]) + _more(told)


def _more(names: Sequence[str]) -> str:
    return f", and {len(names) - _NAMED} more" if len(names) > _NAMED else ""


def _lacks(result: Mapping[str, Any] | None) -> str:
    if not result or result.get("unreachable"):
        return "cannot be reached"
    if result.get("in_effect") is True:
        return ""
    reasons = [
        str(reason) for registry in result.get("registries") or [] for reason in registry.get("reasons") or []
    ]
    return ", ".join(reasons) or str(result.get("reason") or result.get("msg") or "not in effect")


def _hosts(rotation: Any) -> list[str]:
    if not isinstance(rotation, Mapping):
        raise _invalid(
            "harbor_ca_rotation is not a set of keys and values.",
            kind_of(rotation),
            "hosts, and the new CA",
            "begin it with hosts:",
        )
    for key in rotation:
        if key not in KEYS:
            raise _invalid(
                f"The key {shown(str(key))} is not known in harbor_ca_rotation.",
                shown(str(key)),
                f"only {', '.join(KEYS)}",
                "remove it, or correct its name",
            )
    hosts = rotation.get("hosts")
    if not isinstance(hosts, (list, tuple)) or not hosts:
        raise _invalid(
            "harbor_ca_rotation names no registry.",
            "no hosts" if hosts is None else kind_of(hosts),
            "a list of at least one registry",
            "list the registries whose CA is replaced under hosts, as in harbor_ca_registries",
        )
    try:
        return [parse_registry(host).name for host in hosts]
    except InvalidRegistry as exc:
        raise _invalid(
            f"harbor_ca_rotation: {exc.message}", exc.found, exc.expected, exc.next_step or "correct hosts"
        ) from None


def _invalid(message: str, found: Any, expected: Any, next_step: str) -> InvalidRotation:
    return InvalidRotation(
        message, reason="invalid_rotation", found=found, expected=expected, next_step=next_step
    )


def _new_bundle(rotation: Mapping[str, Any], host: str, files: Files, now: datetime) -> Bundle:
    entry = {"host": host, **{key: rotation[key] for key in KEYS[1:] if rotation.get(key) is not None}}
    try:
        (new,) = check_registries([entry], files.find, now, files.read_secret)
    except InvalidRegistries as exc:
        errors = [{**error, "where": "", "registry": None} for error in exc.errors]
        raise InvalidRegistries(errors, "The new CA in harbor_ca_rotation") from None
    return new.bundle

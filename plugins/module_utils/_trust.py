# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one sequence behind the modules: observe, plan, apply or only report, prove, take back.

**PRIVATE** to the collection. Takes plain values, returns plain values, raises TrustError.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils import _apply, _offline
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._observe import (
    Observation,
    Request,
    observe,
    restart_fields,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._plan import (
    Plan,
    judge,
    plan_absent,
    plan_present,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._pull import (
    PullResult,
    caused_by_change,
    prove,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import (
    Change,
    Client,
    Restart,
)

_NOT_PROVEN = "no proof_image is given: the files are checked, nothing was pulled"


def ensure(request: Request, state: str, check_mode: bool) -> dict[str, Any]:
    """Make it so (state present) or take it away (absent), and prove it if that is possible without a restart.

    In an offline root nothing is proved.

    Raises:
        TrustError: bad input, or something in the way; nothing has been touched.
        ProofFailed: the change is in place or taken back, and the pull says no.
    """
    with _offline.inside(request.root):
        return _ensure(request, state, check_mode)


def _planned(request: Request, state: str) -> tuple[Observation, Plan, list[Change]]:
    """The plan, and its steps written out: one that could not be carried out is told before, not after."""
    seen = observe(request)
    plan = (plan_present if state == "present" else plan_absent)(
        request.desired, seen.directories, seen.runtime
    )
    changes = [
        seen.runtime.complete(change) if change.kind == "config" else change for change in plan.changes
    ]
    _apply.refuse_links(changes)
    return seen, plan, changes


def _ensure(request: Request, state: str, check_mode: bool) -> dict[str, Any]:
    seen, plan, changes = _planned(request, state)
    restart = plan.restart_after or plan.restart
    waiting = _apply.waiting(seen.runtime.process)
    result: dict[str, Any] = {
        "changed": plan.changed,
        "changes": [change.summary for change in changes],
        "diff": _apply.diff(changes),
        "registries": [verdict.to_dict(restart) for verdict in plan.verdicts],
        "runtime": seen.facts(),
        "backup_file": None,
        "revertible": plan.changed or bool(waiting),
        "rolled_back": False,
        "pulls_before": [],
        "pulls": [],
        "proof": "none",
        "proof_images": [item.proof_image for item in request.desired if item.proof_image],
        **restart_fields(restart, seen.runtime),
    }
    pulling = (
        request.root is None and state == "present" and any(item.proof_image for item in request.desired)
    )
    if check_mode:
        return {**result, "proof": "skipped" if pulling else "none", "msg": _say(plan, restart, "would be")}
    spoils = restart.pull_decides and plan.changed
    before = _pulls(request, seen.runtime.client) if pulling and not spoils else []
    result["pulls_before"] = [pull.to_dict() for pull in before]
    if plan.changed:
        with _apply.only_one():
            # Somebody may have edited the same files while the pulls took their time.
            if _planned(request, state)[2] != changes:
                raise _changed_meanwhile(seen, changes)
            result["backup_file"] = _apply.apply(changes, waiting)
            restart = seen.runtime.settle(changes, restart)
            result.update(restart_fields(restart, seen.runtime))
            result["registries"] = _judged_again(request, restart)
            if pulling and restart.pull_decides:
                restart = _decided(request, seen, restart, _pulls(request, seen.runtime.client), result)
            _prove_change(request, seen, plan, restart, before, pulling, result)
    elif pulling:
        restart = _decided(request, seen, restart, before, result)
        _settle(before, restart, result)
    said = _say(plan, restart, "is")
    if request.root is not None:
        said = f"offline root {request.root}: {said}, and no proof: {restart.why}"
    return {**result, "msg": said}


def _changed_meanwhile(seen: Observation, changes: list[Change]) -> TrustError:
    return TrustError(
        "the node changed while this run looked at it, and nothing was written",
        reason="changed_meanwhile",
        path=changes[0].path,
        found=f"another plan than a moment ago for {seen.runtime.name}",
        expected=[change.summary for change in changes],
        next_step="see what else is changing this node (a package upgrade, kubeadm, another tool), then run again",
    )


def take_back(check_mode: bool, root: str | None = None) -> dict[str, Any]:
    """Bring back what the last change on this node, or in this root, replaced (state previous)."""
    with _offline.inside(root):
        result = _take_back(check_mode)
    return result if root is None else {**result, **restart_fields(_offline.NOTHING_RUNS)}


def _take_back(check_mode: bool) -> dict[str, Any]:
    remembered = _apply.previous()
    edited = _apply.edited_since()
    back = [] if edited else _apply.differing(remembered)
    # The store itself is made again; it differs no more than what it is made from.
    made = [found.path for found in remembered if found.step == "store"] if back else []
    config = [found.path for found in back if found.step == "config"] + made
    why = (
        f"{config[0]} is what it was before, and the process read another one"
        if config
        else "no restart is needed"
    )
    result = {
        "changed": bool(back),
        "changes": [f"bring back {found.path}" for found in back],
        "diff": _apply.diff_back(back),
        "registries": [],
        "rolled_back": bool(back) and not check_mode,
        "msg": f"brought back: {', '.join(found.path for found in back)}"
        if back
        else f"nothing is brought back: {', '.join(edited)} was edited after the last change"
        if edited
        else "nothing to bring back",
        **restart_fields(Restart(bool(config), why, {"files": [found.path for found in back]})),
    }
    if not check_mode and remembered and not edited:
        with _apply.only_one():
            _apply.bring_back([found for found in remembered if found in back or found.step == "store"])
    return result


def forget(check_mode: bool) -> dict[str, Any]:
    """Take away what earlier runs remembered on this node (state forgotten)."""
    known = _apply.forget(check_mode)
    return {
        "changed": known,
        "changes": [f"remove {_apply.STATE_DIR}"] if known else [],
        "diff": [],
        "rolled_back": False,
        "msg": f"{_apply.STATE_DIR} {'would be' if check_mode else 'is'} gone"
        if known
        else "nothing to forget",
        **restart_fields(Restart(False, "no restart is needed", {})),
    }


class ProofFailed(TrustError):
    """The pull said no. result holds all that a successful run would have returned."""

    def __init__(self, pull: PullResult, result: dict[str, Any], what_was_done: str) -> None:
        super().__init__(
            f"the proof failed, {pull.image} can't be pulled: {pull.message}. {what_was_done}".rstrip(),
            reason=pull.reason,
            registry=pull.registry,
            found=pull.reason,
            expected="a pull that succeeds",
            next_step=pull.remedy,
        )
        self.result = result


def _decided(
    request: Request, seen: Observation, restart: Restart, pulls: list[PullResult], result: dict[str, Any]
) -> Restart:
    """Let the pulls decide whether the restart is due, where they can, and if there is one for each registry."""
    if not restart.pull_decides or len(pulls) < len(request.desired) or not all(pull.ok for pull in pulls):
        return restart
    seen.runtime.proved()
    restart = Restart(False, "the pull succeeds, so the process has not read the old state", restart.evidence)
    result.update(restart_fields(restart))
    result["registries"] = _judged_again(request, restart)
    return restart


def _prove_change(
    request: Request,
    seen: Observation,
    plan: Plan,
    restart: Restart,
    before: list[PullResult],
    pulling: bool,
    result: dict[str, Any],
) -> None:
    if restart.due or not pulling:
        result["proof"] = "pending_restart" if restart.due and pulling else "none"
        return
    after = _pulls(request, seen.runtime.client)
    earlier = {pull.image: pull for pull in before}
    if any(caused_by_change(earlier.get(pull.image), pull) for pull in after):
        _apply.bring_back(_apply.previous())
        result.update(rolled_back=True, changed=False, changes=[])
        result["registries"] = _judged_again(request, restart)
    _settle(after, restart, result)


def _settle(pulls: list[PullResult], restart: Restart, result: dict[str, Any]) -> None:
    """Write the outcome of the proof into the result; a failure for which a restart is due is not one yet."""
    result["pulls"] = [pull.to_dict() for pull in pulls]
    failed = [pull for pull in pulls if not pull.ok]
    if failed and restart.due and not result["rolled_back"]:
        result["proof"] = "pending_restart"
        return
    result["proof"] = "failed" if failed else "proven"
    if failed:
        done = "The files are as they were before this run." if result["rolled_back"] else ""
        raise ProofFailed(failed[0], result, done)


def _pulls(request: Request, client: Client) -> list[PullResult]:
    return [
        prove(client, item.proof_image, request.credentials.get(item.registry.name))
        for item in request.desired
        if item.proof_image
    ]


def _judged_again(request: Request, restart: Restart) -> list[dict[str, Any]]:
    """The registries as they are after the change; what the process has in effect waits for the restart."""
    now = observe(request)
    return [
        judge(item, directory, now.runtime, restart).to_dict(restart)
        for item, directory in zip(request.desired, now.directories)
    ]


def _say(plan: Plan, restart: Restart, verb: str) -> str:
    words = [change.summary for change in plan.changes] or ["nothing to change"]
    words.append(f"a restart {verb} due: {restart.why}" if restart.due else "no restart")
    return "; ".join(words)

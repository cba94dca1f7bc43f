# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry out a plan, remember what it replaced, and bring that back when asked.

**PRIVATE** to the collection. The record lies on the node, so that a run which died half-way can
still be taken back by the next one.
"""

from __future__ import annotations

import base64
import contextlib
import difflib
import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils import _anchors, _mark, _node, _system_store
from ansible_collections.nodetrust.harbor.plugins.module_utils._client_pair import KEY_FILE
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import describe, fingerprint, split
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import Change, started_before

STATE_DIR = _mark.STATE_DIR
RECORD = os.path.join(STATE_DIR, "previous.json")
BACKUP_SUFFIX = ".before-nodetrust"
_RECORD_FORMAT = 1
_LOGIN = re.compile(
    r"""((?:username|password|auth|identitytoken|authorization)["']?\s*=\s*\[?\s*)("[^"\n]*"|'[^'\n]*')""",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Before:
    """What one step found: enough to undo it.

    step: the kind of the change. new_parent: the step made the directory, so it goes with the file.
    after: SHA-256 of what the step wrote, in hexadecimal digits.
    """

    state: _node.FileState
    step: str
    new_parent: bool = False
    after: str | None = None

    @property
    def path(self) -> str:
        return self.state.path


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Keep two runs from changing one node at the same time.

    Raises:
        TrustError: another run holds the lock.
    """
    path = os.path.join(STATE_DIR, "lock")
    handle = _open_lock(path)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise _locked(path) from exc
        # Between open and lock another run may have taken the directory away, and a third one may hold its successor.
        if not _is_at(handle, path):
            raise _locked(path)
        yield
    finally:
        os.close(handle)


def _open_lock(path: str) -> int:
    _node.make_directories(STATE_DIR)
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError as exc:
        # The directory was there a moment ago.
        raise _locked(path) from exc
    except OSError as exc:
        raise _node.file_error(path, exc) from exc


def _is_at(handle: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _locked(path: str) -> TrustError:
    return TrustError(
        f"another run is changing this node right now, it holds {path}",
        reason="locked",
        path=path,
        found=f"a lock on {path}",
        expected="no other run on this node",
        next_step="wait for it to end, then run again",
    )


def forget(check_mode: bool) -> bool:
    """Take away the record and its directory; False if there is none.

    The lock lies in it too, so the directory leaves its place whole, by whoever holds the lock.

    Raises:
        TrustError: another run is changing this node.
    """
    gone = STATE_DIR + ".removed"
    known = os.path.isdir(STATE_DIR) or os.path.isdir(gone)
    if check_mode or not known:
        return known
    with only_one():
        try:
            # Of a removal that was killed half-way.
            if os.path.isdir(gone):
                shutil.rmtree(gone)
            os.rename(STATE_DIR, gone)
            shutil.rmtree(gone)
        except OSError as exc:
            raise _node.file_error(STATE_DIR, exc) from exc
    return True


def refuse_links(changes: list[Change]) -> None:
    """A rename over a link would leave its owner with a file that nobody reads any more.

    Raises:
        TrustError: a file that is to be edited is a link.
    """
    for change in changes:
        target = _node.read_state(change.path).target if change.kind in ("config", "text") else None
        if target is not None:
            raise TrustError(
                f"{change.path} is a link to {target}, and whoever made it edits that file",
                reason="config_is_a_link",
                registry=change.registry,
                path=change.path,
                found=f"a link to {target}",
                expected="a file",
                next_step=f"make the change in {target} ({change.summary}), or replace the link by a file, "
                "then run again",
            )


def apply(changes: list[Change], waiting: Sequence[Before] = ()) -> str | None:
    """Carry out the steps, all or none.

    Parameters:
        waiting: what an earlier run changed and no process has started with yet; it stays in the record.

    Returns:
        Path of the kept old configuration, if the configuration was changed.

    Raises:
        TrustError: a step failed; those before it have been taken back.
    """
    for directory in sorted({os.path.dirname(change.path) for change in changes}):
        _node.sweep(directory)
        _node.sweep(os.path.dirname(directory))
    before = [_before(change) for change in changes]
    _remember(_joined(waiting, before))
    done: list[Before] = []
    backup = None
    try:
        for change, found in zip(changes, before):
            state = found.state
            done.append(found)
            if change.kind == "config" and state.content is not None:
                backup = change.path + BACKUP_SUFFIX
                _node.write_whole(backup, state.content, state.mode, state)
            _step(change, state)
    except TrustError:
        _put_all_back(done)
        raise
    return backup


def previous() -> list[Before]:
    """What the last change on this node replaced; nothing if there was none or it was taken back already.

    Raises:
        TrustError: the record is broken.
    """
    state = _node.read_state(RECORD, limit=64 << 20)
    if state.content is None:
        return []
    try:
        return [_before_from(item) for item in _files_of(state.content)]
    except (ValueError, KeyError, TypeError) as exc:
        raise TrustError(
            "the record of the last change can't be read",
            reason="record_broken",
            path=RECORD,
            found=str(exc),
            expected=f"format {_RECORD_FORMAT}",
            next_step=f"put the files back by hand (*{BACKUP_SUFFIX}) and remove {RECORD}",
        ) from exc


def waiting(process: _node.Process | None) -> list[Before]:
    """What the last change replaced, if it takes a restart and this process is older than it.

    A process that has started since has proved what it started with: whatever fails then has another reason.
    """
    written = _node.last_change(RECORD)
    if process is None or not started_before(process, written):
        return []
    remembered = previous()
    return remembered if any(found.step in ("config", "store") for found in remembered) else []


def edited_since() -> list[str]:
    """Files of the last change that somebody has edited since: neither what they were, nor what they were made.

    To bring such a file back would undo somebody else's work.
    """
    edited = []
    for found in previous():
        now = _node.read_state(found.path)
        if found.state.kind == "directory" or not _differs(found.state, now):
            continue
        digest = None if now.content is None else hashlib.sha256(now.content).hexdigest()
        if digest != found.after:
            edited.append(found.path)
    return edited


def bring_back(remembered: list[Before]) -> None:
    """Make the files what they were, and forget the record."""
    _put_all_back(remembered)
    _node.remove_file(RECORD)


def differing(remembered: list[Before]) -> list[Before]:
    """Those of the remembered files that are something else now."""
    return [found for found in remembered if _differs(found.state, _node.read_state(found.path))]


def diff(changes: list[Change]) -> list[dict[str, str]]:
    """What --diff shows: for a CA its certificates, for a configuration only the lines that change.

    A configuration may hold registry passwords, so nothing around those lines is shown.
    """
    shown = []
    for change in changes:
        old = _node.read_state(change.path)
        if change.kind in ("config", "text"):
            lines = difflib.unified_diff(
                _without_logins(old.content),
                _without_logins(change.content),
                f"{change.path} (as it is)",
                f"{change.path} (planned)",
                lineterm="",
                n=0,
            )
            shown.append({"prepared": "\n".join(lines) + "\n"})
        elif change.kind == "secret" or os.path.basename(change.path) == KEY_FILE:
            shown.append({"prepared": f"{change.summary} (a private key, not shown)\n"})
        elif change.kind in ("write", "remove"):
            shown.append(
                {
                    "before_header": f"{change.path} ({'as it is' if old.kind != 'absent' else 'absent'})",
                    "after_header": f"{change.path} ({'planned' if change.kind == 'write' else 'absent'})",
                    "before": _summary(old.content),
                    "after": _summary(change.content),
                }
            )
    return shown


def _without_logins(content: bytes | None) -> list[str]:
    """The lines of a text to be shown: what changes may stand in one line with a password."""
    text = (content or b"").decode("utf-8", "replace")
    return _LOGIN.sub(lambda match: f"{match.group(1)}'…'", text).splitlines()


def diff_back(remembered: list[Before]) -> list[dict[str, str]]:
    return [{"prepared": f"{found.path}: back to what it was ({found.state.kind})\n"} for found in remembered]


def _step(change: Change, state: _node.FileState) -> None:
    if change.kind == "write":
        _node.write_whole(change.path, change.content or b"", 0o644)
    elif change.kind == "secret":
        _node.write_whole(change.path, change.content or b"", 0o600)
    elif change.kind == "config" and change.content == b"":
        _node.remove_file(change.path)
    elif change.kind in ("config", "text"):
        _node.write_whole(change.path, change.content or b"", state.mode, state)
    elif change.kind == "store":
        _system_store.rebuild(_anchors.find_family())
    elif change.kind == "remove":
        _node.remove_file(change.path)
    elif change.kind == "rmdir":
        _node.remove_directory_if_empty(change.path)


def _before(change: Change) -> Before:
    parent = os.path.dirname(change.path)
    # The store is made from other files: these are brought back, and it is made again.
    state = _node.FileState(change.path, "made") if change.kind == "store" else _node.read_state(change.path)
    return Before(
        state=state,
        step=change.kind,
        new_parent=change.kind in ("write", "text", "secret") and not os.path.isdir(parent),
        after=None if change.content is None else hashlib.sha256(change.content).hexdigest(),
    )


def _put_all_back(remembered: list[Before]) -> None:
    for found in reversed(remembered):
        _put_back(found)
    if any(found.step == "store" for found in remembered):
        _system_store.rebuild(_anchors.find_family())


def _put_back(found: Before) -> None:
    state = found.state
    if not _differs(state, _node.read_state(state.path)):
        return
    if state.kind == "directory":
        _node.make_directories(state.path)
        return
    _node.bring_back(state)
    if found.new_parent:
        _node.remove_directory_if_empty(os.path.dirname(state.path))


def _differs(old: _node.FileState, now: _node.FileState) -> bool:
    if old.kind == "made":
        return False
    if old.kind == "directory" or now.kind == "directory":
        return old.kind != now.kind
    return (old.kind, old.content, old.target) != (now.kind, now.content, now.target)


def _joined(earlier: Sequence[Before], later: Sequence[Before]) -> list[Before]:
    """One record of two changes: every path as it was before the first, and as it is after the second."""
    after = {found.path: found.after for found in later}
    known = {found.path for found in earlier}
    kept = [replace(found, after=after.get(found.path, found.after)) for found in earlier]
    return [*kept, *(found for found in later if found.path not in known)]


def _remember(found: list[Before]) -> None:
    record = {
        "format": _RECORD_FORMAT,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "files": [_as_dict(one) for one in found],
    }
    _node.make_directories(STATE_DIR)
    _node.write_whole(RECORD, json.dumps(record, indent=1).encode("ascii"), 0o600)


def _as_dict(found: Before) -> dict[str, Any]:
    state = found.state
    return {
        "path": state.path,
        "kind": state.kind,
        "content": None if state.content is None else base64.b64encode(state.content).decode("ascii"),
        "mode": state.mode,
        "uid": state.uid,
        "gid": state.gid,
        "target": state.target,
        "step": found.step,
        "new_parent": found.new_parent,
        "after": found.after,
    }


def _files_of(record: bytes) -> list[dict[str, Any]]:
    content = json.loads(record)
    if content["format"] != _RECORD_FORMAT:
        raise ValueError(f"format {content['format']}")
    files: list[dict[str, Any]] = content["files"]
    return files


def _before_from(item: dict[str, Any]) -> Before:
    content = item["content"]
    state = _node.FileState(
        path=item["path"],
        kind=item["kind"],
        content=None if content is None else base64.b64decode(content),
        mode=item["mode"],
        uid=item["uid"],
        gid=item["gid"],
        target=item["target"],
    )
    return Before(state, item["step"], item["new_parent"], item["after"])


def _summary(content: bytes | None) -> str:
    if content is None:
        return ""
    try:
        lines = []
        for der in split(content):
            facts = describe(der)
            lines.append(f"{fingerprint(der)} {facts.subject} (until {facts.not_after})")
        return "\n".join(lines) + "\n"
    except TrustError as exc:
        return f"not usable as a file of certificates: {exc.message}\n"

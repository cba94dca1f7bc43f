# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``crictl`` prints, and how a call over CRI ends: no processes, no sockets.

**PRIVATE** to the collection. It gets the shape of what ``_cri_wire.py`` decodes, so that nobody above can tell which
client carried the call.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

GRPC_CODES = (
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
)


class WireError(ValueError):
    """The answer is not what the protocol allows."""


class GrpcStatus(NamedTuple):
    """How a call ended: the code by its name in Go, and the message as plain text."""

    code: str
    message: str


# Patterns that only a failure needs: they are compiled when they are used.
_GO_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_GO_ESCAPE = r"(?s)\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))"
_LOG_LINE = r'level=(?:fatal|error)\s+msg=(?:"((?:[^"\\]|\\.)*)"|(\S+))'
_TTY_LINE = r"(?sm)^(?:FATA|ERRO)\[\d+\]\s+(.*?)\s*$"
_RPC_ERROR = r"(?s)rpc error: code = (\w+) desc = (.*)\Z"
_STEP = r"\A(?:pulling image(?: failed)?|getting the runtime version|getting status of runtime): "


def _go_unquote(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        for group in (1, 2, 3):
            if match.group(group):
                return chr(int(match.group(group), 16))
        return _GO_ESCAPES.get(match.group(4), match.group(4))

    return re.sub(_GO_ESCAPE, one, text)


def status_of_crictl(stderr: str) -> GrpcStatus | None:
    """How the call ended, from the last words of a crictl that failed.

    crictl writes ``FATA[0000] …`` to a terminal and ``level=fatal msg="…"`` elsewhere. It drops
    the code from a failed pull when the code is Unknown, so a missing code means just that.
    None when crictl failed before it made a call, for instance over a flag it does not know.
    """
    words = None
    for match in re.finditer(_LOG_LINE, stderr):
        words = _go_unquote(match.group(1)) if match.group(1) is not None else match.group(2)
    if words is None:
        terminal = re.findall(_TTY_LINE, stderr)
        words = terminal[-1] if terminal else None
    if words is None:
        return None
    rpc = re.search(_RPC_ERROR, words)
    if rpc:
        code = rpc.group(1) if rpc.group(1) in GRPC_CODES else "Unknown"
        return GrpcStatus(code, rpc.group(2).strip())
    if re.match(_STEP, words):
        return GrpcStatus("Unknown", re.sub(_STEP, "", words).strip())
    if "context deadline exceeded" in words:
        return GrpcStatus("DeadlineExceeded", words.strip())
    return None


def version_of_crictl(stdout: str) -> dict[str, str]:
    """``crictl version`` as fields."""
    got: dict[str, str] = {}
    for line in stdout.splitlines():
        name, _colon, value = line.partition(":")
        got[name.strip()] = value.strip()
    if "RuntimeName" not in got:
        raise WireError("crictl version printed no RuntimeName")
    return {
        "runtime_name": got["RuntimeName"],
        "runtime_version": got.get("RuntimeVersion", ""),
        "api_version": got.get("RuntimeApiVersion", ""),
    }


def image_ref_of_crictl(stdout: str) -> str:
    """The image reference from ``crictl pull``."""
    match = re.search(r"^Image is up to date for (\S+)\s*$", stdout, re.MULTILINE)
    if not match:
        raise WireError("crictl pull printed no image reference")
    return match.group(1)


def json_object(text: str | None) -> dict[str, Any] | None:
    """The text as a JSON object, or None when it is not one."""
    try:
        value = json.loads(text or "")
    except ValueError:
        return None
    return value if isinstance(value, dict) else None

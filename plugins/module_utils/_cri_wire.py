# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytes and texts that the two CRI clients exchange with us: no processes, no sockets.

**PRIVATE** to the collection. One half encodes and decodes the few protobuf messages that a
proof needs, framed as gRPC wants them. The other half reads what ``crictl`` prints and gives
it the same shape, so that nobody above can tell which client carried the call.
"""

from __future__ import annotations

import json
import re
import struct
import urllib.parse
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


# --- protobuf -------------------------------------------------------------------------------


def _varint(number: int) -> bytes:
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | 0x80 if number else low)
        if not number:
            return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise WireError("a number in the answer does not end")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if not byte & 0x80:
            return value, at
        shift += 7


def field(number: int, value: bytes | str) -> bytes:
    """One length-delimited field: a string, bytes or a nested message."""
    raw = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(raw)) + raw


def flag(number: int, value: bool) -> bytes:
    """One boolean field."""
    return _varint(number << 3) + _varint(int(value))


def fields(data: bytes) -> list[tuple[int, bytes]]:
    """All length-delimited fields of a message, in order; every other type is skipped."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        kind = key & 7
        if kind == 0:
            _unused, at = _read_varint(data, at)
            continue
        if kind == 2:
            size, at = _read_varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise WireError(f"a field of the answer has the unknown type {kind}")
        if at + size > len(data):
            raise WireError("the answer is shorter than it says")
        if kind == 2:
            found.append((key >> 3, data[at : at + size]))
        at += size
    return found


def strings(data: bytes) -> dict[int, str]:
    """The string fields of a flat message by number."""
    return {number: raw.decode("utf-8", "replace") for number, raw in fields(data)}


# --- gRPC over HTTP/2 -----------------------------------------------------------------------


def frame(message: bytes) -> bytes:
    """One uncompressed gRPC message."""
    return b"\0" + struct.pack(">I", len(message)) + message


def unframe(data: bytes) -> bytes:
    """The one message of a unary answer."""
    if len(data) < 5:
        raise WireError(f"{len(data)} bytes came where a message was due")
    if data[0]:
        raise WireError("the answer is compressed, which nobody asked for")
    size = struct.unpack(">I", data[1:5])[0]
    if len(data) != 5 + size:
        raise WireError(f"the answer has {len(data) - 5} bytes instead of {size}")
    return data[5:]


def status_of_headers(dump: str) -> GrpcStatus | None:
    """How the call ended, from the headers and trailers that curl wrote down.

    None when the other side did not speak gRPC at all.
    """
    code = message = None
    for line in dump.splitlines():
        name, colon, value = line.partition(":")
        if not colon:
            continue
        if name.strip().lower() == "grpc-status":
            code = value.strip()
        elif name.strip().lower() == "grpc-message":
            message = value.strip()
    if code is None or not code.isdigit():
        return None
    number = int(code)
    known = GRPC_CODES[number] if number < len(GRPC_CODES) else "Unknown"
    return GrpcStatus(known, urllib.parse.unquote(message or "", errors="replace"))


# --- CRI messages ---------------------------------------------------------------------------


def version_request() -> bytes:
    return field(1, "v1")


def version_response(data: bytes) -> dict[str, str]:
    got = strings(data)
    return {
        "runtime_name": got.get(2, ""),
        "runtime_version": got.get(3, ""),
        "api_version": got.get(4, ""),
    }


def status_request() -> bytes:
    return flag(1, True)


def status_info(data: bytes) -> dict[str, str]:
    """The map of free texts that a verbose Status carries beside the conditions."""
    info: dict[str, str] = {}
    for number, raw in fields(data):
        if number == 2:
            entry = strings(raw)
            info[entry.get(1, "")] = entry.get(2, "")
    return info


def pull_request(image: str, auth: tuple[str, str] | None) -> bytes:
    message = field(1, field(1, image))
    if auth:
        message += field(2, field(1, auth[0]) + field(2, auth[1]))
    return message


def pull_response(data: bytes) -> str:
    return strings(data).get(1, "")


# --- what crictl prints ---------------------------------------------------------------------

_GO_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_GO_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_LOG_LINE = re.compile(r'level=(?:fatal|error)\s+msg=(?:"((?:[^"\\]|\\.)*)"|(\S+))')
_TTY_LINE = re.compile(r"^(?:FATA|ERRO)\[\d+\]\s+(.*?)\s*$", re.DOTALL | re.MULTILINE)
_RPC_ERROR = re.compile(r"rpc error: code = (\w+) desc = (.*)\Z", re.DOTALL)
_STEP = re.compile(r"\A(?:pulling image(?: failed)?|getting the runtime version|getting status of runtime): ")


def _go_unquote(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        for group in (1, 2, 3):
            if match.group(group):
                return chr(int(match.group(group), 16))
        return _GO_ESCAPES.get(match.group(4), match.group(4))

    return _GO_ESCAPE.sub(one, text)


def status_of_crictl(stderr: str) -> GrpcStatus | None:
    """How the call ended, from the last words of a crictl that failed.

    crictl writes ``FATA[0000] …`` to a terminal and ``level=fatal msg="…"`` elsewhere. It drops
    the code from a failed pull when the code is Unknown, so a missing code means just that.
    None when crictl failed before it made a call, for instance over a flag it does not know.
    """
    words = None
    for match in _LOG_LINE.finditer(stderr):
        words = _go_unquote(match.group(1)) if match.group(1) is not None else match.group(2)
    if words is None:
        terminal = _TTY_LINE.findall(stderr)
        words = terminal[-1] if terminal else None
    if words is None:
        return None
    rpc = _RPC_ERROR.search(words)
    if rpc:
        code = rpc.group(1) if rpc.group(1) in GRPC_CODES else "Unknown"
        return GrpcStatus(code, rpc.group(2).strip())
    if _STEP.match(words):
        return GrpcStatus("Unknown", _STEP.sub("", words).strip())
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

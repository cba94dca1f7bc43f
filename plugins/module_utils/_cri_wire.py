# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytes that ``curl`` exchanges for us: no processes, no sockets.

**PRIVATE** to the collection. Encodes and decodes the few protobuf messages that a proof needs, framed as gRPC wants
them. Loaded where there is no ``crictl``, or where it will not do.
"""

from __future__ import annotations

import struct
import urllib.parse

from ansible_collections.nodetrust.harbor.plugins.module_utils._cri_text import (
    GRPC_CODES,
    GrpcStatus,
    WireError,
)

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

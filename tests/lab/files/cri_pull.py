# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cri_pull.py IMAGE: ask containerd's CRI to pull IMAGE; print the reference, or the error and exit 1.

The tests' own witness: it shares no code with the collection's proof. One unary gRPC call is one
HTTP/2 POST, which curl can make over the runtime's socket.
"""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import tempfile
import urllib.parse

SOCKET = "/run/containerd/containerd.sock"
CURL = [
    *("curl", "-sS", "--http2-prior-knowledge", "--unix-socket", SOCKET, "--max-time", "60"),
    *("-H", "content-type: application/grpc", "-H", "te: trailers"),
    *("--data-binary", "@-", "--dump-header", "-"),
]


def field(number: int, data: bytes) -> bytes:
    """One length-delimited protobuf field, shorter than 128 bytes."""
    assert len(data) < 128, "image name too long for this small tool"
    return bytes([number << 3 | 2, len(data)]) + data


def main(image: str) -> int:
    message = field(1, field(1, image.encode()))
    with tempfile.NamedTemporaryFile() as answer:
        curl = subprocess.run(
            [*CURL, "--output", answer.name, "http://localhost/runtime.v1.ImageService/PullImage"],
            input=b"\0" + struct.pack(">I", len(message)) + message,
            capture_output=True,
            check=False,
        )
        body = answer.read()
    headers = curl.stdout.decode("utf-8", "replace")
    status = re.findall(r"(?im)^grpc-status:\s*(\d+)", headers)
    if curl.returncode or not status:
        print(f"no answer from {SOCKET}: {curl.stderr.decode().strip()}")
        return 1
    if status[-1] != "0":
        text = re.findall(r"(?im)^grpc-message:\s*(.*?)\r?$", headers)
        print(f"grpc-status {status[-1]}: {urllib.parse.unquote(text[-1] if text else '')}")
        return 1
    print(body[7:].decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""seed.py HOST CA_FILE IMAGE...: push a one-layer image with busybox in it to HOST under each name.

Runs on the registry's host. The image is made here, so nothing has to be fetched from a hub.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import json
import platform
import ssl
import sys
import tarfile
import time
from typing import Any

OCI = "application/vnd.oci.image."
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer() -> bytes:
    """A root file system: one static program under the names that a test calls."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar, open("/bin/busybox", "rb") as program:
        entry = tarfile.TarInfo("busybox")
        entry.mode = 0o755
        entry.size = program.seek(0, io.SEEK_END)
        program.seek(0)
        tar.addfile(entry, program)
    return buffer.getvalue()


class Registry:
    """The few calls of the registry's HTTP interface that a push takes."""

    def __init__(self, host: str, ca_file: str) -> None:
        self.host = host
        self.context = ssl.create_default_context(cafile=ca_file)

    def call(self, method: str, path: str, data: bytes = b"", kind: str = "application/octet-stream") -> str:
        """Make one call; the Location that the answer names, if any."""
        connection = http.client.HTTPSConnection(self.host, context=self.context, timeout=10)
        try:
            connection.request(method, path, data, {"Content-Type": kind})
            answer = connection.getresponse()
            if answer.status >= 300:
                sys.exit(f"{method} {self.host}{path}: {answer.status} {answer.read().decode()}")
            return answer.headers.get("Location", "")
        finally:
            connection.close()

    def answers(self) -> bool:
        try:
            self.call("GET", "/v2/")
        except ConnectionRefusedError:
            return False
        return True

    def wait(self) -> None:
        deadline = time.monotonic() + 20
        while not self.answers():
            if time.monotonic() > deadline:
                sys.exit(f"The registry at {self.host} does not answer. See: journalctl -u 'lab-registry@*'")
            time.sleep(0.1)

    def push_blob(self, repository: str, data: bytes, kind: str) -> dict[str, Any]:
        location = self.call("POST", f"/v2/{repository}/blobs/uploads/").removeprefix(f"https://{self.host}")
        joint = "&" if "?" in location else "?"
        self.call("PUT", f"{location}{joint}digest={digest(data)}", data)
        return {"mediaType": kind, "digest": digest(data), "size": len(data)}

    def push(self, repository: str, tag: str, config: bytes, packed: bytes) -> None:
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI + "manifest.v1+json",
            "config": self.push_blob(repository, config, OCI + "config.v1+json"),
            "layers": [self.push_blob(repository, packed, OCI + "layer.v1.tar+gzip")],
        }
        self.call(
            "PUT",
            f"/v2/{repository}/manifests/{tag}",
            json.dumps(manifest).encode(),
            OCI + "manifest.v1+json",
        )


def main() -> None:
    host, ca_file, *images = sys.argv[1:]
    registry = Registry(host, ca_file)
    registry.wait()
    tar = layer()
    packed = gzip.compress(tar, compresslevel=1, mtime=0)
    for image in images:
        repository, tag = image.rsplit(":", 1)
        config = {
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Cmd": ["/busybox", "sleep", "infinity"], "Labels": {"image": image}},
            "rootfs": {"type": "layers", "diff_ids": [digest(tar)]},
        }
        registry.push(repository, tag, json.dumps(config).encode(), packed)
        print(f"{host}/{image}")


if __name__ == "__main__":
    main()

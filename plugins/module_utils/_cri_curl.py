# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CRI through ``curl``, for nodes without ``crictl`` and for pulls with credentials.

**PRIVATE** to the collection. The request goes over standard input, so credentials are on no command line.
"""

from __future__ import annotations

import os
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils import _cri_errors as errors
from ansible_collections.nodetrust.harbor.plugins.module_utils import _cri_wire as wire
from ansible_collections.nodetrust.harbor.plugins.module_utils._cri_clients import LOOK, Output, Program
from ansible_collections.nodetrust.harbor.plugins.module_utils._cri_errors import CriError
from ansible_collections.nodetrust.harbor.plugins.module_utils._cri_text import GrpcStatus, json_object

# A server that refuses at once also resets the stream, and curl 7.88 (Debian 12) then loses every second answer.
_STREAM_RESET = 92
_ANSWERS_LOST = 6  # in a row, before that is taken for the answer
_REFUSAL = 2.0  # seconds; a refusal comes at once


class Curl(Program):
    """gRPC by hand: one unary call is one HTTP/2 POST."""

    name = "curl"
    _http2: bool | None = None

    def usable(self) -> bool:
        # a curl without HTTP/2 exists on small images; what it says would help nobody
        if self._http2 is None:
            self._http2 = self._knows_http2()
        return self._http2

    def _knows_http2(self) -> bool:
        try:
            lines = self._run(["-q", "--version"], LOOK).text.splitlines()
        except CriError:
            return False
        return any(line.startswith("Features:") and "HTTP2" in line.split() for line in lines)

    def version(self, limit: float) -> dict[str, str]:
        try:
            return wire.version_response(
                self._call("v1.RuntimeService/Version", wire.version_request(), limit)
            )
        except CriError as error:
            if error.reason == "cri_not_loaded" and self._speaks_v1alpha2(limit):
                raise errors.too_old("v1alpha2", self.socket, self.name) from error
            raise

    def status_config(self, limit: float) -> dict[str, Any] | None:
        answer = self._call("v1.RuntimeService/Status", wire.status_request(), limit)
        return json_object(wire.status_info(answer).get("config"))

    def pull(self, image: str, auth: tuple[str, str] | None, limit: float) -> str:
        request = wire.pull_request(image, auth)
        return wire.pull_response(self._call("v1.ImageService/PullImage", request, limit))

    def _speaks_v1alpha2(self, limit: float) -> bool:
        try:
            self._call("v1alpha2.RuntimeService/Version", wire.version_request(), limit)
        except CriError:
            return False
        return True

    def _call(self, method: str, message: bytes, limit: float) -> bytes:
        for _attempt in range(_ANSWERS_LOST):
            output, headers = self._post(method, message, limit)
            status = wire.status_of_headers(headers)
            if status is not None or output.status != _STREAM_RESET:
                break
            status = self._refusal(method, limit)
            if status is not None:
                break
        if status is None:
            words = f"the answer on {self.socket} is not gRPC"
            if output.status:
                words = f"error reading from server: {output.stderr.strip() or output.status}"
            raise errors.refused(GrpcStatus("Unavailable", words), self.socket, self.name)
        if status.code != "OK":
            raise errors.refused(status, self.socket, self.name)
        return wire.unframe(output.stdout)

    def _refusal(self, method: str, limit: float) -> GrpcStatus | None:
        """Is the service not there at all? Asked without a body, so that nothing of the request is still under way.

        A server that refuses at once resets the stream while curl before 8 still sends, and then curl
        drops the answer. A service that is there may keep an empty request waiting.
        """
        try:
            _output, headers = self._post(method, None, min(limit, _REFUSAL))
        except CriError:
            return None
        status = wire.status_of_headers(headers)
        return status if status is not None and status.code == "Unimplemented" else None

    def _post(self, method: str, message: bytes | None, limit: float) -> tuple[Output, str]:
        # headers and trailers come over a pipe: nothing is written, so a full disk is no obstacle
        read_end, write_end = os.pipe()
        with os.fdopen(read_end, "rb") as dump:
            try:
                output = self._run(
                    [
                        *("-q", "--silent", "--show-error", "--noproxy", "*"),
                        *("--http2-prior-knowledge", "--unix-socket", self.socket),
                        *("--header", "content-type: application/grpc", "--header", "te: trailers"),
                        *("--header", "expect:", "--request", "POST"),
                        *(("--data-binary", "@-") if message is not None else ()),
                        *("--dump-header", f"/dev/fd/{write_end}", "--output", "-"),
                        f"http://localhost/runtime.{method}",
                    ],
                    limit,
                    stdin=wire.frame(message) if message is not None else b"",
                    pass_fds=(write_end,),
                )
            finally:
                os.close(write_end)
            headers = dump.read().decode("utf-8", "replace")
        return output, headers

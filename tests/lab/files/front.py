# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry as Harbor with an object storage is one: tokens and blobs come from hosts with CAs of their own.

Port 8447 asks for a token and sends who wants a blob elsewhere, port 9444 hands out the token, port 9445 the blobs.
What it serves is fetched from the registry on port 443.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOME = "/etc/docker/registry"
BEHIND = "harbor.lab.internal"
ELSEWHERE = "https://token.lab.internal"
TOKEN = "lab"


class Handler(BaseHTTPRequestHandler):
    """One listener's requests; what differs is in `answer`."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer()

    def do_HEAD(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def answer(self) -> None:
        raise NotImplementedError

    def reply(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def pass_on(self) -> None:
        context = ssl.create_default_context(cafile=f"{HOME}/ca.crt")
        connection = http.client.HTTPSConnection(BEHIND, context=context, timeout=10)
        accept = {name: value for name, value in self.headers.items() if name.lower() == "accept"}
        connection.request(self.command, self.path, headers=accept)
        answer = connection.getresponse()
        kept = ("content-type", "content-length", "docker-content-digest")
        self.reply(
            answer.status,
            {name: value for name, value in answer.getheaders() if name.lower() in kept},
            answer.read(),
        )
        connection.close()


class Registry(Handler):
    def answer(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            scope = "repository:library/hello:pull"
            realm = f'Bearer realm="{ELSEWHERE}:9444/token",service="lab",scope="{scope}"'
            self.reply(401, {"WWW-Authenticate": realm, "Content-Type": "application/json"}, b"{}")
        elif "/blobs/" in self.path:
            self.reply(307, {"Location": f"{ELSEWHERE}:9445{self.path}"})
        else:
            self.pass_on()


class Tokens(Handler):
    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps({"token": TOKEN, "access_token": TOKEN, "expires_in": 300}).encode()
        self.reply(200, {"Content-Type": "application/json"}, body)


class Blobs(Handler):
    def answer(self) -> None:
        self.pass_on()


def serve(port: int, name: str, handler: type[Handler]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{HOME}/{name}.crt", f"{HOME}/{name}.key")
    server = ThreadingHTTPServer(("", port), handler)
    # The handshake belongs into the thread of its connection: a client that fails it must not stop the others.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever).start()


def main() -> None:
    serve(8447, "tls", Registry)
    serve(9444, "token", Tokens)
    serve(9445, "blob", Blobs)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.connect(os.environ["NOTIFY_SOCKET"].replace("@", "\0"))
        systemd.send(b"READY=1")


if __name__ == "__main__":
    main()

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real TLS server for a test, in a thread, gone with its `with` block."""

from __future__ import annotations

import contextlib
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator

from tests.lab import pki


@contextlib.contextmanager
def serving(server: pki.Credential | None, *chain: pki.Credential) -> Iterator[tuple[str, int]]:
    """The address of a server that shows this certificate and chain; None answers in plain HTTP."""
    context = None
    if server is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(server.key_pem + server.pem + "".join(link.pem for link in chain))
            file.flush()
            context.load_cert_chain(file.name)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_answer, args=(listener, context), daemon=True)
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            # Wakes the thread out of accept(), which closing alone does not.
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def _answer(listener: socket.socket, context: ssl.SSLContext | None) -> None:
    while True:
        try:
            connection, _peer = listener.accept()
        except OSError:
            return
        # A client that refuses the certificate breaks off; the next one is served all the same.
        with connection, contextlib.suppress(OSError):
            connection.settimeout(5)
            if context is None:
                # Unread data would turn the end of the connection into a reset.
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            else:
                with context.wrap_socket(connection, server_side=True) as tls:
                    tls.recv(1)

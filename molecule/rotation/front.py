# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""front.py FILE: pass what comes to port 443 on to the local port that FILE names at that moment.

So a registry gets its new certificate as behind a load balancer: from one connection to the next, and none is cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path


async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    with contextlib.suppress(ConnectionError, OSError):
        target.close()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    port = int(Path(sys.argv[1]).read_text())
    there, back = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.gather(pump(reader, back), pump(there, writer))


async def main() -> None:
    server = await asyncio.start_server(serve, None, 443)
    async with server:
        await server.serve_forever()


asyncio.run(main())

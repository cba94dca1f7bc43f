# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real browser for tests: Debian's chromium, spoken to through a pipe with nothing but the standard library."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PATIENCE = 60.0
_OPTIONS = [
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",  # root has no other way; the pages are our own
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
]


def find() -> str | None:
    """The browser, if there is one."""
    return next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))),
        None,
    )


class Browser:
    """One page of one browser. Events are kept by the name of their method."""

    def __init__(self, process: subprocess.Popen[bytes], to: int, source: int) -> None:
        self._process, self._to, self._from = process, to, source
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility"):
            self.call(f"{domain}.enable")

    def _send(self, message: dict[str, Any]) -> None:
        os.write(self._to, json.dumps(message).encode() + b"\0")

    def _receive(self) -> dict[str, Any]:
        end = time.monotonic() + _PATIENCE
        while b"\0" not in self._rest:
            ready, _writable, _broken = select.select([self._from], [], [], max(0.0, end - time.monotonic()))
            piece = os.read(self._from, 1 << 20) if ready else b""
            if not piece:
                raise AssertionError("the browser does not answer, or has ended")
            self._rest += piece
        line, _zero, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if "method" in message:
            self.events.append(message)
            if message["method"] == "Page.javascriptDialogOpening":
                self._number += 1
                self._send(
                    {
                        "id": self._number,
                        "method": "Page.handleJavaScriptDialog",
                        "params": {"accept": True},
                        "sessionId": self._session,
                    }
                )
        return message

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command and its answer."""
        self._number += 1
        mine = self._number
        message = {"id": mine, "method": method, "params": params}
        self._send({**message, "sessionId": self._session} if self._session else message)
        while (answer := self._receive()).get("id") != mine:
            pass
        assert "error" not in answer, (method, answer)
        result: dict[str, Any] = answer["result"]
        return result

    def js(self, expression: str) -> Any:
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def open(self, path: Path) -> None:
        """Load a file and wait until the browser says that it is loaded."""
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._receive()

    def key(self, key: str, code: str | None = None, text: str | None = None, modifiers: int = 0) -> None:
        """Press one key where the focus is."""
        numbers = {"Tab": 9, "Enter": 13, " ": 32}
        common = {
            "key": key,
            "code": code or key,
            "windowsVirtualKeyCode": numbers.get(key, 0),
            "modifiers": modifiers,
        }
        self.call("Input.dispatchKeyEvent", type="keyDown", **common, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def look(self, scheme: str = "light", width: int = 1280, height: int = 800) -> None:
        """Colours and size of the screen."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def screenshot(self, path: Path, **options: Any) -> None:
        """What is to be seen, as PNG."""
        shot = self.call("Page.captureScreenshot", format="png", **options)
        path.write_bytes(base64.b64decode(shot["data"]))

    def requests(self) -> list[str]:
        """The addresses that the page has asked for, its own left out."""
        sent = [event["params"] for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [one["request"]["url"] for one in sent if one.get("type") != "Document"]

    def complaints(self) -> list[str]:
        """Errors, refusals of the content security policy, and dialogs."""
        found = []
        for event in self.events:
            method, params = event["method"], event["params"]
            if method == "Runtime.exceptionThrown":
                found.append(json.dumps(params["exceptionDetails"])[:500])
            if method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                found.append(params["entry"]["text"])
            if method == "Page.javascriptDialogOpening":
                found.append(f"dialog: {params['message']}")
        return found


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A browser with a home of its own, gone afterwards."""
    program = find()
    assert program, "there is no chromium; make lab-packages installs it"
    with tempfile.TemporaryDirectory(prefix="report-browser-", ignore_cleanup_errors=True) as home:
        their_in, our_out = os.pipe()
        our_in, their_out = os.pipe()
        process = subprocess.Popen(
            # The browser reads from descriptor 3 and writes to 4. Not every sh knows descriptors above 9.
            [
                "bash",
                "-c",
                f'exec "$@" 3<&{their_in} 4>&{their_out}',
                "bash",
                program,
                *_OPTIONS,
                f"--user-data-dir={home}",
            ],
            pass_fds=(their_in, their_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home},
            start_new_session=True,
        )
        os.close(their_in)
        os.close(their_out)
        try:
            made = Browser(process, our_out, our_in)
            yield made
            made._session = None
            made._send({"id": 0, "method": "Browser.close"})
            process.wait(timeout=10)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()
            os.close(our_out)
            os.close(our_in)

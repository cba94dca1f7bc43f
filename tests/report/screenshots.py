# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of docs/fleet.md, made again.

python tests/report/screenshots.py docs/images && pngquant --force --ext .png 64 docs/images/*.png
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from ansible.plugins.loader import init_plugin_loader

init_plugin_loader()

from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_page import render
from ansible_collections.nodetrust.harbor.tests.report.browser import browser
from ansible_collections.nodetrust.harbor.tests.report.fleet import sample


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, browser() as program:
        page = Path(temporary) / "fleet.html"
        page.write_text(render(sample(240)), encoding="utf-8")
        program.look("light", 1280, 1180)
        program.open(page)
        program.screenshot(directory / "fleet.png")
        program.look("dark", 420, 900)
        program.open(page)
        program.js(
            "document.querySelector('.tile.drifted').click(); document.querySelector('.name').click();"
            "document.querySelector('#rows').scrollIntoView()"
        )
        program.screenshot(directory / "fleet-phone.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

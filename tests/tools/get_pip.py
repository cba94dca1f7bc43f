# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ansible-test runs to put pip into the environments it makes.

It would fetch a script from the network for that. This one starts the pip that every Python
carries for its venv module, so that sanity tests need nothing but a package index or mirror.
"""

from __future__ import annotations

import ensurepip
import sys
from pathlib import Path

carried = max(Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl"))
sys.path.insert(0, str(carried))

from pip._internal.cli.main import main  # it can be imported only now

wanted = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
sys.exit(main(["install", "--upgrade", *wanted]))

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every plugin of this collection promises, in one wording."""

from __future__ import annotations


class ModuleDocFragment:
    """`nodetrust.harbor.attributes` names the promises; the other fragments keep them for whole kinds of modules."""

    # The plugin adds support (and details) for each.
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
  diff_mode:
    description:
      - Will return details on what has changed (or possibly needs changing in C(check_mode)), when in diff mode.
  idempotent:
    description:
      - When run twice in a row outside check mode, with the same arguments, the second invocation indicates no change.
  platform:
    description: Target operating systems that the module can work on.
"""

    # Reads, never changes.
    INFO_MODULE = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - This module never changes anything.
  diff_mode:
    support: N/A
    details:
      - This module never changes anything.
  idempotent:
    support: full
    details:
      - This module never changes anything.
"""

    # Runs on nodes.
    LINUX = r"""
options: {}
attributes:
  platform:
    support: full
    platforms: linux
    details:
      - The node needs Python 3.9 or later and no Python package.
"""

    # Runs on the controller; the node is not even connected to.
    CONTROLLER = r"""
options: {}
attributes:
  platform:
    support: full
    platforms: all
    details:
      - Runs on the controller alone and opens no connection to the host of the task.
"""

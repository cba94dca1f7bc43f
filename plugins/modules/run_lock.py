#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Contract of run_lock; the code is the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: run_lock
short_description: Let only one run at a time work on the fleet
version_added: 0.1.0
author:
  - The nodetrust.harbor maintainers (@nodetrust)
description:
  - Takes a lock on the controller for the rest of this run of C(ansible-playbook), and fails at once if another run
    holds it, with the name of that run.
  - A run that is killed leaves a lock that counts for nothing as soon as its process is gone. Of a run on another
    machine or in another container nobody sees that, so it counts for six hours after its beginning.
  - Who may write the directory of the lock file may use the lock.
  - Guards one controller, or one directory that several share. Nodes guard themselves by a lock of their own.
options:
  state:
    description: Take the lock, or give it back. At the end of a run it is given back by itself.
    type: str
    choices: [taken, released]
    default: taken
  path:
    description:
      - The file. Without it C(nodetrust.harbor.lock) in Ansible's home directory (E(ANSIBLE_HOME)).
    type: path
  what:
    description: What this run is, for the message that another one gets.
    type: str
    default: a run
extends_documentation_fragment:
  - nodetrust.harbor.attributes
  - nodetrust.harbor.attributes.info_module
  - nodetrust.harbor.attributes.controller
"""

EXAMPLES = r"""
- name: Leave if another run is at work
  nodetrust.harbor.run_lock:
    what: correct_drift
  run_once: true
"""

RETURN = r"""
path:
  description: The lock file.
  type: str
  returned: always
reason:
  description: Stable name of the failure, V(another_run) or V(lock_unusable).
  type: str
  returned: failure
found:
  description: Who holds the lock, since when.
  type: str
  returned: failure
next_step:
  description: What to do now.
  type: str
  returned: failure
"""

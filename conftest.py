# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make ansible_collections.nodetrust.harbor importable under plain pytest."""

from __future__ import annotations

try:  # ansible-test hides everything but module_utils from module tests
    from ansible.plugins.loader import init_plugin_loader
    from ansible.utils.collection_loader import AnsibleCollectionConfig
except ImportError:
    pass
else:
    if not AnsibleCollectionConfig.collection_finder:
        init_plugin_loader()

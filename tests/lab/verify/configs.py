# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configurations as people and programs write them, for what edits them: every form with every quoting and line end."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

GRPC = "io.containerd.grpc.v1.cri"
IMAGES = "io.containerd.cri.v1.images"
_HEADERS = """\
[plugins]
  [plugins.{q}{id}{q}]
    [plugins.{q}{id}{q}.registry] # here
      config_path = {q}{q} # behind
      [plugins.{q}{id}{q}.registry.configs.{q}a.test{q}.auth]
        username = {q}robot{q}
      [plugins.{q}{id}{q}.registry.configs.{q}a.test{q}.tls]
        ca_file = {q}/a.pem{q}
      # between
      [plugins.{q}{id}{q}.registry.mirrors.{q}b.test{q}]
        endpoint = [
          {q}https://m.test{q}, # [plugins]
        ]
[debug]
  level = {q}info{q}
"""
_DOTTED = """\
plugins.{q}{id}{q}.registry.mirrors.{q}b.test{q}.endpoint = [{q}https://m.test{q}]
plugins.{q}{id}{q}.registry.config_path = {q}/x{q}
plugins.{q}{id}{q}.registry.configs.{q}a.test{q}.tls.ca_file = {q}/a.pem{q}
[debug]
  level = {q}info{q} # config_path = "no"
"""
_INLINE = """\
[debug]
  level = {q}info{q}
[plugins.{q}{id}{q}]
  registry = {{ mirrors = {{ {q}b.test{q} = {{ endpoint = [{q}https://m.test{q}] }} }}, headers = {{ X = [{q}y{q}] }} }}
"""
_PARTS = """\
[plugins.{q}{id}{q}.registry]
  mirrors = {{ {q}b.test{q} = {{ endpoint = [{q}https://m.test{q}] }} }}
  configs = {{ {q}a.test{q} = {{ auth = {{ username = {q}robot{q} }}, tls = {{ ca_file = {q}/a.pem{q} }} }} }}
[debug]
  level = {q}info{q}
"""
_LOOK_ALIKE = """\
[debug]
  level = {q}info{q}
  address = '''
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "no"
'''
[plugins.{q}{id}{q}.registry.mirrors.{q}*{q}]
  endpoint = [{q}[debug]{q}, {q}config_path = 1{q}]"""


def configurations() -> Iterator[tuple[int, str, str]]:
    """Version, the plugin's name in it, and the text."""
    forms = (_HEADERS, _DOTTED, _INLINE, _PARTS, _LOOK_ALIKE)
    for form, quote, newline, version in itertools.product(forms, "\"'", ("\n", "\r\n"), (2, 3)):
        name = GRPC if version == 2 else IMAGES
        text = f"version = {version}\n" + form.format(q=quote, id=name)
        yield version, name, text.replace("\n", newline)

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge between the core and a module: options in, failures out.

**PRIVATE** to the collection. The one place on a node where a TrustError becomes a module's failure.
"""

from __future__ import annotations

import platform
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.nodetrust.harbor.plugins.module_utils._zip import quicken

quicken(__name__.rpartition(".")[0])  # before the others are imported

from ansible_collections.nodetrust.harbor.plugins.module_utils._desired import (
    desired_from,
    without_trust,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._observe import Request
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtimes import RUNTIMES


def fail(module: AnsibleModule, exc: TrustError) -> NoReturn:
    """End a module with the whole report: node, registry, found, expected, next step, in msg and in fields."""
    node = platform.node()
    facts: dict[str, Any] = {"changed": False, **getattr(exc, "result", {}), **exc.facts(), "node": node}
    module.fail_json(msg=f"{node}: {exc}", **facts)
    raise AssertionError("fail_json returned")  # pragma: no cover


def trust_request(params: dict[str, Any], *, needs_bundle: bool) -> Request:
    """The core's request from a module's options.

    Raises:
        TrustError: an option makes no sense.
    """
    for entry in params["registries"]:
        if needs_bundle and not entry.get("ca_pem"):
            raise TrustError(
                "there is no CA to trust",
                reason="no_bundle",
                registry=entry["host"],
                found="an entry without ca_pem",
                expected="ca_pem with the CA bundle",
                next_step="set ca_pem, for example with lookup('ansible.builtin.file', 'harbor-ca.crt')",
            )
    desired = desired_from(params["registries"])
    return Request(
        desired=without_trust(desired) if params.get("state") == "absent" else desired,
        runtime=params["runtime"],
        credentials=credentials(params.get("credentials") or []),
        timeout=params.get("timeout") or 60.0,
        migrate_legacy=bool(params.get("migrate_legacy")),
        store=params.get("store") or "runtime",
        root=params.get("root"),
    )


def credentials(given: list[dict[str, str]]) -> dict[str, tuple[str, str]]:
    """Registry to user name and password."""
    return {login["registry"]: (login["username"], login["password"]) for login in given}


RUNTIME_SPEC: dict[str, Any] = {"type": "str", "choices": ["auto", *RUNTIMES], "default": "auto"}
CREDENTIALS_SPEC: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {
        "registry": {"type": "str", "required": True},
        "username": {"type": "str", "required": True},
        "password": {"type": "str", "required": True, "no_log": True},
    },
}

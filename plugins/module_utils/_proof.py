# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pull a list of images as the proof, and compare with how the same pulls ended before a change.

**PRIVATE** to the collection.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._cri import CriError
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._images import registry_of_image
from ansible_collections.nodetrust.harbor.plugins.module_utils._pull import (
    FILES,
    PullResult,
    caused_by_change,
    earlier,
    prove,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import Client


class NotProven(TrustError):
    """A pull failed, or the runtime gave no chance to try. `result` is what is known all the same."""

    def __init__(self, message: str, result: dict[str, Any], **fields: Any) -> None:
        super().__init__(message, **fields)
        self.result = result


def prove_all(
    client: Client,
    images: list[str],
    logins: dict[str, tuple[str, str]],
    before: list[dict[str, Any]],
    wait: float = 0.0,
) -> dict[str, Any]:
    """Wait for the runtime, pull every image, and return the module's result.

    Raises:
        InvalidImage: before anything is asked of the runtime.
        NotProven: a pull failed.
    """
    registries = [registry_of_image(image) for image in images]
    known = {one.image: one for one in map(earlier, before)}
    runtime = _ready(client, wait, list(known.values()))
    pulls = [prove(client, image, logins.get(registry)) for image, registry in zip(images, registries)]
    failed = [pull for pull in pulls if not pull.ok]
    result: dict[str, Any] = {
        "changed": False,
        "pulls": [pull.to_dict() for pull in pulls],
        "runtime": runtime,
        "proven": bool(pulls) and not failed,
        "regressed": any(caused_by_change(known.get(pull.image), pull) for pull in failed),
    }
    if failed:
        raise _not_proven(failed, len(pulls), result)
    result["msg"] = f"proven: {', '.join(images)}" if images else "the runtime answers; nothing was pulled"
    return result


def not_pulled(images: list[str]) -> dict[str, Any]:
    """The result of check mode: a pull fills the runtime's store, so none is made."""
    for image in images:
        registry_of_image(image)
    return {
        "changed": False,
        "pulls": [],
        "runtime": None,
        "proven": False,
        "regressed": False,
        "msg": f"check mode: nothing is pulled, so nothing is proven. Images that would be: {len(images)}",
    }


def _ready(client: Client, wait: float, before: list[PullResult]) -> dict[str, str]:
    try:
        return client.wait_ready(wait)
    except CriError as error:
        same_before = any(one.reason == error.reason for one in before)
        waited = f" It did not change within {wait:g} seconds." if wait else ""
        raise NotProven(
            f"{error.message}{waited}",
            {
                "changed": False,
                "pulls": [],
                "runtime": None,
                "proven": False,
                # a runtime that answered before and does not now was broken by what lies between
                "regressed": error.reason in FILES | {"timeout"} and not same_before,
            },
            **error.facts(),
        ) from error


def _not_proven(failed: list[PullResult], total: int, result: dict[str, Any]) -> NotProven:
    first = failed[0]
    others = f" {len(failed)} of {total} pulls failed." if total > 1 else ""
    return NotProven(
        f"the runtime cannot pull {first.image}: {first.reason}.{others}",
        result,
        reason=first.reason,
        registry=first.registry,
        found=[pull.message for pull in failed] if len(failed) > 1 else first.message,
        expected="a pull that succeeds",
        next_step=first.remedy,
    )

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What registry_pull returns and when it fails, without a runtime."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils._cri import Cri, CriError
from ansible_collections.nodetrust.harbor.plugins.module_utils._images import InvalidImage
from ansible_collections.nodetrust.harbor.plugins.module_utils._proof import NotProven, not_pulled, prove_all

GOOD = "good.lab/x:1"
BAD = "bad.lab:8443/x:1"
RUNTIME = {"runtime_name": "containerd", "runtime_version": "2.1.9", "api_version": "v1"}
X509 = "x509: certificate signed by unknown authority"


class FakeCri(Cri):
    """Pulls from good.lab, does not trust bad.lab, and is ready unless told otherwise."""

    used = "curl"

    def __init__(self, unready: str | None = None) -> None:
        self.unready = unready
        self.asked: list[Any] = []

    def wait_ready(self, seconds: float) -> dict[str, str]:
        self.asked.append(("wait", seconds))
        if self.unready:
            raise CriError(
                "It is not there.", code="Unknown", detail="", via=None, reason=self.unready, path="/c.sock"
            )
        return RUNTIME

    def pull(self, image: str, auth: tuple[str, str] | None = None) -> str:
        self.asked.append((image, auth))
        if image == BAD:
            raise CriError("no", code="Unknown", detail=X509, via="curl", reason="call_failed")
        return "sha256:abc"


def test_every_image_is_pulled_with_its_own_login_after_waiting() -> None:
    cri = FakeCri()
    result = prove_all(cri, [GOOD, "other.lab/y:1"], {"other.lab": ("bob", "pw")}, [], wait=7)
    assert cri.asked == [("wait", 7), (GOOD, None), ("other.lab/y:1", ("bob", "pw"))]
    assert (result["changed"], result["proven"], result["regressed"]) == (False, True, False)
    assert result["runtime"] == RUNTIME
    assert [pull["image"] for pull in result["pulls"]] == [GOOD, "other.lab/y:1"]
    assert GOOD in result["msg"]


def test_no_image_proves_nothing() -> None:
    result = prove_all(FakeCri(), [], {}, [])
    assert (result["proven"], result["pulls"]) == (False, [])


def test_one_failure_is_enough_and_the_others_are_still_told() -> None:
    with pytest.raises(NotProven) as caught:
        prove_all(FakeCri(), [GOOD, BAD], {}, [])
    error = caught.value
    assert (error.reason, error.registry, error.found) == ("unknown_authority", "bad.lab:8443", X509)
    assert "1 of 2 pulls failed" in str(error)
    assert str(error.next_step) in str(error)
    assert [pull["ok"] for pull in error.result["pulls"]] == [True, False]
    assert error.result["proven"] is False


@pytest.mark.parametrize(
    ("before", "regressed"),
    [
        ([], False),
        ([{"image": BAD, "ok": True, "reason": "pulled"}], True),
        ([{"image": BAD, "ok": False, "reason": "not_found"}], True),
        ([{"image": BAD, "ok": False, "reason": "unknown_authority"}], False),
        ([{"image": GOOD, "ok": True, "reason": "pulled"}], False),
    ],
)
def test_regressed_compares_with_the_pull_of_the_same_image(
    before: list[dict[str, Any]], regressed: bool
) -> None:
    with pytest.raises(NotProven) as caught:
        prove_all(FakeCri(), [BAD], {}, before)
    assert caught.value.result["regressed"] is regressed


@pytest.mark.parametrize(
    ("reason", "before", "regressed"),
    [
        ("cri_not_loaded", [], True),
        ("cri_not_loaded", [{"image": GOOD, "ok": True, "reason": "pulled"}], True),
        ("cri_not_loaded", [{"image": GOOD, "ok": False, "reason": "cri_not_loaded"}], False),
        ("cri_unavailable", [], True),
        ("timeout", [], True),
        ("no_cri_client", [], False),
    ],
)
def test_a_runtime_that_does_not_come_back(
    reason: str, before: list[dict[str, Any]], regressed: bool
) -> None:
    cri = FakeCri(unready=reason)
    with pytest.raises(NotProven, match="within 7 seconds") as caught:
        prove_all(cri, [GOOD], {}, before, wait=7)
    assert caught.value.reason == reason
    assert caught.value.path == "/c.sock"
    assert caught.value.result["regressed"] is regressed
    assert cri.asked == [("wait", 7)]


@pytest.mark.parametrize("image", ["https://good.lab/x", "x:1", ""])
def test_an_image_that_is_none_stops_everything_before_it_begins(image: str) -> None:
    cri = FakeCri()
    with pytest.raises(InvalidImage):
        prove_all(cri, [GOOD, image], {}, [])
    assert cri.asked == []
    with pytest.raises(InvalidImage):
        not_pulled([GOOD, image])


def test_check_mode_proves_nothing() -> None:
    result = not_pulled([GOOD])
    assert (result["changed"], result["proven"], result["pulls"]) == (False, False, [])
    assert "check mode" in result["msg"]
    assert "skipped" not in result

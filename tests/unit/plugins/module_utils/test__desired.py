# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node refuses of a caller, with the registry that it is about."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils._desired import desired_from
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from tests.lab import pki

CA = pki.make_ca("right")


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"fingerprints": []}, "no_pins"),  # a template that renders empty
        ({"fingerprints": ["SHA256:zz"]}, "invalid_pin"),
        ({"ca_pem": "junk"}, "pem_no_certificate"),
        ({"ca_pem": pki.issue(CA, "leaf").pem}, "not_a_ca"),
        ({"ca_pem": CA.pem, "fingerprints": ["AA:" * 31 + "AA"]}, "pin_mismatch"),
    ],
)
def test_a_bad_entry_is_refused_for_its_registry(entry: dict[str, Any], reason: str) -> None:
    with pytest.raises(TrustError) as caught:
        desired_from([{"host": "harbor.test:8443", **entry}])
    assert (caught.value.reason, caught.value.registry) == (reason, "harbor.test:8443")
    assert caught.value.next_step

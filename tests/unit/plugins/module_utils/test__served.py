# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a real TLS server shows, judged by bundles that fit it and bundles that do not."""

from __future__ import annotations

import platform
import socket
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils import _served
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import describe
from tests.lab import pki
from tests.unit.plugins.plugin_utils.tls_server import serving

NAME = "harbor.example.com"
REGISTRY = f"{NAME}:8443"
NOW = datetime.now(timezone.utc)
DAY = timedelta(days=1)
CA = pki.make_ca("Harbor CA")
SAME_NAME = pki.make_ca("Harbor CA")
OTHER = pki.make_ca("Other CA")
INTERMEDIATE = pki.make_ca("Harbor Intermediate", issuer=CA)
LEAF = pki.issue(CA, NAME)
NAMELESS_KEY = pki.issue(CA, NAME, key_ids=False)


def judge(
    server: pki.Credential,
    bundle: Sequence[pki.Credential],
    registry: str = REGISTRY,
    chain: Sequence[pki.Credential] = (),
) -> tuple[_served.Served, list[str]]:
    """The verdict on a server and its warnings."""
    with serving(server, *chain) as address:
        served = _served.look(registry, "".join(ca.pem for ca in bundle), address=address)
    return served, _served.warnings_of(registry, served, [describe(ca.der) for ca in bundle])


@pytest.mark.parametrize(
    ("server", "bundle", "chain"),
    [
        pytest.param(LEAF, [CA], [], id="root"),
        pytest.param(LEAF, [OTHER, CA], [], id="one-of-two"),
        pytest.param(LEAF, [SAME_NAME, CA], [], id="two-of-the-same-name"),
        pytest.param(NAMELESS_KEY, [SAME_NAME, CA], [], id="two-of-the-same-name-and-no-key-identifier"),
        pytest.param(pki.issue(INTERMEDIATE, NAME), [CA], [INTERMEDIATE], id="with-intermediate"),
        pytest.param(pki.issue(INTERMEDIATE, NAME), [INTERMEDIATE], [], id="intermediate-as-anchor"),
        pytest.param(pki.issue(CA, "*.example.com"), [CA], [], id="wildcard"),
    ],
)
def test_a_fitting_bundle_verifies_in_silence(
    server: pki.Credential, bundle: list[pki.Credential], chain: list[pki.Credential]
) -> None:
    served, warnings = judge(server, bundle, chain=chain)
    assert (served.reachable, served.trusted, served.name_matches, served.reason) == (True, True, True, None)
    assert warnings == []
    report = served.to_dict()
    assert report["certificate"]["fingerprint"] == server.fingerprint
    assert (
        report["certificate"]["not_after"] == f"{server.certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    )


@pytest.mark.parametrize(
    ("server", "bundle"),
    [
        pytest.param(LEAF, [OTHER], id="other-ca"),
        pytest.param(pki.issue(INTERMEDIATE, NAME), [CA], id="intermediate-not-sent"),
        pytest.param(pki.make_ca(NAME, is_ca=False), [CA], id="self-signed"),
    ],
)
def test_another_ca_is_warned_of_with_both_subjects(
    server: pki.Credential, bundle: list[pki.Credential]
) -> None:
    served, warnings = judge(server, bundle)
    assert (served.reachable, served.trusted) == (True, False)
    text = warnings[0]
    facts = describe(server.der)
    assert text.startswith(f"{REGISTRY}: the given CA did not sign")
    for part in (
        describe(bundle[0].der).subject,
        facts.subject,
        facts.issuer,
        facts.not_after,
        "Next step: ",
    ):
        assert part in text


@pytest.mark.parametrize("bundle", [[SAME_NAME], [SAME_NAME, OTHER]], ids=["alone", "beside another"])
def test_a_ca_of_the_same_name_with_another_key_is_not_trusted(bundle: list[pki.Credential]) -> None:
    served, warnings = judge(LEAF, bundle)
    assert served.trusted is False
    assert len(warnings) == 1
    assert "CN=Harbor CA" in warnings[0]


def test_a_wrong_name_is_told_apart_from_a_wrong_ca() -> None:
    served, warnings = judge(pki.issue(CA, "elsewhere.example.com"), [CA])
    assert (served.trusted, served.name_matches) == (True, False)
    (text,) = warnings
    assert "not for this name" in text
    assert NAME in text


def test_a_wrong_name_and_a_wrong_ca_are_both_told() -> None:
    served, warnings = judge(pki.issue(OTHER, "elsewhere.example.com"), [CA])
    assert (served.trusted, served.name_matches) == (False, False)
    assert len(warnings) == 2


def test_an_address_is_compared_with_ip_names() -> None:
    served, _warnings = judge(pki.issue(CA, "192.0.2.7"), [CA], registry="192.0.2.7:8443")
    assert (served.trusted, served.name_matches) == (True, True)
    served, _warnings = judge(LEAF, [CA], registry="192.0.2.7:8443")
    assert (served.trusted, served.name_matches) == (True, False)


@pytest.mark.parametrize(
    ("dates", "word"),
    [
        ({"not_before": NOW - 9 * DAY, "not_after": NOW - DAY}, "has expired"),
        ({"not_before": NOW + DAY, "not_after": NOW + 9 * DAY}, "not valid yet"),
    ],
)
def test_a_served_certificate_outside_its_dates_is_told(dates: dict[str, Any], word: str) -> None:
    server = pki.issue(CA, NAME, **dates)
    served, warnings = judge(server, [CA])
    assert (served.trusted, served.name_matches) == (False, True)
    (text,) = warnings
    assert word in text
    assert describe(server.der).not_after in text
    assert "no CA on a node cures this" in text


def test_a_server_without_tls_is_not_reachable() -> None:
    with serving(None) as address:
        served = _served.look(REGISTRY, CA.pem, address=address)
    assert served.reachable is False
    assert "not with TLS" in str(served.reason)
    assert _served.warnings_of(REGISTRY, served, []) == []
    assert served.to_dict()["certificate"] is None


def test_a_closed_port_is_not_reachable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        served = _served.look(REGISTRY, CA.pem, address=unused.getsockname())
    assert (served.reachable, served.reason) == (False, "the connection was refused")


def test_a_silent_server_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        served = _served.look(REGISTRY, CA.pem, timeout=0.2, address=silent.getsockname())
    assert (served.reachable, served.reason) == (False, "no answer within 0.2 seconds")


def test_an_unknown_name_is_not_reachable() -> None:
    served = _served.look("harbor.invalid", CA.pem)
    assert served.reachable is False
    # The same code runs on the controller and on nodes.
    assert f"the resolver of {platform.node()}" in str(served.reason)


def test_it_is_asked_again_until_the_new_certificate_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(
        [_served.Served(True, trusted=False), _served.Served(False), _served.Served(True, trusted=True)]
    )
    asked: list[str] = []

    def look(registry: str, ca_pem: str) -> _served.Served:
        asked.append(registry)
        return next(answers) if registry == REGISTRY else _served.Served(True, trusted=True)

    monkeypatch.setattr(_served, "look", look)
    seen = _served.look_until({REGISTRY: CA.pem, NAME: CA.pem}, wait=60, every=0.001)
    assert {name: served.trusted for name, served in seen.items()} == {REGISTRY: True, NAME: True}
    # The one that was right at once is not asked again.
    assert asked == [REGISTRY, NAME, REGISTRY, REGISTRY]


def test_without_waiting_it_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def look(registry: str, ca_pem: str) -> _served.Served:
        asked.append(registry)
        return _served.Served(True, trusted=False)

    monkeypatch.setattr(_served, "look", look)
    assert _served.look_until({REGISTRY: CA.pem})[REGISTRY].trusted is False
    assert asked == [REGISTRY]

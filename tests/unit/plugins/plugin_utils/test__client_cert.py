# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Client certificates and extra CAs of the user's list; the key is in no message and in no result."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from ansible_collections.nodetrust.harbor.plugins.plugin_utils import _bundle
from tests.lab import pki

NOW = datetime.now(timezone.utc)
DAY = timedelta(days=1)
HOST = "harbor.example.com"
FOR_CLIENTS = ExtendedKeyUsageOID.CLIENT_AUTH

CA = pki.make_ca("Harbor CA")
TOKEN_CA = pki.make_ca("Token CA")
CLIENT_CA = pki.make_ca("Client CA")
CLIENT = pki.issue(CLIENT_CA, "node", usage=FOR_CLIENTS)
OTHER = pki.issue(CLIENT_CA, "other", usage=FOR_CLIENTS)
EXPIRED = pki.issue(CLIENT_CA, "old", usage=FOR_CLIENTS, not_before=NOW - 9 * DAY, not_after=NOW - DAY)
FUTURE = pki.issue(CLIENT_CA, "new", usage=FOR_CLIENTS, not_before=NOW + DAY, not_after=NOW + 9 * DAY)
SERVER = pki.issue(CLIENT_CA, "server")
ENCRYPTED = CLIENT.key.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.BestAvailableEncryption(b"secret"),
).decode("ascii")
SEC1 = CLIENT.key.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
).decode("ascii")


def entry(**keys: Any) -> dict[str, Any]:
    return {"host": HOST, "ca_pem": CA.pem, **keys}


def checked(**keys: Any) -> dict[str, Any]:
    (registry,) = _bundle.check_registries([entry(**keys)], now=NOW)
    report = registry.to_dict()
    assert "PRIVATE KEY" not in json.dumps(report)
    return report


def reasons(**keys: Any) -> list[str]:
    with pytest.raises(_bundle.InvalidRegistries) as caught:
        _bundle.check_registries([entry(**keys)], now=NOW)
    assert all(error["next_step"] for error in caught.value.errors)
    for key in (CLIENT.key_pem, OTHER.key_pem, ENCRYPTED):
        assert not any(line in str(caught.value) for line in key.splitlines()[1:-1])
    return [error["reason"] for error in caught.value.errors]


def test_without_either_there_is_neither() -> None:
    report = checked()
    assert (report["extra_ca_pem"], report["extra_ca_fingerprints"]) == (None, [])
    assert (report["client_cert_pem"], report["client_key_file"]) == (None, None)


@pytest.mark.parametrize("key", [CLIENT.key_pem, SEC1], ids=["PKCS#8", "SEC1"])
def test_a_pair_that_fits_passes(key: str) -> None:
    report = checked(client_cert_pem=CLIENT.pem + CLIENT_CA.pem, client_key_pem=key)
    assert report["client_cert_pem"] == CLIENT.pem + CLIENT_CA.pem
    assert report["client_certificate"]["fingerprint"] == CLIENT.fingerprint


def test_the_key_file_is_named_and_not_read_into_the_result(tmp_path: Path) -> None:
    (tmp_path / "client.pem").write_text(CLIENT.pem)
    (tmp_path / "client.key").write_text(CLIENT.key_pem)
    files = {
        "client_cert_file": str(tmp_path / "client.pem"),
        "client_key_file": str(tmp_path / "client.key"),
    }
    assert checked(**files)["client_key_file"] == str(tmp_path / "client.key")


@pytest.mark.parametrize(
    ("cert", "key", "reason"),
    [
        (CLIENT.pem, OTHER.key_pem, "client_key_mismatch"),
        (CLIENT_CA.pem + CLIENT.pem, CLIENT.key_pem, "client_key_mismatch"),
        (CLIENT.pem, ENCRYPTED, "client_key_encrypted"),
        (CLIENT.pem, CLIENT.pem, "client_key_invalid"),
        (CLIENT.pem, CLIENT.key_pem.replace("M", "", 1), "client_key_invalid"),
        (CLIENT.key_pem, CLIENT.key_pem, "client_cert_invalid"),
        ("", CLIENT.key_pem, "client_cert_invalid"),
        (EXPIRED.pem, EXPIRED.key_pem, "client_cert_expired"),
        (FUTURE.pem, FUTURE.key_pem, "client_cert_expired"),
        (SERVER.pem, SERVER.key_pem, "client_cert_usage"),
        (CLIENT.pem, None, "client_source"),
        (None, CLIENT.key_pem, "client_source"),
    ],
)
def test_a_pair_that_would_fail_on_the_node_is_refused_here(
    cert: str | None, key: str | None, reason: str
) -> None:
    assert reasons(client_cert_pem=cert, client_key_pem=key) == [reason]


def test_a_client_certificate_that_ends_soon_is_a_warning() -> None:
    soon = pki.issue(CLIENT_CA, "soon", usage=FOR_CLIENTS, not_after=NOW + 3 * DAY)
    (registry,) = _bundle.check_registries(
        [entry(client_cert_pem=soon.pem, client_key_pem=soon.key_pem)], now=NOW
    )
    assert any("client certificate CN=soon" in warning for warning in registry.expiry_warnings(NOW))


def test_extra_cas_are_shown_beside_the_registry_s_own() -> None:
    report = checked(
        fingerprints=[CA.fingerprint],
        extra_ca_pem=TOKEN_CA.pem,
        extra_ca_fingerprints=[TOKEN_CA.fingerprint],
    )
    assert report["fingerprints"] == [CA.fingerprint]
    assert report["extra_ca_fingerprints"] == [TOKEN_CA.fingerprint]
    assert report["extra_certificates"][0]["subject"].startswith("CN=Token CA")


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"extra_ca_pem": SERVER.pem}, "not_a_ca"),
        ({"extra_ca_fingerprints": [TOKEN_CA.fingerprint]}, "ca_source"),
        ({"extra_ca_pem": TOKEN_CA.pem, "extra_ca_file": "x"}, "ca_source"),
        (
            {"extra_ca_pem": TOKEN_CA.pem + CLIENT_CA.pem, "extra_ca_fingerprints": [TOKEN_CA.fingerprint]},
            "pin_extra",
        ),
    ],
)
def test_extra_cas_are_checked_as_strictly(keys: dict[str, Any], reason: str) -> None:
    assert reason in reasons(**keys)

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's list: everything that is wrong with it is said at once, and nothing unpinned passes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import to_pem
from ansible_collections.nodetrust.harbor.plugins.plugin_utils import _bundle
from tests.lab import pki

NOW = datetime.now(timezone.utc)
DAY = timedelta(days=1)
HOST = "harbor.example.com"

CA = pki.make_ca("Harbor CA")
ROGUE = pki.make_ca("Rogue CA")
INTERMEDIATE = pki.make_ca("Harbor Intermediate", issuer=CA)
LEAF = pki.issue(CA, HOST)
SELF_SIGNED_LEAF = pki.make_ca("harbor self-signed", is_ca=False, may_sign=None)
NO_CONSTRAINTS = pki.make_ca("No constraints", is_ca=None)
MAY_NOT_SIGN = pki.make_ca("May not sign", may_sign=False)
NO_KEY_USAGE = pki.make_ca("No key usage", may_sign=None)
EXPIRED = pki.make_ca("Expired CA", not_before=NOW - 400 * DAY, not_after=NOW - 2 * DAY)
FUTURE = pki.make_ca("Future CA", not_before=NOW + 2 * DAY, not_after=NOW + 9 * DAY)
SOON = pki.make_ca("Soon CA", not_after=NOW + 3 * DAY)
WRONG_PIN = "SHA256:" + ":".join(["AB"] * 32)


def entry(credential: pki.Credential = CA, **keys: Any) -> dict[Any, Any]:
    return {"host": HOST, "ca_pem": credential.pem, **keys}


def problems(entries: Any, **options: Any) -> list[dict[str, Any]]:
    with pytest.raises(_bundle.InvalidRegistries) as caught:
        _bundle.check_registries(entries, now=NOW, **options)
    errors = caught.value.errors
    # The report for people holds every problem in full, and the fields hold the same.
    for error in errors:
        assert error["msg"] in str(caught.value)
        assert error["next_step"]
        assert error["next_step"] in error["msg"]
    assert caught.value.facts()["errors"] == errors
    assert f"{len(errors)} problem" in str(caught.value)
    return errors


def only_problem(entries: Any, **options: Any) -> dict[str, Any]:
    (error,) = problems(entries, **options)
    return error


def test_a_good_list_comes_back_normalised() -> None:
    text = "\ufeffsome text\r\n" + (CA.pem + ROGUE.pem + CA.pem).replace("\n", "\r\n")
    (registry,) = _bundle.check_registries(
        [{"host": f"{HOST}:8443", "ca_pem": text, "ca_file": None, "proof_image": "library/probe:1"}], now=NOW
    )
    report = registry.to_dict()
    assert report["ca_pem"] == CA.pem + ROGUE.pem
    assert report["host"] == f"{HOST}:8443"
    assert report["fingerprints"] == [CA.fingerprint, ROGUE.fingerprint]
    assert report["proof_image"] == f"{HOST}:8443/library/probe:1"
    assert report["source"] == "ca_pem"
    first = report["certificates"][0]
    assert first["subject"] == first["issuer"] == "CN=Harbor CA,O=Born in a test"
    assert (first["fingerprint"], first["is_ca"]) == (CA.fingerprint, True)


def test_a_file_is_read_where_it_was_found(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text(CA.pem)
    (registry,) = _bundle.check_registries(
        [{"host": HOST, "ca_file": "ca.crt"}], find_file=lambda path: str(tmp_path / path), now=NOW
    )
    assert registry.bundle.source == str(tmp_path / "ca.crt")
    assert registry.ca_pem == CA.pem


@pytest.mark.parametrize(
    "credential", [CA, INTERMEDIATE, NO_KEY_USAGE], ids=["root", "intermediate", "no-key-usage"]
)
def test_every_kind_of_ca_passes(credential: pki.Credential) -> None:
    (registry,) = _bundle.check_registries([entry(credential)], now=NOW)
    assert registry.bundle.fingerprints == [credential.fingerprint]


def test_host_and_host_with_port_are_two_registries() -> None:
    entries = [entry(), entry(host=f"{HOST}:443"), entry(host=f"{HOST}:8443")]
    assert len(_bundle.check_registries(entries, now=NOW)) == 3


@pytest.mark.parametrize("entries", [None, [], ()])
def test_no_registry_at_all_is_an_error(entries: Any) -> None:
    error = only_problem(entries)
    assert error["reason"] == "no_registry"
    assert "no registry in it at all" in error["msg"]
    assert "harbor_ca_registries" in error["next_step"]


@pytest.mark.parametrize(
    ("entries", "word"), [("harbor.x", "a text"), ({"host": HOST}, "a set of keys"), (5, "a number")]
)
def test_a_list_that_is_none(entries: Any, word: str) -> None:
    error = only_problem(entries)
    assert "not a list" in error["msg"]
    assert word in error["msg"]


@pytest.mark.parametrize("value", ["harbor.x", 5, None, ["host"]])
def test_an_entry_that_is_no_dict(value: Any) -> None:
    error = only_problem([entry(), value])
    assert (error["reason"], error["where"]) == ("invalid_entry", "entry 2 of 2")
    assert "host:" in error["msg"]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("ca_flie", ["'ca_flie'", "Write ca_file"]),
        ("fingerprint", ["Write fingerprints"]),
        ("Host", ["Write host"]),
        ("pin", ["Write fingerprints"]),
        ("image", ["Write proof_image"]),
        ("ca_cert", ["Write ca_file"]),
        ("ca_from_harbor", ["not available in this version", "ca_file"]),
        ("password", ["'password'", "Remove the key"]),
        (7, ["'7'", "Remove the key"]),
    ],
)
def test_an_unknown_key_leads_to_the_known_one_and_hides_its_value(key: Any, words: Sequence[str]) -> None:
    error = only_problem([entry() | {key: "geheim"}])
    assert error["reason"] == "unknown_key"
    assert [word for word in words if word not in error["msg"]] == []
    assert "geheim" not in str(error)
    assert error["registry"] == HOST


def test_the_same_registry_twice_is_an_error() -> None:
    error = only_problem([entry(), entry(host="other.example.com"), entry(ROGUE)])
    assert (error["reason"], error["where"]) == ("duplicate_registry", "entry 3 of 3")
    assert "first is entry 1" in error["msg"]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, ["has no CA", "ca_file", "ca_pem"]),
        ({"ca_pem": CA.pem, "ca_file": "x"}, ["both", "exactly one"]),
        ({"fingerprints": [CA.fingerprint]}, ["has no CA"]),
    ],
)
def test_exactly_one_source_is_needed(keys: dict[str, Any], words: Sequence[str]) -> None:
    error = only_problem([{"host": HOST, **keys}])
    assert error["reason"] == "ca_source"
    assert [word for word in words if word not in error["msg"]] == []


def test_an_entry_without_host_is_an_error() -> None:
    assert "no host" in only_problem([{"ca_pem": CA.pem}])["msg"]


@pytest.mark.parametrize(
    ("pem", "reason", "words"),
    [
        (LEAF.pem, "not_a_ca", ["CA:FALSE", f"CN={HOST}", "CA that signed it: CN=Harbor CA"]),
        (CA.pem + LEAF.pem, "not_a_ca", ["Certificate 2 of 2 in ca_pem", "CN=Harbor CA"]),
        (CA.pem + CA.pem + LEAF.pem, "not_a_ca", ["Certificate 3 of 3"]),
        (SELF_SIGNED_LEAF.pem, "not_a_ca", ["CA:FALSE", "Make a CA"]),
        (NO_CONSTRAINTS.pem, "not_a_ca", ["no BasicConstraints"]),
        (MAY_NOT_SIGN.pem, "not_a_ca", ["key usage", "keyCertSign"]),
        (
            EXPIRED.pem,
            "expired",
            ["has expired", "CN=Expired CA", f"{NOW - 2 * DAY:%Y-%m-%d}", f"{NOW:%Y-%m-%d}", "clock"],
        ),
        (
            FUTURE.pem,
            "not_yet_valid",
            ["not valid yet", "CN=Future CA", f"{NOW + 2 * DAY:%Y-%m-%d}", "clock"],
        ),
        (LEAF.pem[:200], "pem_truncated", ["ca_pem: ", "no END"]),
        ("junk", "pem_no_certificate", ["ca_pem: There is no certificate"]),
        ("", "pem_empty", ["empty"]),
        (CA.pem + CA.key_pem, "private_key", ["private key", "not shown"]),
        (12, "pem_no_certificate", ["not a text", "a number", "ca_pem: |"]),
    ],
)
def test_a_bundle_that_is_not_fit(pem: Any, reason: str, words: Sequence[str]) -> None:
    error = only_problem([{"host": HOST, "ca_pem": pem}])
    assert error["reason"] == reason
    assert [word for word in words if word not in error["msg"]] == []
    assert CA.key_pem.splitlines()[1] not in str(error)


def test_a_block_that_is_der_but_no_certificate() -> None:
    public_key = CA.key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    error = only_problem([entry(ca_pem=CA.pem + to_pem([public_key]))])
    assert error["reason"] == "not_a_certificate"
    assert "Certificate 2 of 2 in ca_pem is damaged" in error["msg"]


@pytest.mark.parametrize(
    "pins",
    [
        [CA.fingerprint, ROGUE.fingerprint],
        [ROGUE.fingerprint.lower(), CA.fingerprint.replace(":", "").removeprefix("SHA256")],
        [CA.fingerprint, ROGUE.fingerprint, CA.fingerprint.lower()],
        f"{CA.fingerprint},{ROGUE.fingerprint}",
    ],
)
def test_pins_are_a_set(pins: Any) -> None:
    assert _bundle.check_registries([entry(ca_pem=CA.pem + ROGUE.pem, fingerprints=pins)], now=NOW)


def test_one_extra_ca_in_the_bundle_is_named() -> None:
    error = only_problem([entry(ca_pem=CA.pem + ROGUE.pem, fingerprints=[CA.fingerprint])])
    assert error["reason"] == "pin_extra"
    assert error["found"] == ROGUE.fingerprint
    assert error["expected"] == [CA.fingerprint]
    assert "CN=Rogue CA" in error["msg"]


def test_one_missing_ca_is_named() -> None:
    error = only_problem([entry(fingerprints=[CA.fingerprint, WRONG_PIN])])
    assert (error["reason"], error["expected"]) == ("pin_missing", WRONG_PIN)
    assert CA.fingerprint in error["msg"]


def test_another_ca_than_the_pinned_one_is_both() -> None:
    errors = problems([entry(ROGUE, fingerprints=[CA.fingerprint])])
    assert [error["reason"] for error in errors] == ["pin_extra", "pin_missing"]


@pytest.mark.parametrize(
    ("pins", "words"),
    [
        ([], ["no fingerprint", "an empty list"]),
        ({}, ["no fingerprint", "a set of keys"]),
        (["12"], ["2 hex digits"]),
        ([CA.fingerprint, None], ["not a text", "nothing"]),
        ([CA.fingerprint.removeprefix("SHA256:")[:59]], ["SHA-1"]),
    ],
)
def test_a_pin_that_is_none(pins: Any, words: Sequence[str]) -> None:
    error = only_problem([entry(fingerprints=pins)])
    assert error["reason"] == "invalid_pin"
    assert [word for word in words if word not in error["msg"]] == []


def test_a_malformed_pin_does_not_accuse_the_bundle() -> None:
    error = only_problem([entry(ca_pem=CA.pem + ROGUE.pem, fingerprints=[CA.fingerprint, "12"])])
    assert error["reason"] == "invalid_pin"


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("other.example/a:1", ["another registry", HOST]),
        ("a/b", ["neither a tag nor a digest"]),
        ("", ["empty"]),
        ("u:geheim@harbor.x/a:1", ["not a digest"]),
    ],
)
def test_a_proof_image_that_proves_nothing(image: Any, words: Sequence[str]) -> None:
    error = only_problem([entry(proof_image=image)])
    assert error["reason"] == "invalid_image"
    assert [word for word in words if word not in error["msg"]] == []
    assert "geheim" not in str(error)


def test_all_problems_of_all_entries_are_said_at_once(tmp_path: Path) -> None:
    errors = problems(
        [
            {"host": "https://harbor.x", "ca_file": str(tmp_path / "none.pem"), "proof_image": "x"},
            entry(ca_pem=LEAF.pem + EXPIRED.pem, fingerprints=["1", "2"], colour="red"),
            entry(),
            {},
        ]
    )
    assert [(error["where"][6], error["reason"]) for error in errors] == [
        ("1", "invalid_registry"),
        ("1", "ca_file_missing"),
        ("2", "unknown_key"),
        ("2", "invalid_pin"),
        ("2", "invalid_pin"),
        ("2", "not_a_ca"),
        ("2", "expired"),
        ("3", "duplicate_registry"),
        ("4", "invalid_registry"),
        ("4", "ca_source"),
    ]


def bad_file(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / "ca file.crt"
    contents = {
        "empty": b"",
        "der": CA.der,
        "vault": b"$ANSIBLE_VAULT;1.1;AES256\n6162",
        "huge": b"\n" * 10_000_000,
        "junk": b"junk",
        "key": CA.key_pem.encode(),
    }
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "dangling":
        path.symlink_to(tmp_path / "gone")
    elif kind != "missing":
        path.write_bytes(contents[kind])
    return path


@pytest.mark.parametrize(
    ("kind", "reason", "words"),
    [
        ("missing", "ca_file_missing", ["does not exist"]),
        ("dangling", "ca_file_missing", ["does not exist"]),
        ("empty", "pem_empty", ["empty"]),
        ("directory", "ca_file_directory", ["is a directory", "Name the file in it"]),
        ("pipe", "ca_file_invalid", ["not a regular file"]),
        ("loop", "ca_file_unreadable", ["symbolic links"]),
        ("huge", "pem_too_large", ["too large", "10000000 bytes", "1048576"]),
        ("junk", "pem_no_certificate", ["no certificate"]),
        ("vault", "ca_file_encrypted", ["Vault", "ansible-vault decrypt"]),
        ("key", "private_key", ["private key"]),
        ("der", "der_input", ["openssl x509 -inform der -in 'PATH' -out 'PATH'.pem"]),
    ],
)
def test_a_file_that_is_not_fit(tmp_path: Path, kind: str, reason: str, words: Sequence[str]) -> None:
    path = bad_file(tmp_path, kind)
    error = only_problem([{"host": HOST, "ca_file": str(path)}])
    assert (error["reason"], error["path"]) == (reason, str(path))
    assert str(path) in error["msg"]
    assert [word for word in words if word.replace("PATH", str(path)) not in error["msg"]] == []


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "ca.crt"
    path.write_text(CA.pem)
    path.chmod(0)
    if os.geteuid() == 0:
        # For root the mode means nothing; somebody else may not even enter the directory.
        os.seteuid(65534)
        try:
            error = only_problem([{"host": HOST, "ca_file": str(path)}])
        finally:
            os.seteuid(0)
    else:
        error = only_problem([{"host": HOST, "ca_file": str(path)}])
    assert (error["reason"], error["path"]) == ("ca_file_unreadable", str(path))
    assert "may not be read" in error["msg"]
    assert f"namei -l {path}" in error["msg"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", ["empty"]),
        (5, ["not a text"]),
        (CA.pem, ["text instead of a path", "ca_pem"]),
        (CA.key_pem, ["not shown"]),
        ("https://harbor.x/ca.crt", ["address of the network", "fingerprint"]),
        ("ca\0.crt", ["control"]),
    ],
)
def test_a_ca_file_that_is_no_path(value: Any, words: Sequence[str]) -> None:
    error = only_problem([{"host": HOST, "ca_file": value}])
    assert error["reason"] == "ca_file_invalid"
    assert [word for word in words if word not in error["msg"]] == []
    assert CA.key_pem.splitlines()[1] not in str(error)


def test_a_ca_that_ends_soon_is_told() -> None:
    registries = _bundle.check_registries([entry(ca_pem=CA.pem + SOON.pem)], now=NOW)
    (warning,) = registries[0].expiry_warnings(NOW)
    assert "CN=Soon CA" in warning
    assert f"{NOW + 3 * DAY:%Y-%m-%d}" in warning
    assert registries[0].expiry_warnings(NOW - 60 * DAY) == []


def test_who_only_looks_may_look_at_an_expired_ca() -> None:
    entries = [
        entry(EXPIRED),
        entry(host="both.example.com", ca_pem=CA.pem + EXPIRED.pem),
        entry(host="token.example.com", extra_ca_pem=EXPIRED.pem),
        entry(host="good.example.com"),
    ]
    assert [error["reason"] for error in problems(entries)] == ["expired"] * 3
    registries = _bundle.check_registries(entries, now=NOW, allow_expired=True)
    assert [registry.expired(NOW) for registry in registries] == [True, False, True, False]
    warning = registries[0].expiry_warnings(NOW)[0]
    assert "Expired CA" in warning and "expired on " in warning and "rotate_ca" in warning
    # Nothing else is forgiven.
    assert only_problem([entry(FUTURE)], allow_expired=True)["reason"] == "not_yet_valid"


def test_without_cryptography_the_next_step_is_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bundle, "HAS_CRYPTOGRAPHY", False)
    with pytest.raises(TrustError) as caught:
        _bundle.check_registries([entry()])
    assert caught.value.reason == "missing_library"
    assert "-m pip install cryptography" in str(caught.value)
    assert "controller" in str(caught.value)

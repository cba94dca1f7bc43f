# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Client certificates and extra CAs on a node, on real files: written, refused, taken away; the key is unseen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from ansible_collections.nodetrust.harbor.plugins.module_utils import _apply, _desired, _plan
from ansible_collections.nodetrust.harbor.plugins.module_utils._client_pair import pair_from
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import (
    CONTAINERD_2,
    Reader,
    read_host_directory,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import Restart, Runtime
from tests.lab import pki

NAME = "harbor.test"
CA = pki.make_ca("right")
TOKEN_CA = pki.make_ca("token")
CLIENT = pki.issue(CA, "node", usage=ExtendedKeyUsageOID.CLIENT_AUTH)
OTHER = pki.issue(CA, "other", usage=ExtendedKeyUsageOID.CLIENT_AUTH)
WITH_CLIENT = {"client_cert_pem": CLIENT.pem, "client_key_pem": CLIENT.key_pem}


class DirectoryRuntime(Runtime):
    """A runtime that reads a directory and never needs a restart."""

    name = "directory"
    root = ""
    reader = CONTAINERD_2

    @classmethod
    def observe(cls, socket, timeout):
        raise NotImplementedError

    def read(self, registry):
        return read_host_directory(self.root, registry, self.reader)

    def restart(self, changes=()):
        return Restart(False, "never", {})


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    monkeypatch.setattr(_apply, "STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(_apply, "RECORD", str(tmp_path / "state" / "previous.json"))
    made = DirectoryRuntime()
    made.root = str(tmp_path / "certs.d")
    return made


def wanted(**more):
    return _desired.desired_from([{"host": NAME, "ca_pem": CA.pem, **more}])


def present(runtime, **more):
    items = wanted(**more)
    return _plan.plan_present(items, [runtime.read(item.registry) for item in items], runtime)


def absent(runtime):
    items = _desired.without_trust(wanted())
    return _plan.plan_absent(items, [runtime.read(item.registry) for item in items], runtime)


def summaries(plan, runtime):
    return [change.summary.replace(f"{runtime.root}/{NAME}", "D") for change in plan.changes]


def test_the_whole_life_of_a_pair(runtime):
    first = present(runtime, **WITH_CLIENT)
    assert summaries(first, runtime) == ["create D/ca.crt", "create D/client.key", "create D/client.cert"]
    shown = str(_apply.diff(first.changes)) + str(first.changes[1].summary)
    assert CLIENT.key_pem.splitlines()[1] not in shown and "not shown" in shown
    _apply.apply(first.changes)
    key, cert = (f"{runtime.root}/{NAME}/client.{end}" for end in ("key", "cert"))
    assert os.stat(key).st_mode & 0o777 == 0o600
    assert CLIENT.key_pem in Path(key).read_text("ascii")
    assert CLIENT.pem in Path(cert).read_text("ascii")
    again = present(runtime, **WITH_CLIENT)
    assert not again.changed and again.verdicts[0].in_sync
    assert again.verdicts[0].to_dict(again.restart)["client_fingerprint"] == CLIENT.fingerprint
    os.chmod(key, 0o644)
    assert summaries(present(runtime, **WITH_CLIENT), runtime) == [
        "replace D/client.key",
        "replace D/client.cert",
    ]
    os.chmod(key, 0o600)
    rotated = present(runtime, client_cert_pem=OTHER.pem, client_key_pem=OTHER.key_pem)
    assert summaries(rotated, runtime) == ["replace D/client.key", "replace D/client.cert"]
    assert summaries(present(runtime), runtime) == ["remove D/client.cert", "remove D/client.key"]
    gone = absent(runtime)
    assert summaries(gone, runtime)[-1] == "remove the empty D"
    _apply.apply(gone.changes)
    assert not os.path.exists(f"{runtime.root}/{NAME}")
    _apply.bring_back(_apply.previous())
    assert os.stat(key).st_mode & 0o777 == 0o600


def test_a_pair_of_somebody_else_is_left_alone_when_equal_and_named_when_not(runtime):
    directory = f"{runtime.root}/{NAME}"
    os.makedirs(directory)
    for end, text in (("key", OTHER.key_pem), ("cert", OTHER.pem)):
        with open(f"{directory}/client.{end}", "w", encoding="ascii") as stream:
            stream.write(text)
    same = {"client_cert_pem": OTHER.pem, "client_key_pem": OTHER.key_pem}
    assert summaries(present(runtime, **same), runtime) == ["create D/ca.crt"]
    with pytest.raises(TrustError) as caught:
        present(runtime, **WITH_CLIENT)
    assert caught.value.reason == "foreign_client_cert" and caught.value.found == OTHER.fingerprint
    assert OTHER.key_pem.splitlines()[1] not in str(caught.value)
    assert summaries(absent(runtime), runtime) == []


STRICT = Reader("podman", None, fallbacks=False, junk_breaks=False, directory_breaks=True, key_breaks=True)


@pytest.mark.parametrize("reader", [CONTAINERD_2, STRICT], ids=lambda reader: reader.name)
@pytest.mark.parametrize("left", ["key", "cert"])
def test_half_a_pair_of_ours_heals_and_goes(runtime, reader, left):
    runtime.reader = reader
    _apply.apply(present(runtime, **WITH_CLIENT).changes)
    lost = "cert" if left == "key" else "key"
    os.unlink(f"{runtime.root}/{NAME}/client.{lost}")
    rotated = present(runtime, client_cert_pem=OTHER.pem, client_key_pem=OTHER.key_pem)
    assert sorted(summaries(rotated, runtime)) == [f"create D/client.{lost}", f"replace D/client.{left}"]
    assert summaries(present(runtime), runtime) == [f"remove D/client.{left}"]
    _apply.apply(absent(runtime).changes)
    assert not os.path.exists(f"{runtime.root}/{NAME}")
    again = present(runtime, **WITH_CLIENT)
    _apply.apply(again.changes)
    assert not present(runtime, **WITH_CLIENT).changed


def test_an_audit_compares_the_pair_by_a_fingerprint(runtime):
    def in_sync(pin=CLIENT.fingerprint):
        (item,) = _desired.desired_from(
            [{"host": NAME, "fingerprints": [CA.fingerprint], "client_fingerprint": pin}]
        )
        verdict = _plan.judge(item, runtime.read(item.registry), runtime, runtime.restart())
        assert verdict.in_sync or "client certificate" in verdict.reasons[-1]
        return verdict.in_sync

    _apply.apply(present(runtime).changes)
    assert in_sync("") and not in_sync()
    _apply.apply(present(runtime, **WITH_CLIENT).changes)
    directory = Path(runtime.root) / NAME
    assert in_sync() and not in_sync(OTHER.fingerprint)
    (directory / "client.key").chmod(0o640)
    assert not in_sync()
    (directory / "client.key").write_text(OTHER.key_pem)
    (directory / "client.key").chmod(0o600)
    assert not in_sync()
    (directory / "client.key").unlink()
    assert not in_sync()
    _apply.apply(present(runtime, **WITH_CLIENT).changes)
    (directory / "hosts.toml").write_text(f'server = "https://{NAME}"\nca = "ca.crt"\n[host]\n')
    assert not in_sync()
    with pytest.raises(TrustError) as caught:
        in_sync("not a pin")
    assert caught.value.registry == NAME


def test_a_key_beside_which_somebody_put_a_certificate_stays_with_them(runtime):
    _apply.apply(present(runtime, **WITH_CLIENT).changes)
    Path(f"{runtime.root}/{NAME}/client.cert").write_text(CLIENT.pem, encoding="ascii")
    assert [step for step in summaries(absent(runtime), runtime) if "client" in step] == []


LEADING = f"""\
server = "https://{NAME}"
ca = "ca.crt"
client = [["client.cert", "client.key"]] # added by nodetrust.harbor
[host]
"""


def test_a_hosts_toml_that_names_our_pair_lets_it_come_change_and_go(runtime):
    directory = Path(runtime.root) / NAME
    _apply.apply(present(runtime, **WITH_CLIENT).changes)
    (directory / "hosts.toml").write_text(LEADING, encoding="ascii")
    assert not present(runtime, **WITH_CLIENT).changed
    rotated = present(runtime, client_cert_pem=OTHER.pem, client_key_pem=OTHER.key_pem)
    assert summaries(rotated, runtime) == ["replace D/client.key", "replace D/client.cert"]
    without = present(runtime)
    assert summaries(without, runtime) == [
        "take our client certificate out of D/hosts.toml",
        "remove D/client.cert",
        "remove D/client.key",
    ]
    _apply.apply(without.changes)
    assert "client" not in (directory / "hosts.toml").read_text()
    assert not present(runtime).changed


def test_a_new_ca_and_the_end_of_a_pair_are_one_change_of_a_hosts_toml(runtime):
    _apply.apply(present(runtime, **WITH_CLIENT).changes)
    hosts = Path(runtime.root) / NAME / "hosts.toml"
    hosts.write_text(LEADING.replace('ca = "ca.crt"\n', ""), encoding="ascii")
    plan = present(runtime)
    assert [change.path for change in plan.changes].count(str(hosts)) == 1
    _apply.apply(plan.changes)
    assert "client" not in hosts.read_text() and 'ca = "ca.crt"' in hosts.read_text()


def test_a_pair_that_no_hosts_toml_leads_to_is_not_in_sync(runtime):
    _apply.apply(present(runtime, **WITH_CLIENT).changes)
    hosts = Path(runtime.root) / NAME / "hosts.toml"
    hosts.write_text(f'server = "https://{NAME}"\nca = "ca.crt"\n[host]\n', encoding="ascii")
    (item,) = wanted(**WITH_CLIENT)
    verdict = _plan.judge(item, runtime.read(item.registry), runtime, runtime.restart())
    assert not verdict.in_sync and "client certificate" in verdict.reasons[-1]
    with pytest.raises(TrustError) as caught:
        present(runtime, **WITH_CLIENT)
    assert caught.value.reason == "client_cert_elsewhere"


def test_a_foreign_hosts_toml_decides_for_the_client_certificate_too(runtime):
    os.makedirs(f"{runtime.root}/{NAME}")
    with open(f"{runtime.root}/{NAME}/ca.crt", "w", encoding="ascii") as stream:
        stream.write(CA.pem)
    with open(f"{runtime.root}/{NAME}/hosts.toml", "w", encoding="ascii") as stream:
        stream.write(f'server = "https://{NAME}"\nca = "ca.crt"\n[host]\n')
    with pytest.raises(TrustError) as caught:
        present(runtime, **WITH_CLIENT)
    assert caught.value.reason == "client_cert_elsewhere" and str(caught.value.path).endswith("hosts.toml")


def test_a_pair_alone_does_not_take_the_registry_away_from_the_default(runtime):
    os.makedirs(f"{runtime.root}/_default")
    with open(f"{runtime.root}/_default/ca.crt", "w", encoding="ascii") as stream:
        stream.write(CA.pem)
    assert summaries(present(runtime), runtime) == []
    assert "create D/ca.crt" in summaries(present(runtime, **WITH_CLIENT), runtime)


@pytest.mark.parametrize(
    ("cert", "key", "reason"),
    [
        (CLIENT.pem, None, "client_source"),
        (None, CLIENT.key_pem, "client_source"),
        (CLIENT.pem, OTHER.key_pem, "client_key_mismatch"),
        (CLIENT.pem, "-----BEGIN PRIVATE KEY-----\njunk\n-----END PRIVATE KEY-----\n", "client_key_mismatch"),
    ],
)
def test_a_node_trusts_no_caller(cert, key, reason):
    with pytest.raises(TrustError) as caught:
        pair_from(cert, key, NAME)
    assert caught.value.reason == reason and caught.value.next_step


def test_extra_cas_are_part_of_the_set_and_shown_beside_it(runtime):
    more = {"extra_ca_pem": TOKEN_CA.pem, "extra_ca_fingerprints": [TOKEN_CA.fingerprint]}
    plan = present(runtime, **more)
    assert summaries(plan, runtime) == ["create D/ca.crt"]
    _apply.apply(plan.changes)
    verdict = present(runtime, **more).verdicts[0].to_dict(plan.restart)
    assert verdict["in_sync"] and verdict["extra_ca_fingerprints"] == [TOKEN_CA.fingerprint]
    assert verdict["found_fingerprints"] == sorted([CA.fingerprint, TOKEN_CA.fingerprint])
    assert "not pinned" in present(runtime).verdicts[0].reasons[0]

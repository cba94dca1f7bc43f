# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Desired and observed in, plan out: every decision without a node."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils import _plan
from ansible_collections.nodetrust.harbor.plugins.module_utils._containerd import CERTS_DIR
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import Problem
from ansible_collections.nodetrust.harbor.plugins.module_utils._hosts_merge import ADDED
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import Desired
from tests.unit.plugins.module_utils.observed import (
    CA,
    HOST_DIR,
    PIN,
    REGISTRY,
    WRONG,
    containerd,
    desired,
    directory,
    hosts_toml,
)


def plan(where, runtime=None):
    return _plan.plan_present([desired()], [where], runtime or containerd())


def kinds(result):
    return [change.kind for change in result.changes]


@pytest.mark.parametrize("name", ["ca.crt", "harbor.crt"])
def test_the_right_ca_under_any_name_is_left_alone(name):
    result = plan(directory((PIN, name)))
    assert not result.changed and result.verdicts[0].in_sync and result.verdicts[0].in_effect
    assert not result.restart_after.due and result.verdicts[0].reasons == []


def test_a_fresh_node_gets_file_and_switch_and_one_restart():
    result = plan(directory(exists=False), containerd(""))
    assert kinds(result) == ["write", "config"]  # the switch comes last
    assert result.changes[0].path == f"{HOST_DIR}/ca.crt"
    assert result.restart_after.due
    assert not result.verdicts[0].in_sync
    assert any("config_path is not set" in reason for reason in result.verdicts[0].reasons)


def test_with_config_path_in_effect_no_restart_is_due():
    result = plan(directory(exists=False))
    assert kinds(result) == ["write"] and not result.restart_after.due


def test_a_tampered_file_of_ours_is_replaced():
    result = plan(directory((WRONG, "ca.crt")))
    assert kinds(result) == ["write"]
    assert f"not pinned: {WRONG} in {HOST_DIR}/ca.crt" in result.verdicts[0].reasons


def test_an_extra_ca_in_our_file_is_as_wrong_as_a_missing_one():
    assert kinds(plan(directory((PIN, "ca.crt"), (WRONG, "ca.crt")))) == ["write"]


def test_an_extra_ca_in_another_file_is_named_and_refused():
    with pytest.raises(TrustError) as caught:
        plan(directory((PIN, "ca.crt"), (WRONG, "old.crt")))
    assert caught.value.reason == "extra_ca" and "old.crt" in str(caught.value)


def test_a_foreign_hosts_toml_that_leads_to_the_right_ca_is_fine():
    hosts = hosts_toml("ca = 'x.pem'\n[host]\n")
    assert not plan(directory((PIN, "x.pem"), hosts_toml=hosts)).changed


def test_a_foreign_hosts_toml_that_leads_elsewhere_is_refused():
    hosts = hosts_toml("ca = 'x.pem'\n[host]\n")
    with pytest.raises(TrustError) as caught:
        plan(directory((WRONG, "x.pem"), hosts_toml=hosts))
    assert caught.value.reason == "foreign_hosts_toml"
    assert WRONG in str(caught.value) and PIN in str(caught.value)


def test_what_breaks_the_directory_and_is_foreign_is_refused_even_with_the_right_ca():
    problem = Problem("stray_cert", "x.cert has no key", f"{HOST_DIR}/x.cert", "remove it")
    with pytest.raises(TrustError, match="remove it"):
        plan(directory((PIN, "ca.crt"), problems=[problem]))


def test_a_harmless_oddity_does_not_stop_a_node_in_sync():
    problem = Problem("link", "a link", HOST_DIR, "mind it", breaks=False)
    assert not plan(directory((PIN, "ca.crt"), problems=[problem])).changed


def test_a_file_in_place_that_the_process_has_not_seen_is_not_in_effect():
    result = plan(directory((PIN, "ca.crt")), containerd(started=1000, changed=1001))
    verdict = result.verdicts[0]
    assert verdict.in_sync and not verdict.in_effect and not result.changed
    assert result.restart_after.due and result.restart_after.why in verdict.reasons


def absent(where):
    wanted = Desired(REGISTRY, (), frozenset())
    return _plan.plan_absent([wanted], [where], containerd())


def test_absent_takes_our_file_and_the_empty_directory():
    assert kinds(absent(directory((PIN, "ca.crt")))) == ["remove", "rmdir"]


def test_absent_leaves_a_neighbour_alone():
    result = absent(directory((PIN, "ca.crt"), (WRONG, "mine.crt"), others=["mine.crt"]))
    assert kinds(result) == ["remove"]


@pytest.mark.parametrize("content", [b"", b"junk", b"# the team's\n" + CA.pem.encode(), CA.pem.encode()])
def test_absent_leaves_a_file_of_our_name_that_somebody_else_made(content):
    assert not absent(directory((PIN, "ca.crt"), ca_file=content)).changed


@pytest.mark.parametrize("before", [b"", b"# the team's\n"])
def test_the_right_ca_is_not_written_anew_where_only_a_hosts_toml_lacks_it(before):
    missing = Problem("hosts_toml_without_ca", "names no CA", HOST_DIR, "run again", foreign=False)
    where = directory(
        (PIN, "ca.crt"),
        problems=[missing],
        hosts_toml=hosts_toml("[host]\n"),
        ca_file=before + CA.pem.encode(),
    )
    assert kinds(plan(where)) == ["text"]


def test_a_ca_that_is_named_already_stays_alone_where_another_table_gets_ours():
    text = f"server = 'https://{REGISTRY.name}'\n[host.'https://{REGISTRY.name}']\nca = 'site.pem'\n"
    incomplete = Problem("hosts_toml_ca_incomplete", "no ca at the top", HOST_DIR, "run again", foreign=False)
    where = directory((PIN, "site.pem"), problems=[incomplete], hosts_toml=hosts_toml(text))
    made = plan(where, containerd(version="1.7.24", running=CERTS_DIR))
    assert kinds(made) == ["write", "text"]
    added = text.replace("\n", f'\nca = "ca.crt" {ADDED}\n', 1)
    assert made.changes[1].content.decode() == added


def test_absent_twice_changes_nothing():
    result = absent(directory(exists=False))
    assert not result.changed and result.verdicts[0].in_sync


@pytest.mark.parametrize(
    "text",
    [
        "ca = 'ca.crt'\n[host]\n",
        # A mirror that has the same CA.
        "[host.'https://mirror.test']\nca = ['x.pem', '../harbor.test/ca.crt']\n",
    ],
)
def test_absent_does_not_pull_the_file_from_under_a_hosts_toml(text):
    hosts = hosts_toml(text)
    with pytest.raises(TrustError, match="every pull through it would fail"):
        absent(directory((PIN, "ca.crt"), hosts_toml=hosts, others=["hosts.toml"]))


def test_absent_does_not_pull_the_file_from_under_another_registrys_hosts_toml():
    where = replace(directory((PIN, "ca.crt")), referrers=[f"{CERTS_DIR}/docker.io/hosts.toml"])
    with pytest.raises(TrustError, match=r"docker\.io/hosts\.toml leads to"):
        absent(where)


@pytest.mark.parametrize("text", ["[host]\n", f"server = 'https://{REGISTRY.name}'\r\n[host]\r\nx = 1"])
def test_our_ca_goes_into_a_hosts_toml_after_its_file_and_out_before_it(text):
    missing = Problem("hosts_toml_without_ca", "names no CA", HOST_DIR, "run again", foreign=False)
    added = plan(directory(problems=[missing], hosts_toml=hosts_toml(text), others=["hosts.toml"]))
    assert kinds(added) == ["write", "text"] and not added.restart_after.due
    merged = added.changes[1].content.decode()
    where = directory((PIN, "ca.crt"), hosts_toml=hosts_toml(merged), others=["hosts.toml"])
    removed = absent(where)
    assert kinds(removed) == ["text", "remove"]
    assert removed.changes[0].content.decode() == text


def test_who_rewrites_the_directory_is_named_where_something_would_change_and_only_there():
    owner = Problem("foreign_owner", "belongs to Spegel", CERTS_DIR, "the way out", breaks=False)
    with pytest.raises(TrustError) as caught:
        plan(directory((WRONG, "ca.crt"), problems=[owner]))
    assert caught.value.reason == "foreign_owner" and "the way out" in str(caught.value)
    fine = plan(directory((PIN, "ca.crt"), problems=[owner]))
    assert not fine.changed and fine.verdicts[0].in_sync and fine.verdicts[0].reasons == ["belongs to Spegel"]

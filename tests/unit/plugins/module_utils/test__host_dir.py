# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of runtime-facts §3 and §3a: what containerd takes from a registry's directory, on real files."""

from __future__ import annotations

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import (
    CONTAINERD_1,
    CONTAINERD_2,
    read_host_directory,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import parse_registry
from tests.lab import pki

NAME = "harbor.test"
OWN_HOST = f'[host."https://{NAME}"]'


@pytest.fixture(scope="module")
def cas():
    return {name: pki.make_ca(name) for name in ("right", "other")}


def lay(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, newline="")


def read(root, major=2, name=NAME):
    return read_host_directory(str(root), parse_registry(name), CONTAINERD_1 if major < 2 else CONTAINERD_2)


def names_of(directory, cas):
    return {name for name, ca in cas.items() if ca.fingerprint in directory.fingerprints}


@pytest.mark.parametrize(
    ("content", "taken"),
    [
        ({"ca.crt": "right"}, {"right"}),
        ({"anything.crt": "right"}, {"right"}),
        ({"a.crt": "right", "b.crt": "other"}, {"right", "other"}),
        ({"ca.pem": "right"}, set()),
        ({"ca.CRT": "right"}, set()),
        ({"sub/ca.crt": "right"}, set()),
        ({}, set()),
    ],
)
def test_without_hosts_toml_every_crt_counts(tmp_path, cas, content, taken):
    lay(tmp_path / NAME, {name: cas[who].pem for name, who in content.items()})
    assert names_of(read(tmp_path), cas) == taken


@pytest.mark.parametrize(
    ("toml", "major", "taken"),
    [
        ("", 1, {"right"}),
        ("", 2, {"right"}),
        ("# a comment only\n", 1, {"right"}),
        ("# a comment only\n", 2, set()),
        (f'server = "https://{NAME}"\nca = "o.pem"\n', 1, {"right"}),  # 1.x rejects it: no [host] table
        (f'server = "https://{NAME}"\nca = "o.pem"\n', 2, {"other"}),
        (f'server = "https://{NAME}"\nca = "o.pem"\n[host]\n', 1, {"other"}),
        (f'server = "https://{NAME}"\n{OWN_HOST}\nca = ["o.pem", "ca.crt"]\n', 1, {"right", "other"}),
        (f"{OWN_HOST}\ncapabilities = ['pull']\n", 1, set()),  # a parsed hosts.toml switches the scan off
        ('[host."https://mirror.test"]\nca = "o.pem"\n', 2, set()),  # a mirror's CA is not this registry's
        ("this is [not toml\n", 2, {"right"}),
        ('server = "https://[fe80"\n[host]\n', 2, {"right"}),
        ('[host."[x"]\nca = "o.pem"\n', 2, {"right"}),
        (f"{OWN_HOST}\ncapabilities = true\n", 2, {"right"}),
    ],
)
def test_a_hosts_toml_decides_if_containerd_obeys_it(tmp_path, cas, toml, major, taken):
    lay(tmp_path / NAME, {"ca.crt": cas["right"].pem, "o.pem": cas["other"].pem, "hosts.toml": toml})
    assert names_of(read(tmp_path, major), cas) == taken


def test_a_relative_and_an_absolute_ca(tmp_path, cas):
    lay(tmp_path, {"else/r.pem": cas["right"].pem, "else/o.pem": cas["other"].pem})
    toml = f'ca = ["../else/r.pem", "{tmp_path}/else/o.pem"]\n[host]\n'
    lay(tmp_path / NAME, {"hosts.toml": toml})
    assert names_of(read(tmp_path), cas) == {"right", "other"}


@pytest.mark.parametrize(
    ("files", "reason", "words"),
    [
        ({"ca.cert": "right"}, "stray_cert", "has no key beside it"),
        ({"ca.crt": "right", "z.crt": "junk"}, "ca_file_unusable", "z.crt"),
        ({"ca.crt": "right", "z.crt": ""}, "ca_file_unusable", "empty"),
    ],
)
def test_one_bad_file_breaks_the_registry(tmp_path, cas, files, reason, words):
    lay(tmp_path / NAME, {name: cas[who].pem if who in cas else who for name, who in files.items()})
    problem = next(problem for problem in read(tmp_path).problems if problem.reason == reason)
    assert problem.breaks and problem.foreign
    assert words in problem.message and problem.next_step


@pytest.mark.parametrize("before", ["\ufeff", "  ", "see: "])
def test_a_certificate_that_go_passes_over_is_not_there(tmp_path, cas, before):
    pem = cas["right"].pem
    lay(tmp_path / NAME, {"ca.crt": before + pem})
    found = read(tmp_path)
    assert names_of(found, cas) == set()
    assert [problem.reason for problem in found.problems] == ["ca_file_unusable"]
    lay(tmp_path / NAME, {"ca.crt": f"{before}a line of its own\n{pem}"})
    assert names_of(read(tmp_path), cas) == {"right"}


def test_our_own_broken_file_is_ours_to_replace(tmp_path):
    lay(tmp_path / NAME, {"ca.crt": "junk"})
    (problem,) = read(tmp_path).problems
    assert problem.breaks and not problem.foreign


def test_a_client_certificate_with_its_key_is_no_problem(tmp_path, cas):
    lay(tmp_path / NAME, {"ca.crt": cas["right"].pem, "client.cert": "x", "client.key": "y"})
    assert read(tmp_path).problems == []


def test_the_underscore_form_wins_over_ours(tmp_path, cas):
    lay(tmp_path, {"harbor.test:8443/ca.crt": cas["right"].pem, "harbor.test_8443_/ca.crt": cas["other"].pem})
    (problem,) = read(tmp_path, name="harbor.test:8443").problems
    assert problem.reason == "shadowed_by_underscore_directory" and problem.breaks


def test_skip_verify_is_trouble(tmp_path, cas):
    toml = f'ca = "ca.crt"\n{OWN_HOST}\nca = "ca.crt"\nskip_verify = true\n'
    lay(tmp_path / NAME, {"ca.crt": cas["right"].pem, "hosts.toml": toml})
    (problem,) = read(tmp_path).problems
    assert "switches verification off" in problem.message and problem.breaks


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ('ca = "ca.crt"\nskip_verify = true\n[host]\n', "switches verification off"),
        ('ca = "ca.crt"\nserver = "https://elsewhere.test"\n[host]\n', "sends every pull elsewhere"),
    ],
)
def test_trouble_in_the_file_for_everybody_is_trouble(tmp_path, cas, toml, words):
    lay(tmp_path / "_default", {"ca.crt": cas["right"].pem, "hosts.toml": toml})
    assert any(problem.breaks and words in problem.message for problem in read(tmp_path).problems)


@pytest.mark.parametrize("name", [NAME, "_default"])
@pytest.mark.parametrize(
    ("table", "how"),
    [
        ('[host."https://m.test"]\nskip_verify = true\n', "https://m.test (skip_verify = true)"),
        ('[host."http://m.test"]\n', "http://m.test (without TLS)"),
        ('[host."http://m.test"]\ncapabilities = []\n', "http://m.test (without TLS)"),
        ('[host."http://m.test"]\ncapabilities = ["push"]\n', None),
        ('[host."https://m.test"]\n', None),
        ('[host."http://127.0.0.1:30020"]\n', None),
    ],
)
def test_a_mirror_that_nobody_verifies_is_told(tmp_path, cas, table, how, name):
    lay(tmp_path / name, {"ca.crt": cas["right"].pem, "hosts.toml": f'ca = "ca.crt"\n{table}'})
    found = [one for one in read(tmp_path).problems if one.reason == "mirror_not_verified"]
    assert [how in one.message and not one.breaks for one in found] == ([True] if how else [])


@pytest.mark.parametrize(
    ("toml", "incomplete_on"),
    [
        (f'server = "https://{NAME}"\n{OWN_HOST}\nca = "ca.crt"\n', {1}),
        (f'{OWN_HOST}\nca = "ca.crt"\n', {1}),
        (f'ca = "ca.crt"\n{OWN_HOST}\n', {1, 2}),
        (f'ca = "ca.crt"\n{OWN_HOST}\nca = "ca.crt"\n', set()),
        ('ca = "ca.crt"\n[host]\n', set()),
        (f'server = "https://elsewhere.test"\n{OWN_HOST}\nca = "ca.crt"\n', set()),
    ],
)
@pytest.mark.parametrize("major", [1, 2])
def test_a_table_without_ca_that_makes_containerd_tell_x509_is_ours_to_complete(
    tmp_path, cas, toml, incomplete_on, major
):
    lay(tmp_path / NAME, {"ca.crt": cas["right"].pem, "hosts.toml": toml})
    found = [(problem.reason, problem.breaks, problem.foreign) for problem in read(tmp_path, major).problems]
    assert found == ([("hosts_toml_ca_incomplete", True, False)] if major in incomplete_on else [])


def test_a_table_without_ca_in_a_file_that_is_not_ours_to_change_is_only_told(tmp_path, cas):
    lay(
        tmp_path,
        {f"{NAME}/ca.crt": cas["right"].pem, "site.toml": f'ca = "{tmp_path}/{NAME}/ca.crt"\n{OWN_HOST}\n'},
    )
    (tmp_path / NAME / "hosts.toml").symlink_to("../site.toml")
    problems = {problem.reason: problem.breaks for problem in read(tmp_path).problems}
    assert problems == {"hosts_toml_is_a_link": False, "hosts_toml_ca_incomplete": False}


@pytest.mark.parametrize("own_directory", [False, True])
def test_default_counts_only_without_a_directory_of_its_own(tmp_path, cas, own_directory):
    lay(tmp_path, {"_default/ca.crt": cas["right"].pem})
    if own_directory:
        (tmp_path / NAME).mkdir()
    assert names_of(read(tmp_path), cas) == (set() if own_directory else {"right"})


def test_a_default_hosts_toml_is_not_pushed_aside(tmp_path):
    lay(tmp_path, {"_default/hosts.toml": '[host."https://mirror.test"]\n'})
    assert "default_hosts_toml" in {problem.reason for problem in read(tmp_path).problems}


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("file", "certs_d_not_a_directory"), ("link", "certs_d_is_a_link"), ("dangling", "certs_d_is_a_link")],
)
def test_certs_d_that_is_not_a_directory(tmp_path, kind, reason):
    certs_d = tmp_path / "certs.d"
    (tmp_path / "elsewhere").mkdir()
    if kind == "file":
        certs_d.write_text("")
    else:
        certs_d.symlink_to("elsewhere" if kind == "link" else "nowhere")
    (problem,) = read(certs_d).problems
    assert problem.reason == reason and problem.foreign


def test_nothing_at_all_is_no_problem(tmp_path):
    directory = read(tmp_path / "certs.d")
    assert not directory.exists and directory.problems == [] and directory.certificates == []


def test_links_to_the_right_file_are_followed(tmp_path, cas):
    lay(tmp_path, {"ca.pem": cas["right"].pem})
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "ca.crt").symlink_to("../ca.pem")
    assert names_of(read(tmp_path), cas) == {"right"}


def test_a_link_to_nothing_breaks_every_pull(tmp_path):
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "ca.crt").symlink_to("nowhere")
    (problem,) = read(tmp_path).problems
    assert "a link to nothing" in problem.message and not problem.foreign


OTHER_SERVER = 'server = "https://elsewhere.test"\n[host."https://mirror.test"]\n'


@pytest.mark.parametrize(
    ("toml", "reason", "words"),
    [
        (OTHER_SERVER, "foreign_hosts_toml", "sends every pull elsewhere (https://elsewhere.test)"),
        (f'[host."http://{NAME}"]\nca = "ca.crt"\n', "foreign_hosts_toml", "asks it without TLS"),
        ("# File generated by k3s. DO NOT EDIT.\n[host]\n", "foreign_owner", "belongs to k3s"),
        ("[host]\n", "hosts_toml_without_ca", "names no CA"),
        ("ca = 5\n[host]\n", "hosts_toml_ignored", "neither a file nor a list"),
        ('capabilities = ["fly"]\n[host]\n', "hosts_toml_ignored", "unknown capability"),
    ],
)
def test_what_a_hosts_toml_does_instead_of_leading_to_the_ca(tmp_path, cas, toml, reason, words):
    lay(tmp_path / NAME, {"ca.crt": cas["right"].pem, "hosts.toml": toml})
    problem = read(tmp_path).problems[0]
    assert problem.reason == reason and words in problem.message
    assert problem.foreign is (reason not in ("hosts_toml_without_ca", "hosts_toml_ignored"))


@pytest.mark.parametrize(
    ("name", "url"),
    [
        (NAME, f"https://{NAME}:443"),
        (NAME, f"https://{NAME}/v2"),
        (NAME, NAME),
        (NAME, "https://Harbor.Test"),
        (f"{NAME}:443", f"https://{NAME}"),
        (f"{NAME}:8443", f"{NAME}:8443"),
        ("docker.io", "https://registry-1.docker.io"),
    ],
)
def test_the_registry_itself_under_another_spelling(tmp_path, cas, name, url):
    lay(
        tmp_path / name,
        {"o.pem": cas["other"].pem, "hosts.toml": f'server = "{url}"\nca = "o.pem"\n[host]\n'},
    )
    found = read(tmp_path, name=name)
    assert names_of(found, cas) == {"other"} and found.problems == []


@pytest.mark.parametrize(
    ("name", "url"),
    [
        (NAME, f"https://{NAME}:8443"),
        (f"{NAME}:8443", f"https://{NAME}"),
        (NAME, "https://registry-1.docker.io"),
        (NAME, "https://"),
    ],
)
def test_another_host_or_port_is_not_the_registry(tmp_path, cas, name, url):
    toml = f'server = "{url}"\nca = "o.pem"\n[host]\n'
    lay(tmp_path / name, {"o.pem": cas["other"].pem, "hosts.toml": toml})
    assert "sends every pull elsewhere" in read(tmp_path, name=name).problems[0].message


def test_a_hosts_toml_that_is_a_link_is_not_replaced_by_a_file(tmp_path, cas):
    lay(tmp_path, {"site.toml": "[host]\n", f"{NAME}/ca.crt": cas["right"].pem})
    (tmp_path / NAME / "hosts.toml").symlink_to("../site.toml")
    assert read(tmp_path).problems[0].reason == "hosts_toml_is_a_link"


def test_spegels_backup_directory_is_told_even_where_all_is_well(tmp_path, cas):
    lay(tmp_path, {f"{NAME}/ca.crt": cas["right"].pem, "_backup/x": ""})
    directory = read(tmp_path)
    (problem,) = directory.problems
    assert problem.reason == "foreign_owner" and "Spegel" in problem.message and not problem.breaks
    assert names_of(directory, cas) == {"right"}


def test_an_empty_directory_that_hides_default_is_told(tmp_path, cas):
    lay(tmp_path, {"_default/ca.crt": cas["right"].pem})
    (tmp_path / NAME).mkdir()
    (problem,) = read(tmp_path).problems
    assert problem.reason == "empty_directory" and not problem.foreign and "_default" in problem.message


@pytest.mark.parametrize("host", [NAME, "harbor.test:8443", "other.test"])
def test_a_mirrors_hosts_toml_that_leads_to_our_file_is_known(tmp_path, cas, host):
    lay(
        tmp_path,
        {
            f"{NAME}/ca.crt": cas["right"].pem,
            "docker.io/hosts.toml": f'[host."https://{host}"]\nca = "../{NAME}/ca.crt"\n',
            "quay.io/hosts.toml": f'{OWN_HOST}\nca = "ca.crt"\n',
        },
    )
    assert read(tmp_path).referrers == [str(tmp_path / "docker.io" / "hosts.toml")]

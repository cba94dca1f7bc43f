# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""config.toml as it is found: edited by one key where that helps, refused by name where it doesn't."""

from __future__ import annotations

import difflib

import pytest

from tests.lab.verify import nodes

# 1.6 and 1.7 share a parser.
testinfra_hosts = ["ansible://node1", "ansible://node3"]
CERTS_DIR = "/etc/containerd/certs.d"
CONFIG = "/etc/containerd/config.toml"
GRPC = 'plugins."io.containerd.grpc.v1.cri"'
IMAGES = 'plugins."io.containerd.cri.v1.images"'

# Forms of a configuration without an effective config_path, each with what containerd 2.x also takes.
WITHOUT_DIRECTORY = {
    "empty": "",
    "no version": '[debug]\n  level = "info"\n',
    "comments and CRLF": (
        "version = 2 # the format\r\n# before\r\n"
        f"[{GRPC}.registry]\r\n  # why it was empty\r\n  config_path = '' # behind\r\n[debug]\r\n  level = \"info\"\r\n"
    ),
    "single quotes, no final newline": (
        "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.registry]\n\tconfig_path = ''"
    ),
    "inline table": f'version = 2\n[{GRPC}]\nregistry = {{ headers = {{ "X-Meta" = ["a"] }} }}\n',
    "dotted keys": f"version = 2\n{GRPC}.registry.config_path = ''\n[debug]\nlevel = 'info'\n",
    "a directory that isn't there": f'version = 2\n[{GRPC}.registry]\nconfig_path = "/opt/nowhere"\n',
}


def equal_at_start(one: str, other: str) -> int:
    """How many characters from the start are the same in both."""
    pairs = enumerate(zip(one, other))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))


def switched_on(node, text: str | None) -> None:
    """registry_trust makes this configuration read the directory, and nothing else of it changes."""
    node.restart()  # 1.x tells what it runs with, and would go on with the directory that it had
    before = node.dump().splitlines() if text is not None else None
    result = node.trust()
    assert not result["failed"], result["msg"]
    assert result["restart_due"] and CONFIG in result["restart_why"], result["restart_why"]
    if text is not None:
        assert node.content(result["backup_file"]) == text.encode()
        now = node.content(CONFIG).decode()
        front = equal_at_start(text, now)
        back = equal_at_start(text[front:][::-1], now[front:][::-1])
        # One span is another one now, and of what was there at most the old value is gone.
        assert text[front : len(text) - back].strip("'\"") in ("", "/opt/nowhere", "opt/nowhere")
        assert CERTS_DIR in now and now.count("\r\n") == (now.count("\n") if "\r\n" in text else 0)
        changed = [line for line in difflib.ndiff(before, node.dump().splitlines()) if line[0] in "+-"]
        assert len(changed) <= 2 and all("config_path" in line for line in changed), changed
    node.restart()
    assert node.pulls()
    assert not [name for name in node.sh("ls -A /etc/containerd").split() if name.endswith("-tmp")]


def test_the_versions_are_the_ones_of_the_support_table(node) -> None:
    version = node.sh("containerd --version").split()[2].removeprefix("v")
    assert version.startswith(nodes.CONTAINERD_VERSIONS[node.name])


@pytest.mark.parametrize("form", WITHOUT_DIRECTORY)
def test_one_key_is_set_in_place(node, form) -> None:
    node.put(CONFIG, WITHOUT_DIRECTORY[form])
    switched_on(node, WITHOUT_DIRECTORY[form])


def test_a_process_that_still_reads_the_directory_goes_on(node) -> None:
    node.put(CONFIG, "")
    result = node.trust()
    # 2.x doesn't tell what it runs with, so the file's age has to do.
    assert result["changed"] and result["restart_due"] is (node.major == 2), result["msg"]
    assert node.major == 2 or node.pulls()


def test_without_a_file_one_is_made(node) -> None:
    node.sh(f"rm {CONFIG}")
    switched_on(node, None)


def test_version_3(node) -> None:
    text = f"version = 3\n[{IMAGES if node.major == 2 else GRPC}.registry]\n  config_path = ''\n"
    node.put(CONFIG, text)
    switched_on(node, text)


@pytest.mark.parametrize("line", ["[plugins", "# caf\xe9"], ids=["broken", "not UTF-8"])
def test_a_broken_file_is_refused_while_the_process_runs_on(node, line) -> None:
    node.sh(f"cp -p {CONFIG} /root/whole")
    node.put(CONFIG, node.content("/root/whole") + b"\n" + line.encode("latin-1") + b"\n")
    result = node.refuses("config_broken")
    assert result["path"] == CONFIG
    # What the messages claim: 2.x can't start with either, 1.x takes any byte in a comment.
    takes = line.startswith("#") and node.major == 1
    assert (node.host.run("containerd config dump").rc == 0) is takes


def test_a_list_with_our_directory_first(node) -> None:
    node.put(CONFIG, f'version = 2\n[{GRPC}.registry]\n  config_path = "{CERTS_DIR}:/etc/docker/certs.d"\n')
    node.restart()
    result = node.trust()
    # 1.x reads both, 2.x takes the list for the name of one directory.
    assert result["restart_due"] is (node.major == 2), result["msg"]
    assert len(result["changes"]) == node.major, result["changes"]
    assert node.pulls() is (node.major == 1)
    if node.major == 2:
        node.restart()
        assert node.pulls()


def test_a_list_that_2_x_obeys_too_because_it_pulls_as_1_x_did(node) -> None:
    node.put(
        CONFIG,
        f'version = 2\n[{GRPC}.registry]\n  config_path = "{CERTS_DIR}:/etc/docker/certs.d"\n'
        f'[{GRPC}.registry.configs."quay.io".auth]\n  username = "a"\n',
    )
    node.restart()
    result = node.trust()
    assert not result["failed"] and len(result["changes"]) == 1 and not result["restart_due"], result["msg"]
    assert node.pulls()


def test_what_lies_in_the_second_directory_of_a_list_counts(node) -> None:
    node.put(
        CONFIG,
        f'version = 2\n[{GRPC}.registry]\n  config_path = "{CERTS_DIR}:/etc/docker/certs.d"\n'
        f'[{GRPC}.registry.configs."quay.io".auth]\n  username = "a"\n',
    )
    node.put(f"/etc/docker/certs.d/{nodes.REGISTRY}/site.crt", nodes.ca_pem())
    node.restart()
    assert node.pulls()
    result = node.trust()
    assert not result["failed"] and not result["changed"], result["msg"]
    assert node.check()["in_effect"]


def test_another_directory_with_other_registries_in_it(node) -> None:
    node.put(CONFIG, f'version = 2\n[{GRPC}.registry]\n  config_path = "/opt/certs.d"\n')
    node.put("/opt/certs.d/quay.io/ca.crt", "")
    result = node.refuses("other_certs_directory")
    assert result["found"] == ["/opt/certs.d/quay.io"] and "cp -a" in result["next_step"]


def test_a_drop_in_that_has_the_last_word_is_named(node) -> None:
    drop_in = "/etc/containerd/conf.d/site.toml"
    node.put(CONFIG, 'version = 2\nimports = ["/etc/containerd/conf.d/*.toml"]\n')
    node.put(drop_in, f'version = 2\n[{GRPC}.registry]\n  config_path = "/opt/nowhere"\n')
    result = node.refuses("config_overridden")
    assert drop_in in result["next_step"] and "*" not in result["next_step"]


def test_a_drop_in_that_has_nothing_to_say_about_it(node) -> None:
    text = 'version = 2\nimports = ["conf.d/*.toml"]\n'
    node.put(CONFIG, text)
    node.put("/etc/containerd/conf.d/site.toml", 'version = 2\n[debug]\n  level = "info"\n')
    switched_on(node, text)


LEGACY = {
    "mirrors": f'[{GRPC}.registry.mirrors."docker.io"]\n  endpoint = ["https://mirror.test"]\n',
    "configs.tls": f'[{GRPC}.registry.configs."quay.io".tls]\n  ca_file = "/etc/ssl/quay.crt"\n',
}


@pytest.mark.parametrize("kind", LEGACY)
def test_settings_of_the_old_kind_are_refused_by_line(node, kind) -> None:
    node.put(CONFIG, "version = 2\n\n" + LEGACY[kind])
    result = node.refuses("legacy_registry_config")
    assert any(item.startswith(f"{CONFIG}:3: [") for item in result["found"]), result["found"]
    assert "mirror.test" not in result["msg"]


@pytest.mark.parametrize("kind", LEGACY)
def test_settings_of_the_old_kind_beside_config_path(node, kind) -> None:
    text = f'version = 2\n[{GRPC}.registry]\n  config_path = "{CERTS_DIR}"\n{LEGACY[kind]}'
    node.put(CONFIG, text)
    node.restart()
    said = node.witness()
    breaks = node.major == 1 or kind == "mirrors"
    # curl of bookworm and trixie can't read this answer; it is no pull, and not the x509 either.
    assert (not said.startswith("sha256:") and "x509" not in said) is breaks, said
    if breaks:
        node.refuses("legacy_registry_config")
        assert node.check()["in_effect"] is False
    else:
        result = node.trust()
        assert not result["failed"], result["msg"]
        assert node.pulls()


def test_credentials_of_the_old_kind_do_no_harm_and_are_not_shown(node) -> None:
    text = f'version = 2\n[{GRPC}.registry.configs."quay.io".auth]\n  password = "s3cret"\n'
    node.put(CONFIG, text)
    result = node.trust("--check", "--diff")
    assert not result["failed"] and "s3cret" not in str(result)
    switched_on(node, text)


def test_what_was_put_there_goes_again_without_a_restart(node) -> None:
    assert node.trust()["changed"] and node.pulls()
    pid = node.sh("systemctl show -P MainPID containerd")
    result = node.trust(state="absent")
    assert result["changed"] and not result["restart_due"], result["msg"]
    assert nodes.UNKNOWN_AUTHORITY in node.witness()
    assert not node.trust(state="absent")["changed"]
    assert node.sh(f"ls -A {CERTS_DIR}; systemctl show -P MainPID containerd") == pid

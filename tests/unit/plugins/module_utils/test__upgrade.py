# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an upgrade to containerd 2.x would change, told from the files of a 1.x node."""

from __future__ import annotations

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils._upgrade import Text, findings

GRPC = 'plugins."io.containerd.grpc.v1.cri"'
LIST = f'version = 2\n[{GRPC}.registry]\nconfig_path = "/a:/b"\n'
TLS = f'version = 2\n\n[{GRPC}.registry.configs."q.test".tls]\nca_file = "/x"\n'
MAIN = f'version = 2\n[{GRPC}]\nsandbox_image = "p"\n[{GRPC}.containerd]\nsnapshotter = "x"\n'


def found(main, drop_ins=(), hosts=()):
    texts = [Text(f"/d/{index}.toml", text) for index, text in enumerate(drop_ins)]
    said = findings(Text("/c.toml", main), texts, [Text("/h/hosts.toml", text) for text in hosts])
    assert all(item["message"] and item["next_step"] and item["path"] for item in said)
    return said


@pytest.mark.parametrize(
    ("main", "expected"),
    [
        ("", []),
        ("version = 2\n", []),
        (f'version = 2\n[{GRPC}.registry]\nconfig_path = "/etc/containerd/certs.d"\n', []),
        (TLS, [("legacy_tls", True, 3)]),
        (f'version = 2\n[{GRPC}.registry.mirrors."*"]\nendpoint = []\n', [("legacy_mirror", False, 2)]),
        (f'version = 2\n[{GRPC}.registry.configs."q.test".auth]\nusername = "a"\n', []),
        (LIST, [("colon_list", True, 3)]),
        # EKS: 2.x pulls as 1.x did, and a list goes on working.
        (f"{LIST}[{GRPC}.containerd]\ndiscard_unpacked_layers = true\n", []),
        ('[plugins.cri.registry]\nconfig_path = "/a"\n', [("version_1_section", True, 1)]),
        (
            '[plugins.cri]\n[plugins.cri.registry.configs.q.tls]\nca_file = "/x"\n',
            [("version_1_section", True, 1), ("legacy_tls", True, 2)],
        ),
        ("not toml", []),
    ],
)
def test_the_main_file(main, expected):
    assert [(item["finding"], item["breaks"], item["line"]) for item in found(main)] == expected


@pytest.mark.parametrize(
    ("main", "drop_in", "expected"),
    [
        ("version = 2\n", TLS, [("legacy_tls", 3)]),
        ("version = 2\n", LIST, [("colon_list", 3)]),
        ("version = 2\n", f'[{GRPC}.registry.mirrors."*"]\n', [("legacy_mirror", 1)]),
        # 2.x puts the files together: what one of them says makes it pull as 1.x did.
        (
            f"version = 2\n[{GRPC}.containerd]\ndiscard_unpacked_layers = true\n",
            f"{LIST}[{GRPC}.containerd]\n",
            [],
        ),
        ("", "[plugins.cri]\nx = 1\n", [("version_1_section", 1)]),
        # Of a file that is read by version 2 it is no section of anything.
        ("version = 2\n", "[plugins.cri]\nx = 1\n", []),
    ],
)
def test_a_drop_in_is_looked_at_as_the_main_file_is(main, drop_in, expected):
    said = [item for item in found(main, [drop_in]) if item["finding"] != "drop_in_merge"]
    assert [(item["finding"], item["line"]) for item in said] == expected
    assert {item["path"] for item in said} <= {"/d/0.toml"}


@pytest.mark.parametrize(
    ("drop_ins", "hidden"),
    [
        ([f"[{GRPC}.registry]\nconfig_path = '/a'\n"], ["containerd.snapshotter, sandbox_image"]),
        ([f"[{GRPC}]\nsandbox_image = 'q'\n"], ["containerd.snapshotter"]),
        (["[debug]\nlevel = 'info'\n"], []),
        ([f"[{GRPC}]\nx = 1\nsandbox_image = 'q'\n[{GRPC}.containerd]\nsnapshotter = 'y'\n"], []),
        (
            [
                f"[{GRPC}]\nx = 1\n",
                f"[{GRPC}]\nsandbox_image = 'q'\n[{GRPC}.containerd]\nsnapshotter = 'y'\n",
            ],
            ["x"],
        ),
    ],
)
def test_what_a_drop_in_hides_on_1_x_comes_to_life(drop_ins, hidden):
    said = found(MAIN, drop_ins)
    assert {item["finding"] for item in said} <= {"drop_in_merge"}
    assert [item["message"].partition("again: ")[2] for item in said] == hidden


@pytest.mark.parametrize(
    ("text", "breaks"),
    [
        ("# by hand\n", [True]),
        ('server = "https://q.test"\n', [True]),
        ('server = "https://q.test"\nca = "x.pem"\n', [False]),
        ('server = "https://q.test"\n[host]\n', []),
        ("", []),
        ("broken", []),
    ],
)
def test_a_hosts_toml_that_1_x_rejects(text, breaks):
    assert [item["breaks"] for item in found("", hosts=[text])] == breaks

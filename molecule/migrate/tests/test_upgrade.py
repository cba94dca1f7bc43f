# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node with 1.6 foretells of an upgrade: the same files given to 2.1 behave as it says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.verify import nodes
from tests.lab.verify.legacy import CERTS_DIR, GRPC, findings, lay, pulls
from tests.lab.verify.pipeline import shell

WHERE = ["node1", "node3"]
HOST_DIR = f"{CERTS_DIR}/{nodes.REGISTRY}"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
    shell(WHERE, "/usr/local/sbin/restore")


@pytest.mark.parametrize(
    ("text", "drop_in", "hosts_toml", "foretold", "able"),
    [
        (
            f'version = 2\n[{GRPC}.registry]\nconfig_path = "{CERTS_DIR}:/etc/docker/certs.d"\n',
            "", "", [("colon_list", True)], {"node1"},
        ),
        (f'[plugins.cri.registry]\nconfig_path = "{CERTS_DIR}"\n', "", "", [("version_1_section", True)], {"node1"}),
        (
            f'version = 2\n[{GRPC}.registry]\nconfig_path = "{CERTS_DIR}"\n',
            "", "# nothing yet\n", [("hosts_toml_obeyed", True)], {"node1"},
        ),
        # The drop-in takes the whole section away from the main file on 1.x.
        (
            'version = 2\nimports = ["/etc/containerd/conf.d/*.toml"]\n'
            f'[{GRPC}.registry]\nconfig_path = "{CERTS_DIR}"\n',
            f"version = 2\n[{GRPC}]\nenable_selinux = false\n", "", [("drop_in_merge", False)], {"node3"},
        ),
    ],
    ids=["list", "version 1", "hosts.toml", "drop-in"],
)  # fmt: skip
def test_foretold(text, drop_in, hosts_toml, foretold, able) -> None:
    lay(text, WHERE, **({"site": drop_in} if drop_in else {}))
    shell(WHERE, nodes.ca_pem(), f"mkdir -p {HOST_DIR}; cat > {HOST_DIR}/ca.crt")
    if hosts_toml:
        shell(WHERE, hosts_toml, f"cat > {HOST_DIR}/hosts.toml")
    assert findings(["node1"]) == {"node1": foretold}
    assert pulls(nodes.HELLO, WHERE) == able

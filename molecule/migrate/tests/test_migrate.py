# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Registry settings of the old kind: refused, shown, moved, and every pull that worked before works after."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.verify import nodes
from tests.lab.verify.legacy import CERTS_DIR, CONFIG, GRPC, findings, lay, pulls, shown, trust
from tests.lab.verify.pipeline import onboard, shell

NODES = ["node1", "node2", "node3"]
ONES = ["node1", "node2"]
# No such host: only its mirror, our registry on another port, has it.
MIRRORED = "docker.lab.internal/library/hello:1"
LEGACY = f"""\
version = 2
# the platform team's
[{GRPC}.registry.mirrors."docker.lab.internal"] # through our Harbor
  endpoint = ["https://{nodes.REGISTRY}:8443"]
[{GRPC}.registry.configs."{nodes.REGISTRY}:8443".tls]
  ca_file = "/opt/site.pem"

# a login stays
[{GRPC}.registry.configs."quay.lab.internal".auth]
  username = "robot"
  password = "s3cret"
[debug]
  level = "info"
"""
LEFT = f"""\
version = 2
# the platform team's

# a login stays
[{GRPC}.registry.configs."quay.lab.internal".auth]
  username = "robot"
  password = "s3cret"
[debug]
  level = "info"

[{GRPC}.registry]
  config_path = "{CERTS_DIR}"
"""


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
    shell(
        NODES,
        "rm -rf /etc/systemd/system/containerd.service.d; systemctl daemon-reload; /usr/local/sbin/restore",
    )


def test_from_refusal_to_pull() -> None:
    lay(LEGACY, NODES)
    # What 1.x still does and 2.1 does no longer, as the node with 1.x foretells.
    assert pulls(MIRRORED, NODES) == set(ONES)
    assert findings(ONES) == {node: [("legacy_tls", True), ("legacy_mirror", False)] for node in ONES}
    assert pulls(nodes.HELLO, NODES) == set()

    for result in trust(NODES, migrate_legacy=False).values():
        assert result["reason"] == "legacy_registry_config" and "harbor_ca_migrate_legacy" in result["msg"]
    plan = shown(NODES, "--check", "--diff")
    assert plan.count(f"create {CERTS_DIR}/docker.lab.internal/hosts.toml") >= len(NODES), plan
    for line in ('-  endpoint = ["https://', f'+[host."https://{nodes.REGISTRY}:8443"]', "+  config_path = "):
        assert plan.count(line) == len(NODES), plan
    assert "s3cret" not in plan
    assert set(shell(NODES, f"cat {CONFIG}").values()) == {LEGACY.strip()}
    assert set(shell(NODES, f"ls {CERTS_DIR} 2>/dev/null || :").values()) == {""}

    done, outcome = onboard(NODES, harbor_ca_migrate_legacy=True)
    assert done.returncode == 0, done.stdout
    assert all(result["restarted"] and result["proof"] == "proven" for result in outcome["nodes"].values())
    assert pulls(MIRRORED, NODES) == pulls(nodes.HELLO, NODES) == set(NODES)
    assert set(shell(NODES, f"cat {CONFIG}").values()) == {LEFT.strip()}
    assert set(shell(NODES, f"cat {CONFIG}.before-nodetrust").values()) == {LEGACY.strip()}

    again = trust(NODES)
    assert not any(result["changed"] or result["restart_due"] for result in again.values()), again
    assert findings(ONES) == {node: [] for node in ONES}


# With our setting in config.toml containerd runs without its CRI.
_TRAP = """
set -e
mkdir -p /etc/systemd/system/containerd.service.d /etc/containerd/trap
printf 'version = 2\\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\\n' > /etc/containerd/trap/off
sed -i '1i imports = ["/etc/containerd/trap/*.toml"]' /etc/containerd/config.toml
cat > /etc/systemd/system/containerd.service.d/trap.conf <<'END'
[Service]
ExecStartPre=/bin/sh -c 'rm -f /etc/containerd/trap/on.toml; ! grep -q certs.d /etc/containerd/config.toml \
 || cp /etc/containerd/trap/off /etc/containerd/trap/on.toml'
END
systemctl daemon-reload
systemctl restart containerd
"""


def test_a_move_after_which_the_cri_does_not_come_back_is_undone() -> None:
    where = ["node2"]
    lay(LEGACY, where)
    shell(where, _TRAP)
    config = shell(where, f"cat {CONFIG}")
    done, outcome = onboard(where, harbor_ca_migrate_legacy=True, harbor_ca_wait=5)
    assert done.returncode == 2, done.stdout
    result = outcome["nodes"]["node2"]
    assert result["rolled_back"] and result["reason"] == "cri_not_loaded" and "is back" in result["msg"]
    assert shell(where, f"cat {CONFIG}") == config
    assert shell(where, f"ls {CERTS_DIR} 2>/dev/null || :") == {"node2": ""}
    assert pulls(MIRRORED, where) == {"node2"}


UNVERIFIED = f"""\
version = 2
[{GRPC}.registry.mirrors."*"]
  endpoint = ["https://{nodes.REGISTRY}"]
[{GRPC}.registry.configs."{nodes.REGISTRY}".tls]
  insecure_skip_verify = true
"""


def test_what_was_never_verified_is_verified_by_the_pinned_ca_now() -> None:
    where = ["node1", "node3"]
    lay(UNVERIFIED, where)
    assert pulls(MIRRORED, where) == pulls(nodes.HELLO, where) == {"node1"}
    for result in trust(where).values():
        assert not result["failed"] and "insecure_skip_verify" in result["changes"][-1], result
        assert result["restart_due"]
    shell(where, "systemctl restart containerd")
    assert pulls(MIRRORED, where) == pulls(nodes.HELLO, where) == set(where)
    assert set(shell(where, f"grep -rc skip_verify {CERTS_DIR} | grep -v :0 || :").values()) == {""}
    # The mirror for everybody leads to our file: it can't be pulled away from under it.
    gone = trust(where, state="absent")
    assert {result["reason"] for result in gone.values()} == {"foreign_hosts_toml"}


def test_settings_from_a_drop_in_are_not_moved() -> None:
    where = ["node2"]
    text = 'version = 2\nimports = ["/etc/containerd/conf.d/*.toml"]\n'
    mirror = f'version = 2\n[{GRPC}.registry.mirrors."q.test"]\n  endpoint = ["https://m.test"]\n'
    lay(text, where, site=mirror)
    result = trust(where)["node2"]
    assert result["failed"] and result["reason"] == "legacy_in_drop_in", result
    assert shell(where, f"cat {CONFIG}")["node2"] == text.strip()
    assert shell(where, f"ls {CERTS_DIR} 2>/dev/null || :")["node2"] == ""

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that died, and what the system itself says about a restart."""

from __future__ import annotations

import pytest

from tests.lab.verify import nodes

testinfra_hosts = ["ansible://node2", "ansible://node3"]
CONFIG = "/etc/containerd/config.toml"
CA_FILE = f"/etc/containerd/certs.d/{nodes.REGISTRY}/ca.crt"
LOCK = "/var/lib/nodetrust.harbor/lock"
# Kills whoever holds the lock, as soon as somebody does.
KILLER = f"""
import os, signal, time
inode = str(os.stat({LOCK!r}).st_ino)
open('/root/armed', 'w').close()
end = time.time() + 60
while time.time() < end:
    for line in open('/proc/locks'):
        fields = line.split()
        if fields[1] == 'FLOCK' and fields[5].rpartition(':')[2] == inode:
            os.kill(int(fields[4]), signal.SIGKILL)
            open('/root/killed', 'w').close()
            raise SystemExit
"""


def without_directory(node) -> bytes:
    """The node as before its first onboarding: config_path isn't set, and containerd knows it."""
    node.sh(f"sed -i '/config_path/d' {CONFIG}")
    node.restart()
    return bytes(node.content(CONFIG))


def test_a_run_that_died_before_the_restart_is_remembered_by_the_system(node) -> None:
    without_directory(node)
    first = node.trust()
    assert first["changed"] and first["restart_due"]
    # Here the pipeline ended. The next one finds the files right, and still says what is missing.
    again = node.trust()
    assert again["changed"] is False and again["restart_due"], again["msg"]
    assert node.check()["in_effect"] is False
    assert nodes.UNKNOWN_AUTHORITY in node.witness()
    node.restart()
    after = node.check()
    assert after["in_effect"] and not after["restart_due"]
    assert node.pulls()


def test_a_run_that_died_between_file_and_setting_is_finished(node) -> None:
    without_directory(node)
    node.put(CA_FILE, nodes.ca_pem())
    node.put("/etc/containerd/.left.nodetrust-tmp", "half")
    result = node.trust()
    assert [change.split()[0] for change in result["changes"]] == ["set"] and result["restart_due"]
    node.restart()
    assert node.pulls()


def test_a_run_that_is_killed_leaves_old_or_new(node) -> None:
    old = without_directory(node)
    node.sh(f"mkdir -p $(dirname {LOCK}); touch {LOCK}; rm -f /root/armed /root/killed")
    node.host.check_output("systemd-run --quiet --unit=lock-holder python3 -c %s", KILLER)
    node.sh("until [ -e /root/armed ]; do sleep 0.1; done")
    assert node.trust()["failed"]
    assert node.host.file("/root/killed").exists
    ca_file = node.host.file(CA_FILE)
    assert ca_file.exists is False or ca_file.content_string.endswith(f".\n{nodes.ca_pem()}")
    new = node.content(CONFIG)
    assert new == old or b'config_path = "/etc/containerd/certs.d"' in new
    result = node.trust()
    assert not result["failed"] and result["restart_due"], result["msg"]
    node.restart()
    assert node.pulls()


@pytest.mark.parametrize("how", ["edited", "touched"])
def test_the_evidence_for_a_restart(node, how) -> None:
    assert node.trust()["restart_due"] is False
    node.sh({"edited": f"echo '# a comment' >> {CONFIG}", "touched": f"touch {CONFIG}"}[how])
    result = node.check()
    # 1.x tells what it runs with; of 2.x only the times are known.
    assert result["restart_due"] is (node.major == 2), result["restart_why"]
    assert result["restart_evidence"]["process"]["pid"] == int(
        node.sh("systemctl show -P MainPID containerd")
    )
    assert result["in_sync"]

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk that takes nothing: refused, the old files whole, and no trace of the attempt."""

from __future__ import annotations

import pytest

testinfra_hosts = ["ansible://node1"]
STATE_DIR = "/var/lib/nodetrust.harbor"
READ_ONLY = "mount --bind {0} {0} && mount -o remount,bind,ro {0}"
FULL = (
    "cp -a {0} /tmp/whole && mount -t tmpfs -o size=64k tmpfs {0} && cp -a /tmp/whole/. {0}/ && rm -r /tmp/whole;"
    "dd if=/dev/zero of={0}/filler bs=4k 2>/dev/null; true"
)


def files(node, *roots: str) -> str:
    # A directory in which a file was tried has another time, and nothing else.
    return node.sh(
        f"find {' '.join(roots)} -type d -printf '%p %i %m\\n' -o -printf '%p %y %i %m %s %T@\\n' | sort"
    )


@pytest.mark.parametrize("place", ["/etc/containerd", "/etc/containerd/certs.d", STATE_DIR])
@pytest.mark.parametrize(("how", "reason"), [(READ_ONLY, "read_only"), (FULL, "disk_full")])
def test_nothing_is_lost(node, place, how, reason) -> None:
    # Both the file and the setting are due, so the run has several steps to take back.
    node.sh("sed -i '/config_path/d' /etc/containerd/config.toml")
    node.sh(f"mkdir -p /etc/containerd/certs.d {STATE_DIR}; {how.format(place)}")
    before = files(node, "/etc/containerd")
    result = node.trust()
    node.says_it_all(result)
    assert result["reason"] == reason and result["path"].startswith(place)
    assert files(node, "/etc/containerd") == before
    assert "nodetrust-tmp" not in node.sh(f"find {STATE_DIR} /etc/containerd")


def test_full_only_when_the_setting_is_written(node) -> None:
    node.sh("sed -i '/config_path/d' /etc/containerd/config.toml")
    node.sh("mkdir -p /etc/containerd/certs.d; mkdir -p /opt/certs.d")
    # certs.d has room, what lies around it has not: the first step works and is taken back.
    node.sh(FULL.format("/etc/containerd") + "; mount --bind /opt/certs.d /etc/containerd/certs.d")
    before = files(node, "/etc/containerd")
    result = node.trust()
    node.says_it_all(result)
    assert result["reason"] == "disk_full"
    # The directory that a step went into and came out of again has another time, and nothing in it.
    assert [line.split()[0] for line in files(node, "/etc/containerd").splitlines()] == [
        line.split()[0] for line in before.splitlines()
    ]
    assert "config_path" not in node.sh("cat /etc/containerd/config.toml")

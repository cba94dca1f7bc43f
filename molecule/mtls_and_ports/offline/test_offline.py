# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine image: prepared by the containerd that is in it, while the machine it is mounted on stays as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.verify import nodes, pipeline, ports

NODES = ["node1", "node3"]
ROOT = "/mnt/image"
# What the next machine is made from: a copy of this one on its first day.
MAKE = f"""
set -e
mkdir -p {ROOT} /run/image
mount -t tmpfs image /run/image
mkdir /run/image/upper /run/image/work
mount -t overlay image -o lowerdir=/,upperdir=/run/image/upper,workdir=/run/image/work {ROOT}
rm -rf {ROOT}/etc/containerd {ROOT}/var/lib/nodetrust.harbor
mkdir {ROOT}/etc/containerd
rm -rf {ROOT}/dev
mkdir {ROOT}/dev
containerd config default > {ROOT}/etc/containerd/config.toml
rm -rf /etc/containerd/certs.d/{ports.PLAIN}
"""


@pytest.fixture(autouse=True)
def image() -> Iterator[None]:
    pipeline.shell(NODES, MAKE)
    yield
    pipeline.shell(NODES, f"umount -q {ROOT}/dev; umount {ROOT} /run/image")


def prepare(**options: Any) -> list[dict[str, Any]]:
    registry = {"host": ports.PLAIN, "ca_pem": nodes.ca_pem(), "proof_image": "library/hello:1"}
    given = {"registries": [registry], "root": ROOT, **options}
    return list(pipeline.call(NODES, "nodetrust.harbor.registry_trust", given).values())


def test_a_machine_that_is_made_from_it_is_born_trusting() -> None:
    before = pipeline.snapshots(NODES)
    for result in prepare():
        assert result["changed"] and not result["failed"], result
        assert (result["proof"], result["restart_due"], result["pulls"]) == ("none", False, [])
        assert result["runtime"]["offline"] and result["runtime"]["version"]
        assert f"offline root {ROOT}" in result["msg"] and "no proof" in result["msg"]
    assert not any(result["changed"] for result in prepare())
    assert pipeline.snapshots(NODES) == before
    for said in pipeline.witness(NODES, ports.hello(ports.PLAIN)).values():
        assert nodes.UNKNOWN_AUTHORITY in said
    # The machine starts with the files of the image.
    born = f"cp -a {ROOT}/etc/containerd/. /etc/containerd/ && systemctl restart containerd"
    pipeline.shell(NODES, born)
    for said in pipeline.witness(NODES, ports.hello(ports.PLAIN)).values():
        assert said.startswith("sha256:")


def test_its_system_store_is_made_by_the_tool_that_is_in_it() -> None:
    before = pipeline.snapshots(NODES)
    for result in prepare(store="system"):
        assert result["reason"] == "invalid_root" and "/dev/null" in result["msg"], result
    pipeline.shell(NODES, f"mount --bind /dev {ROOT}/dev")
    for result in prepare(store="system"):
        assert result["changed"] and not result["restart_due"], result
    for said in pipeline.shell(NODES, f"cat {ROOT}/etc/ssl/certs/ca-certificates.crt").values():
        assert nodes.ca_pem().strip() in said
    assert pipeline.snapshots(NODES) == before

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An endpoint as it is written leads to one client, and that one names the same endpoint again."""

from __future__ import annotations

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils._clients import client_of
from ansible_collections.nodetrust.harbor.plugins.module_utils._cri import Cri
from ansible_collections.nodetrust.harbor.plugins.module_utils._docker_engine import Engine
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._podman_client import Podman


@pytest.mark.parametrize(
    ("endpoint", "kind", "again"),
    [
        ("unix:///run/containerd/containerd.sock", Cri, "unix:///run/containerd/containerd.sock"),
        ("/run/crio/crio.sock", Cri, "unix:///run/crio/crio.sock"),
        ("unix:///run/cri-dockerd.sock", Cri, "unix:///run/cri-dockerd.sock"),
        ("unix:///run/docker.sock", Engine, "unix:///run/docker.sock"),
        ("/run/user/1000/docker.sock", Engine, "unix:///run/user/1000/docker.sock"),
        ("podman:", Podman, "podman:/usr/bin/podman"),
        ("podman:/opt/podman", Podman, "podman:/opt/podman"),
    ],
)
def test_one_rule_by_how_it_is_written(endpoint: str, kind: type, again: str) -> None:
    client = client_of(endpoint, 5)
    assert isinstance(client, kind)
    assert client.endpoint == again
    assert isinstance(client_of(client.endpoint, 5), kind)


def test_what_is_no_endpoint_is_refused() -> None:
    with pytest.raises(TrustError) as caught:
        client_of("tcp://127.0.0.1:2375", 5)
    assert caught.value.reason == "invalid_endpoint"

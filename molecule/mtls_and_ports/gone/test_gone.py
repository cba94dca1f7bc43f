# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removed: the CAs and the client certificate are gone, a neighbour's file and another registry are not."""

from __future__ import annotations

from tests.lab.verify import nodes, pipeline, ports

NODES = ["node1", "node3"]
CERTS_DIR = "/etc/containerd/certs.d"


def test_what_we_put_there_is_gone_and_nothing_else() -> None:
    pipeline.shell(NODES, f"touch {CERTS_DIR}/{ports.ELSEWHERE}/notes.txt")
    removed = [registry for registry in ports.ALL if registry != ports.PORT]
    options = {"state": "absent", "registries": [{"host": registry} for registry in removed]}
    for result in pipeline.call(NODES, "nodetrust.harbor.registry_trust", options).values():
        assert result["changed"] and not result["restart_due"], result
    left = {f"{ports.PORT}/ca.crt", f"{ports.ELSEWHERE}/notes.txt"}
    for said in pipeline.shell(NODES, f"cd {CERTS_DIR} && find * -type f").values():
        assert set(said.split()) == left
    for said in pipeline.shell(NODES, f"find {CERTS_DIR} -empty -type d").values():
        assert said == ""
    for said in pipeline.witness(NODES, ports.hello(ports.PORT)).values():
        assert said.startswith("sha256:")
    for registry in removed:
        for said in pipeline.witness(NODES, ports.hello(registry)).values():
            assert nodes.UNKNOWN_AUTHORITY in said
    for result in pipeline.call(NODES, "nodetrust.harbor.registry_trust", options).values():
        assert not result["changed"]

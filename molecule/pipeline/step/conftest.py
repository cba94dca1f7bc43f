# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pipeline's machine: the collection from its tarball, an empty directory, nothing of this checkout's settings."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.lab.verify import nodes
from tests.lab.verify.pipeline import Pipeline

_OURS = "ANSIBLE_SSH_CONTROL_PATH_DIR"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tarball that is published, installed where nothing else is."""
    place = tmp_path_factory.mktemp("collections")
    built = tmp_path_factory.mktemp("tarball")
    galaxy = ["ansible-galaxy", "collection"]
    subprocess.run([*galaxy, "build", "--output-path", built, nodes.REPO], check=True, capture_output=True)
    (tarball,) = built.glob("*.tar.gz")
    subprocess.run(
        # Where the checkout is in sight, galaxy takes it for an installed collection and does nothing.
        [*galaxy, "install", "--force", "--offline", "--no-deps", "-p", place, tarball],
        check=True,
        capture_output=True,
    )
    assert (place / "ansible_collections" / "nodetrust" / "harbor" / "MANIFEST.json").exists()
    return place


@pytest.fixture
def pipeline(installed: Path, tmp_path: Path) -> Pipeline:
    (tmp_path / "ansible.cfg").write_text(
        "[defaults]\n"
        f"private_key_file = {nodes.RUN}/id_ed25519\n"
        "[ssh_connection]\n"
        "ssh_common_args = -o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=/dev/null -o IdentitiesOnly=yes"
        f" -o UserKnownHostsFile={nodes.RUN}/known_hosts -o ConnectTimeout=5\n"
    )
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_") or key == _OURS
    }
    environment |= {
        "ANSIBLE_COLLECTIONS_PATH": str(installed),
        "ANSIBLE_HOME": str(tmp_path / "home"),
        "ANSIBLE_NOCOLOR": "1",
    }
    directory = tmp_path / "work"
    directory.mkdir()
    (tmp_path / "ansible.cfg").rename(directory / "ansible.cfg")
    return Pipeline(directory, environment)

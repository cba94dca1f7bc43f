# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""registries.conf: which table speaks of a registry, and what it does to a pull."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils import _registries_conf
from ansible_collections.nodetrust.harbor.plugins.module_utils._host_dir import Problem
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import parse_registry

NAME = "harbor.test:8443"


@pytest.fixture(autouse=True)
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(_registries_conf, "SYSTEM", str(tmp_path / "etc"))
    monkeypatch.setattr(_registries_conf, "home_of_root", lambda: str(tmp_path / "root"))
    return tmp_path


def lay(root: Path, **files: str) -> None:
    places = {
        "system": "etc/registries.conf",
        "own": "root/.config/containers/registries.conf",
        "early": "etc/registries.conf.d/10-a.conf",
        "late": "etc/registries.conf.d/90-b.conf",
        "own_late": "root/.config/containers/registries.conf.d/z.conf",
        "other": "etc/registries.conf.d/readme.txt",
    }
    for name, text in files.items():
        path = root / places[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def found(name: str = NAME) -> list[Problem]:
    return _registries_conf.problems_of(parse_registry(name), "podman")


def table(prefix: str, location: str = "", insecure: bool = False) -> str:
    lines = [f'prefix = "{prefix}"'] if prefix else []
    lines += [f'location = "{location}"'] if location else []
    lines += ["insecure = true"] if insecure else []
    return "[[registry]]\n" + "\n".join(lines) + "\n"


def test_no_file_says_nothing() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("text", "insecure"),
    [
        (table("", NAME, True), True),
        (table(NAME, NAME, True), True),
        (table(f"{NAME}/team", f"{NAME}/team", True), True),
        (table("*.test", insecure=True), True),
        # The library takes it for every port.
        (table("harbor.test", "harbor.test", True), True),
        (table(NAME, NAME), False),
        (table("other.test:8443", "other.test:8443", True), False),
        (table("harbor.test:84", "harbor.test:84", True), False),
        # The longest prefix counts.
        (table("*.test", insecure=True) + table(NAME, NAME), False),
        (f"[registries.insecure]\nregistries = ['{NAME}']\n", True),
        ("[registries.insecure]\nregistries = ['other.test']\n", False),
        ("unqualified-search-registries = ['docker.io']\n", False),
    ],
)
def test_verification_that_is_switched_off_is_drift(node: Path, text: str, insecure: bool) -> None:
    lay(node, system=text)
    problems = [(problem.reason, problem.breaks, problem.foreign) for problem in found()]
    assert problems == ([("insecure_registry", True, True)] if insecure else [])


@pytest.mark.parametrize(
    ("text", "host", "breaks"),
    [
        (table(NAME, "inner.test/proxy"), "inner.test", True),
        (table("harbor.test", "inner.test"), "inner.test:8443", True),
        (table("*.test", "inner.test"), "inner.test:8443", True),
        (table(f"{NAME}/team", "inner.test/team"), "inner.test", False),
        (table("docker.io", f"{NAME}/proxy"), None, False),
        (table(NAME, f"{NAME}/proxy"), None, False),
        (table("harbor.test", "harbor.test"), None, False),
    ],
)
def test_a_host_that_is_asked_instead_is_named(node: Path, text: str, host: str | None, breaks: bool) -> None:
    lay(node, system=text)
    problems = found()
    assert [(problem.reason, problem.breaks) for problem in problems] == (
        [("location_elsewhere", breaks)] if host else []
    )
    assert all(f"directory of {host} " in problem.message for problem in problems)


@pytest.mark.parametrize(
    ("files", "insecure"),
    [
        ({"system": True, "late": False}, False),
        ({"early": False, "late": True}, True),
        ({"late": True, "own_late": False}, False),
        # A file of root's own hides all of the system's.
        ({"system": True, "late": True, "own": False}, False),
        ({"system": False, "own": False, "own_late": True}, True),
        ({"other": True}, False),
    ],
)
def test_the_last_file_that_speaks_of_a_prefix_counts(
    node: Path, files: dict[str, bool], insecure: bool
) -> None:
    lay(node, **{name: table(NAME, NAME, said) for name, said in files.items()})
    assert bool(found()) is insecure


def test_a_mirror_without_verification_is_told(node: Path) -> None:
    mirror = "[[registry.mirror]]\nlocation = 'm.test'\ninsecure = true\n"
    lay(node, system=table(NAME, NAME) + mirror + "[[registry.mirror]]\nlocation = 'n.test'\n")
    (problem,) = found()
    assert "m.test" in problem.message and not problem.breaks and not problem.foreign


def test_a_file_that_cannot_be_read_is_told(node: Path) -> None:
    lay(node, system="not toml", late=table(NAME, NAME, True))
    assert [problem.reason for problem in found()] == ["registries_conf_unreadable", "insecure_registry"]

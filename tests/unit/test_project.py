# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold for the repository as a whole: versions, licences, nothing from one machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

# Spelled in pieces, so that this file passes its own test.
_INDEX = re.compile(
    r"(?:py" + r"pi\.org|python" + r"hosted\.org|(?<!no-emit-)(?:index-" + r"url|find-" + r"links))"
)
_MACHINE = re.compile(
    r"(?<![\w.~-])/(?:wo" + r"rk/|ro" + r"ot/\.(?:pyenv|cache|local|config)|ho" + r"me/\w+/|Us" + r"ers/\w+/)"
)
_LICENCE_LINES = [
    "# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)",
    "# SPDX-License-Identifier: GPL-3.0-or-later",
]


def _files() -> list[Path]:
    """Every file that git has or would take. A checkout without git cannot be judged."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    # A file that is deleted but not yet committed is still listed.
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def _lines() -> list[tuple[str, int, str]]:
    found = []
    for path in _files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        name = str(path.relative_to(ROOT))
        found += [(name, number, line) for number, line in enumerate(text.splitlines(), 1)]
    return found


def _hits(pattern: re.Pattern[str]) -> list[str]:
    return [f"{name}:{number}: {line.strip()}" for name, number, line in _lines() if pattern.search(line)]


def test_version_is_the_newest_in_the_changelog() -> None:
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
    releases = yaml.safe_load((ROOT / "changelogs/changelog.yaml").read_text())["releases"]
    newest = max(releases, key=lambda text: tuple(int(part) for part in text.split(".")))
    assert version == newest


def test_no_file_names_a_package_index() -> None:
    # The lock must work with whatever index or mirror its user has set up.
    assert _hits(_INDEX) == []


def test_no_file_names_a_path_of_one_machine() -> None:
    assert _hits(_MACHINE) == []


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (_INDEX, "--index-" + "url https://mirror.example/simple"),
        (_INDEX, "https://files.python" + "hosted.org/x"),
        (_MACHINE, "see /wo" + "rk/main"),
        (_MACHINE, "x=/ro" + "ot/.pyenv/bin"),
        (_MACHINE, "cd /ho" + "me/jane/harbor"),
    ],
)
def test_what_the_two_searches_find(pattern: re.Pattern[str], line: str) -> None:
    assert pattern.search(line)


@pytest.mark.parametrize("lock", ["dev", "oldest"])
def test_every_requirement_is_pinned_and_hashed(lock: str) -> None:
    text = (ROOT / f"requirements/{lock}.txt").read_text().replace("\\\n", " ")
    entries = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert entries
    loose = [
        line[:60] for line in entries if not re.match(r"[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)
    ]
    assert loose == []


def test_the_oldest_versions_that_are_tested_are_those_that_are_promised() -> None:
    pins = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "requirements/oldest.in").read_text(), re.MULTILINE))
    promised = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["requires_ansible"].removeprefix(">=")
    assert pins["ansible-core"].startswith(promised.rpartition(".")[0] + ".")
    floor = re.search(
        r"^kubernetes\s*>=\s*(\d+)", (ROOT / "meta/ee-requirements.txt").read_text(), re.MULTILINE
    )
    assert floor and pins["kubernetes"].partition(".")[0] == floor.group(1)


def test_every_python_file_says_its_licence() -> None:
    missing = [
        str(path.relative_to(ROOT))
        for path in _files()
        if path.suffix == ".py"
        and [line for line in path.read_text().splitlines()[:4] if line in _LICENCE_LINES] != _LICENCE_LINES
    ]
    assert missing == []


def test_no_sanity_waivers() -> None:
    assert [path.name for path in _files() if re.match(r"ignore.*\.txt$", path.name)] == []
    assert not (ROOT / ".ansible-lint-ignore").exists()


def _oldest_python() -> str | None:
    """An interpreter with the version that the nodes' code is written for."""
    places = [shutil.which("python3.9") or "", "/usr/libexec/platform-python3.9"]
    places += [
        str(path)
        for path in Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob(
            "versions/3.9.*/bin/python3"
        )
    ]
    for place in places:
        if place and Path(place).exists():
            done = subprocess.run(
                [place, "-c", "import sys; print(sys.version_info[:2] == (3, 9))"],
                capture_output=True,
                check=False,
            )
            if done.stdout.strip() == b"True":
                return place
    return None


_IMPORT_ALL = """
import importlib, sys
ansible = [name for name in sys.modules if name.split(".")[0] == "ansible"]
assert not ansible, ansible
for name in sys.argv[1:]:
    importlib.import_module(name)
foreign = [name for name in sys.modules if name.split(".")[0] in ("cryptography", "yaml", "requests")]
assert not foreign, "more than the standard library: %s" % foreign
print(len(sys.argv) - 1)
"""


def test_module_utils_load_on_the_oldest_python(tmp_path: Path) -> None:
    python = _oldest_python()
    if python is None:
        pytest.skip("no Python 3.9 here; ansible-test sanity compiles and imports for it where there is one")
    names = [
        "ansible_collections.nodetrust.harbor.plugins.module_utils." + path.stem
        for path in sorted((ROOT / "plugins/module_utils").glob("*.py"))
        if "from ansible.module_utils" not in path.read_text()
    ]
    assert names
    package = tmp_path / "ansible_collections" / "nodetrust"
    package.mkdir(parents=True)
    (package / "harbor").symlink_to(ROOT)
    done = subprocess.run(
        [
            python,
            "-I",
            "-B",
            "-W",
            "error",
            "-c",
            f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + _IMPORT_ALL,
            *names,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, str(len(names))), done.stderr


def test_this_python_is_one_that_the_lock_is_for() -> None:
    assert (3, 12) <= sys.version_info[:2] <= (3, 14)

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes to a node as a zip file is compiled once, and only as much as an audit needs."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
PACKAGE = "ansible_collections.nodetrust.harbor.plugins.module_utils"

_RUN = """
import collections, json, sys
compiled = collections.Counter()
sys.addaudithook(lambda event, args: compiled.update([str(args[1])]) if event == "compile" else None)
sys.path.insert(0, sys.argv[1])
exec(sys.argv[2])
ours = {name.rpartition("/")[2]: count for name, count in compiled.items() if sys.argv[1] in name}
modules = {name.rpartition(".")[2]: module for name, module in sys.modules.items() if "module_utils." in name}
built = [
    kind.__name__
    for module in modules.values()
    for kind in vars(module).values()
    if isinstance(kind, type) and "module_utils." in kind.__module__
    and "__dataclass_fields__" in vars(kind) and "__repr__" in vars(kind)
]
print(json.dumps([ours, sorted(modules), built]))
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection as Ansible packs it."""
    path = tmp_path_factory.mktemp("zip") / "payload.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for package in ("", "/nodetrust", "/nodetrust/harbor", "/nodetrust/harbor/plugins"):
            packed.writestr(f"ansible_collections{package}/__init__.py", "")
        packed.writestr(PACKAGE.replace(".", "/") + "/__init__.py", "")
        for file in (ROOT / "plugins" / "module_utils").glob("*.py"):
            packed.write(file, f"{PACKAGE.replace('.', '/')}/{file.name}")
    return path


def run(archive: Path, code: str) -> tuple[dict[str, int], set[str], list[str]]:
    """How often each file was compiled, which modules are loaded, and which dataclasses were built."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", _RUN, str(archive), code], capture_output=True, text=True, check=True
    )
    compiled, loaded, built = json.loads(done.stdout.splitlines()[-1])
    return compiled, set(loaded), built


QUICK = f"from {PACKAGE}._zip import quicken; quicken({PACKAGE!r})"


def test_a_module_is_compiled_once(archive: Path) -> None:
    compiled, loaded, _built = run(
        archive, f"{QUICK}; import gc; assert gc.get_freeze_count(); from {PACKAGE} import _trust"
    )
    assert {"_trust", "_observe", "_pem"} <= loaded
    assert {name: count for name, count in compiled.items() if count != 1} == {
        # What is imported before it can be told.
        "_zip.py": 2,
        "__init__.py": 2,
    }


def test_a_directory_is_left_to_python(tmp_path: Path) -> None:
    package = tmp_path / "some"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "thing.py").write_text("VALUE = 7")
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import some; "
        "from plugins.module_utils._zip import quicken; quicken('some'); "
        "from some.thing import VALUE; assert VALUE == 7; import gc; assert not gc.get_freeze_count()"
    )
    run(tmp_path, code)


def test_an_audit_of_containerd_needs_none_of_the_others(archive: Path) -> None:
    code = (
        f"{QUICK}; from {PACKAGE} import _observe; from {PACKAGE}._runtimes import RUNTIMES; "
        "RUNTIMES['containerd']; list(RUNTIMES); len(RUNTIMES)"
    )
    _compiled, loaded, built = run(archive, code)
    assert "_runtime_containerd" in loaded
    unneeded = {"_trust", "_apply", "_offline", "_pull", "_runtime_system", "_hosts_toml", "_toml_reader"}
    unneeded |= {"_runtime_docker", "_runtime_podman", "_rancher", "_yaml", "_upgrade", "_containerd_legacy"}
    unneeded |= {"_plan", "_client_steps", "_containerd_set", "_cri_curl", "_cri_wire", "_system_store"}
    unneeded |= {"_images", "_pem_faults"}
    assert loaded & unneeded == set()
    # To build all methods of one takes as long as to compile 10 KB: named tuples do as well.
    assert built == []

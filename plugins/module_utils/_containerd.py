# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd on a node: which configuration it runs with, which one it would start with.

**PRIVATE** to the collection. What containerd reads is asked of containerd's own parser
(`containerd config dump`), never guessed from the file; runtime-facts §1, §2 and §5.
"""

from __future__ import annotations

import glob
import os
import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible_collections.nodetrust.harbor.plugins.module_utils import _node
from ansible_collections.nodetrust.harbor.plugins.module_utils._cri import Cri
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import Registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._toml_data import load

if TYPE_CHECKING:
    from ansible_collections.nodetrust.harbor.plugins.module_utils._upgrade import Text

CERTS_DIR = "/etc/containerd/certs.d"
CONFIG_FILE = "/etc/containerd/config.toml"
DEFAULT_SOCKET = "/run/containerd/containerd.sock"

_STARTING = 5.0  # seconds from a start within which a CRI that doesn't answer is waited for

# Where config_path lives, by what writes it: 2.x, 1.x, and 1.x reading a file without a version.
IMAGES = ("plugins", "io.containerd.cri.v1.images", "registry")
GRPC = ("plugins", "io.containerd.grpc.v1.cri", "registry")
OLD = ("plugins", "cri", "registry")

# Any of these makes 2.x pull as 1.x did, and a list of directories works again (runtime-facts §1).
_LOCAL_PULL = (
    ("use_local_image_pull", False),
    ("discard_unpacked_layers", False),
    ("disable_snapshot_annotations", True),
    ("max_concurrent_downloads", 3),
    ("image_pull_with_sync_fs", False),
)
_LOCAL_PULL_TABLES = ("mirrors", "configs", "auths")


class Config(NamedTuple):
    """A configuration file as containerd would read it at its next start.

    config_path is the effective value, drop-ins included. legacy holds the lines (file, line, text)
    of registry.mirrors and registry.configs.*.tls, which can't stand beside a config_path.
    changed is when the newest of the files became what it is, in seconds since the epoch.
    """

    file: _node.FileState
    config_path: str
    dump: dict[str, Any]
    local_pull: bool
    legacy: tuple[tuple[str, int, str], ...]
    imports: tuple[str, ...]
    changed: float | None


class Containerd(NamedTuple):
    """A running containerd. running_config_path is what the process itself said, None if it doesn't tell.

    cri_error says why its CRI did not answer, if it didn't.
    """

    process: _node.Process
    unit: str
    endpoint: str
    version: str
    major: int
    config: Config
    running_config_path: str | None
    cri_error: TrustError | None = None


def observe(process: _node.Process, cri: Cri) -> Containerd:
    """Ask a running containerd, its parser and its configuration what they say.

    Raises:
        TrustError: the configuration can't be read by containerd's parser.
    """
    cri_error, running = None, None
    version = ""
    try:
        version = _answer(cri, process)["runtime_version"]
        if _major(version) < 2:
            # 2.x doesn't tell, and to ask takes as long as a third of an audit.
            running = _config_path_of_status(cri.status_config())
    except TrustError as exc:
        cri_error = exc
    version = version or _binary_version(process.exe)
    major = _major(version)
    config = read_config(process.exe, process.option("--config", "-c") or CONFIG_FILE)
    return Containerd(
        process=process,
        unit=process.unit or "containerd.service",
        endpoint=cri.endpoint,
        version=version,
        major=major,
        config=config,
        running_config_path=running,
        cri_error=cri_error,
    )


def observe_offline(binary: str) -> Containerd:
    """What a containerd in an image would start with; nothing of it runs.

    Raises:
        TrustError: the configuration can't be read.
    """
    version = _binary_version(binary)
    nobody = _node.Process(0, "containerd", (binary,), binary, None, 0.0)
    major = _major(version)
    config = read_config(binary, CONFIG_FILE)
    return Containerd(nobody, "containerd.service", "", version, major, config, None)


def _answer(cri: Cri, process: _node.Process) -> dict[str, str]:
    """The CRI's first answer. One that was started a moment ago is still on its way (runtime-facts §11)."""
    left = _STARTING - (time.time() - process.started)
    return cri.wait_ready(left) if left > 0 else cri.version()


def read_config(binary: str, path: str) -> Config:
    """What a start of this binary would read from this file."""
    state = _node.read_state(path)
    text = decode(state)
    if state.content is None:
        if state.kind not in ("absent", "link"):
            raise TrustError(
                f"{path} is a {state.kind}, not a file",
                reason="config_not_a_file",
                path=path,
                found=state.kind,
                expected="a file, or nothing",
                next_step=f"move {path} away and run again",
            )
        # Without a file containerd starts with its defaults: no directory at all (runtime-facts §1).
        return Config(state, "", {}, False, (), (), None)
    dump = dump_config(binary, path)
    images = images_section(dump)
    imports = tuple(
        str(item) for item in dump.get("imports", []) if os.path.basename(str(item)) != os.path.basename(path)
    )
    files = [path, *imported(imports, path)]
    changes = [change for change in map(_node.last_change, files) if change is not None]
    return Config(
        file=state,
        config_path=str(images.get("registry", {}).get("config_path", "")),
        dump=dump,
        local_pull=any(images.get(key, default) != default for key, default in _LOCAL_PULL)
        or any(images.get("registry", {}).get(key) for key in _LOCAL_PULL_TABLES),
        legacy=tuple(_legacy_lines(path, text, images)),
        imports=imports,
        changed=max(changes) if changes else None,
    )


def decode(state: _node.FileState) -> str:
    try:
        return (state.content or b"").decode("utf-8")
    except UnicodeDecodeError as exc:
        raise TrustError(
            f"{state.path} is not UTF-8 text",
            reason="config_broken",
            path=state.path,
            found=f"byte {exc.start} is not UTF-8",
            expected="UTF-8, as TOML wants it; containerd 2.x can't start with anything else",
            next_step=f"save {state.path} as UTF-8 (an accent in a comment is the usual reason), run again",
        ) from exc


def dump_config(binary: str, path: str) -> dict[str, Any]:
    """The configuration as containerd's own parser sees it, drop-ins merged.

    Raises:
        TrustError: the parser refuses the file (reason config_broken).
    """
    status, out, err = _node.run([binary, "--config", path, "config", "dump"])
    if status == 126:
        return _parsed_here(path)
    if status != 0:
        raise TrustError(
            f"containerd's own parser refuses {path}",
            reason="config_broken",
            path=path,
            found=_last_words(err),
            expected=f"`containerd --config {path} config dump` ends with 0",
            next_step=f"mend {path}: containerd can't start with it either; then run again",
        )
    return load(out)


def texts(config: Config) -> tuple[Text, list[Text], list[Text]]:
    """config.toml, the files it imports, and every hosts.toml under CERTS_DIR."""

    from ansible_collections.nodetrust.harbor.plugins.module_utils._upgrade import Text

    def read(path: str) -> Text:
        return Text(path, (_node.read_state(path).content or b"").decode("utf-8", "replace"))

    hosts = [os.path.join(CERTS_DIR, name, "hosts.toml") for name in _node.list_directory(CERTS_DIR)]
    return (
        read(config.file.path),
        [read(path) for path in imported(config.imports, config.file.path)],
        [read(path) for path in hosts if os.path.isfile(path)],
    )


def _parsed_here(path: str) -> dict[str, Any]:
    """The file alone, by our own parser: for a containerd of another architecture, which can't be run here."""
    data = load(decode(_node.read_state(path)))
    if data.get("imports"):
        raise TrustError(
            f"the containerd in this root can't be run here, and {path} imports other files",
            reason="config_unverifiable",
            path=path,
            found=[str(item) for item in data["imports"]],
            expected="a containerd for this machine's architecture, or a configuration without imports",
            next_step="prepare the image on a machine of its architecture, or with qemu-user and binfmt",
        )
    for top, plugin, registry in (IMAGES, GRPC, OLD):  # a dump has them always
        data.setdefault(top, {}).setdefault(plugin, {}).setdefault(registry, {})
    return data


def covers(config_path: str, major: int, local_pull: bool) -> bool:
    """Would containerd with this config_path read CERTS_DIR first? (runtime-facts §1)"""
    first, *others = [os.path.normpath(item) for item in config_path.split(":") if item] or [""]
    if others and major >= 2 and not local_pull:
        return False  # 2.x takes the list for the name of one directory
    return first == CERTS_DIR


def directory_for(config_path: str, registry: Registry) -> str:
    """Where containerd looks for a registry when it reads a list: the first directory that speaks of it wins
    whole, be it empty (runtime-facts §1)."""
    directories = [os.path.normpath(item) for item in config_path.split(":") if item]
    names = (registry.name, f"{registry.host}_{registry.port}_", "_default")
    speaking = (
        directory
        for directory in directories
        if any(os.path.exists(os.path.join(directory, name)) for name in names)
    )
    return next(speaking, CERTS_DIR)


def images_section(dump: dict[str, Any]) -> dict[str, Any]:
    """The settings for pulls in what containerd's parser sees."""
    plugins = dump.get("plugins", {})
    section = plugins.get(IMAGES[1]) if dump.get("version", 2) >= 3 else plugins.get(GRPC[1])
    return section if isinstance(section, dict) else {}


def keeps_cri_out(containerd: Containerd) -> bool:
    """Would the next start be one without CRI? Empty tables do no harm (runtime-facts §5)."""
    config = containerd.config
    registry = images_section(config.dump).get("registry", {})
    with_tls = [
        entry
        for entry in (registry.get("configs") or {}).values()
        if isinstance(entry, dict) and entry.get("tls")
    ]
    return bool(config.config_path) and bool(registry.get("mirrors") or (containerd.major < 2 and with_tls))


def _legacy_lines(path: str, text: str, images: dict[str, Any]) -> list[tuple[str, int, str]]:
    registry = images.get("registry", {})
    if "mirrors" not in text and "configs" not in text and not registry.get("mirrors"):
        return []  # to say on which lines takes a reader of our own, which has to be compiled at each call
    from ansible_collections.nodetrust.harbor.plugins.module_utils._toml import parse

    try:
        document = parse(text)
    except TrustError:
        return []  # containerd takes more than TOML 1.0 says; editing such a file is refused, reading it is not
    # Without the values: an entry written in one line may hold a password.
    lines = [line.partition("=")[0] for line in text.splitlines()]
    found: list[tuple[str, int, str]] = []
    for place in (IMAGES, GRPC, OLD):
        if document.get((*place, "mirrors")):
            found += [
                (path, number, lines[number - 1].strip())
                for number in document.lines_under((*place, "mirrors"))
            ]
        for host, entry in (document.get((*place, "configs")) or {}).items():
            if isinstance(entry, dict) and entry.get("tls"):
                where = (*place, "configs", host, "tls")
                found += [(path, number, lines[number - 1].strip()) for number in document.lines_under(where)]
    if not found and registry.get("mirrors"):
        # They come from a drop-in: the dump shows them, the file doesn't.
        return [(path, 0, f"registry.mirrors for {', '.join(registry['mirrors'])}, from a drop-in")]
    return sorted(set(found))


def _config_path_of_status(status: dict[str, Any] | None) -> str | None:
    """config_path as the running process holds it: 1.x tells it in the CRI status, 2.x doesn't."""
    registry = (status or {}).get("registry")
    if not isinstance(registry, dict):
        return None
    value = registry.get("configPath")
    return value if isinstance(value, str) else None


def imported(imports: tuple[str, ...], path: str) -> list[str]:
    return [item for pattern in imports for item in glob.glob(os.path.join(os.path.dirname(path), pattern))]


def _binary_version(binary: str) -> str:
    _status, out, _err = _node.run([binary, "--version"])
    match = re.search(r"\sv?(\d+\.\d+\.\d+\S*)", out)
    return match.group(1) if match else ""


def _major(version: str) -> int:
    """1 or 2, by whose rules it reads: later ones keep those of 2, one that can't be told has what all have."""
    match = re.match(r"v?(\d+)\.", version)
    return 2 if match and int(match.group(1)) >= 2 else 1


def _last_words(err: str) -> str:
    lines = [line for line in err.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no message"

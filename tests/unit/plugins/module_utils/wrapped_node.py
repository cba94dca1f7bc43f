# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node of k3s, RKE2, k0s or MicroK8s without its daemon: real files, a real socket, a process table of our own.

What a start of the daemon does to the files is done here as its source says; each function names the
file upstream that it follows. The core under test is the real one.
"""

from __future__ import annotations

import glob
import importlib
import os
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.nodetrust.harbor.plugins.module_utils import (
    _apply,
    _containerd,
    _desired,
    _node,
    _observe,
    _rancher,
    _runtime_k0s,
    _runtime_microk8s,
    _trust,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._cri import Cri
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import Runtime
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtimes import TRACES
from tests.lab import pki

# Not by an import statement: the oldest Python that mypy checks for doesn't have it.
tomllib: Any = importlib.import_module("tomllib")

CA = pki.make_ca("right")
WRONG = pki.make_ca("wrong")
_UNTIL_LATER = 0.02  # a file written within one tick of a start could have been read by it


class WrappedNode:
    """The parts that all four have. `processes` are what the process table shows."""

    def __init__(self, root: Path, monkeypatch) -> None:
        self.root = root
        self.monkeypatch = monkeypatch
        self.processes: list[_node.Process] = []
        self.version = "1.7.27-k3s1"
        self.pulls: dict[str, Exception] = {}
        self.cri_error: TrustError | None = None
        monkeypatch.setattr(_apply, "STATE_DIR", str(root / "state"))
        monkeypatch.setattr(_apply, "RECORD", str(root / "state" / "previous.json"))
        monkeypatch.setattr(
            _node, "processes", lambda *names: [one for one in self.processes if one.name in names]
        )
        monkeypatch.setattr(Cri, "version", lambda _cri, timeout=None: self._answer())
        monkeypatch.setattr(Cri, "wait_ready", lambda _cri, seconds: self._answer())
        monkeypatch.setattr(Cri, "status_config", lambda _cri: None)
        # A socket's name may be 107 bytes long, which tmp_path is near to.
        self._listener = socket.socket(socket.AF_UNIX)
        self.socket = f"/tmp/nodetrust-{os.getpid()}-{id(self)}.sock"
        self._listener.bind(self.socket)

    def listens_as(self, runtime: type[Runtime], *names: str) -> None:
        self.monkeypatch.setattr(runtime, "sockets", (self.socket,))
        for name in names:
            self.monkeypatch.setitem(TRACES, name, (self.socket,))

    def close(self) -> None:
        self._listener.close()
        os.unlink(self.socket)

    def _answer(self) -> dict[str, str]:
        if self.cri_error is not None:
            raise self.cri_error
        return {"runtime_name": "containerd", "runtime_version": self.version, "api_version": "v1"}

    def process(self, name: str, unit: str, *argv: str) -> None:
        """A process that has just started."""
        pid = 100 + len(self.processes)
        self.processes.append(_node.Process(pid, name, argv or (name,), f"/bin/{name}", unit, time.time()))

    def write(self, path: str | Path, text: str | bytes) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        time.sleep(_UNTIL_LATER)
        file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
        return file

    def snapshot(self) -> dict[str, bytes | None]:
        return {
            str(path.relative_to(self.root)): path.read_bytes() if path.is_file() else None
            for path in sorted(self.root.rglob("*"))
            if "state" not in path.parts and not path.name.endswith(_apply.BACKUP_SUFFIX)
        }

    def request(self, runtime: str, *hosts: str, ca: str = CA.pem, **more: str) -> _observe.Request:
        entries = [{"host": host, "ca_pem": ca, **more} for host in hosts]
        return _observe.Request(_desired.desired_from(entries), runtime=runtime)

    def check(self, *hosts: str, runtime: str = "auto", **more: str):
        return _observe.check(self.request(runtime, *hosts, **more))

    def present(self, *hosts: str, check_mode: bool = False, **more: str):
        time.sleep(_UNTIL_LATER)
        return _trust.ensure(self.request("auto", *hosts, **more), "present", check_mode)

    def absent(self, *hosts: str, check_mode: bool = False):
        time.sleep(_UNTIL_LATER)
        request = self.request("auto", *hosts)
        desired = _desired.without_trust(request.desired)
        return _trust.ensure(_observe.Request(desired), "absent", check_mode)


class RancherNode(WrappedNode):
    """k3s or RKE2. `era` says which form its start writes: now, march2024, config_toml."""

    def __init__(
        self, root: Path, monkeypatch, runtime: type[_rancher.Rancher], *, agent: bool = False
    ) -> None:
        super().__init__(root, monkeypatch)
        self.name = runtime.name
        self.agent = agent
        self.era = "now"
        self.etc = root / "etc" / "rancher" / self.name
        self.containerd_dir = root / "var" / "agent" / "etc" / "containerd"
        self.certs_d = self.containerd_dir / "certs.d"
        self.registries = self.etc / "registries.yaml"
        self.etc.mkdir(parents=True)
        monkeypatch.setattr(runtime, "config_dir", str(self.etc))
        monkeypatch.setattr(runtime, "data_dir", str(root / "var"))
        self.listens_as(_rancher.Rancher, "k3s", "rke2")
        self.start()

    def own(self, host: str) -> Path:
        return self.etc / "nodetrust.harbor" / host / "ca.crt"

    def start(self) -> None:
        """A start, after pkg/agent/containerd/config.go and pkg/agent/templates/templates.go of k3s."""
        time.sleep(_UNTIL_LATER)
        role = "agent" if self.agent else "server"
        unit = f"{self.name}-{role}.service" if self.name == "rke2" or self.agent else f"{self.name}.service"
        self.processes = []
        main = f"k3s-{role}" if self.name == "k3s" else "rke2"
        self.process(main, unit, f"/usr/local/bin/{self.name} {role}")
        time.sleep(_UNTIL_LATER)
        text = self.registries.read_text(encoding="utf-8") if self.registries.exists() else ""
        self._generate(yaml.safe_load(text) or {})
        config = str(self.containerd_dir / "config.toml")
        self.process("containerd", unit, "containerd", "-c", config)

    def _generate(self, registries: dict) -> None:
        configs, mirrors = registries.get("configs") or {}, registries.get("mirrors") or {}
        self.containerd_dir.mkdir(parents=True, exist_ok=True)
        header = f"# File generated by {self.name}. DO NOT EDIT. Use config.toml.tmpl instead.\nversion = 2\n"
        if self.era == "config_toml":
            place = 'plugins."io.containerd.grpc.v1.cri".registry.configs'
            files = {host: ((entry or {}).get("tls") or {}).get("ca_file") for host, entry in configs.items()}
            tables = [f'[{place}."{host}".tls]\nca_file = "{path}"\n' for host, path in files.items() if path]
            (self.containerd_dir / "config.toml").write_text(header + "\n".join(tables), encoding="utf-8")
            return
        registry = f'[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "{self.certs_d}"\n'
        (self.containerd_dir / "config.toml").write_text(header + registry, encoding="utf-8")
        wanted = {host for host, entry in configs.items() if entry}
        wanted |= {host for host, entry in mirrors.items() if (entry or {}).get("endpoint")}
        first = f"# File generated by {self.name}. DO NOT EDIT."
        for found in list(self.certs_d.iterdir()) if self.certs_d.is_dir() else []:
            hosts = found / "hosts.toml"
            ours = hosts.is_file() and hosts.read_text(encoding="utf-8").split("\n")[0] == first
            if found.name in wanted or ours:
                shutil.rmtree(found)
        for host in wanted:
            directory = self.certs_d / ("_default" if host == "*" else host)
            directory.mkdir(parents=True)
            lines = [first]
            if host != "*":
                lines += [f'server = "https://{host}/v2"', 'capabilities = ["pull", "resolve", "push"]']
            lines += self._tls(configs.get(host) or {})
            if self.era == "now":
                lines += ["", "[host]"]
            for endpoint in (mirrors.get(host) or {}).get("endpoint") or []:
                name = endpoint.partition("://")[2].partition("/")[0]
                lines += [f'[host."{endpoint}"]', '  capabilities = ["pull", "resolve"]']
                lines += [f"  {line}" for line in self._tls(configs.get(name) or {})]
            (directory / "hosts.toml").write_text("\n".join([*lines, ""]), encoding="utf-8")

    @staticmethod
    def _tls(config: dict) -> list[str]:
        tls = config.get("tls") or {}
        lines = []
        if tls.get("ca_file"):
            lines.append(f'ca = ["{tls["ca_file"]}"]')
        if tls.get("cert_file") or tls.get("key_file"):
            lines.append(f'client = [["{tls.get("cert_file", "")}", "{tls.get("key_file", "")}"]]')
        if tls.get("insecure_skip_verify"):
            lines.append("skip_verify = true")
        return lines


class K0sNode(WrappedNode):
    """A k0s worker; `containerd` is the major version that it brings, which changed with k0s 1.36."""

    def __init__(self, root: Path, monkeypatch, containerd: int) -> None:
        super().__init__(root, monkeypatch)
        self.major = containerd
        self.version = "2.2.1" if containerd == 2 else "1.7.27"
        self.config = root / "etc" / "containerd.toml"
        self.drop_ins = root / "etc" / "containerd.d"
        self.certs_d = self.drop_ins / "certs.d"
        self.merged = root / "run" / "containerd-cri.toml"
        self.managed = True
        self.running: str | None = None
        monkeypatch.setattr(_runtime_k0s, "CONFIG", str(self.config))
        monkeypatch.setattr(_runtime_k0s, "DROP_INS", str(self.drop_ins))
        monkeypatch.setattr(_runtime_k0s, "SOCKET", self.socket)
        self.listens_as(_runtime_k0s.K0sRuntime, "k0s")
        monkeypatch.setattr(_containerd, "dump_config", lambda _binary, path: self._dump(path))
        monkeypatch.setattr(Cri, "status_config", lambda _cri: self._status())
        self.drop_ins.mkdir(parents=True)
        self.merged.parent.mkdir()
        self.start()

    def start(self) -> None:
        """A start of containerd by k0s, after pkg/component/worker/containerd/component.go and configurer.go."""
        time.sleep(_UNTIL_LATER)
        imports = self.drop_ins / "*.toml" if self.major == 2 else self.merged
        if self.managed:
            version = 3 if self.major == 2 else 2
            text = f'# k0s_managed=true\n# placeholder\nversion = {version}\nimports = ["{imports}"]\n'
            if not self.config.exists() or self.major == 1:
                self.config.write_text(text, encoding="utf-8")
        if self.major == 1:
            # k0s merges what speaks of the CRI plugin into defaults of its own, at each start.
            merged: dict = {
                "version": 2,
                "plugins": {"io.containerd.grpc.v1.cri": {"sandbox_image": "pause"}},
            }
            for file in sorted(self.drop_ins.glob("*.toml")):
                merged = _deep_merge(merged, _toml(file))
            registry = merged["plugins"]["io.containerd.grpc.v1.cri"].get("registry", {})
            path = f'config_path = "{registry.get("config_path", "")}"\n'
            table = '[plugins."io.containerd.grpc.v1.cri".registry]\n'
            self.merged.write_text(f"version = 2\n{table}{path}", encoding="utf-8")
        time.sleep(_UNTIL_LATER)
        self.processes = []
        options = [f"--address={self.socket}", f"--config={self.config}"]
        self.process("containerd", "k0sworker.service", "/var/lib/k0s/bin/containerd", *options)
        self.running = _section(self._dump(str(self.config))).get("registry", {}).get("config_path", "")

    def _dump(self, path: str) -> dict:
        """What containerd's own parser sees: drop-ins are merged on 2.x, and replace a plugin on 1.x."""
        seen = _toml(Path(path))
        for pattern in seen.get("imports", []):
            for file in sorted(glob.glob(pattern)):
                seen = _deep_merge(seen, _toml(Path(file)))
        return seen

    def _status(self) -> dict | None:
        return {"registry": {"configPath": self.running}} if self.major == 1 else None


class MicroK8sNode(WrappedNode):
    """MicroK8s with its data directory, which `current` is a link to."""

    def __init__(self, root: Path, monkeypatch, template: str | None = None) -> None:
        super().__init__(root, monkeypatch)
        self.revision = root / "snap" / "7234"
        self.args = self.revision / "args"
        self.certs_d = self.args / "certs.d"
        self.certs_d.mkdir(parents=True)
        current = root / "snap" / "current"
        current.symlink_to("7234")
        monkeypatch.setattr(_runtime_microk8s, "DATA", str(current))
        self.listens_as(_runtime_microk8s.MicroK8sRuntime, "microk8s")
        place = (
            '[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "${SNAP_DATA}/args/certs.d"\n'
        )
        self.write(
            self.args / "containerd-template.toml",
            template if template is not None else f"version = 2\n{place}",
        )
        self.start()

    def start(self) -> None:
        """A start, after microk8s-resources/wrappers/run-containerd-with-args: first the process, then its file."""
        self.processes = []
        config = self.args / "containerd.toml"
        options = ["--config", str(config), "--address", self.socket]
        self.process("containerd", "snap.microk8s.daemon-containerd.service", "containerd", *options)
        time.sleep(_UNTIL_LATER)
        template = (self.args / "containerd-template.toml").read_text(encoding="utf-8")
        config.write_text(template.replace("${SNAP_DATA}", str(self.revision)), encoding="utf-8")


def _toml(path: Path) -> dict:
    data: dict = tomllib.loads(path.read_text(encoding="utf-8"))
    return data


def _deep_merge(below: dict, above: dict) -> dict:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _deep_merge(merged[key], value) if both else value
    return merged


def _section(dump: dict) -> dict:
    plugins = dump.get("plugins", {})
    section: dict = (
        plugins.get("io.containerd.cri.v1.images") or plugins.get("io.containerd.grpc.v1.cri") or {}
    )
    return section

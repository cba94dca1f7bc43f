# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a kubeconfig and a context, or a pod's service account, to a client of the official library.

**PRIVATE** to the collection. The library reports much of what is wrong in a kubeconfig badly or not
at all (a credential plugin that fails is one line in a log, then a 401), so it is read here first.
Nothing from the file but names ever gets into a message: it holds secrets.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import sys
from typing import Any, NamedTuple

import yaml

from ansible_collections.nodetrust.harbor.plugins.module_utils._names import kind_of
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kube_errors import (
    CredentialError,
    KubeconfigError,
    LibraryMissing,
    Target,
    plain,
)

IN_CLUSTER = "in-cluster"


class Access(NamedTuple):
    """How to get at one cluster. Without kubeconfig: KUBECONFIG, then the file in the home directory."""

    kubeconfig: str | None = None
    context: str | None = None
    in_cluster: bool = False
    timeout: float = 30.0


class Entry(NamedTuple):
    """What a kubeconfig says about one context, names only, and the credential plugin if there is one."""

    files: str
    context: str
    user: str | None
    plugin: dict[str, Any] | None
    directory: str
    server: str


# As in meta/ee-requirements.txt.
_OLDEST = 31


def library() -> Any:
    """The kubernetes package; imported here, and only when a cluster is really asked."""
    try:
        import kubernetes.client
        import kubernetes.config
    except ImportError as exc:
        raise LibraryMissing(
            "The kubernetes client library is missing.",
            reason="library_missing",
            found=f"{sys.executable}: {exc}",
            expected="the Python package kubernetes",
            next_step=f"{sys.executable} -m pip install kubernetes",
        ) from exc
    version = str(getattr(kubernetes, "__version__", ""))
    major = version.partition(".")[0]
    if major.isdigit() and int(major) < _OLDEST:
        raise LibraryMissing(
            "The kubernetes client library is too old.",
            reason="library_too_old",
            found=f"{sys.executable}: kubernetes {version}",
            expected=f"the Python package kubernetes, {_OLDEST} or later",
            next_step=f"{sys.executable} -m pip install 'kubernetes>={_OLDEST}'",
        )
    return kubernetes


def _files(given: str | None) -> list[str]:
    text = given or os.environ.get("KUBECONFIG") or os.path.join("~", ".kube", "config")
    return [os.path.abspath(os.path.expanduser(part)) for part in text.split(os.pathsep) if part]


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as handle:
            data = yaml.safe_load(handle)
    except OSError as exc:
        raise KubeconfigError(
            f"Cannot read the kubeconfig {path}.",
            reason="kubeconfig_unreadable",
            path=path,
            found=exc.strerror,
            expected="a file that this user may read",
            next_step="check the file's owner and mode",
        ) from exc
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        mark = getattr(exc, "problem_mark", None)
        raise KubeconfigError(
            f"The kubeconfig {path} is not valid YAML.",
            reason="kubeconfig_broken",
            path=path,
            found=f"a mistake in line {mark.line + 1}" if mark else type(exc).__name__,
            expected="YAML in UTF-8",
            next_step="fetch it anew from the cluster",
        ) from None
    if not isinstance(data, dict) or not any(data.get(key) for key in ("contexts", "clusters", "users")):
        raise KubeconfigError(
            f"The file {path} is not a kubeconfig.",
            reason="kubeconfig_broken",
            path=path,
            found="an empty file" if data is None else "no contexts, clusters or users",
            expected="contexts, clusters and users",
            next_step="point the option kubeconfig at the right file, or fetch it anew from the cluster",
        )
    wrong = _misshapen(data)
    if wrong:
        raise KubeconfigError(
            f"The kubeconfig {path} is broken.",
            reason="kubeconfig_broken",
            path=path,
            found=wrong,
            expected="a kubeconfig as kubectl reads it",
            next_step="correct that, or fetch it anew from the cluster",
        )
    return data


# What is read of each entry, by the library or here, and what it has to be.
_FIELDS: dict[str, dict[str, type]] = {
    "contexts": {"cluster": str, "user": str},
    "clusters": {"server": str},
    "users": {"exec": dict},
}
_PLUGIN: dict[str, type] = {"command": str, "args": list, "env": list, "installHint": str}


def _misshapen(data: dict[str, Any]) -> str:
    """The first thing that has another form than kubectl accepts. No values: these may be secrets."""
    if not isinstance(data.get("current-context") or "", str):
        return "current-context is no text; put it in quotes"
    for section, fields in _FIELDS.items():
        items = data.get(section) or []
        if not isinstance(items, list):
            return f"{section} is no list"
        for place, item in enumerate(items):
            where, inner = f"entry {place + 1} of {section}", section.removesuffix("s")
            if not isinstance(item, dict) or not isinstance(item.get("name"), str):
                return f"{where} has no name that is a text; put a number in quotes"
            where = f"{inner} {item['name']!r}"
            wrong = _misshapen_map(item.get(inner), fields, where)
            wrong = wrong or _misshapen_plugin((item.get(inner) or {}).get("exec"), where)
            if wrong:
                return wrong
    return ""


def _misshapen_map(value: Any, fields: dict[str, type], where: str) -> str:
    if value is not None and not isinstance(value, dict):
        return f"{where} is {kind_of(value)}, not {kind_of({})}"
    for field, kind in fields.items():
        found = (value or {}).get(field)
        if found is not None and not isinstance(found, kind):
            return f"{field} of {where} is {kind_of(found)}, not {kind_of(kind())}"
    return ""


def _misshapen_plugin(plugin: Any, where: str) -> str:
    if plugin is None:
        return ""
    wrong = _misshapen_map(plugin, _PLUGIN, f"exec of {where}")
    if wrong:
        return wrong
    for item in plugin.get("env") or []:
        wrong = _misshapen_map(item, {"name": str, "value": str}, f"env in exec of {where}")
        if wrong or not item or not item.get("name"):
            return wrong or f"env in exec of {where} has an entry without a name"
    return ""


def _named(data: dict[str, Any], section: str, name: str | None) -> Any:
    for item in data.get(section) or []:
        if isinstance(item, dict) and name is not None and item.get("name") == name:
            return item.get(section.removesuffix("s")) or {}
    return None


def contexts_of(given: str | None) -> tuple[list[str], str, list[tuple[str, dict[str, Any]]]]:
    """Context names in order, the current one, and the files with what they hold."""
    files = _files(given)
    found = [path for path in files if os.path.exists(path)]
    if not found:
        raise KubeconfigError(
            "There is no kubeconfig.",
            reason="kubeconfig_missing",
            path=files[0],
            found=f"no file {' or '.join(files)}",
            expected="at least one of them",
            next_step="set the option kubeconfig or the variable KUBECONFIG, or in_cluster in a pod",
        )
    documents = [(path, _read(path)) for path in found]
    names: list[str] = []
    current = ""
    for _path, data in documents:
        current = current or str(data.get("current-context") or "")
        for item in data.get("contexts") or []:
            if isinstance(item, dict) and item.get("name") and item["name"] not in names:
                names.append(str(item["name"]))
    return names, current, documents


def look_up(given: str | None, context: str | None) -> Entry:
    """What the kubeconfig says about a context (default: its current one)."""
    names, current, documents = contexts_of(given)
    files = os.pathsep.join(path for path, _data in documents)
    wanted = context or current
    if wanted not in names:
        raise KubeconfigError(
            f"The kubeconfig has no context {wanted!r}."
            if wanted
            else "The kubeconfig has no current context.",
            reason="context_unknown",
            context=wanted or None,
            path=files,
            found=names or "no contexts at all",
            expected=wanted or "current-context",
            next_step="use one of these names"
            if wanted
            else "name a context, or run kubectl config use-context",
        )
    path, data = next(
        (path, data) for path, data in documents if _named(data, "contexts", wanted) is not None
    )
    chosen = _named(data, "contexts", wanted)
    places = [(path, data), *documents]
    cluster = next(
        (c for _p, d in places if (c := _named(d, "clusters", chosen.get("cluster"))) is not None), None
    )
    user = next((u for _p, d in places if (u := _named(d, "users", chosen.get("user"))) is not None), None)
    for what, name, entry in (
        ("cluster", chosen.get("cluster"), cluster),
        ("user", chosen.get("user"), user),
    ):
        if entry is None:
            raise KubeconfigError(
                f"The context {wanted!r} names a {what} that the kubeconfig does not have.",
                reason="kubeconfig_broken",
                context=wanted,
                path=files,
                found=f"{what} {name!r}",
                expected=f"a {what} of that name in the kubeconfig",
                next_step=f"add that {what}, or fetch the kubeconfig anew from the cluster",
            )
    return Entry(
        files,
        wanted,
        chosen.get("user"),
        (user or {}).get("exec"),
        os.path.dirname(path),
        str((cluster or {}).get("server", "")),
    )


def server_of(access: Access) -> tuple[str, str] | None:
    """Where a request would go, by what the files say now; None if that is not to be had. Asks nobody."""
    if access.in_cluster:
        return IN_CLUSTER, os.environ.get("KUBERNETES_SERVICE_HOST", "")
    try:
        entry = look_up(access.kubeconfig, access.context)
    except KubeconfigError:
        return None
    return entry.context, entry.server


def own_pod() -> str | None:
    """The pod that we run in, as namespace/host name; None outside of one.

    A pod's host name is its own name, cut to what a host name may have, unless it shares its node's network.
    """
    token = library().config.incluster_config.SERVICE_TOKEN_FILENAME
    try:
        with open(os.path.join(os.path.dirname(token), "namespace"), encoding="utf-8") as handle:
            return f"{handle.read().strip()}/{socket.gethostname()}"
    except OSError:
        return None


def _check_plugin(entry: Entry) -> None:
    command = str((entry.plugin or {}).get("command") or "")
    env = {item.get("name"): item.get("value") for item in (entry.plugin or {}).get("env") or []}
    program = os.path.join(entry.directory, command) if os.sep in command else command
    if shutil.which(program, path=env.get("PATH")) is None:
        hint = (entry.plugin or {}).get("installHint")
        raise CredentialError(
            f"Context {entry.context!r} of {entry.files}: its credential plugin is not installed.",
            reason="credential_plugin_missing",
            context=entry.context,
            path=entry.files,
            found=f"no program {command!r} for user {entry.user!r}",
            expected="the program, on the PATH of this process",
            next_step=plain(hint) if hint else f"install {command!r}, or put it on the PATH of this process",
        )


class _Heard(logging.Handler):
    """Keeps what the library logs: for a failed credential plugin that is all it says."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def client_for(access: Access) -> tuple[Any, Target]:
    """A client of the official library, and where it goes. Asks nothing of the cluster yet."""
    library_ = library()
    if not access.timeout > 0:
        raise KubeconfigError(
            "No request can be answered in no time.",
            reason="invalid_timeout",
            found=f"request_timeout is {access.timeout:g}",
            expected="more than 0 seconds",
            next_step="leave it out for 30 seconds",
        )
    configuration = library_.client.Configuration()
    configuration.retries = False  # we count the retries ourselves
    if access.in_cluster:
        try:
            library_.config.load_incluster_config(client_configuration=configuration)
        except library_.config.ConfigException as exc:
            raise KubeconfigError(
                "There is no service account to use.",
                reason="not_in_cluster",
                found=plain(exc),
                expected="to run in a pod with automountServiceAccountToken",
                next_step="leave in_cluster out and name a kubeconfig",
            ) from exc
        return library_.client.ApiClient(configuration), Target(IN_CLUSTER, None, configuration.host)
    entry = look_up(access.kubeconfig, access.context)
    if entry.plugin:
        _check_plugin(entry)
    heard = _Heard()
    root = logging.getLogger()
    root.addHandler(heard)
    try:
        client = library_.config.new_client_from_config(
            config_file=entry.files, context=entry.context, client_configuration=configuration
        )
    except Exception as exc:  # the library lets through whatever a wrong value causes
        raise KubeconfigError(
            f"Context {entry.context!r} of {entry.files} cannot be used.",
            reason="kubeconfig_broken",
            context=entry.context,
            path=entry.files,
            found=f"{type(exc).__name__}: {plain(exc)}",
            expected="an entry that the kubernetes library can use",
            next_step="fetch the kubeconfig anew from the cluster",
        ) from exc
    finally:
        root.removeHandler(heard)
    if entry.plugin and not (configuration.api_key or configuration.cert_file):
        raise CredentialError(
            f"Context {entry.context!r} of {entry.files}: its credential plugin failed.",
            reason="credential_plugin_failed",
            context=entry.context,
            path=entry.files,
            found=[plain(text) for text in heard.texts] or "no token and no client certificate",
            expected="a token or a client certificate",
            next_step=f"run {entry.plugin.get('command')!r} by hand as this user, and log in if it says so",
        )
    return client, Target(entry.context, entry.files, entry.server or configuration.host)

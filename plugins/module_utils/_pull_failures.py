# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the runtimes say when a pull fails, and what it means: texts to stable names and remedies.

**PRIVATE** to the collection. Runtimes wrap the same core texts in different words, so the
table matches the core only (runtime-facts §7). The names are part of the public interface:
programs act on them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ansible_collections.nodetrust.harbor.plugins.module_utils._cri_text import GRPC_CODES


class Failure(NamedTuple):
    """What a failed pull means and what to do about it; host is the one that is not trusted."""

    name: str
    remedy: str
    host: str | None = None


class _Row(NamedTuple):
    name: str
    pattern: re.Pattern[str]
    remedy: str


def _row(name: str, pattern: str, remedy: str) -> _Row:
    return _Row(name, re.compile(pattern, re.IGNORECASE | re.DOTALL), remedy)


_RESTARTING = (
    "the runtime is stopped or restarting: look at its service with systemctl status; then try again"
)
_CREDENTIALS = "TLS is fine; the registry wants credentials that may pull this image"

# First match wins, so the order is part of the knowledge: our own files before TLS, the special
# x509 texts before the general one, names before addresses, the registry's answers last.
_TABLE = (
    _row(
        "cri_not_loaded",
        r"unknown service runtime\.v1",
        "the runtime runs without CRI: look for 'failed to load plugin' in journalctl -u containerd and "
        "for cri in disabled_plugins of its config.toml, correct config.toml, restart the runtime",
    ),
    _row("cri_unavailable", r"dial unix |error reading from server", _RESTARTING),
    _row(
        "engine_unavailable",
        r"cannot connect to the Docker daemon|the Docker daemon at \S+ broke the call off",
        "dockerd is stopped or restarting: systemctl status docker; then try again",
    ),
    _row(
        "ca_file_unusable",
        r"unable to (?:load|read) CA cert|read \S+\.crt: is a directory",
        "the named file in the registry's directory is missing, broken or not PEM, and every pull from this "
        "registry fails until it is rewritten or removed",
    ),
    _row(
        "client_cert_broken",
        r"failed to load X509 key pair|missing key \S+ for client certificate|missing client certificate \S+",
        "a .cert file in the registry's directory is taken for a client certificate; a CA must be named "
        ".crt, and a client certificate needs its .key beside it",
    ),
    _row(
        "proxy",
        r"proxyconnect tcp:",
        "the runtime goes through a proxy to reach the registry: add the registry to NO_PROXY of the "
        "runtime's service, or correct the proxy",
    ),
    _row(
        "not_a_ca",
        r"possibly because of .*parent certificate cannot sign this kind of certificate",
        "the installed certificate is not a CA: install the CA that signed the registry's certificate",
    ),
    _row(
        "weak_signature",
        r"insecure algorithm",
        "the registry's certificate is signed with an algorithm that is no longer accepted: issue a new one",
    ),
    _row(
        "ca_reissued_same_name",
        r"possibly because of .*(?:verification failure|verification error)",
        "the CA was issued again under the same name with a new key, and this node holds the old one: "
        "install the new CA, beside the old one while both are in use",
    ),
    _row(
        "unknown_authority",
        r"certificate signed by unknown authority",
        "this node does not trust the registry's CA: install it under the registry's name as in the image "
        "reference and see that the runtime reads that directory. If it is there already: does the registry "
        "send its intermediate certificates, and is the pinned CA the one that signed? containerd 1.6 and "
        "1.7 also say this for a missing image when a hosts.toml has the CA only inside its [host] table",
    ),
    _row(
        "expired",
        r"certificate has expired or is not yet valid: .*is after ",
        "the registry's certificate or the installed CA has expired, or the clock of this node is ahead: "
        "look at all three",
    ),
    _row(
        "not_yet_valid",
        r"certificate has expired or is not yet valid: .*is before ",
        "the registry's certificate or the installed CA is not valid yet; most often the clock of this node "
        "is behind: timedatectl",
    ),
    _row(
        "name_mismatch",
        r"x509: certificate is valid for .+, not |certificate is not valid for any names",
        "the registry's certificate does not carry the name in the image reference: use a name that it "
        "carries, or issue it with this name as SAN",
    ),
    _row(
        "no_san",
        r"relies on legacy Common Name field",
        "the registry's certificate has no SAN, and the common name no longer counts: issue it with its "
        "names as SAN",
    ),
    _row(
        "ip_without_san",
        r"cannot validate certificate for \S+ because it doesn't contain any IP SANs",
        "the image reference has an address and the registry's certificate has none: use the registry's "
        "name, or issue the certificate with the address as SAN",
    ),
    _row(
        "key_usage",
        r"certificate specifies an incompatible key usage",
        "the registry's certificate is not meant for servers: issue it with extended key usage serverAuth",
    ),
    _row(
        "name_constraints",
        r"is not authorized to sign for this name|issuer has name constraints",
        "the CA's name constraints do not allow this registry's name: another CA or another name",
    ),
    # The alerts of a server that got a client certificate and does not take it (crypto/tls, alert.go).
    _row(
        "client_cert_refused",
        r"remote error: tls: (?:unknown certificate(?: authority)?|(?:expired|revoked|unsupported) certificate"
        r"|access denied)",
        "the registry does not take the client certificate that this node shows: it has expired, was revoked, or "
        "another CA made it; give client_cert_* a pair that the registry's client CA has issued",
    ),
    _row(
        "client_cert_required",
        r"remote error: tls: (?:certificate required|bad certificate)",
        "the registry wants a client certificate, or another one than it gets: put client.cert and client.key into "
        "the registry's directory",
    ),
    _row(
        "tls_version",
        r"protocol version not supported|server selected unsupported protocol version",
        "the registry offers only TLS versions that are no longer accepted: switch TLS 1.2 or 1.3 on there",
    ),
    _row(
        "plain_http",
        r"first record does not look like a TLS handshake|server gave HTTP response to HTTPS client",
        "the registry speaks plain HTTP on this port: use the port that speaks TLS",
    ),
    _row(
        "tls_timeout",
        r"TLS handshake timeout",
        "something accepts the connection and then says nothing: look at proxies and load balancers between "
        "this node and the registry",
    ),
    _row(
        "dns",
        r"lookup \S+(?: on \S+)?: |no such host|server misbehaving",
        "this node cannot resolve the registry's name: getent hosts NAME; correct DNS or /etc/hosts",
    ),
    _row(
        "connection_refused",
        r"connect: connection refused",
        "nothing listens there: is the registry up, and is the port right?",
    ),
    _row(
        "unreachable",
        r"no route to host|network is unreachable|host is down",
        "this node has no way to the registry's address: look at routes and firewalls",
    ),
    _row(
        "connect_timeout",
        r"i/o timeout|Client\.Timeout exceeded",
        "no answer from the registry's address: a firewall drops the connection, or the address is wrong",
    ),
    _row(
        "rate_limited",
        r"\b429 Too Many Requests|toomanyrequests",
        "TLS is fine; the registry limits how often this node may ask: wait, then try again",
    ),
    _row(
        "server_error",
        r"\b5\d\d (?-i:[A-Z][a-z]+)",
        "TLS is fine; the registry itself has a fault: read its log",
    ),
    _row(
        "unauthorized",
        r"\b401 Unauthorized|no basic auth credentials|authentication required"
        r"|(?:^|: )unauthorized(?=[:;,. ]|$)|may require authorization|authorization failed",
        _CREDENTIALS,
    ),
    _row(
        "denied",
        r"\b403 Forbidden|(?:^|: )(?:denied|insufficient_scope)(?=[:;,. ]|$)|access denied",
        _CREDENTIALS,
    ),
    _row(
        "node_storage",
        r"no space left on device|read-only file system"
        r"|failed to (?:extract layer|unpack image|prepare extraction)|content digest \S+: not found",
        "the registry delivered, but this node cannot store the image: df -h and the runtime's own log",
    ),
    _row(
        "not_found",
        r"(?:^|: )not found\b|manifest unknown|name unknown|\b404 Not Found",
        "TLS is fine; the registry does not have this image, tag or platform: name one that exists",
    ),
    _row(
        "invalid_image",
        r"failed to parse image name|invalid reference format",
        "write the image as host[:port]/repository:tag",
    ),
    _row(
        "connection_reset",
        r"connection reset by peer|broken pipe|(?:^|: |unexpected )EOF\b",
        "the connection was cut: a proxy, a load balancer or the registry itself; try again, then look there",
    ),
)

# what the code alone tells when no text is known; and the runtime's words when it has no code
_BY_CODE = {
    "Unimplemented": "cri_not_loaded",
    "Unavailable": "cri_unavailable",
    "NotFound": "not_found",
    "Unauthenticated": "unauthorized",
    "PermissionDenied": "denied",
    "DeadlineExceeded": "timeout",
}
_TIMEOUT = (
    "the pull took longer than allowed: a slow registry, a large image or a silent network; allow more "
    "time, or prove with a smaller image"
)
_UNKNOWN = "not a failure that is known here: read the message, then journalctl -u containerd on the node"

TRUST = frozenset(
    {
        "unknown_authority",
        "ca_reissued_same_name",
        "not_a_ca",
        "weak_signature",
        "expired",
        "not_yet_valid",
        "name_mismatch",
        "no_san",
        "ip_without_san",
        "key_usage",
        "name_constraints",
        "token_unknown_authority",
        "blob_unknown_authority",
        "token_ca_ignored",
    }
)
FILES = frozenset(
    {"ca_file_unusable", "client_cert_broken", "cri_not_loaded", "cri_unavailable", "engine_unavailable"}
)
CLIENT = frozenset({"client_cert_required", "client_cert_refused"})
TLS_FINE = frozenset({"unauthorized", "denied", "not_found", "rate_limited", "server_error"})
NETWORK = frozenset(
    {
        "connect_timeout",
        "tls_timeout",
        "connection_refused",
        "connection_reset",
        "unreachable",
        "dns",
        "proxy",
        "timeout",
    }
)

_AUTHORITY = r'"https?://(\[[^\]]+\](?::\d+)?|[^/"\s]+)[^"]*": [^"]*x509: '
_TOKEN = re.compile(r"fetch (?:anonymous|oauth) token: [^\"]*" + _AUTHORITY, re.IGNORECASE | re.DOTALL)
_BLOB = re.compile(
    r"(?:httpReadSeeker: failed open: [^\"]*|parsing image configuration: [^\"]*)" + _AUTHORITY,
    re.IGNORECASE | re.DOTALL,
)
_DOCKER_BLOB = re.compile(r"error pulling image configuration: download failed", re.IGNORECASE)


def classify(code: str | int | None, message: str, registry: str | None = None) -> Failure:
    """The stable name of a failed pull.

    Parameters:
        code: gRPC code by name or number, if the message came from CRI.
        message: the runtime's words, wrapped or not.
        registry: whose image it was; tells a token or blob host apart from the registry itself.
    """
    name = _code_name(code)
    if name == "Unimplemented":
        return _failure_of(_TABLE[0])
    for row in _TABLE:
        if row.pattern.search(message):
            elsewhere = _elsewhere(message, registry) if row.name == "unknown_authority" else None
            return elsewhere or _failure_of(row)
    if "no answer within" in message or "context deadline exceeded" in message:
        return Failure("timeout", _TIMEOUT)
    known = _BY_CODE.get(name)
    if known == "timeout":
        return Failure("timeout", _TIMEOUT)
    return next((_failure_of(row) for row in _TABLE if row.name == known), Failure("unknown", _UNKNOWN))


def _failure_of(row: _Row) -> Failure:
    return Failure(row.name, row.remedy)


def _code_name(code: str | int | None) -> str:
    if isinstance(code, int):
        return GRPC_CODES[code] if 0 <= code < len(GRPC_CODES) else "Unknown"
    return code or "Unknown"


def _elsewhere(message: str, registry: str | None) -> Failure | None:
    """The host that is not trusted when it is not the registry itself (runtime-facts §4)."""
    for name, pattern, what in (
        ("token_unknown_authority", _TOKEN, "hands out the tokens"),
        ("blob_unknown_authority", _BLOB, "stores the layers"),
    ):
        found = pattern.search(message)
        if found and found.group(1) != registry:
            host = found.group(1)
            return Failure(
                name,
                f"{host}, which {what} of this registry, has another CA: add that CA to the bundle of the "
                "registry, because runtimes look for it in the registry's own directory",
                host,
            )
    if _DOCKER_BLOB.search(message):
        return Failure(
            "blob_unknown_authority",
            "the host that stores the layers of this registry has another CA: add that CA to the bundle of "
            "the registry",
        )
    return None

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every failure that a runtime was seen to report gets its stable name, however it is wrapped."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils import _pull_failures
from ansible_collections.nodetrust.harbor.plugins.module_utils._cri import Cri, CriError
from ansible_collections.nodetrust.harbor.plugins.module_utils._pull import (
    FILES,
    NETWORK,
    TLS_FINE,
    TRUST,
    PullResult,
    caused_by_change,
    classify,
    earlier,
    mask,
    prove,
)

REGISTRY = "harbor.lab.internal"
IMAGE = "harbor.lab.internal/demo/hello:v1"
URL = "https://harbor.lab.internal/v2/demo/hello/manifests/v1"
VERIFY = "tls: failed to verify certificate: "

# What stands around the core text: containerd 1.6, 1.7 (and 2.x pulling locally), 2.x, classic docker,
# podman 5, CRI-O, and what the kubelet puts in front.
IN_1 = 'failed to pull and unpack image "{i}": failed to resolve reference "{i}": '
IN_2 = 'failed to pull and unpack image "{i}": failed to resolve image: '
REQUEST = 'failed to do request: Head "{u}": '
ROUND = {
    "c1.6": IN_1 + REQUEST + "{x}",
    "c1.7": IN_1 + REQUEST + "{v}{x}",
    "c2.1": IN_2 + REQUEST + "{v}{x}",
    "docker": 'Error response from daemon: Get "https://harbor.lab.internal/v2/": {v}{x}',
    "podman": "unable to copy from source docker://{i}: initializing source docker://{i}: pinging container registry "
    'harbor.lab.internal: Get "https://harbor.lab.internal/v2/": {v}{x}',
    "cri-o": "unable to pull image: initializing source docker://{i}: pinging container registry harbor.lab.internal: "
    'Get "https://harbor.lab.internal/v2/": {v}{x}',
    "kubelet": "rpc error: code = Unknown desc = " + IN_1 + REQUEST + "{v}{x}",
    "bare": "{x}",
}
# containerd puts these where the request would be
ROUND_NO_REQUEST = {"c1.6": IN_1 + "{x}", "c2.1": IN_2 + "{x}", "bare": "{x}"}

UNKNOWN = "x509: certificate signed by unknown authority"
BECAUSE = (
    UNKNOWN + ' (possibly because of "{}" while trying to verify candidate authority certificate "Lab CA")'
)
EXPIRY = (
    "x509: certificate has expired or is not yet valid: current time 2026-11-23T05:05:42Z is {} "
    "2026-11-22T17:02:29Z"
)
CA_FILE = "/etc/containerd/certs.d/harbor.lab.internal/ca.crt"

X509 = [
    (UNKNOWN, "unknown_authority"),
    (BECAUSE.format("x509: ECDSA verification failure"), "ca_reissued_same_name"),
    (BECAUSE.format("crypto/rsa: verification error"), "ca_reissued_same_name"),
    (BECAUSE.format("x509: Ed25519 verification failure"), "ca_reissued_same_name"),
    (
        BECAUSE.format("x509: invalid signature: parent certificate cannot sign this kind of certificate"),
        "not_a_ca",
    ),
    (BECAUSE.format("x509: cannot verify signature: insecure algorithm SHA1-RSA"), "weak_signature"),
    (BECAUSE.format("x509: something new"), "unknown_authority"),
    (EXPIRY.format("after"), "expired"),
    (EXPIRY.format("before"), "not_yet_valid"),
    ("x509: certificate is valid for a.lab, b.lab, not harbor.lab.internal", "name_mismatch"),
    (
        "x509: certificate is not valid for any names, but wanted to match harbor.lab.internal",
        "name_mismatch",
    ),
    ("x509: certificate relies on legacy Common Name field, use SANs instead", "no_san"),
    (
        "x509: cannot validate certificate for 10.77.0.1 because it doesn't contain any IP SANs",
        "ip_without_san",
    ),
    ("x509: certificate specifies an incompatible key usage", "key_usage"),
    (
        "x509: a root or intermediate certificate is not authorized to sign for this name: DNS name "
        '"harbor.lab.internal" is not permitted by any constraint',
        "name_constraints",
    ),
]
CONNECTION = [
    ("remote error: tls: certificate required", "client_cert_required"),
    ("remote error: tls: bad certificate", "client_cert_required"),
    ("remote error: tls: unknown certificate authority", "client_cert_refused"),
    ("remote error: tls: unknown certificate", "client_cert_refused"),
    ("remote error: tls: expired certificate", "client_cert_refused"),
    ("remote error: tls: revoked certificate", "client_cert_refused"),
    ("remote error: tls: unsupported certificate", "client_cert_refused"),
    ("remote error: tls: access denied", "client_cert_refused"),
    ("remote error: tls: protocol version not supported", "tls_version"),
    ("tls: first record does not look like a TLS handshake", "plain_http"),
    ("http: server gave HTTP response to HTTPS client", "plain_http"),
    ("net/http: TLS handshake timeout", "tls_timeout"),
    ("dial tcp 10.77.0.77:443: i/o timeout", "connect_timeout"),
    (
        "net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)",
        "connect_timeout",
    ),
    ("dial tcp 10.77.0.1:9: connect: connection refused", "connection_refused"),
    ("dial tcp 10.77.0.77:443: connect: no route to host", "unreachable"),
    ("dial tcp 10.77.0.77:443: connect: network is unreachable", "unreachable"),
    ("read tcp 10.0.0.2:49380->10.0.0.3:443: read: connection reset by peer", "connection_reset"),
    ("EOF", "connection_reset"),
    ("unexpected EOF", "connection_reset"),
    ("dial tcp: lookup harbor.lab.internal on 10.77.0.9:53: no such host", "dns"),
    ("dial tcp: lookup harbor.lab.internal: no such host", "dns"),
    (
        "dial tcp: lookup harbor.lab.internal on 10.77.0.9:53: read udp 10.77.0.1:37866->10.77.0.9:53: i/o timeout",
        "dns",
    ),
    (
        "dial tcp: lookup harbor.lab.internal on 10.77.0.9:53: dial udp 10.77.0.9:53: connect: connection refused",
        "dns",
    ),
    ("proxyconnect tcp: dial tcp 10.0.0.9:3128: connect: connection refused", "proxy"),
    ("proxyconnect tcp: tls: failed to verify certificate: " + UNKNOWN, "proxy"),
]
ANSWERS = [
    (f'unable to load CA cert "{CA_FILE}"', "ca_file_unusable"),
    (f'unable to read CA cert "{CA_FILE}": open {CA_FILE}: no such file or directory', "ca_file_unusable"),
    ("read /etc/docker/certs.d/harbor.lab.internal/x.crt: is a directory", "ca_file_unusable"),
    (
        "failed to load X509 key pair: tls: found a certificate rather than a key in the PEM for the private key",
        "client_cert_broken",
    ),
    (
        "missing key ca.key for client certificate ca.cert. CA certificates must use the extension .crt",
        "client_cert_broken",
    ),
    ("missing client certificate client.cert for key client.key", "client_cert_broken"),
    (
        "pulling from host harbor.lab.internal failed with status code [manifests v1]: 401 Unauthorized",
        "unauthorized",
    ),
    (f"unexpected status from HEAD request to {URL}: 401 Unauthorized", "unauthorized"),
    (
        "pull access denied, repository does not exist or may require authorization: authorization failed: no basic "
        "auth credentials",
        "unauthorized",
    ),
    ("no basic auth credentials", "unauthorized"),
    ("unauthorized: unauthorized to access repository: demo/hello, action: pull", "unauthorized"),
    (f"unexpected status from HEAD request to {URL}: 403 Forbidden", "denied"),
    ("denied: requested access to the resource is denied", "denied"),
    (f"{IMAGE}: not found", "not_found"),
    ("manifest unknown: manifest unknown", "not_found"),
    ("name unknown: repository name not known to registry", "not_found"),
    (f"unexpected status from HEAD request to {URL}: 429 Too Many Requests", "rate_limited"),
    ("toomanyrequests: You have reached your pull rate limit", "rate_limited"),
    (f"unexpected status from HEAD request to {URL}: 500 Internal Server Error", "server_error"),
    (
        "pulling from host h failed with status code [manifests v1]: 503 Service Unavailable",
        "server_error",
    ),
    (
        "failed to extract layer sha256:ab: mount callback failed: write /x: no space left on device",
        "node_storage",
    ),
    (
        "failed to unpack image on snapshotter overlayfs: content digest sha256:ab: not found",
        "node_storage",
    ),
    ("something that nobody has seen", "unknown"),
    ("short read: expected 1024 bytes but got 512 bytes", "unknown"),
]


def wrapped(cases: list[tuple[str, str]], around: dict[str, str]) -> list[Any]:
    return [
        pytest.param(template.format(i=IMAGE, u=URL, v=VERIFY, x=core), name, id=f"{name}-{runtime}-{number}")
        for number, (core, name) in enumerate(cases)
        for runtime, template in around.items()
    ]


@pytest.mark.parametrize(
    ("message", "name"),
    wrapped(X509, ROUND)
    + wrapped(CONNECTION, {**ROUND, "c1.7": ROUND["c1.6"]})
    + wrapped(ANSWERS, ROUND_NO_REQUEST),
)
def test_name_of_a_failure(message: str, name: str) -> None:
    failure = classify("Unknown", message, REGISTRY)
    assert failure.name == name
    assert len(failure.remedy) > 20


TOKEN = (
    'failed to pull and unpack image "{i}": failed to resolve {w}: failed to authorize: failed to fetch {k} token: '
    '{m} "https://token.lab:8452/t?scope=repository%3Ax%3Apull&service=s": {v}' + UNKNOWN
)
BLOB = (
    'failed to pull and unpack image "{i}": failed to copy: httpReadSeeker: failed open: failed to do request: Get '
    '"https://blob.lab:8452/b?sig=SECRET&x=2": {v}' + UNKNOWN
)


@pytest.mark.parametrize(
    ("message", "name", "host"),
    [
        (
            TOKEN.format(i=IMAGE, w=f'reference "{IMAGE}"', k="anonymous", m="Get", v=""),
            "token_unknown_authority",
            "token.lab:8452",
        ),
        (
            TOKEN.format(i=IMAGE, w=f'reference "{IMAGE}"', k="oauth", m="Post", v=VERIFY),
            "token_unknown_authority",
            "token.lab:8452",
        ),
        (
            TOKEN.format(i=IMAGE, w="image", k="anonymous", m="Get", v=VERIFY),
            "token_unknown_authority",
            "token.lab:8452",
        ),
        (BLOB.format(i=IMAGE, v=""), "blob_unknown_authority", "blob.lab:8452"),
        (BLOB.format(i=IMAGE, v=VERIFY), "blob_unknown_authority", "blob.lab:8452"),
        (
            f'parsing image configuration: Get "https://[fd00::1]:8452/b?sig=1": {VERIFY}{UNKNOWN}',
            "blob_unknown_authority",
            "[fd00::1]:8452",
        ),
        (
            f"error pulling image configuration: download failed after attempts=6: {VERIFY}{UNKNOWN}",
            "blob_unknown_authority",
            None,
        ),
        # the same places, but the host is the registry itself: its own CA is what is missing
        (BLOB.format(i=IMAGE, v=VERIFY).replace("blob.lab:8452", REGISTRY), "unknown_authority", None),
        (
            TOKEN.format(i=IMAGE, w="image", k="anonymous", m="Get", v="").replace(
                "token.lab:8452", REGISTRY
            ),
            "unknown_authority",
            None,
        ),
    ],
)
def test_host_that_is_not_the_registry_is_named(message: str, name: str, host: str | None) -> None:
    failure = classify("Unknown", message, REGISTRY)
    assert (failure.name, failure.host) == (name, host)
    assert host is None or host in failure.remedy


@pytest.mark.parametrize(
    ("code", "message", "name"),
    [
        ("Unimplemented", "unknown service runtime.v1.ImageService", "cri_not_loaded"),
        (12, "", "cri_not_loaded"),
        (
            "Unknown",
            "rpc error: code = Unimplemented desc = unknown service runtime.v1.ImageService",
            "cri_not_loaded",
        ),
        ("Unavailable", "dial unix /run/c.sock: connect: no such file or directory", "cri_unavailable"),
        ("Unavailable", "dial unix /run/c.sock: connect: connection refused", "cri_unavailable"),
        ("Unavailable", "error reading from server: EOF", "cri_unavailable"),
        (
            "Unavailable",
            "error reading from server: curl: (18) HTTP/2 stream 1 was not closed",
            "cri_unavailable",
        ),
        ("Unavailable", "", "cri_unavailable"),
        (
            "Unavailable",
            f"unexpected status from HEAD request to {URL}: 503 Service Unavailable",
            "server_error",
        ),
        ("NotFound", "", "not_found"),
        (5, "", "not_found"),
        ("Unauthenticated", "", "unauthorized"),
        ("PermissionDenied", "", "denied"),
        ("DeadlineExceeded", "no answer within 60 seconds", "timeout"),
        ("DeadlineExceeded", "context deadline exceeded", "timeout"),
        ("DeadlineExceeded", f'Head "{URL}": dial tcp 10.0.0.9:443: i/o timeout', "connect_timeout"),
        (
            "Unknown",
            'failed to parse image reference "h.lab/x:mütt": invalid reference format',
            "invalid_image",
        ),
        (99, "", "unknown"),
        (None, "", "unknown"),
    ],
)
def test_code_helps_where_the_text_does_not(code: str | int | None, message: str, name: str) -> None:
    assert classify(code, message).name == name


@pytest.mark.parametrize("word", ["denied", "unauthorized", "toomany", "eof", "401", "500", "not-found"])
def test_words_in_the_name_of_an_image_mean_nothing(word: str) -> None:
    image = f"harbor.lab.internal/{word}/{word}:{word}"
    message = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": {UNKNOWN}'
    assert classify("Unknown", message).name == "unknown_authority"
    assert classify("NotFound", f"failed to resolve image: {image}: not found").name == "not_found"


def test_sets_hold_only_names_that_exist() -> None:
    names = {row.name for row in _pull_failures._TABLE} | {
        "token_unknown_authority",
        "blob_unknown_authority",
        "token_ca_ignored",
        "timeout",
    }
    for group in (TRUST, FILES, TLS_FINE, NETWORK):
        assert group <= names
    groups = [TRUST, FILES, TLS_FINE, NETWORK]
    assert sum(map(len, groups)) == len(frozenset().union(*groups))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            'Get "https://s3.lab/b?X-Amz-Signature=abc123&Expires=9": x509: bad',
            'Get "https://s3.lab/b?X-Amz-Signature=***&Expires=***": x509: bad',
        ),
        ('Get "https://bob:pw@h.lab/v2/": EOF', 'Get "https://***@h.lab/v2/": EOF'),
        (f"{IMAGE}@sha256:abc: not found", f"{IMAGE}@sha256:abc: not found"),
        ("login of bob with s3cr:et! failed", "login of bob with *** failed"),
        ("what? yes & no", "what? yes & no"),
    ],
)
def test_secrets_are_masked(message: str, expected: str) -> None:
    assert mask(message, ("bob", "s3cr:et!")) == expected


class FakeCri(Cri):
    """Answers a pull with what it was given."""

    used = "curl"

    def __init__(self, answer: str | Exception) -> None:
        self.answer = answer
        self.asked: list[Any] = []

    def pull(self, image: str, auth: tuple[str, str] | None = None) -> str:
        self.asked.append((image, auth))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def cri_error(code: str, detail: str, reason: str = "call_failed", **fields: Any) -> CriError:
    return CriError("no", code=code, detail=detail, via="curl", reason=reason, **fields)


def test_a_pull_that_succeeds() -> None:
    result = prove(FakeCri("sha256:abc"), IMAGE)
    assert result.to_dict() == {
        "image": IMAGE,
        "registry": REGISTRY,
        "ok": True,
        "reason": "pulled",
        "message": "pulled",
        "remedy": None,
        "via": "curl",
        "code": "OK",
        "image_ref": "sha256:abc",
    }


def test_a_pull_that_fails_is_a_result_without_secrets() -> None:
    cri = FakeCri(cri_error("Unknown", BLOB.format(i=IMAGE, v=VERIFY) + " s3cr:et!"))
    result = prove(cri, IMAGE, ("bob", "s3cr:et!"))
    assert cri.asked == [(IMAGE, ("bob", "s3cr:et!"))]
    assert (result.ok, result.reason, result.code, result.via) == (
        False,
        "blob_unknown_authority",
        "Unknown",
        "curl",
    )
    assert "SECRET" not in str(result)
    assert "s3cr:et!" not in str(result)


@pytest.mark.parametrize(
    ("core", "hinted"), [(UNKNOWN, True), (EXPIRY.format("after"), True), (f"{IMAGE}: not found", False)]
)
def test_a_hint_belongs_to_missing_trust_only(core: str, hinted: bool) -> None:
    result = prove(FakeCri(cri_error("Unknown", core)), IMAGE, hint="Look at hosts.toml.")
    assert ("Look at hosts.toml." in str(result.remedy)) is hinted


@pytest.mark.parametrize(
    "reason", ["no_cri_client", "cri_client_broken", "unsafe_credentials", "cri_v1alpha2_only"]
)
def test_what_stands_before_the_pull_keeps_its_name(reason: str) -> None:
    result = prove(FakeCri(cri_error("Unknown", "words", reason, next_step="do this")), IMAGE)
    assert (result.ok, result.reason, result.remedy) == (False, reason, "do this")


def test_a_pull_that_takes_too_long() -> None:
    result = prove(FakeCri(cri_error("DeadlineExceeded", "no answer within 60 seconds", "timeout")), IMAGE)
    assert result.reason == "timeout"
    assert "smaller image" in str(result.remedy)


def test_an_image_that_is_none_is_a_result_and_is_not_asked_for() -> None:
    cri = FakeCri("sha256:abc")
    result = prove(cri, "https://bob:pw@h.lab/x")
    assert (result.ok, result.reason, cri.asked) == (False, "invalid_image", [])
    assert "pw" not in str(result)


def test_a_result_survives_the_way_through_a_playbook() -> None:
    result = prove(FakeCri(cri_error("Unknown", UNKNOWN)), IMAGE)
    assert earlier(result.to_dict()) == result
    assert earlier({"image": IMAGE, "ok": True}).ok
    assert earlier({"image": IMAGE, "surplus": 1}).reason == "unknown"


def pull(reason: str) -> PullResult:
    return PullResult(IMAGE, REGISTRY, reason == "pulled", reason, "", None, "curl", "Unknown", None)


@pytest.mark.parametrize(
    ("before", "after", "caused"),
    [
        (None, "pulled", False),
        ("unknown_authority", "pulled", False),
        # our files and configuration are the only ones that this can come from
        (None, "ca_file_unusable", True),
        ("unknown_authority", "cri_not_loaded", True),
        ("pulled", "cri_unavailable", True),
        ("dns", "client_cert_broken", True),
        # trust that was there is gone
        ("pulled", "unknown_authority", True),
        ("not_found", "ca_reissued_same_name", True),
        ("unauthorized", "expired", True),
        # the registry took this node's client certificate, or asked for none, and now does not
        ("pulled", "client_cert_required", True),
        ("not_found", "client_cert_refused", True),
        ("client_cert_required", "client_cert_refused", False),
        ("unknown_authority", "client_cert_required", False),
        # trust that was not there is still not there
        ("unknown_authority", "unknown_authority", False),
        ("unknown_authority", "ca_reissued_same_name", False),
        ("dns", "unknown_authority", False),
        (None, "unknown_authority", False),
        # it was broken in the same way before, so the way back leads nowhere
        ("ca_file_unusable", "ca_file_unusable", False),
        ("cri_not_loaded", "cri_not_loaded", False),
        # network, registry, credentials
        ("pulled", "connect_timeout", False),
        ("pulled", "unauthorized", False),
        ("pulled", "not_found", False),
        ("pulled", "timeout", False),
        ("pulled", "unknown", False),
    ],
)
def test_what_a_change_can_have_caused(before: str | None, after: str, caused: bool) -> None:
    assert caused_by_change(pull(before) if before else None, pull(after)) is caused

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts recorded from crictl, and what is read from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils import _cri_text as text_of

X509 = (
    'failed to pull and unpack image "h.lab/x:1": failed to resolve reference "h.lab/x:1": failed to do request: '
    'Head "https://h.lab/v2/x/manifests/1": tls: failed to verify certificate: x509: certificate signed by '
    "unknown authority"
)
ESCAPED = X509.replace('"', '\\"')
KLOG = (
    'E1123 05:12:03.205383   32246 remote_image.go:180] "PullImage from image service failed" '
    f'err="rpc error: code = Unknown desc = {ESCAPED}" image="h.lab/x:1"\n'
)


@pytest.mark.parametrize(
    ("stderr", "expected"),
    [
        # up to 1.25 the code stands there, later it is left out when it is Unknown
        (f"FATA[0000] pulling image: rpc error: code = Unknown desc = {X509} \n", ("Unknown", X509)),
        (f"{KLOG}FATA[0037] pulling image: {X509} \n", ("Unknown", X509)),
        (
            f'{KLOG}time="2026-11-23T05:12:03Z" level=fatal msg="pulling image: {ESCAPED}"\n',
            ("Unknown", X509),
        ),
        (
            'time="2026-11-23T05:12:03Z" level=fatal msg="pulling image: rpc error: code = NotFound desc = a: b"',
            ("NotFound", "a: b"),
        ),
        (
            'time="2026-11-23T05:12:03Z" level=warning msg="image connect using default endpoints"\n'
            'time="2026-11-23T05:12:03Z" level=fatal msg="validate service connection: validate CRI v1 image API '
            'for endpoint \\"unix:///run/c.sock\\": rpc error: code = Unimplemented desc = unknown service '
            'runtime.v1.ImageService"',
            ("Unimplemented", "unknown service runtime.v1.ImageService"),
        ),
        (
            'FATA[0002] validate service connection: validate CRI v1 runtime API for endpoint "unix:///x": rpc '
            "error: code = DeadlineExceeded desc = context deadline exceeded ",
            ("DeadlineExceeded", "context deadline exceeded"),
        ),
        (
            "FATA[0002] connect: connect endpoint 'unix:///x', make sure you are running as root and the endpoint "
            "has been started: context deadline exceeded",
            (
                "DeadlineExceeded",
                "connect: connect endpoint 'unix:///x', make sure you are running as root and the endpoint has "
                "been started: context deadline exceeded",
            ),
        ),
        (
            'time="x" level=fatal msg="getting status of runtime: rpc error: code = Odd desc = \\u00fc\\t\\x41"',
            ("Unknown", "ü\tA"),
        ),
        ('time="x" level=fatal msg="flag provided but not defined: -image-endpoint"', None),
        ("No help topic for 'pull'", None),
        ("/usr/local/bin/crictl: cannot execute binary file", None),
        ("", None),
    ],
)
def test_last_words_of_crictl(stderr: str, expected: Any) -> None:
    assert text_of.status_of_crictl(stderr) == (text_of.GrpcStatus(*expected) if expected else None)


def test_version_that_crictl_prints() -> None:
    printed = (
        "Version:  0.1.0\nRuntimeName:  containerd\nRuntimeVersion:  1.6.20~ds1\nRuntimeApiVersion:  v1\n"
    )
    assert text_of.version_of_crictl(printed) == {
        "runtime_name": "containerd",
        "runtime_version": "1.6.20~ds1",
        "api_version": "v1",
    }


def test_reference_that_crictl_prints() -> None:
    assert text_of.image_ref_of_crictl("Image is up to date for sha256:abc\n") == "sha256:abc"


@pytest.mark.parametrize("read", [text_of.version_of_crictl, text_of.image_ref_of_crictl])
def test_other_words_of_crictl_are_refused(read: Callable[[str], object]) -> None:
    with pytest.raises(text_of.WireError):
        read("NAME:\n   crictl pull - Pull an image from a registry\n")


@pytest.mark.parametrize(
    ("text", "expected"), [('{"a": 1}', {"a": 1}), ("[]", None), ("{", None), (None, None)]
)
def test_json_object(text: str | None, expected: Any) -> None:
    assert text_of.json_object(text) == expected

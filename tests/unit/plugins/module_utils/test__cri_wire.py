# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes recorded from containerd 1.6.20, 1.7.24 and 2.1.9, and what is read from them."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils import _cri_wire as wire

VERSIONS = {
    "1.6.20~ds1": "00000000230a05302e312e30120a636f6e7461696e6572641a0a312e362e32307e64733122027631",
    "1.7.24~ds1": "00000000230a05302e312e30120a636f6e7461696e6572641a0a312e372e32347e64733122027631",
    "2.1.9+unknown": "00000000260a05302e312e30120a636f6e7461696e6572641a0d322e312e392b756e6b6e6f776e22027631",
}
OK_DUMP = "HTTP/2 200 \r\ncontent-type: application/grpc\r\n\r\ngrpc-status: 0\r\ngrpc-message: \r\n"


@pytest.mark.parametrize("version", VERSIONS)
def test_version_of_a_real_runtime(version: str) -> None:
    message = wire.unframe(bytes.fromhex(VERSIONS[version]))
    assert wire.version_response(message) == {
        "runtime_name": "containerd",
        "runtime_version": version,
        "api_version": "v1",
    }


def test_image_reference_of_a_real_pull() -> None:
    answer = bytes.fromhex("00000000490a47") + b"sha256:" + b"2" * 64
    assert wire.pull_response(wire.unframe(answer)) == "sha256:" + "2" * 64


def test_pull_request_as_bytes() -> None:
    assert wire.pull_request("h.lab/x:1", None).hex() == "0a0b0a09" + b"h.lab/x:1".hex()


def test_pull_request_with_credentials_as_bytes() -> None:
    # image, then AuthConfig as field 2 with user name 1 and password 2
    expected = "0a0b0a09" + b"h.lab/x:1".hex() + "120b" + "0a03" + b"bob".hex() + "1204" + b"s3:!".hex()
    assert wire.pull_request("h.lab/x:1", ("bob", "s3:!")).hex() == expected


def test_a_long_field_gets_a_length_of_two_bytes() -> None:
    assert wire.field(1, b"x" * 300)[:3].hex() == "0aac02"
    assert wire.fields(wire.field(1, b"x" * 300)) == [(1, b"x" * 300)]


def test_status_asks_for_the_configuration() -> None:
    assert wire.status_request().hex() == "0801"


def test_info_of_a_status() -> None:
    entry = wire.field(1, "config") + wire.field(2, '{"a": 1}')
    answer = wire.field(1, b"\x0a\x00") + wire.field(2, entry) + wire.field(2, wire.field(1, "golang"))
    assert wire.status_info(answer) == {"config": '{"a": 1}', "golang": ""}


def test_fields_of_other_types_are_skipped() -> None:
    message = b"\x08\x96\x01" + b"\x11" + b"8" * 8 + b"\x1d" + b"4" * 4 + wire.field(4, "here")
    assert wire.fields(message) == [(4, b"here")]


@pytest.mark.parametrize(
    "raw",
    ["", "00000000", "0000000005", "01000000010a", "00000000010a0a"],
    ids=["nothing", "short header", "short body", "compressed", "long body"],
)
def test_a_broken_frame_is_refused(raw: str) -> None:
    with pytest.raises(wire.WireError):
        wire.unframe(bytes.fromhex(raw))


@pytest.mark.parametrize("raw", ["0a05ff", "0a", "ffffffffffffffffffffff01", "0b", "0d01"])
def test_a_broken_message_is_refused(raw: str) -> None:
    with pytest.raises(wire.WireError):
        wire.fields(bytes.fromhex(raw))


@pytest.mark.parametrize(
    ("dump", "expected"),
    [
        (OK_DUMP, ("OK", "")),
        (
            "HTTP/2 200 \r\ncontent-type: application/grpc\r\ngrpc-status: 2\r\ngrpc-message: failed to parse "
            'image reference "harbor.lab.internal/nope:m%C3%BCt": invalid reference format\r\n\r\n',
            (
                "Unknown",
                'failed to parse image reference "harbor.lab.internal/nope:müt": invalid reference format',
            ),
        ),
        ("grpc-status: 12\r\ngrpc-message: unknown service", ("Unimplemented", "unknown service")),
        ("grpc-status: 5\r\n", ("NotFound", "")),
        ("GRPC-Status: 14\nGRPC-Message: a%3A b", ("Unavailable", "a: b")),
        ("grpc-status: 99\r\ngrpc-message: x", ("Unknown", "x")),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", None),
        ("grpc-status: abc", None),
        ("", None),
    ],
)
def test_end_of_a_call_in_a_header_dump(dump: str, expected: Any) -> None:
    assert wire.status_of_headers(dump) == (wire.GrpcStatus(*expected) if expected else None)

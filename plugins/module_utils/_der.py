# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read who and when from a DER certificate, with the standard library alone.

**PRIVATE** to the collection. Runs on nodes and on the controller.

The `ssl` module describes only certificates that are a CA; what lies on a node by mistake is often a leaf,
and that is what the person on call must be told about. So the names and dates are read here. This is no
validation: callers let OpenSSL accept the certificate first.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

SEQUENCE = 0x30
_OID = 0x06
_UTC_TIME = 0x17
_GENERALIZED_TIME = 0x18
_CONTEXT_0 = 0xA0
_ENCODINGS = {0x0C: "utf-8", 0x1E: "utf-16-be", 0x1C: "utf-32-be"}

# The short names of RFC 4514, and three that Harbor and corporate CAs use all the time.
_ATTRIBUTES = {
    "2.5.4.3": "CN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "emailAddress",
    "2.5.4.97": "organizationIdentifier",
}


class DerError(ValueError):
    """The bytes are not laid out as DER, or not as a certificate."""


class Element(NamedTuple):
    """One DER element: its tag, its content, and where the next one begins."""

    tag: int
    content: bytes
    end: int


class WhoAndWhen(NamedTuple):
    """The names and dates of a certificate."""

    subject: str
    issuer: str
    not_before: str
    not_after: str


def read_element(data: bytes, start: int = 0) -> Element:
    """The element that begins at `start`; `DerError` if it is not there completely."""
    try:
        tag, length, position = data[start], data[start + 1], start + 2
    except IndexError:
        raise DerError("the data ends inside an element") from None
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or position + count > len(data):
            raise DerError("the length of an element is damaged")
        length = int.from_bytes(data[position : position + count], "big")
        position += count
    end = position + length
    if end > len(data):
        raise DerError(f"{end - len(data)} bytes are missing")
    return Element(tag, data[position:end], end)


def check_one_sequence(data: bytes) -> None:
    """`DerError` unless the data is exactly one complete SEQUENCE, as every certificate is."""
    element = read_element(data)
    if element.tag != SEQUENCE:
        raise DerError("the data is not a DER sequence")
    if element.end != len(data):
        raise DerError(f"{len(data) - element.end} bytes follow after its end")


def who_and_when(der: bytes) -> WhoAndWhen:
    """Subject, issuer and validity of a certificate."""
    try:
        fields = list(_elements(read_element(read_element(der).content).content))
        if fields[0].tag == _CONTEXT_0:  # the version is absent in version 1
            fields = fields[1:]
        _serial, _algorithm, issuer, validity, subject = fields[:5]
        not_before, not_after = _elements(validity.content)
        return WhoAndWhen(_name(subject), _name(issuer), _time(not_before), _time(not_after))
    except (IndexError, ValueError) as exc:
        raise DerError(str(exc) or "the certificate is not laid out as X.509 demands") from None


def _elements(content: bytes) -> Iterator[Element]:
    position = 0
    while position < len(content):
        element = read_element(content, position)
        yield element
        position = element.end


def _name(name: Element) -> str:
    """The name as RFC 4514 writes it: the most specific part first."""
    parts = []
    for rdn in _elements(name.content):
        pairs = []
        for pair in _elements(rdn.content):
            oid, value = _elements(pair.content)
            key = _oid(oid.content)
            pairs.append(f"{_ATTRIBUTES.get(key, key)}={_escaped(_text(value))}")
        parts.append("+".join(pairs))
    return ",".join(reversed(parts))


def _oid(content: bytes) -> str:
    numbers = []
    value = 0
    for byte in content:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(str(number) for number in [first, numbers[0] - 40 * first, *numbers[1:]])


def _text(value: Element) -> str:
    return value.content.decode(_ENCODINGS.get(value.tag, "latin-1"), errors="replace")


def _escaped(text: str) -> str:
    """A name comes from whoever made the certificate: it must not steer a terminal or forge a second name."""
    result = []
    for index, char in enumerate(text):
        edge = (index == 0 and char in " #") or (index == len(text) - 1 and char == " ")
        if char in '\\"+,;<>' or edge:
            result.append("\\" + char)
        elif not char.isprintable():
            result.append("".join(f"\\{byte:02X}" for byte in char.encode("utf-8", "replace")))
        else:
            result.append(char)
    return "".join(result)


def _time(element: Element) -> str:
    text = element.content.decode("ascii")
    if element.tag == _UTC_TIME:
        # RFC 5280: two digits of the year mean 1950 to 2049.
        text = ("20" if text[:2] < "50" else "19") + text
    elif element.tag != _GENERALIZED_TIME:
        raise DerError("a date is missing")
    if len(text) != len("YYYYMMDDhhmmssZ") or not text[:-1].isdigit() or text[-1] != "Z":
        raise DerError("a date is not written as DER demands")
    # Not by strptime, which takes longer to load than all the rest takes to run.
    month, day, hour, minute, second = (int(text[at : at + 2]) for at in range(4, 14, 2))
    return f"{datetime(int(text[:4]), month, day, hour, minute, second).isoformat()}Z"

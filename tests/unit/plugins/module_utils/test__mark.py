# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which CA file is ours, and which one needs no writing."""

from __future__ import annotations

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils import _mark
from ansible_collections.nodetrust.harbor.plugins.module_utils._node import FileState, read_state
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import split
from tests.lab import pki

CA, OTHER = pki.make_ca("right"), pki.make_ca("other")
OURS = _mark.ca_content([CA.der, OTHER.der])


def state(content, kind="file"):
    return FileState("/ca.crt", kind, content)


def test_what_we_write_is_read_as_these_certificates_and_known_again():
    assert split(OURS) == [CA.der, OTHER.der]
    assert _mark.is_ours(state(OURS)) and _mark.holds(state(OURS), [OTHER.der, CA.der])


@pytest.mark.parametrize("changed_before", [True, False])
@pytest.mark.parametrize(
    ("content", "earlier"),
    [
        (CA.pem.encode(), True),
        ((CA.pem + OTHER.pem).encode(), True),
        (b"# the team's\n" + CA.pem.encode(), False),
        (CA.pem.replace("\n", "\r\n").encode(), False),
        (CA.pem.encode() + b"\n", False),
        (b"", False),
        (b"junk", False),
    ],
)
def test_the_file_of_an_earlier_release_is_ours_where_that_was_at_work(
    tmp_path, monkeypatch, content, earlier, changed_before
):
    monkeypatch.setattr(_mark, "STATE_DIR", str(tmp_path if changed_before else tmp_path / "none"))
    assert _mark.is_ours(state(content)) is (earlier and changed_before)


@pytest.mark.parametrize(
    "found", [None, state(None, "absent"), state(None, "directory"), state(None, "link")]
)
def test_what_is_no_file_is_not_ours(found):
    assert not _mark.is_ours(found) and not _mark.holds(found, [CA.der])


def test_what_a_link_leads_to_is_not_ours(tmp_path):
    (tmp_path / "site.pem").write_bytes(OURS)
    (tmp_path / "ca.crt").symlink_to("site.pem")
    assert not _mark.is_ours(read_state(str(tmp_path / "ca.crt")))


@pytest.mark.parametrize(
    ("content", "held"),
    [
        (CA.pem.encode(), True),
        (b"# the team's\r\n" + CA.pem.replace("\n", "\r\n").encode(), True),
        ((CA.pem + OTHER.pem).encode(), False),
        (b"\xef\xbb\xbf" + CA.pem.encode(), False),  # runtimes refuse it (runtime-facts §3)
        (b"", False),
    ],
)
def test_a_file_that_holds_exactly_these_is_left_as_it_is(content, held):
    assert _mark.holds(state(content), [CA.der]) is held

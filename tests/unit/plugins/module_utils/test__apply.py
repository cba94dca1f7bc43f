# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All steps or none, and the way back. Real files under a temporary directory."""

from __future__ import annotations

import json

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils import _apply, _node, _trust
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import Change
from tests.lab import pki


@pytest.fixture(autouse=True)
def node(tmp_path, monkeypatch):
    monkeypatch.setattr(_apply, "STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(_apply, "RECORD", str(tmp_path / "state" / "previous.json"))
    return tmp_path


def write(path, content=b"new"):
    return Change("write", str(path), "write", content)


def snapshot(root):
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
        for path in sorted(root.rglob("*"))
        if "state" not in path.parts
    }


def test_a_change_and_the_way_back(node):
    config = node / "config.toml"
    config.write_bytes(b"old")
    before = snapshot(node)
    ca = node / "certs.d" / "harbor.test" / "ca.crt"
    backup = _apply.apply([write(ca), Change("config", str(config), "set", b"edited")])
    assert ca.read_bytes() == b"new" and config.read_bytes() == b"edited"
    assert backup == f"{config}.before-nodetrust"
    assert (node / "config.toml.before-nodetrust").read_bytes() == b"old"
    _apply.bring_back(_apply.differing(_apply.previous()))
    after = snapshot(node)
    after.pop("config.toml.before-nodetrust")
    assert {**before, "certs.d": None} == after
    assert _apply.previous() == []


def test_a_removal_and_the_way_back(node):
    ca = node / "certs.d" / "harbor.test" / "ca.crt"
    ca.parent.mkdir(parents=True)
    ca.write_bytes(b"old")
    before = snapshot(node)
    _apply.apply([Change("remove", str(ca), "remove"), Change("rmdir", str(ca.parent), "rmdir")])
    assert not ca.parent.exists()
    _apply.bring_back(_apply.previous())
    assert snapshot(node) == before


def test_a_step_that_fails_takes_back_those_before_it(node, monkeypatch):
    first, second = node / "certs.d" / "a.test" / "ca.crt", node / "blocked" / "ca.crt"
    (node / "blocked").write_bytes(b"a file where a directory should be")
    before = snapshot(node)
    with pytest.raises(TrustError) as caught:
        _apply.apply([write(first), write(second)])
    assert str(second) in str(caught.value)
    after = snapshot(node)
    assert {**before, "certs.d": None} == after


def test_without_a_change_there_is_no_way_back():
    assert _apply.previous() == []


@pytest.mark.parametrize("text", ["", "{", '{"format": 99}', "[]", '{"format": 1, "files": [{}]}'])
def test_a_broken_record_is_told(node, text):
    (node / "state").mkdir()
    (node / "state" / "previous.json").write_text(text)
    with pytest.raises(TrustError) as caught:
        _apply.previous()
    assert caught.value.reason == "record_broken" and "previous.json" in caught.value.next_step


def test_the_record_is_for_root_only(node):
    _apply.apply([write(node / "certs.d" / "a.test" / "ca.crt")])
    record = node / "state" / "previous.json"
    assert record.stat().st_mode & 0o777 == 0o600
    assert json.loads(record.read_text())["files"][0]["kind"] == "absent"


def test_a_second_run_at_the_same_time_is_refused():
    with _apply.only_one(), pytest.raises(TrustError) as caught, _apply.only_one():
        pass
    assert caught.value.reason == "locked"


def test_a_lock_whose_directory_was_taken_away_meanwhile_is_not_held(node, monkeypatch):
    flock = _apply.fcntl.flock

    def late(handle, how):
        (node / "state").rename(node / "elsewhere")
        flock(handle, how)

    monkeypatch.setattr(_apply.fcntl, "flock", late)
    with pytest.raises(TrustError) as caught, _apply.only_one():
        pass
    assert caught.value.reason == "locked"


def test_what_is_forgotten_leaves_nothing(node):
    _apply.apply([write(node / "certs.d" / "a.test" / "ca.crt")])
    (node / "state.removed").mkdir()
    (node / "state.removed" / "of a removal that was killed").touch()
    assert _apply.forget(check_mode=True) and _apply.previous()
    assert _apply.forget(check_mode=False)
    assert sorted(path.name for path in node.iterdir()) == ["certs.d"]
    assert not _apply.forget(check_mode=False)
    assert sorted(path.name for path in node.iterdir()) == ["certs.d"]


def test_nothing_is_forgotten_while_another_run_holds_the_node(node):
    _apply.apply([write(node / "certs.d" / "a.test" / "ca.crt")])
    with _apply.only_one():
        with pytest.raises(TrustError) as caught:
            _apply.forget(check_mode=False)
        assert caught.value.reason == "locked"
        with pytest.raises(TrustError), _apply.only_one():
            pass
    assert _apply.previous()


def test_forgetting_is_said(node):
    _apply.apply([write(node / "certs.d" / "a.test" / "ca.crt")])
    said = _trust.forget(check_mode=False)
    assert (said["changed"], said["changes"]) == (True, [f"remove {node / 'state'}"])
    assert not _trust.forget(check_mode=False)["changed"]


def test_diff_shows_certificates_and_of_a_configuration_only_the_changed_lines(node):
    ca = pki.make_ca("Lab CA")
    config = node / "config.toml"
    config.write_bytes(b'[auth]\npassword = "secret"\nconfig_path = ""\n')
    new = config.read_bytes().replace(b'""', b'"/etc/containerd/certs.d"')
    shown = _apply.diff([write(node / "ca.crt", ca.pem.encode()), Change("config", str(config), "set", new)])
    assert shown[0]["before"] == "" and ca.fingerprint in shown[0]["after"] and "Lab CA" in shown[0]["after"]
    assert '+config_path = "/etc/containerd/certs.d"' in shown[1]["prepared"]
    assert "secret" not in json.dumps(shown)


def test_diff_of_a_tampered_file_says_so(node):
    (node / "ca.crt").write_text("junk")
    (shown,) = _apply.diff([write(node / "ca.crt", pki.make_ca("x").pem.encode())])
    assert "not usable as a file of certificates" in shown["before"]


def test_files_of_today_are_not_brought_back_when_nothing_differs(node):
    path = node / "ca.crt"
    path.write_bytes(b"old")
    _apply.apply([write(path)])
    path.write_bytes(b"old")
    assert _apply.differing(_apply.previous()) == []
    assert _node.read_state(str(path)).content == b"old"


def test_what_somebody_edited_since_is_theirs(node):
    config = node / "config.toml"
    config.write_bytes(b"old")
    ca = node / "certs.d" / "harbor.test" / "ca.crt"
    _apply.apply([write(ca), Change("config", str(config), "set", b"edited")])
    assert _apply.edited_since() == []
    config.write_bytes(b"edited, and then by somebody else")
    assert _apply.edited_since() == [str(config)]
    result = _trust.take_back(check_mode=False)
    assert not result["rolled_back"] and str(config) in result["msg"]
    assert ca.exists() and config.read_bytes() == b"edited, and then by somebody else"


def test_what_is_already_back_is_not_an_edit(node):
    config = node / "config.toml"
    config.write_bytes(b"old")
    _apply.apply([Change("config", str(config), "set", b"edited")])
    config.write_bytes(b"old")
    assert _apply.edited_since() == []


def test_a_diff_shows_no_login_that_stands_in_a_line_that_changes(node):
    config = node / "config.toml"
    config.write_text(
        """h = { auth = { username = "robot", "password" = 's3cret' }, tls = { ca_file = "/x" } }\n"""
    )
    (shown,) = _apply.diff(
        [Change("config", str(config), "cut", b"""h = { auth = { username = "robot" } }\n""")]
    )
    assert (
        "s3cret" not in shown["prepared"] and "robot" not in shown["prepared"] and "/x" in shown["prepared"]
    )


def test_somebodys_file_keeps_its_mode_and_its_owner(node):
    hosts = node / "hosts.toml"
    hosts.write_bytes(b"old")
    hosts.chmod(0o600)
    _apply.apply([Change("text", str(hosts), "add", b"new")])
    assert hosts.read_bytes() == b"new" and hosts.stat().st_mode & 0o777 == 0o600
    _apply.bring_back(_apply.previous())
    assert hosts.read_bytes() == b"old"


def test_what_a_killed_run_left_half_made_goes_with_the_next_change(node):
    directory = node / "certs.d" / "harbor.test"
    directory.mkdir(parents=True)
    (directory / ".x.nodetrust-tmp").write_bytes(b"half")
    (node / "certs.d" / ".y.nodetrust-tmp").mkdir()
    (node / "certs.d" / ".y.nodetrust-tmp" / "ca.crt").write_bytes(b"half")
    (directory / ".somebody-elses").write_bytes(b"kept")
    _apply.apply([write(directory / "ca.crt")])
    assert sorted(snapshot(node)) == [
        "certs.d",
        "certs.d/harbor.test",
        "certs.d/harbor.test/.somebody-elses",
        "certs.d/harbor.test/ca.crt",
    ]


@pytest.mark.parametrize("kind", ["config", "text"])
def test_a_file_that_is_a_link_is_left_to_who_made_it(node, kind):
    (node / "real.toml").write_bytes(b"old")
    (node / "config.toml").symlink_to(node / "real.toml")
    with pytest.raises(TrustError) as caught:
        _apply.refuse_links([Change(kind, str(node / "config.toml"), "set it", b"new")])
    assert caught.value.reason == "config_is_a_link" and str(node / "real.toml") in caught.value.next_step
    _apply.refuse_links([Change("write", str(node / "config.toml"), "replace it", b"new")])


def process(started):
    return _node.Process(7, "containerd", (), "/bin/containerd", None, started)


def test_a_second_change_does_not_forget_one_that_waits_for_its_restart(node):
    config, ca, second = node / "config.toml", node / "a" / "ca.crt", node / "b" / "ca.crt"
    config.write_bytes(b"old")
    before = snapshot(node)
    _apply.apply([write(ca, b"1"), Change("config", str(config), "set", b"edited")])
    older = process(config.stat().st_mtime - 10)
    _apply.apply([write(second), write(ca, b"2")], _apply.waiting(older))
    assert {found.path for found in _apply.previous()} == {str(config), str(ca), str(second)}
    assert _apply.edited_since() == []
    _apply.bring_back(_apply.previous())
    after = snapshot(node)
    after.pop("config.toml.before-nodetrust")
    assert after == before


def test_what_a_process_has_started_with_is_not_what_breaks_it_now(node):
    config, ca = node / "config.toml", node / "a" / "ca.crt"
    config.write_bytes(b"old")
    _apply.apply([Change("config", str(config), "set", b"edited")])
    now = config.stat().st_mtime
    assert _apply.waiting(process(now - 10)) and not _apply.waiting(process(now + 10))
    assert not _apply.waiting(None)
    # A file that is read at every pull waits for no restart.
    _apply.apply([write(ca)])
    assert not _apply.waiting(process(now - 10))

"""Key files: who is admitted, who is refused, and what nobody else may read."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import pytest
import zmq
import zmq.auth

from boruta.certificates import is_z85_key, parse_certificate
from boruta.domain.errors import (
    ActionRefused,
    BadConfig,
    BadRequest,
    BorutaError,
    NotFoundError,
    NotPermitted,
)
from boruta.domain.types import Caller, Role
from boruta.keys import KeyRing, load_pair, read_server_key
from boruta.pairs import new_pair


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def ring(data: Path) -> KeyRing:
    return KeyRing.open(data)


def _write(data: Path, name: str, text: str) -> Path:
    path = data / "keys/peers" / f"{name}.key"
    path.write_text(text)
    path.chmod(0o600)
    return path


def _peer(public: str, role: str = "user", more: str = "") -> str:
    return f'metadata\n    role = {role}\n{more}curve\n    public-key = "{public}"\n'


def test_the_first_start_makes_keys_that_stay(data: Path) -> None:
    first, second = KeyRing.open(data), KeyRing.open(data)
    assert first.server == second.server
    assert first.local == second.local
    assert first.server != first.local
    assert (data / "keys/store.key").stat().st_size == 32


def test_everything_in_a_data_directory_is_the_owners_alone(data: Path, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        KeyRing.open(data).new("alice", "user", (), tmp_path)
    finally:
        os.umask(old)
    for path in (data, *data.rglob("*"), tmp_path / "alice.key", tmp_path / "alice.key_secret"):
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_pyzmq_reads_our_key_files(ring: KeyRing, data: Path, tmp_path: Path) -> None:
    public_file, secret_file = ring.new("alice", "user", ("lab",), tmp_path)
    public, secret = zmq.auth.load_certificate(secret_file)
    assert zmq.auth.load_certificate(public_file) == (public, None)
    assert secret is not None
    assert zmq.curve_public(secret) == public
    assert load_pair(secret_file).public == public.decode()
    ours = zmq.auth.load_certificate(data / "keys/server.key_secret")
    assert ours[0] == ring.server.public.encode()


def test_we_read_the_key_files_that_pyzmq_makes(ring: KeyRing, tmp_path: Path) -> None:
    made = zmq.auth.create_certificates(tmp_path, "bob", {"email": "bob@lab"})
    ring.add("bob", "worker", (), read_server_key(made[0]))
    os.chmod(made[1], 0o600)
    assert ring.admit(load_pair(made[1]).public) == Caller("bob", Role.WORKER)


def test_a_peer_is_its_key_with_role_and_groups(ring: KeyRing, tmp_path: Path) -> None:
    ring.new("alice", "user", ("lab", "nightly", "lab"), tmp_path)
    pair = load_pair(tmp_path / "alice.key_secret")
    assert ring.admit(pair.public) == Caller("alice", Role.USER, ("lab", "nightly"))
    assert ring.admit(ring.local.public) == Caller("local", Role.ADMIN)
    assert ring.admit(ring.server.public) is None
    assert ring.admit(new_pair()[0]) is None


def test_another_look_finds_what_was_added_changed_and_removed(data: Path) -> None:
    running, command = KeyRing.open(data), KeyRing.open(data)
    public, _ = new_pair()
    command.add("alice", "user", (), public)
    changes = running.poll()
    assert (changes.added, changes.cut, changes.removed) == (("alice",), (), ())
    assert not running.poll()

    _write(data, "alice", _peer(public, "admin"))
    changes = running.poll()
    assert (changes.added, changes.cut, changes.removed) == ((), (public,), ())
    assert running.admit(public) == Caller("alice", Role.ADMIN)

    command.poll()
    command.remove("alice")
    changes = running.poll()
    assert (changes.added, changes.cut, changes.removed) == ((), (public,), ("alice",))
    assert running.admit(public) is None


def test_a_file_that_breaks_cuts_its_peer_and_ends_nothing(ring: KeyRing, data: Path) -> None:
    public, _ = new_pair()
    ring.add("alice", "user", (), public)
    path = _write(data, "alice", "nonsense")
    changes = ring.poll()
    assert (changes.cut, changes.removed) == ((public,), ())
    path.unlink()
    assert ring.poll().removed == ("alice",)


@pytest.mark.parametrize(
    ("role", "more", "why"),
    [
        ("boss", "", "worker, user, admin"),
        ("", "", "no role"),
        ("user", "    groups =\n", "empty name"),
        ("user", "    groups = lab,,x\n", "empty name"),
        ("user", '    groups = lab, "x\n', "no comma, quote"),
        ("user", f"    groups = {'g' * 129}\n", "128 bytes"),
        ("user", "    group = lab\n", "'group' (allowed"),
        ("user", "    groups = a\n    groups = b\n", "twice"),
        ("user", "    what is this\n", "not a key file"),
    ],
)
def test_a_broken_peer_file_admits_nobody_and_says_why(
    ring: KeyRing, data: Path, caplog: pytest.LogCaptureFixture, role: str, more: str, why: str
) -> None:
    public, _ = new_pair()
    _write(data, "alice", _peer(public, role, more))
    with caplog.at_level(logging.ERROR, "boruta.keys"):
        ring.poll()
        ring.poll()
    assert ring.admit(public) is None
    assert why in ring.broken()["alice"]
    assert len(caplog.records) == 1  # once, not at each look
    assert why in caplog.text


@pytest.mark.parametrize("text", ["", "metadata\ncurve\n", 'curve\n public-key = "x"\n', "\0" * 99])
def test_a_file_without_a_key_admits_nobody(ring: KeyRing, data: Path, text: str) -> None:
    _write(data, "alice", text)
    ring.poll()
    assert "alice" in ring.broken()


def test_a_huge_or_binary_peer_file_is_refused(ring: KeyRing, data: Path) -> None:
    path = _write(data, "alice", "")
    path.write_bytes(b"\xff" * (1 << 20))
    ring.poll()
    assert "too large" in ring.broken()["alice"]


def test_a_pipe_or_a_directory_in_place_of_a_peer_file_admits_nobody_and_stops_nothing(
    tmp_path: Path,
) -> None:
    ring = KeyRing.open(tmp_path / "data")
    peers = tmp_path / "data" / "keys" / "peers"
    os.mkfifo(peers / "pipe.key", 0o600)
    (peers / "place.key").mkdir(mode=0o700)
    ring.poll()
    assert dict(ring.broken()) == {"pipe": "no regular file", "place": "no regular file"}


def test_one_key_under_two_names_is_refused_by_the_command(ring: KeyRing) -> None:
    public, _ = new_pair()
    ring.add("alice", "user", (), public)
    with pytest.raises(ActionRefused, match="admitted as alice"):
        ring.add("bob", "admin", (), public)
    with pytest.raises(ActionRefused, match="the server itself"):
        ring.add("bob", "admin", (), ring.server.public)


def test_one_key_under_two_names_by_hand_admits_under_neither(ring: KeyRing, data: Path) -> None:
    public, _ = new_pair()
    ring.add("alice", "user", (), public)
    _write(data, "bob", _peer(public, "admin"))
    assert ring.poll().cut == (public,)
    assert ring.admit(public) is None
    assert ring.broken()["bob"] == "the same key as alice"
    ring.remove("bob")
    assert ring.admit(public) == Caller("alice", Role.USER)


def test_the_local_key_under_a_peers_name_stays_the_local_admin(ring: KeyRing, data: Path) -> None:
    _write(data, "bob", _peer(ring.local.public, "worker"))
    ring.poll()
    assert ring.admit(ring.local.public) == Caller("local", Role.ADMIN)
    assert "bob" in ring.broken()


@pytest.mark.parametrize(
    "name", ["", ".x", "a/b", "../x", "a b", "ä", "x" * 65, "local", "server", "a\n", "a\0b"]
)
def test_a_name_that_is_not_allowed_is_refused(ring: KeyRing, tmp_path: Path, name: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadRequest):
        ring.new(name, "user", (), tmp_path)
    with pytest.raises(BadRequest):
        ring.add(name, "user", (), new_pair()[0])
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_with_a_reserved_name_admits_nobody(ring: KeyRing, data: Path) -> None:
    public, _ = new_pair()
    _write(data, "local", _peer(public, "user"))
    ring.poll()
    assert ring.admit(public) is None


def test_a_name_that_is_taken_keeps_its_key(ring: KeyRing, tmp_path: Path) -> None:
    public, _ = new_pair()
    ring.add("alice", "user", (), public)
    with pytest.raises(ActionRefused, match="key remove alice"):
        ring.new("alice", "admin", (), tmp_path)
    assert not (tmp_path / "alice.key_secret").exists()
    assert ring.admit(public) == Caller("alice", Role.USER)


def test_a_new_pair_never_overwrites_a_file(ring: KeyRing, tmp_path: Path) -> None:
    (tmp_path / "alice.key_secret").write_text("precious")
    with pytest.raises(ActionRefused, match="is there already"):
        ring.new("alice", "user", (), tmp_path)
    assert (tmp_path / "alice.key_secret").read_text() == "precious"
    assert ring.peers() == []


def test_a_new_pair_with_nowhere_to_go_admits_nobody(ring: KeyRing, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="cannot write"):
        ring.new("alice", "user", (), tmp_path / "nowhere")
    assert ring.peers() == []


def test_an_unknown_key_cannot_be_removed(ring: KeyRing) -> None:
    ring.add("alice", "user", (), new_pair()[0])
    with pytest.raises(NotFoundError, match=r"bob not found \(alice\)"):
        ring.remove("bob")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_a_peer_file_that_others_can_read_or_write_admits_nobody(
    ring: KeyRing, data: Path, mode: int
) -> None:
    public, _ = new_pair()
    ring.add("alice", "user", (), public)
    path = data / "keys/peers/alice.key"
    path.chmod(mode)
    ring.poll()
    assert ring.admit(public) is None
    assert f"chmod 600 {path}" in ring.broken()["alice"]
    path.chmod(0o600)
    ring.poll()
    assert ring.admit(public) is not None


@pytest.mark.parametrize(
    ("name", "mode", "mend"),
    [
        (".", 0o750, "chmod 700"),
        ("keys", 0o705, "chmod 700"),
        ("keys/peers", 0o770, "chmod 700"),
        ("keys/server.key_secret", 0o640, "chmod 600"),
        ("keys/server.key", 0o646, "chmod 600"),
        ("keys/local.key_secret", 0o604, "chmod 600"),
        ("keys/store.key", 0o660, "chmod 600"),
    ],
)
def test_what_others_can_read_or_write_is_refused_with_the_cure(
    ring: KeyRing, data: Path, name: str, mode: int, mend: str
) -> None:
    path = data / name
    path.chmod(mode)
    with pytest.raises(NotPermitted) as caught:
        KeyRing.open(data)
    assert f"mode {mode:04o}" in caught.value.message
    assert f"{mend} {path}" in caught.value.message


def test_a_data_directory_that_is_a_file_or_below_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for data in (tmp_path / "file", tmp_path / "file/below/it"):
        with pytest.raises(BadConfig, match=f"{tmp_path / 'file'} is a file"):
            KeyRing.open(data)


def test_to_look_makes_nothing(data: Path) -> None:
    with pytest.raises(NotFoundError, match="no data directory"):
        KeyRing.open(data, make=False)
    assert not data.exists()


def test_a_lost_secret_is_not_replaced_in_silence(ring: KeyRing, data: Path) -> None:
    (data / "keys/server.key_secret").unlink()
    with pytest.raises(BadConfig, match="put it back"):
        KeyRing.open(data)


def test_a_lost_public_half_is_made_again(ring: KeyRing, data: Path) -> None:
    (data / "keys/server.key").unlink()
    assert KeyRing.open(data).server == ring.server
    assert read_server_key(data / "keys/server.key") == ring.server.public


def test_halves_of_different_pairs_are_refused(ring: KeyRing, data: Path) -> None:
    (data / "keys/server.key").unlink()
    (data / "keys/local.key").rename(data / "keys/server.key")
    with pytest.raises(BadConfig, match="no pair"):
        KeyRing.open(data)


def test_a_servers_key_is_a_text_or_a_file(ring: KeyRing, data: Path, tmp_path: Path) -> None:
    assert read_server_key(ring.server.public) == ring.server.public
    assert read_server_key(str(data / "keys/server.key")) == ring.server.public
    for bad in ("x", "#" * 40, str(tmp_path), ring.server.public[:-1]):
        with pytest.raises(BadConfig):
            read_server_key(bad)


def test_a_pair_needs_its_secret_half(ring: KeyRing, tmp_path: Path) -> None:
    public_file, secret_file = ring.new("alice", "user", (), tmp_path)
    with pytest.raises(BadConfig, match=r"only a public key.*alice\.key_secret"):
        load_pair(public_file)
    secret_file.chmod(0o644)
    with pytest.raises(NotPermitted, match="chmod 600"):
        load_pair(secret_file)
    with pytest.raises(BadConfig, match="cannot be read"):
        load_pair(tmp_path / "none")


def test_no_secret_shows_in_a_repr_or_an_error(ring: KeyRing, tmp_path: Path) -> None:
    _, secret_file = ring.new("alice", "user", (), tmp_path)
    pair = load_pair(secret_file)
    text = secret_file.read_text()
    assert pair.secret not in repr(parse_certificate(text))
    assert pair.secret not in repr(pair)
    secret_file.write_text(text.replace(pair.public, ring.server.public))
    with pytest.raises(BorutaError) as caught:
        load_pair(secret_file)
    assert pair.secret not in str(caught.value)


def test_out_of_descriptors_nobody_is_thrown_out(
    ring: KeyRing, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public, _ = new_pair()
    ring.add("alice", "user", (), public)

    def exhausted(*_: object) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", exhausted)
        assert not ring.poll()
    os.utime(data / "keys/peers/alice.key")
    with monkeypatch.context() as patch:
        patch.setattr("boruta.peers.read_certificate", exhausted)
        assert not ring.poll()
    assert ring.admit(public) is not None


def test_a_key_is_forty_characters_that_stand_for_thirty_two_bytes() -> None:
    assert is_z85_key("rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7")
    assert not is_z85_key("#" * 40)  # beyond 32 bits each
    assert not is_z85_key('"' * 40)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_makes_in_a_users_directory_is_the_users(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    os.chown(home, 12345, 12345)
    ring = KeyRing.open(home / "data")
    ring.new("alice", "user", (), tmp_path)
    for path in (home / "data", *(home / "data").rglob("*")):
        assert path.stat().st_uid == 12345, path

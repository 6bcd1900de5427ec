"""Which server is talked to, with which keys, and what is said when there is none."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from boruta.certificates import Certificate, write_certificate
from boruta.connecting import Found, find, read_address
from boruta.domain.errors import BadConfig, NotPermitted, Unreachable
from boruta.pairs import new_pair

SERVER, OTHER = new_pair()[0], new_pair()[0]


def pair(path: Path) -> tuple[str, str]:
    """A key file of one's own; its public key and its path."""
    public, secret = new_pair()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o600)
    path.write_text(write_certificate(Certificate(public, secret)))
    return public, str(path)


@pytest.fixture(autouse=True)
def not_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own directories count, whoever runs them."""
    monkeypatch.setattr("boruta.places.SYSTEM_CONFIG", Path("/nonexistent"))
    monkeypatch.setattr("os.geteuid", lambda: os.getuid() or 1000)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment that says nothing but where things lie."""
    return {
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }


def look(environ: dict[str, str], **flags: object) -> Found:
    names = ("url", "server_key", "key", "profile", "data")
    return find(*(flags.get(name) for name in names), environ)  # type: ignore[arg-type]


def local_server(data: Path, *, pid: int | None = None, **more: object) -> str:
    """What a running server leaves in DATA; the public key of the local admin."""
    data.mkdir(parents=True, mode=0o700)
    said = {"pid": pid or os.getpid(), "url": "tcp://127.0.0.1:7175", "server_key": SERVER, **more}
    (data / "server.json").write_text(json.dumps(said))
    return pair(data / "keys" / "local.key_secret")[0]


def profiles(environ: dict[str, str], text: str) -> None:
    path = Path(environ["XDG_CONFIG_HOME"]) / "boruta" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)


def urls(found: Found) -> list[str]:
    return [address.url for address in found.servers]


def test_a_server_on_this_machine_needs_no_configuration(
    environ: dict[str, str], tmp_path: Path
) -> None:
    public = local_server(tmp_path / "state" / "boruta")
    found = look(environ)
    assert urls(found) == ["tcp://127.0.0.1:7175"]
    assert found.servers[0].server_key == SERVER
    assert found.keys is not None
    assert found.keys.public == public
    assert found.insecure is False


def test_a_data_directory_of_ones_own_counts_alone(environ: dict[str, str], tmp_path: Path) -> None:
    local_server(tmp_path / "state" / "boruta", url="tcp://127.0.0.1:1111")
    local_server(tmp_path / "mine", url="tcp://127.0.0.1:2222")
    environ["BORUTA_SERVER"] = "tcp://elsewhere:7175"
    assert urls(look(environ, data=tmp_path / "mine")) == ["tcp://127.0.0.1:2222"]


def test_a_flag_beats_the_environment_which_beats_the_profile(
    environ: dict[str, str], tmp_path: Path
) -> None:
    ours = [pair(tmp_path / f"{name}.key_secret") for name in ("flag", "environment", "profile")]
    profiles(
        environ,
        'default = "lab"\n[profiles.lab]\nserver = "tcp://profile:1"\n'
        f'server_key = "{SERVER}"\nkey = "{ours[2][1]}"\n',
    )
    found = look(environ)
    assert (urls(found), found.keys and found.keys.public) == (["tcp://profile:1"], ours[2][0])
    environ |= {"BORUTA_SERVER": "env:2", "BORUTA_SERVER_KEY": OTHER, "BORUTA_KEY": ours[1][1]}
    found = look(environ)
    assert (urls(found), found.keys and found.keys.public) == (["tcp://env:2"], ours[1][0])
    assert found.servers[0].server_key == OTHER
    found = look(environ, url="tcp://flag:3", server_key=SERVER, key=ours[0][1])
    assert (urls(found), found.keys and found.keys.public) == (["tcp://flag:3"], ours[0][0])
    assert found.servers[0].server_key == SERVER


def test_a_profile_that_is_named_beats_the_environment(
    environ: dict[str, str], tmp_path: Path
) -> None:
    key = pair(tmp_path / "me.key_secret")[1]
    one = f'server_key = "{SERVER}"\nkey = "{key}"\n'
    profiles(
        environ,
        f'[profiles.a]\nserver = "tcp://a"\n{one}'
        f'[profiles.b]\nserver = ["tcp://b1", "b2:9"]\n{one}',
    )
    environ |= {"BORUTA_SERVER": "tcp://env:2", "BORUTA_PROFILE": "a"}
    assert urls(look(environ, profile="b")) == ["tcp://b1:7175", "tcp://b2:9"]
    del environ["BORUTA_SERVER"]
    assert urls(look(environ)) == ["tcp://a:7175"]
    with pytest.raises(BadConfig, match="'c' is not known"):
        look(environ, profile="c")


def test_keys_of_a_profile_serve_its_own_server_alone(
    environ: dict[str, str], tmp_path: Path
) -> None:
    key = pair(tmp_path / "me.key_secret")[1]
    profiles(
        environ,
        'default = "lab"\n[profiles.lab]\nserver = "lab"\n'
        f'server_key = "{SERVER}"\nkey = "{key}"\n',
    )
    assert look(environ, url="tcp://lab:7175").servers[0].server_key == SERVER
    with pytest.raises(BadConfig, match="public key is not known"):
        look(environ, url="tcp://other:7175")


def test_the_address_of_the_server_on_this_machine_finds_its_keys(
    environ: dict[str, str], tmp_path: Path
) -> None:
    public = local_server(tmp_path / "state" / "boruta")
    found = look(environ, url="127.0.0.1")
    assert found.keys is not None
    assert found.keys.public == public


def test_no_server_at_all_says_where_was_looked_and_what_to_do(environ: dict[str, str]) -> None:
    with pytest.raises(Unreachable) as error:
        look(environ)
    text = str(error.value)
    for said in ("BORUTA_SERVER", "config.toml", "state/boruta/server.json", "boruta server"):
        assert said in text


def test_a_data_directory_without_a_server_says_how_to_start_one(
    environ: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(Unreachable, match=f"boruta server --data {tmp_path}/data"):
        look(environ, data=tmp_path / "data")


def test_a_server_that_was_killed_is_said_not_to_run(
    environ: dict[str, str], tmp_path: Path
) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    local_server(tmp_path / "state" / "boruta", pid=gone.pid)
    with pytest.raises(Unreachable, match=f"not running.*{gone.pid}"):
        look(environ)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": "1", "url": 2}'])
def test_a_sign_that_no_server_wrote_is_refused(
    environ: dict[str, str], tmp_path: Path, text: str
) -> None:
    local_server(tmp_path / "data")
    (tmp_path / "data" / "server.json").write_text(text)
    with pytest.raises(BadConfig, match="not what a server writes"):
        look(environ, data=tmp_path / "data")


def test_without_a_key_of_ones_own_it_says_how_to_get_one(environ: dict[str, str]) -> None:
    with pytest.raises(BadConfig, match="boruta key new"):
        look(environ, url="tcp://farm", server_key=SERVER)


def test_a_key_file_that_others_can_read_is_refused(
    environ: dict[str, str], tmp_path: Path
) -> None:
    key = pair(tmp_path / "me.key_secret")[1]
    os.chmod(key, 0o644)
    with pytest.raises(NotPermitted, match="chmod 600"):
        look(environ, url="tcp://farm", server_key=SERVER, key=key)


def test_a_server_without_keys_is_talked_to_only_when_told_so(
    environ: dict[str, str], tmp_path: Path
) -> None:
    found = look(environ, url="tcp://farm", server_key="none")
    assert (found.insecure, found.keys) == (True, None)
    local_server(tmp_path / "data", insecure=True)
    assert look(environ, data=tmp_path / "data").insecure is True


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("farm", "tcp://farm:7175"),
        ("farm:9", "tcp://farm:9"),
        ("tcp://farm", "tcp://farm:7175"),
        ("tcp://[::1]:9", "tcp://[::1]:9"),
        ("[::1]", "tcp://[::1]:7175"),
    ],
)
def test_a_port_may_be_left_out(text: str, full: str) -> None:
    assert read_address(text, "a test") == full


@pytest.mark.parametrize(
    "text", ["http://farm", "tcp://farm:0", "tcp://farm:x", "a/b", "::1", ":9"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BadConfig, match="want tcp://HOST:PORT"):
        read_address(text, "a test")

"""dryad.toml: what may stand there, and what is said of the rest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from boruta.domain.errors import BadConfig
from dryad import place
from dryad.config import (
    AgentConfig,
    check_complete,
    check_trust,
    load,
    read_server,
)
from dryad.sessions.limits import Limits
from dryad.tables import cap_text, read_cap

KEY = "a" * 40


def loaded(tmp_path: Path, text: str, name: str = "dryad.toml", **flags: Any) -> AgentConfig:
    path = tmp_path / name
    path.write_text(text)
    return load(path, {"HOME": str(tmp_path)}, flags)


def complaint(tmp_path: Path, text: str, name: str = "dryad.toml") -> str:
    with pytest.raises(BadConfig) as found:
        loaded(tmp_path, text, name)
    return str(found.value)


def test_everything_that_a_file_may_say(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        f"""
server = ["10.0.0.1", "tcp://farm.example:9000"]
server_key = "{KEY}"
key = "agent.key_secret"
ssh_address = "10.0.0.2:7022"
sessions = "embedded"
trust_holders = true
hardware = "simulated"
data = "/srv/dryad"
[caps]
UUID = "b1"
arch = "armv7l"
voltage = 3.3
cores = 4
hdmi = true
baud = [9600, 57600]
[user]
name = "holder"
groups = ["dialout"]
[limits]
processes = 200
memory = 300
file = 64
disk = 512
[console]
port = "/dev/ttyS1"
[checks]
fan = "fan-ok"
card = ["/usr/bin/card", "-q"]
""",
    )
    assert config == AgentConfig(
        server=("tcp://10.0.0.1:7175", "tcp://farm.example:9000"),
        server_key=KEY,
        key=str(tmp_path / "agent.key_secret"),
        ssh_address="10.0.0.2:7022",
        sessions="embedded",
        trust_holders=True,
        hardware="simulated",
        data=Path("/srv/dryad"),
        caps={
            "UUID": "b1",
            "arch": "armv7l",
            "voltage": "3.3",
            "cores": "4",
            "hdmi": "true",
            "baud": "9600, 57600",
        },
        username="holder",
        groups=("dialout",),
        limits=Limits(processes=200, memory=300 << 20, file=64 << 20, disk=512 << 20),
        console=("/dev/ttyS1", 115200),
        checks={"fan": ("/bin/sh", "-c", "fan-ok"), "card": ("/usr/bin/card", "-q")},
    )


def test_the_originals_file_is_read_too(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        """
listen_address = ":7175"
boruta_address = "10.0.0.1:7175"
ssh_address = ":22"
sdcard = "/dev/sdX"
stm_path = "/run/stm.socket"
something_else = 1

[caps]
  UUID = "b1"
  device = "tizen"

[user]
  name = "boruta-user"
  groups = []
""",
        "dryad.conf",
    )
    assert config.server == ("tcp://10.0.0.1:7175",)
    assert config.ssh_address == ":22"
    assert config.caps == {"UUID": "b1", "device": "tizen"}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("server = 5", 1, ["server", "a number"]),
        ("\nserver = []", 2, ["server"]),
        ('server = "a:b:c"', 1, ["server", "HOST:PORT"]),
        ('server = "h:99999"', 1, ["server"]),
        ('srever = "h"', 1, ["srever", "did you mean server?", "allowed: server,"]),
        ('sessions = "telnet"', 1, ["'telnet'", "allowed: embedded, system"]),
        ('hardware = "stmm"', 1, ["'stmm'", "allowed: none, simulated"]),
        ('# first\ntrust_holders = "yes"', 2, ["trust_holders", "true or false"]),
        ('ssh_address = "10.0.0.1"', 1, ["ssh_address", "HOST:PORT"]),
        ("data = 5", 1, ["data"]),
        ('[caps]\nUUID = "b1"\nbox = { a = 1 }', 3, ["[caps] box", "not a table"]),
        ("caps = 5", 1, ["caps"]),
        ('[caps]\nUUID = "a b"', 2, ["[caps] UUID", "'a b'", "without blanks"]),
        ('[caps]\narch = "a\\u001b"', 2, ["[caps] arch", "U+001B"]),
        (f'[caps]\narch = "{"x" * 1025}"', 2, ["[caps] arch", "at most 1024"]),
        ('[user]\nname = "Ü"', 2, ["[user] name", "a-z_"]),
        ("[user]\nnam = 5", 2, ["[user] nam", "did you mean name?"]),
        ('[user]\ngroups = "x"', 2, ["[user] groups", "list"]),
        ('[user]\ngroups = ["a,b"]', 2, ["[user] groups", "'a,b'"]),
        ("checks = 5", 1, ["checks", "[checks]"]),
        ('[checks]\nAb = "true"', 2, ["[checks] Ab", "no name"]),
        ("[checks]\nfan = 5", 2, ["[checks] fan", "a line for the shell"]),
        ("[console]\nport = 5", 2, ["[console] port", "whole path"]),
        ('[console]\nport = "/dev/x"\nbaud = 5', 3, ["[console] baud", "115200"]),
        ("limits = 5", 1, ["limits", "[limits]", "a number"]),
        ("[limits]\nfiles = 3", 2, ["[limits] files", "from 64 to"]),
        ("[limits]\nprocesses = true", 2, ["[limits] processes", "want a number"]),
        ("trust_holders = 'yes'", 1, ["trust_holders", "want true or false, not a text"]),
        ("[limits]\nfile = 0", 2, ["[limits] file", "from 1 to"]),
        ("[limits]\ndisk = '9 GB'", 2, ["[limits] disk", "want a number"]),
        ("[limits]\nproceses = 50", 2, ["[limits] proceses", "did you mean processes?"]),
    ],
)
def test_a_bad_value_is_named_with_file_line_and_what_is_allowed(
    tmp_path: Path, text: str, line: int, words: list[str]
) -> None:
    said = complaint(tmp_path, text)
    assert said.startswith(f"{tmp_path}/dryad.toml, line {line}: ")
    for word in words:
        assert word in said


def test_a_file_that_is_no_toml_is_named_with_the_line(tmp_path: Path) -> None:
    assert "line 2" in complaint(tmp_path, 'server = "h"\nkey = = 3')


def test_a_file_that_is_no_text_is_named_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "dryad.toml"
    path.write_bytes(b'server = "h"\nkey = "\xff"\n')
    with pytest.raises(BadConfig, match="line 2: not UTF-8"):
        load(path, {}, {})


def test_a_missing_file_is_an_error_only_if_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadConfig, match="cannot be read"):
        load(tmp_path / "none.toml", {}, {})
    monkeypatch.setattr(place, "CONFIG", tmp_path / "none.toml")
    monkeypatch.setattr(place, "OLD_CONFIG", tmp_path / "none.conf")
    assert load(None, {}, {}).server == ()


def test_flag_beats_environment_beats_file(tmp_path: Path) -> None:
    path = tmp_path / "dryad.toml"
    path.write_text('server = "in-file"\nkey = "in-file"\n[caps]\narch = "a"\nos = "b"')
    environ = {"BORUTA_SERVER": "in-environ:1, other:2", "BORUTA_KEY": "/in/environ"}
    config = load(path, environ, {"server": "in-flag:3", "caps": {"os": "c"}, "key": None})
    assert config.server == ("tcp://in-flag:3",)
    assert config.key == "/in/environ"
    assert config.caps == {"arch": "a", "os": "c"}
    config = load(path, environ, {})
    assert config.server == ("tcp://in-environ:1", "tcp://other:2")


@pytest.mark.parametrize(
    ("flags", "missing"),
    [({}, "server"), ({"server": "h"}, "server_key"), ({"server": "h", "server_key": KEY}, "key")],
)
def test_what_an_agent_cannot_do_without_is_named(flags: dict[str, str], missing: str) -> None:
    with pytest.raises(BadConfig, match=f"no {missing}"):
        check_complete(load(Path("/dev/null"), {}, flags))


def test_an_insecure_server_needs_no_keys() -> None:
    check_complete(load(Path("/dev/null"), {}, {"server": "h", "insecure": True}))


@pytest.mark.parametrize(
    ("value", "text"),
    [("x", "x"), (5, "5"), (1.50, "1.5"), (True, "true"), (False, "false"), ([1, "a"], "1, a")],
)
def test_capabilities_are_texts(value: object, text: str) -> None:
    assert cap_text(value) == text


def test_a_capability_on_the_command_line_is_key_and_value() -> None:
    assert read_cap("arch=x86_64") == ("arch", "x86_64")
    assert read_cap("note=a=b") == ("note", "a=b")
    for bad in ("arch", "=x"):
        with pytest.raises(ValueError, match="key=value"):
            read_cap(bad)


def test_a_capability_that_no_server_takes_is_refused_at_once() -> None:
    for bad in ("UUID=-x", "arch=a\x1b", "arch=" + "x" * 1025):
        with pytest.raises(ValueError, match=r"UUID|arch"):
            read_cap(bad)


def test_addresses_are_written_in_full() -> None:
    assert read_server("h") == "tcp://h:7175"
    assert read_server("[::1]:5") == "tcp://[::1]:5"
    for bad in ("", "udp://h:5", "h:", "h:x", "::1", "h:70000"):
        with pytest.raises(ValueError, match="no address"):
            read_server(bad)


# --- SAFETY, C2
def trusting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, **flags: Any) -> str | None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(
        place, "readable_server_data", lambda _: tmp_path if (tmp_path / "keys").exists() else None
    )
    config = load(Path("/dev/null"), {}, {"server": "127.0.0.1", **flags})
    try:
        check_trust(config, {})
    except BadConfig as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("uid", "flags", "sessions"),
    [
        (0, {}, "system"),
        (0, {"trust_holders": True}, "embedded"),
        (0, {"trust_holders": True, "sessions": "system"}, "system"),
        (1000, {}, "embedded"),
        (1000, {"sessions": "system"}, "system"),
    ],
)
def test_root_lets_holders_in_by_an_account_unless_it_trusts_them(
    monkeypatch: pytest.MonkeyPatch, uid: int, flags: dict[str, Any], sessions: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert load(Path("/dev/null"), {}, flags).sessions == sessions


def test_holders_may_run_as_a_plain_user_beside_a_server_on_loopback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert trusting(tmp_path, monkeypatch, 1000) is None
    assert trusting(tmp_path, monkeypatch, 1000, server="localhost:9, [::1]:9") is None


def test_embedded_sessions_are_refused_to_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert trusting(tmp_path, monkeypatch, 0) is None  # those of the system's are its default
    said = trusting(tmp_path, monkeypatch, 0, sessions="embedded")
    assert said is not None
    assert "root" in said
    assert "trust_holders = true" in said


def test_embedded_sessions_are_refused_to_who_can_read_the_servers_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "keys").mkdir()
    said = trusting(tmp_path, monkeypatch, 1000)
    assert said is not None
    assert str(tmp_path) in said


@pytest.mark.parametrize("server", ["10.0.0.1", "farm.example", "127.0.0.1, 10.0.0.1"])
def test_embedded_sessions_are_refused_beside_a_server_that_serves_more_than_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    assert trusting(tmp_path, monkeypatch, 1000, server=server) is not None


def test_all_of_it_is_allowed_to_who_trusts_his_holders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "keys").mkdir()
    assert trusting(tmp_path, monkeypatch, 0, server="10.0.0.1", trust_holders=True) is None


def test_data_of_a_server_that_this_user_can_read_is_found(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    if place.readable_server_data(environ) is not None:
        pytest.skip("this machine has a server's data of its own")
    (tmp_path / "boruta" / "keys").mkdir(parents=True)
    assert place.readable_server_data(environ) == tmp_path / "boruta"


def test_a_relative_data_directory_is_kept_as_an_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The keeper of a session works in another directory: a home below a relative path is not there.
    (tmp_path / "dryad.toml").write_text('data = "agent"')
    monkeypatch.chdir(tmp_path)
    assert load(Path("dryad.toml"), {}, {}).data == tmp_path / "agent"
    assert load(Path("dryad.toml"), {}, {"data": Path("other")}).data == tmp_path / "other"


# --- places
def test_a_uuid_is_made_once_and_kept(tmp_path: Path) -> None:
    first = place.kept_uuid(tmp_path)
    assert len(first) == 36
    assert place.kept_uuid(tmp_path) == first
    (tmp_path / "uuid").write_text("")
    assert place.kept_uuid(tmp_path) != first

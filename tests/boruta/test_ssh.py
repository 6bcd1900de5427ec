"""OpenSSH's command line and files for one job, and what never gets into them (SAFETY, C3, C4)."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from boruta.domain.errors import InfraError
from boruta.domain.types import AccessInfo
from boruta.ssh import (
    checked,
    clean,
    known_hosts_lines,
    ssh_config_lines,
    ssh_files,
    write_files,
)
from tests.boruta.board import SshBoard

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1Zu9p1d2XgJk8pT1y0vQ6l8m3oS5b7c9d1e3f5g7h9"
ACCESS = AccessInfo(
    host="127.0.0.1",
    port=4022,
    username="boruta-user",
    key="-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n-----END OPENSSH PRIVATE KEY-----",
    host_keys=(HOST_KEY,),
)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", "-oProxyCommand=sh"),
        ("username", "root\nHost *"),
        ("username", "Root"),
        ("username", ""),
        ("username", "a" * 33),
        ("username", "user\n"),
        ("host", "-oProxyCommand=sh"),
        ("host", "a b"),
        ("host", "h\nx"),
        ("host", ""),
        ("port", 0),
        ("port", 65536),
        ("host_keys", ()),
        ("host_keys", (HOST_KEY + " comment",)),
        ("host_keys", (HOST_KEY + "\n* ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAA",)),
        ("host_keys", ("@cert-authority * " + HOST_KEY,)),
        ("host_keys", ("* " + HOST_KEY,)),
        ("key", "no key at all"),
    ],
)
def test_what_could_be_an_option_or_another_line_is_refused(field: str, value: object) -> None:
    with pytest.raises(InfraError, match="refused"):
        checked(replace(ACCESS, **{field: value}))  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["127.0.0.1", "farm.lab", "fe80::1", "::1", "fe80::1%eth0"])
def test_hosts_and_addresses_pass(host: str) -> None:
    assert checked(replace(ACCESS, host=host)).host == host


def test_terminals_get_no_control_characters() -> None:
    assert clean("a\x1b[31mb\r\n\u202ec") == "a�[31mb���c"
    assert clean("grüße, 漢字") == "grüße, 漢字"


def test_the_key_lies_in_a_file_that_nobody_else_reads_and_not_in_the_command() -> None:
    with ssh_files(ACCESS) as files:
        assert files.key.stat().st_mode & 0o777 == 0o600
        assert files.directory.stat().st_mode & 0o777 == 0o700
        assert files.key.read_text() == ACCESS.key + "\n"
        assert files.known_hosts.read_text() == f"[127.0.0.1]:4022 {HOST_KEY}\n"
        command = files.ssh("uname", "-a")
        directory = files.directory
    assert not directory.exists()
    assert "secret" not in " ".join(command)
    assert command[:3] == ["ssh", "-F", "none"]
    assert command[-4:] == ["--", "127.0.0.1", "uname", "-a"]
    for option in (
        "ForwardAgent=no",
        "ForwardX11=no",
        "ForwardX11Trusted=no",
        "PermitLocalCommand=no",
        "ProxyCommand=none",
        "ControlMaster=no",
        "ControlPath=none",
        "StrictHostKeyChecking=yes",
        "GlobalKnownHostsFile=/dev/null",
        "UpdateHostKeys=no",
        "VerifyHostKeyDNS=no",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "PasswordAuthentication=no",
        f"UserKnownHostsFile={directory}/known_hosts",
        f"IdentityFile={directory}/key",
    ):
        assert option in command


def test_files_never_go_through_a_link_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        write_files(ACCESS, tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_config_block_serves_plain_openssh(tmp_path: Path) -> None:
    directory = tmp_path / "with blank"
    directory.mkdir()
    text = ssh_config_lines(ACCESS, "board", write_files(ACCESS, directory))
    lines = [line.strip() for line in text.splitlines()]
    assert lines[:4] == ["Host board", "HostName 127.0.0.1", "Port 4022", "User boruta-user"]
    assert f'IdentityFile "{directory}/key"' in lines
    assert "StrictHostKeyChecking yes" in lines


@pytest.mark.parametrize("alias", ["*", "a b", "-x", "", "a\nb", "!x"])
def test_an_alias_that_is_a_pattern_is_refused(tmp_path: Path, alias: str) -> None:
    with pytest.raises(ValueError, match="alias"):
        ssh_config_lines(ACCESS, alias, write_files(ACCESS, tmp_path))


def test_a_port_stands_in_known_hosts_so_that_another_board_is_another_host() -> None:
    assert known_hosts_lines(replace(ACCESS, host="::1")).startswith("[::1]:4022 ")


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("ssh") is None, reason="no OpenSSH client here")
def test_the_real_ssh_takes_it_all(tmp_path: Path) -> None:
    async def story() -> None:
        board = SshBoard()
        await board.start()
        access = board.access
        local, there = tmp_path / "local", tmp_path / "there"
        local.write_text("text")
        config = tmp_path / "config"
        kept = tmp_path / "kept files"
        kept.mkdir()
        config.write_text(ssh_config_lines(access, "board", write_files(access, kept)))

        async def run(*command: str) -> tuple[int, str, str]:
            child = await asyncio.create_subprocess_exec(*command, stdout=-1, stderr=-1, stdin=-3)
            out, err = await asyncio.wait_for(child.communicate(), 20)
            assert child.returncode is not None
            return child.returncode, out.decode(), err.decode()

        try:
            with ssh_files(access) as files:
                assert await run(*files.ssh("echo one; exit 3")) == (3, "one\n", "")
                copied = await run(*files.scp(str(local), files.remote(str(there))))
                assert copied == (0, "", "")
                wrong = replace(access, host_keys=(HOST_KEY,))
            assert await run("ssh", "-F", str(config), "board", "echo two") == (0, "two\n", "")
            with ssh_files(wrong) as files:
                status, out, err = await run(*files.ssh("echo three"))
                assert (status, out) == (255, "")
                assert "verification failed" in err
        finally:
            await board.stop()
        assert there.read_text() == "text"

    assert subprocess.run(["ssh", "-V"], capture_output=True, check=False).returncode == 0
    asyncio.run(story())

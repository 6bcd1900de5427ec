"""dryad install and uninstall where something is odd: what is not theirs is never touched."""

from __future__ import annotations

import os
import pwd
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from boruta.domain.errors import ActionRefused, BadConfig, Busy, InfraError
from dryad import cli, service
from dryad.running import DirectoryLock
from dryad.sessions import account, leaving, removing
from tests.dryad.sessions_kit import needs_library

pytestmark = [pytest.mark.integration, needs_library]
NOBODY = "boruta-no-such-one"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place for what install writes; nothing of this machine's own is within reach."""
    monkeypatch.setattr(service, "UNIT_FILE", tmp_path / "systemd" / "dryad.service")
    monkeypatch.setattr(service, "TOOLS", tmp_path / "bin")
    monkeypatch.setattr(service, "BOOTED", tmp_path / "booted")
    monkeypatch.setattr(service, "PACKAGED", (tmp_path / "packaged",))
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that systemd runs: what it was told is in a file, `active` is whether it runs."""
    (tmp_path / "booted").mkdir()
    tool, told = tmp_path / "path" / "systemctl", tmp_path / "told"
    tool.parent.mkdir()
    tool.write_text(
        f'#!/bin/sh\n[ "$1" = is-active ] && exec test -e {tmp_path}/active\necho "$@" >>{told}\n'
        f"[ ! -e {tmp_path}/broken ] || {{ echo 'Job failed' >&2; exit 1; }}\n"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    told.write_text("")
    return told


@pytest.fixture
def server() -> Iterator[int]:
    """A port that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def config(tmp_path: Path, server: int, *, user: str = NOBODY, name: str = "dryad.toml") -> Path:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        f'server = "127.0.0.1:{server}"\ninsecure = true\ndata = "{tmp_path}/d"\n'
        'ssh_address = "127.0.0.1:0"\nsessions = "embedded"\ntrust_holders = true\n'
        f'[user]\nname = "{user}"\n'
    )
    return path


def verified(tmp_path: Path) -> str:
    """What systemd has against the unit."""
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed")
    path = tmp_path / "verified" / "dryad.service"
    path.parent.mkdir()
    path.write_text(service.UNIT_FILE.read_text())
    done = subprocess.run([tool, "verify", str(path)], capture_output=True, text=True, timeout=60)
    return "\n".join(x for x in done.stderr.splitlines() if "dryad.service" in x)


# --- install
def test_systemd_is_told_to_run_it_and_to_forget_it(
    tmp_path: Path, server: int, systemctl: Path
) -> None:
    path = config(tmp_path, server)
    assert "dryad.service: enabled and started" in list(service.install(path))
    assert systemctl.read_text().splitlines() == ["daemon-reload", "enable --now dryad.service"]
    systemctl.write_text("")
    list(service.uninstall())
    assert systemctl.read_text().splitlines() == ["disable --now dryad.service", "daemon-reload"]
    assert not service.UNIT_FILE.exists()


def test_one_that_runs_already_is_not_taken_from_its_holder(
    tmp_path: Path, server: int, systemctl: Path
) -> None:
    (tmp_path / "active").touch()
    said = list(service.install(config(tmp_path, server)))
    assert "systemctl restart dryad" in said[-1]
    assert "restart" not in systemctl.read_text()


def test_what_systemd_refuses_is_said(tmp_path: Path, server: int, systemctl: Path) -> None:
    (tmp_path / "broken").touch()
    with pytest.raises(InfraError, match="systemctl daemon-reload: Job failed"):
        list(service.install(config(tmp_path, server)))


def test_a_unit_that_somebody_wrote_himself_is_not_replaced_nor_removed(
    tmp_path: Path, server: int
) -> None:
    service.UNIT_FILE.parent.mkdir()
    service.UNIT_FILE.write_text("[Service]\nExecStart=/opt/mine\n")
    path = config(tmp_path, server)
    with pytest.raises(ActionRefused, match="not written by dryad install"):
        list(service.install(path))
    assert "so it stays" in "\n".join(service.uninstall(path))
    assert "/opt/mine" in service.UNIT_FILE.read_text()


def packaged(tmp_path: Path, config: Path) -> Path:
    """A unit as a package brings it."""
    path = tmp_path / "packaged"
    path.write_text(service.unit(config, ["/usr/bin/dryad"], service.PACKAGE_MARK))
    return path


def test_a_unit_of_a_package_is_used_and_stays(
    tmp_path: Path, server: int, systemctl: Path
) -> None:
    path = config(tmp_path, server)
    packaged(tmp_path, path)
    list(service.install(path))
    assert not service.UNIT_FILE.exists()
    assert not (service.TOOLS / "board").exists()  # the package has one
    list(service.uninstall(path))
    assert "disable --now dryad.service" in systemctl.read_text()
    assert (tmp_path / "packaged").exists()


def test_a_unit_of_a_package_takes_the_place_of_one_that_install_wrote(
    tmp_path: Path, server: int, systemctl: Path
) -> None:
    path = config(tmp_path, server)
    list(service.install(path))
    assert service.UNIT_FILE.exists()
    packaged(tmp_path, path)
    systemctl.write_text("")
    list(service.install(path))
    assert not service.UNIT_FILE.exists()
    told = ["disable dryad.service", "daemon-reload", "enable --now dryad.service"]
    assert systemctl.read_text().splitlines() == told


def test_a_unit_of_a_package_that_reads_another_configuration_is_told(
    tmp_path: Path, server: int
) -> None:
    packaged(tmp_path, Path("/etc/boruta/dryad.toml"))
    with pytest.raises(ActionRefused, match=r"reads /etc/boruta/dryad\.toml, not "):
        list(service.install(config(tmp_path, server)))


def test_without_systemd_the_command_of_the_package_s_unit_is_told(
    tmp_path: Path, server: int
) -> None:
    path = config(tmp_path, server)
    packaged(tmp_path, path)
    assert list(service.install(path))[-1].endswith(f"/usr/bin/dryad run --config {path}")


def test_a_server_that_is_away_is_told_and_no_hindrance(tmp_path: Path) -> None:
    said = list(service.install(config(tmp_path, 1)))
    assert "Connection refused; the agent goes on trying" in said[0]


def test_an_agent_that_is_no_service_is_not_given_a_rival(
    tmp_path: Path, server: int, systemctl: Path
) -> None:
    path = config(tmp_path, server)
    (tmp_path / "d").mkdir(mode=0o700)
    lock = DirectoryLock(tmp_path / "d")
    try:
        with pytest.raises(ActionRefused, match="an agent runs that is no service"):
            list(service.install(path))
        with pytest.raises(ActionRefused, match="an agent runs; end it first"):
            list(service.uninstall(path))
    finally:
        lock.release()


@pytest.mark.parametrize(
    "name", ["a b/dryad.toml", "100%/$HOME.toml", 'it\'s/a "b\\c".toml', "é/x;y.toml"]
)
def test_any_name_of_a_file_is_the_same_in_the_unit(tmp_path: Path, server: int, name: str) -> None:
    path = config(tmp_path, server, name=name)
    list(service.install(path))
    line = next(x for x in service.UNIT_FILE.read_text().splitlines() if x.startswith("ExecStart="))
    words = shlex.split(line.removeprefix("ExecStart="))
    assert words[:4] == [sys.executable, "-m", "dryad", "run"]
    assert service._config_of(service.UNIT_FILE) == path
    assert verified(tmp_path) == ""


def test_a_name_that_no_line_can_have_is_refused(tmp_path: Path, server: int) -> None:
    with pytest.raises(BadConfig, match="such signs"):
        list(service.install(config(tmp_path, server, name="a\nExecStartPre=b.toml")))
    assert not service.UNIT_FILE.exists()


def test_the_unit_keeps_nothing_from_a_holder() -> None:
    unit = service.unit(Path("/etc/boruta/dryad.toml"))
    for wanted in (
        *("Type=notify", "WatchdogSec=", "Restart=always", "Delegate=yes", "MemoryMax="),
        *("KillMode=control-group", "RuntimeDirectory=dryad", "StateDirectory=", "OOMScoreAdjust="),
    ):
        assert f"\n{wanted}" in unit, wanted
    for harmful in (
        *("ProtectHome", "ProtectSystem", "PrivateTmp", "PrivateDevices", "NoNewPrivileges"),
        # Those that go by a filter of system calls or another view of the files: what a debugger,
        # a package's build, or a look at the kernel's log does, would fail for the holder.
        *("LockPersonality", "Restrict", "SystemCall", "ProtectKernel", "ProtectProc", "UMask"),
    ):
        assert harmful not in unit, harmful


# --- uninstall
def test_an_account_that_is_not_dryad_s_is_left_alone_and_so_are_its_programs(
    tmp_path: Path, server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[object] = []
    monkeypatch.setattr(leaving, "kill_all", killed.append)
    path = config(tmp_path, server, user="root")
    list(service.install(path))
    said = "\n".join(service.uninstall())
    assert "account root: dryad did not make it" in said
    assert killed == []
    assert not service.UNIT_FILE.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="accounts need root")
def test_the_account_goes_with_its_programs_and_again_where_it_failed_before(
    tmp_path: Path, server: int
) -> None:
    name = f"boruta-t{secrets.token_hex(3)}"
    known = account.ensure(name, ())
    try:
        path = config(tmp_path, server, user=name)
        list(service.install(path))
        left = subprocess.Popen(["sleep", "600"], user=known.uid, group=known.gid)
        held = account.lock(name)  # by an agent with another data directory
        with pytest.raises(Busy, match="end that agent first"):
            list(service.uninstall())
        assert left.poll() is None
        assert service.UNIT_FILE.exists()  # it can be tried again
        os.close(held)
        assert f"account {name}: removed, with its home" in list(service.uninstall())
        assert left.wait(10) == -9
        with pytest.raises(KeyError):
            pwd.getpwnam(name)
        assert list(service.uninstall(path)) == []
    finally:
        account.remove(name)
        (account.LOCKS / f"dryad-{name}.lock").unlink(missing_ok=True)


def test_a_configuration_that_broke_since_keeps_nothing_installed(
    tmp_path: Path, server: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path, server)
    list(service.install(path))
    path.write_text("[[[")
    removed: list[str] = []
    monkeypatch.setattr(removing, "remove", lambda name: removed.append(name) or ())
    assert cli.main(["uninstall"]) == 0
    assert "default are taken" in capsys.readouterr().out
    assert removed == ["boruta-user"]
    assert not service.UNIT_FILE.exists()
    assert list((tmp_path / "bin").iterdir()) == []

"""dryad check, status, init, install and uninstall, and the original's stm command."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from boruta.domain.errors import ActionRefused, BadConfig, InfraError
from dryad import cli, detect, initial, preflight_sessions, service
from dryad.board import sessions as tools
from dryad.board import stm_compat
from dryad.board.service import BoardService
from dryad.config import load
from dryad.findings import Finding
from dryad.hardware.simulated import SimulatedHardware
from dryad.preflight import look
from dryad.running import DirectoryLock
from tests.dryad.sessions_kit import needs_library

pytestmark = pytest.mark.integration
KEY = "a" * 40
NOBODY = "boruta-no-such-one"


@pytest.fixture
def server() -> Iterator[int]:
    """A port that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def config(tmp_path: Path, server: int, **more: object) -> Path:
    path = tmp_path / "dryad.toml"
    lines = {
        "server": f"127.0.0.1:{server}",
        "insecure": True,
        "data": str(tmp_path / "data"),
        "ssh_address": "127.0.0.1:0",
        "sessions": "embedded",
        "trust_holders": True,
        **more,
    }
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items()))
    return path


def findings(path: Path) -> dict[str, Finding]:
    return {one.name: one for one in look(load(path, {}, {}), {})}


# --- check
@needs_library
def test_a_machine_that_can_be_a_board_passes(
    tmp_path: Path, server: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path, server)
    assert cli.main(["check", "--config", str(path)]) == 0
    said = capsys.readouterr().out
    for name in ("config", "server", "data", "agent", "trust", "ssh_address", "disk", "clock"):
        assert any(line[6:].startswith(name) for line in said.splitlines()), name
    assert "FAIL" not in said
    assert not (tmp_path / "data").exists()  # it changes nothing
    assert cli.main(["check", "--config", str(path), "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {one["state"] for one in found} <= {"ok", "warn"}


@pytest.mark.skipif(os.geteuid() != 0, reason="system sessions need root")
def test_each_fault_is_told_with_what_to_do(tmp_path: Path, server: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        path = config(tmp_path, 1, ssh_address=f"127.0.0.1:{port}", sessions="system")
        text = path.read_text() + '[user]\nname = "root"\ngroups = ["nosuchgroup", "disk"]\n'
        path.write_text(text + '[console]\nport = "/dev/no-such-tty"\n')
        found = findings(path)
    assert found["server"].state == "FAIL"
    assert "Connection refused" in found["server"].detail
    assert found["ssh_address"].state == "FAIL"
    assert "ss -ltnp" in found["ssh_address"].hint
    assert found["account"].state == "FAIL"
    assert found["group"].state == "warn"  # the last of the two
    assert "can be root" in found["group"].detail
    assert found["console"].state == "FAIL"
    assert found["root"].state == found["sshd"].state == found["setpriv"].state == "ok"


def test_a_missing_key_and_a_missing_tool_are_told(
    tmp_path: Path, server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = config(tmp_path, server, insecure=False, server_key=KEY, key="none.key_secret")
    found = findings(path)
    assert found["own key"].state == "FAIL"
    assert "chmod 600" in found["own key"].hint
    monkeypatch.setattr(preflight_sessions, "TOOLS", str(tmp_path))
    path = config(tmp_path, server, sessions="system")
    assert findings(path)["useradd"].hint == "apt install passwd"


def test_a_check_that_fails_ends_with_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path, 1)
    assert cli.main(["check", "--config", str(path)]) == 1
    assert "boruta server --bind" in capsys.readouterr().out


# --- status
def test_the_status_of_no_agent_is_3(
    tmp_path: Path, server: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path, server)
    assert cli.main(["status", "--config", str(path)]) == 3
    assert capsys.readouterr().out.split() == ["running", "False"]


def test_a_running_agent_tells_how_it_is(
    tmp_path: Path, server: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path, server)
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    lock = DirectoryLock(data)

    async def story() -> tuple[int, str]:
        board = BoardService(data / "board.sock", SimulatedHardware(), None)
        board.status = lambda: {"worker": "b1", "request": None}
        await board.start()
        words = [sys.executable, "-m", "dryad", "status", "--config", str(path), "-o", "json"]
        asked = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE)
        out, _ = await asked.communicate()
        await board.stop()
        assert asked.returncode is not None
        return asked.returncode, out.decode()

    try:
        status, out = asyncio.run(story())
        assert status == 0
        assert json.loads(out) == {"running": True, "worker": "b1", "request": None}
        # One that hangs, or is just coming up, is told apart from none.
        assert cli.main(["status", "--config", str(path)]) == 9
        assert "does not answer" in capsys.readouterr().err
    finally:
        lock.release()


# --- init
def test_a_first_configuration_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "dryad.toml"
    assert cli.main(["init", "--config", str(path), "--detect"]) == 0
    config = load(path, {}, {})
    assert int(config.caps["cores"]) >= 1
    assert config.caps["arch"]
    assert "boruta key new NAME --role worker" in path.read_text()
    assert cli.main(["init", "--config", str(path)]) == 2
    assert cli.main(["init", "--config", str(path), "--force"]) == 0
    assert load(path, {}, {}).caps == {}


def test_the_originals_configuration_is_taken_over(tmp_path: Path) -> None:
    old = tmp_path / "dryad.conf"
    old.write_text(
        'listen_address = ":7175"\nboruta_address = "10.0.0.1:7175"\nssh_address = ":22"\n'
        'stm_path = ""\n[caps]\n  UUID = "b1"\n  "device type" = "a\\"b"\n'
        '[user]\n  name = "boruta-user"\n  groups = ["stm", "dialout"]\n'
    )
    path = tmp_path / "dryad.toml"
    list(initial.write(path, old, detect=False, force=False))
    config = load(path, {}, {})
    assert config.server == ("tcp://10.0.0.1:7175",)
    assert config.ssh_address == ":7022"  # the host's own sshd stays at 22
    assert config.hardware == "stm"
    assert config.caps == {"UUID": "b1", "device type": 'a"b'}
    assert config.groups == ("stm", "dialout")
    assert tomllib.loads(path.read_text())["user"]["name"] == "boruta-user"


def test_capabilities_are_found_where_the_kernel_tells_them(tmp_path: Path) -> None:
    def file(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    file("proc/meminfo", "MemTotal:         512000 kB\n")
    file("proc/cpuinfo", "processor : 0\nmodel name : ARMv7 rev 5\n")
    file("proc/device-tree/model", "FriendlyARM NanoPi NEO\0")
    file("proc/device-tree/serial-number", "02c00081\0")
    file("sys/bus/usb/devices/1-1/idVendor", "0403\n")
    file("sys/bus/usb/devices/1-1/idProduct", "6001\n")
    file("sys/bus/usb/devices/1-1/serial", "A9, 1\n")
    file("sys/bus/usb/devices/usb1/idVendor", "1d6b\n")
    file("sys/bus/usb/devices/usb1/idProduct", "0002\n")
    file("sys/block/mmcblk0/size", "31116288\n")
    file("sys/block/mmcblk0/device/cid", "0353445343313647\n")
    file("sys/block/loop0/size", "100000\n")
    caps = detect.found(tmp_path / "sys", tmp_path / "proc")
    assert caps["ram"] == "500"
    assert caps["cpu"] == "ARMv7 rev 5"
    assert caps["model"] == "FriendlyARM NanoPi NEO"
    assert caps["serial"] == "02c00081"
    assert caps["usb"] == "0403:6001:A9 1"
    assert caps["disk"] == "mmcblk0:15193MiB:0353445343313647"


def test_a_machine_that_tells_nothing_has_little(tmp_path: Path) -> None:
    assert set(detect.found(tmp_path, tmp_path)) == {"arch", "cores"}


# --- install
@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for what install writes, on a machine that systemd does not run."""
    monkeypatch.setattr(service, "UNIT_FILE", tmp_path / "systemd" / "dryad.service")
    monkeypatch.setattr(service, "TOOLS", tmp_path / "bin")
    monkeypatch.setattr(service, "BOOTED", tmp_path / "nothing")
    monkeypatch.setattr(service, "PACKAGED", ())
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


@needs_library
def test_install_checks_and_writes_and_uninstall_removes(
    elsewhere: Path, server: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(elsewhere, server)
    path.write_text(path.read_text() + f'[user]\nname = "{NOBODY}"\n')
    assert cli.main(["install", "--config", str(path), "--stm-compat"]) == 0
    said = capsys.readouterr().out
    assert "systemd does not run here" in said
    unit = (elsewhere / "systemd" / "dryad.service").read_text()
    assert f"-m dryad run --config {path}" in unit
    for name in ("board", "stm"):
        assert os.access(elsewhere / "bin" / name, os.X_OK)
    assert cli.main(["install", "--config", str(path)]) == 0  # again: nothing stands in its way
    assert cli.main(["uninstall"]) == 0
    assert not (elsewhere / "systemd" / "dryad.service").exists()
    assert list((elsewhere / "bin").iterdir()) == []
    assert path.exists()
    assert cli.main(["uninstall", "--config", str(path)]) == 0


@needs_library
def test_install_refuses_what_would_not_run(elsewhere: Path, server: int) -> None:
    with pytest.raises(BadConfig, match="dryad init writes one"):
        list(service.install(elsewhere / "none.toml"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        path = config(elsewhere, server, ssh_address=f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(ActionRefused, match=r"dryad check .* fails: ssh_address"):
            list(service.install(path))
    (elsewhere / "bin").mkdir()
    (elsewhere / "bin" / "board").write_text("#!/bin/sh\n# of somebody else\n")
    with pytest.raises(InfraError, match="another program"):
        list(service.install(config(elsewhere, server)))
    assert tools.remove_tools(elsewhere / "bin") == []


def test_install_needs_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for verb in (["install", "--config", str(tmp_path)], ["uninstall"]):
        assert cli.main(verb) == ActionRefused.exit_status


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    path = tmp_path / "dryad.service"
    path.write_text(service.unit(Path("/etc/boruta/dryad.toml")))
    verified = subprocess.run([program, "verify", str(path)], capture_output=True, text=True)
    assert str(path) not in verified.stderr, verified.stderr
    assert "dryad.service" not in verified.stderr, verified.stderr


# --- the original's stm
def stm(tmp_path: Path, *words: str) -> tuple[int, str, str, SimulatedHardware]:
    hardware = SimulatedHardware()
    path = tmp_path / "board.sock"

    async def story() -> Any:
        board = BoardService(path, hardware, None)
        await board.start()
        board.open(os.geteuid())
        asked = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", stm_compat.__file__, *words),
            env={"BOARD_SOCKET": str(path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await asked.communicate()
        await board.stop()
        return asked.returncode, out.decode(), err.decode()

    return (*asyncio.run(story()), hardware)


def test_the_originals_flags_do_what_they_did(tmp_path: Path) -> None:
    status, out, err, board = stm(tmp_path, "-dut", "-cur", "-led1", "1,2,3", "--print=hello you")
    assert (status, out, err) == (0, "230\n", "")
    assert (board.powered, board.side, board.leds[0]) == (True, "dut", (1, 2, 3))
    assert board.display == "hello you"
    status, _, _, board = stm(tmp_path, "-ts", "-dut=false", "-tick", "-m", "10ms", "-clr")
    assert status == 0
    assert (board.powered, board.side, board.display) == (True, "ts", "")
    assert stm(tmp_path)[:3] == (0, "", "")
    words = "-dut -cur-start -cur-size 2 -cur-duration 1h -cur-get -remote /run/stm-user.socket"
    assert stm(tmp_path, *words.split())[:3] == (0, "", "")  # none yet, and no error


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["-ts", "-dut"], 1, "conflicting flags"),
        (["-tick", "-m", "soon"], 2, 'invalid value "soon" for flag -m'),
        (["-cur-start", "-cur-size", "x"], 2, 'invalid value "x" for flag -cur-size'),
        (["-cur-start", "-cur-stop"], 1, "conflicting flags: cur-start and cur-stop"),
        (["-cur-start", "-cur-size", "120960001"], 1, "'120960001' (allowed: 1 to 100000)"),
        (["-cur-start", "-cur-duration=300ms"], 1, "one in 2.5 ms (allowed: one in 3 ms"),
        (["-cur-get"], 1, "no sample was recorded"),
        (["-led1", "1,2,300"], 1, "wrong colour"),
        (["-serve"], 1, "the agent has the board"),
        (["-hdmi", "on"], 0, ""),
        (["-hdmi", "maybe"], 0, "wrong value for hdmi: maybe"),
    ],
)
def test_the_originals_statuses(tmp_path: Path, words: list[str], status: int, said: str) -> None:
    ended = stm(tmp_path, *words)
    assert ended[0] == status
    assert said in ended[2]

"""dryad init: the original's files mean the same afterwards, and odd hardware is left out."""

from __future__ import annotations

import os
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boruta.domain.errors import BadConfig
from dryad import cli, detect, initial
from dryad.config import AgentConfig, load

FULL = """
listen_address = ":7175"
boruta_address = "10.0.0.1:7175"
ssh_address = "10.0.0.7:2222"
sdcard = "/dev/sdX"
stm_path = "/run/stm.socket"
colour = "blue"
server_key = "server.key"
key = "keys/board-17.key_secret"
data = "here"
trust_holders = true
[caps]
  UUID = "b1"
  "device type" = 'a"b\\c'
[user]
  name = "holder"
  groups = ["stm", "dialout"]
[limits]
  memory = 256
[console]
  port = "/dev/ttyS1"
  baud = 9600
[checks]
  fan = ["/usr/bin/test", "-e", "/dev/fan"]
"""


def taken_over(tmp_path: Path, text: str) -> tuple[AgentConfig, AgentConfig, str]:
    """The original's configuration, what became of it elsewhere, and its text."""
    old = tmp_path / "old" / "dryad.conf"
    new = tmp_path / "new" / "dryad.toml"
    old.parent.mkdir()
    old.write_text(text)
    list(initial.write(new, old, detect=False, force=False))
    return load(old, {}, {}), load(new, {}, {}), new.read_text()


@pytest.mark.parametrize(
    "text",
    [
        FULL,
        "",
        'boruta_address = "h"\nstm_path = ""\n',
        'server = ["a:1", "b:2"]\nsessions = "system"\ninsecure = true\n',
        'boruta_address = "h"\nhardware = "stm:/dev/ttyS9"\n[board]\ncard = "dut"\n',
        f'boruta_address = "[::1]:7"\nserver_key = "{"a" * 40}"\n',
        'hardware = "command"\n[board]\nwithin = 2.5\npower_on = ["/bin/echo", "a\\"b"]\n',
    ],
)
def test_every_key_means_what_it_meant_before(tmp_path: Path, text: str) -> None:
    before, after, _ = taken_over(tmp_path, text)
    assert after == before


def test_what_means_nothing_here_is_kept_as_a_comment_that_says_so(tmp_path: Path) -> None:
    _, _, text = taken_over(tmp_path, FULL)
    for wanted in (
        '# listen_address = ":7175" has no meaning here',
        '# sdcard = "/dev/sdX" has no meaning here',
        '# stm_path = "/run/stm.socket" is not used: hardware = "stm"',
        '# colour = "blue" has no meaning here',
    ):
        assert wanted in text
    assert "boruta_address" not in text


def test_the_port_of_the_machine_s_own_sshd_is_left_to_it(tmp_path: Path) -> None:
    before, after, text = taken_over(tmp_path, 'ssh_address = "10.0.0.7:22"\n')
    assert after == replace(before, ssh_address="10.0.0.7:7022")
    assert '# ssh_address = "10.0.0.7:22" was the port' in text


def test_a_file_of_the_original_that_cannot_be_used_names_its_line(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"dryad.conf, line 2: .*ssh_address"):
        taken_over(tmp_path, '\nssh_address = "nowhere"\n')
    assert not (tmp_path / "new").exists()
    with pytest.raises(BadConfig, match="cannot be read"):
        list(initial.write(tmp_path / "x", tmp_path / "none", detect=False, force=False))


@given(st.text())
def test_any_text_survives_being_written(text: str) -> None:
    written = f"{initial._key(text)} = {initial.toml_value([text, {text: text}])}"
    assert tomllib.loads(written) == {text: [text, {text: text}]}


def test_nothing_that_is_there_is_overwritten_nor_half_written(tmp_path: Path) -> None:
    path = tmp_path / "dryad.toml"
    path.symlink_to(tmp_path / "elsewhere")  # it leads nowhere, and would be written through
    assert cli.main(["init", "--config", str(path)]) == 2
    assert not (tmp_path / "elsewhere").exists()
    assert cli.main(["init", "--config", str(path), "--force"]) == 0
    assert not path.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o644
    assert [one.name for one in tmp_path.iterdir()] == ["dryad.toml"]
    assert cli.main(["init", "--config", str(path / "below" / "dryad.toml")]) == 2


# --- hardware
def test_devices_are_found_by_what_does_not_change_with_the_next_boot(tmp_path: Path) -> None:
    def file(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    def link(path: str, to: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).symlink_to(tmp_path / to)

    for name, serial in (("1-1", "A5XK"), ("1-2", "B7")):
        file(f"sys/devices/usb1/{name}/idVendor", "0403\n")
        file(f"sys/devices/usb1/{name}/idProduct", "6001\n")
        file(f"sys/devices/usb1/{name}/serial", f"{serial}\n")
        file(f"sys/devices/usb1/{name}/{name}:1.0/ttyUSB/x", "")
        link(f"sys/bus/usb/devices/{name}", f"sys/devices/usb1/{name}")
    link("sys/class/tty/ttyUSB0/device", "sys/devices/usb1/1-1/1-1:1.0/ttyUSB")
    file("sys/class/tty/ttyS0/port", "")
    file("sys/block/sda/size", "2048\n")
    link("sys/block/sda/device", "sys/devices/usb1/1-2/1-2:1.0")
    file("sys/block/mmcblk0/size", "4096\n")
    file("sys/block/mmcblk0/device/cid", "0353\n")
    for no_disk in ("mmcblk0boot0", "md0", "zram0", "sr0"):
        file(f"sys/block/{no_disk}/size", "4096\n")
    file("sys/block/sdb/size", "0\n")  # a reader without a card
    for card, address in (("eth0", "02:fc:00:00:00:01"), ("br0", "02:00:00:00:00:02")):
        file(f"sys/class/net/{card}/address", f"{address}\n")
    file("sys/class/net/eth0/device/x", "")
    file("proc/sys/kernel/osrelease", "6.1.0-armmp\n")
    file("proc/cpuinfo", "processor : 0\nprocessor : 1\n")
    caps = detect.found(tmp_path / "sys", tmp_path / "proc")
    assert caps["usb"] == "0403:6001:A5XK, 0403:6001:B7"
    assert caps["usb_serial"] == "0403:6001:A5XK"
    assert caps["disk"] == "mmcblk0:2MiB:0353, sda:1MiB:B7"
    assert caps["mac"] == "02:fc:00:00:00:01"
    assert (caps["kernel"], caps["cores"]) == ("6.1.0-armmp", "2")


def test_what_no_server_would_take_is_left_out_and_lists_are_cut_between_members(
    tmp_path: Path,
) -> None:
    for number in range(99):
        device = tmp_path / "sys" / "bus" / "usb" / "devices" / f"1-{number}"
        device.mkdir(parents=True)
        (device / "idVendor").write_text("0403")
        (device / "idProduct").write_text("6001")
        (device / "serial").write_bytes(f"é{number:03}\x1b\n".encode() + b"\xff")
    (tmp_path / "device-tree").mkdir()
    (tmp_path / "device-tree" / "model").write_text("M" * 5000)
    caps = detect.found(tmp_path / "sys", tmp_path)
    assert "model" not in caps
    assert len(caps["usb"].encode()) <= 1024
    assert all(one.startswith("0403:6001:é") for one in caps["usb"].split(", "))
    assert "\x1b" not in caps["usb"]


def test_what_this_machine_tells_can_be_registered(tmp_path: Path) -> None:
    path = tmp_path / "dryad.toml"
    assert cli.main(["init", "--detect", "--config", str(path)]) == 0
    assert load(path, {}, {}).caps == detect.found()
    assert os.uname().release == detect.found()["kernel"]

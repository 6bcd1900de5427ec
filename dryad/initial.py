"""`dryad init`: a first configuration, from nothing, from the original's, or from the hardware."""

from __future__ import annotations

import json
import os
import platform
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from boruta.domain.errors import BadConfig
from dryad.config import AgentConfig, load

SYS: Final = Path("/sys")
PROC: Final = Path("/proc")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_BOOT_DISKS: Final = ("loop", "ram", "zram", "dm-", "sr", "fd", "nbd")


def write(path: Path, old: Path | None, *, detect: bool, force: bool) -> Iterator[str]:
    """Writes a configuration; tells what it did and what is left to do.

    Args:
        path: where to.
        old: a configuration of the original to take over.
        detect: find capabilities from the hardware.
        force: replace what is there.

    Raises:
        BadConfig: it is there already, or cannot be written or read.
    """
    if path.exists() and not force:
        raise BadConfig(f"{path}: there is one already (--force replaces it)")
    config = AgentConfig(sessions="") if old is None else load(old, {}, {})
    caps = {**(found(SYS, PROC) if detect else {}), **config.caps}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(config, caps, old), encoding="utf-8")
        path.chmod(stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IROTH)
    except OSError as error:
        raise BadConfig(f"{path}: cannot be written: {error.strerror or error}") from None
    yield f"{path}: written; edit it, then: dryad check --config {path}"


def text(config: AgentConfig, caps: Mapping[str, str], old: Path | None) -> str:
    """The file: what is known, and comments for the rest."""
    server = ", ".join(_quoted(one) for one in config.server)
    server = f"[{server}]" if len(config.server) > 1 else server
    lines = [
        f"server = {server}" if server else '# server = "tcp://HOST:7175"',
        '# server_key = "server.key"      # its DATA/keys/server.key, or 40 characters',
        '# key = "NAME.key_secret"        # on the server: boruta key new NAME --role worker',
        f"ssh_address = {_quoted(_address(config, old))}",
        f"hardware = {_quoted(config.hardware)}",
        '# sessions = "system"            # left out: system for root, else embedded',
    ]
    if old is not None:
        lines += ["# listen_address, sdcard and a stm_path that is a socket mean nothing here"]
    lines += ["", "[caps]"]
    lines += [f"{_key(key)} = {_quoted(value)}" for key, value in caps.items()]
    lines += ["", "[user]", f"name = {_quoted(config.username)}"]
    lines += [f"groups = [{', '.join(_quoted(one) for one in config.groups)}]", ""]
    return "\n".join(lines)


def found(sys: Path, proc: Path) -> dict[str, str]:
    """Capabilities as this machine's kernel tells them.

    Args:
        sys: where sysfs is.
        proc: where procfs is.
    """
    caps = {"arch": platform.machine(), "cores": str(os.cpu_count() or 1)}
    memory = re.search(r"^MemTotal:\s+(\d+)", _read(proc / "meminfo"), re.MULTILINE)
    if memory:
        caps["ram"] = str(int(memory[1]) // 1024)
    cpu = re.search(r"^(?:model name|Processor)\s*:\s*(.+)$", _read(proc / "cpuinfo"), re.M)
    if cpu:
        caps["cpu"] = cpu[1].strip()
    model = _read(proc / "device-tree" / "model").strip("\0\n ")
    if model:
        caps["model"] = model
    serial = _read(proc / "device-tree" / "serial-number").strip("\0\n ")
    if serial:
        caps["serial"] = serial
    caps.update(_listed("usb", _usb(sys)))
    caps.update(_listed("disk", _disks(sys)))
    return caps


def _usb(sys: Path) -> Iterator[str]:
    for device in sorted((sys / "bus" / "usb" / "devices").glob("*")):
        vendor, product = _line(device / "idVendor"), _line(device / "idProduct")
        if vendor and product and not device.name.startswith("usb"):  # not the hubs of the board
            serial = _line(device / "serial")
            yield f"{vendor}:{product}" + (f":{serial}" if serial else "")


def _disks(sys: Path) -> Iterator[str]:
    for device in sorted((sys / "block").glob("*")):
        if not device.name.startswith(_BOOT_DISKS):
            serial = _line(device / "device" / "serial") or _line(device / "device" / "cid")
            size = _line(device / "size")
            if size.isdecimal() and int(size):
                yield f"{device.name}:{int(size) // 2048}MiB" + (f":{serial}" if serial else "")


def _listed(key: str, values: Iterator[str]) -> dict[str, str]:
    text = ", ".join(value.replace(",", " ") for value in values)[:1024]
    return {key: text} if text else {}


def _address(config: AgentConfig, old: Path | None) -> str:
    # The original has its host's own sshd there; this agent listens itself.
    if old is not None and config.ssh_address.endswith(":22"):
        return config.ssh_address.removesuffix(":22") + ":7022"
    return config.ssh_address


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _line(path: Path) -> str:
    return " ".join(_read(path).split())


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)  # TOML's basic strings have JSON's escapes


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _quoted(key)

"""What a machine's kernel tells of its hardware, as capabilities."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from boruta.domain.caps_limits import check_caps_limits
from boruta.domain.defaults import CAP_VALUE_BYTES
from boruta.domain.errors import BorutaError

SYS: Final = Path("/sys")
PROC: Final = Path("/proc")
# No disks of their own: made by the kernel, a part of another one, or a drive without a medium.
_NO_DISK: Final = re.compile(r"(loop|ram|zram|dm-|md|sr|fd|nbd)|mmcblk\d+(boot|rpmb)")


def found(sys: Path = SYS, proc: Path = PROC) -> dict[str, str]:
    """Capabilities of this machine; what is not told is left out.

    Args:
        sys: where sysfs is.
        proc: where procfs is.
    """
    cpus = _read(proc / "cpuinfo")
    memory = re.search(r"^MemTotal:\s+(\d+)", _read(proc / "meminfo"), re.M)
    cpu = re.search(r"^(?:model name|Processor)\s*:\s*(.+)$", cpus, re.M)
    tree, board = proc / "device-tree", sys / "class" / "dmi" / "id"
    caps = {
        "arch": platform.machine(),
        "cpu": cpu[1] if cpu else "",
        "cores": str(len(re.findall(r"^processor\s*:", cpus, re.M)) or os.cpu_count() or 1),
        "ram": str(int(memory[1]) // 1024) if memory else "",
        "kernel": _line(proc / "sys" / "kernel" / "osrelease"),
        "model": _line(tree / "model") or _line(board / "product_name"),
        "serial": _line(tree / "serial-number") or _line(board / "product_serial"),
        "usb": _listed(_usb(sys)),
        "usb_serial": _listed(_usb_ports(sys)),
        "disk": _listed(_disks(sys)),
        "mac": _listed(_macs(sys)),
    }
    return {key: value for key, value in _clean(caps) if value}


def _clean(caps: dict[str, str]) -> Iterator[tuple[str, str]]:
    for key, value in caps.items():
        text = "".join(sign for sign in " ".join(value.split()) if sign.isprintable())
        try:
            check_caps_limits({key: text})
        except BorutaError:  # a device may say of itself what no server would take
            continue
        yield key, text


def _usb(sys: Path) -> Iterator[str]:
    for device in sorted((sys / "bus" / "usb" / "devices").glob("*")):
        if not device.name.startswith("usb"):  # not the hubs of the board itself
            yield _usb_name(device)


def _usb_name(device: Path) -> str:
    vendor, product = _line(device / "idVendor"), _line(device / "idProduct")
    serial = _line(device / "serial")
    return f"{vendor}:{product}" + (f":{serial}" if serial else "") if vendor and product else ""


def _usb_ports(sys: Path) -> Iterator[str]:
    """Serial ports at USB, by their devices: the numbers of ttyUSB0 change with the next boot."""
    for port in sorted((sys / "class" / "tty").glob("tty*")):
        above = _usb_above(port / "device")
        if above is not None:
            yield _usb_name(above)


def _usb_above(device: Path) -> Path | None:
    """The USB device that a device of another kind is part of."""
    if not device.exists():
        return None
    real = device.resolve()
    return next((one for one in (real, *real.parents) if (one / "idVendor").exists()), None)


def _disks(sys: Path) -> Iterator[str]:
    for disk in sorted((sys / "block").glob("*")):
        size = _line(disk / "size")
        if _NO_DISK.match(disk.name) or not size.isdecimal() or not int(size):
            continue
        usb = _usb_above(disk / "device")
        places = [disk / "device" / "serial", disk / "device" / "cid", disk / "serial"]
        places += [usb / "serial"] if usb else []
        serial = next(filter(None, map(_line, places)), "")
        yield f"{disk.name}:{int(size) // 2048}MiB" + (f":{serial}" if serial else "")


def _macs(sys: Path) -> Iterator[str]:
    for card in sorted((sys / "class" / "net").glob("*")):
        address = _line(card / "address")
        if (card / "device").exists() and address.strip("0:"):  # not those that software made
            yield address


def _listed(values: Iterable[str]) -> str:
    """Members joined by commas, each once and whole; those that are too many are left out."""
    text = ""
    for value in dict.fromkeys(values):
        longer = ", ".join(filter(None, (text, value.replace(",", " "))))
        if len(longer.encode("utf-8", "replace")) <= CAP_VALUE_BYTES:
            text = longer
    return text


def _line(path: Path) -> str:
    return " ".join(_read(path).split())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").replace("\0", " ")
    except OSError:
        return ""

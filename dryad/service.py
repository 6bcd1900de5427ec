"""`dryad install` and `uninstall`: the agent as a service of systemd, and `board` for everybody."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from boruta.domain.errors import ActionRefused, BadConfig, InfraError
from dryad.config import check_complete, load

UNIT_FILE: Final = Path("/etc/systemd/system/dryad.service")
TOOLS: Final = Path("/usr/local/bin")
BOOTED: Final = Path("/run/systemd/system")  # sd_booted(3): systemd is what runs this machine
WITHIN_S: Final = 60.0
# The holder's programs run below the agent: what would keep them from their home, from /tmp or from
# becoming their user must not stand here. All the rest of the machine is kept from both.
UNIT: Final = """\
[Unit]
Description=The Boruta agent of this board
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
Restart=always
RestartSec=2
WatchdogSec=60
TimeoutStartSec=90
TimeoutStopSec=30
# Each job has a control group below the agent's own, with limits.
Delegate=yes
KillMode=control-group
RuntimeDirectory=dryad
RuntimeDirectoryMode=0755
StateDirectory=dryad
StateDirectoryMode=0700
# Out of memory, a holder's program is taken, and that is no reason to stop the agent.
OOMScoreAdjust=-500
OOMPolicy=continue
MemoryMax=95%
LimitNOFILE=65536
LimitCORE=0
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectHostname=yes
RestrictRealtime=yes
LockPersonality=yes

[Install]
WantedBy=multi-user.target
"""


def unit(config: Path) -> str:
    """The text of the unit, for this interpreter."""
    command = [sys.executable, "-m", "dryad", "run", "--config", str(config)]
    return UNIT.format(command=" ".join(f'"{word}"' if " " in word else word for word in command))


def install(config: Path, *, stm_compat: bool = False) -> Iterator[str]:
    """Checks, then makes the service and starts it; tells what it does.

    Args:
        config: the agent's.
        stm_compat: also the original's `stm` command.

    Raises:
        ActionRefused: this is not root, or a precondition does not hold.
        BadConfig: the configuration cannot be used.
    """
    from dryad.board.sessions import put_tools
    from dryad.preflight import look

    _need_root("install")
    if not config.exists():
        raise BadConfig(f"{config}: there is none; dryad init writes one")
    settings = load(config, {}, {})
    check_complete(settings)
    failed = [one for one in look(settings, {}) if one.state == "FAIL" and one.name != "server"]
    if failed:
        text = "; ".join(f"{one.name}: {one.detail}" for one in failed)
        raise ActionRefused(f"dryad check --config {config} fails: {text}")
    put_tools(TOOLS, stm=stm_compat)
    yield f"{TOOLS / 'board'}: written"
    if stm_compat:
        yield f"{TOOLS / 'stm'}: written"
    UNIT_FILE.parent.mkdir(parents=True, exist_ok=True)
    UNIT_FILE.write_text(unit(config.absolute()))
    yield f"{UNIT_FILE}: written"
    if BOOTED.is_dir():
        _systemctl("daemon-reload")
        _systemctl("enable", "--now", "dryad.service")
        yield "dryad.service: enabled and started"
    else:
        yield f"systemd does not run here; without it: {unit_command(config)}"


def uninstall() -> Iterator[str]:
    """Undoes `install`; the data directory and the configuration stay.

    Raises:
        ActionRefused: this is not root.
        BadConfig: the holders' account is somebody's.
        InfraError: a tool failed.
    """
    from dryad.board.sessions import remove_tools
    from dryad.sessions import account, leaving

    _need_root("uninstall")
    if UNIT_FILE.exists():
        command = next(
            line for line in UNIT_FILE.read_text().splitlines() if line.startswith("ExecStart=")
        )
        config = Path(command.rpartition(" --config ")[2].strip('"'))
        if BOOTED.is_dir():
            _systemctl("disable", "--now", "dryad.service")
        UNIT_FILE.unlink()
        if BOOTED.is_dir():
            _systemctl("daemon-reload")
        yield f"{UNIT_FILE}: removed"
        settings = load(config, {}, {}) if config.exists() else None
        if settings is not None and settings.sessions == "system":
            try:
                leaving.kill_all(account.look_up(settings.username))
            except InfraError:
                pass  # there is none
            if account.remove(settings.username):
                yield f"account {settings.username}: removed, with its home"
    for path in remove_tools(TOOLS):
        yield f"{path}: removed"


def unit_command(config: Path) -> str:
    """What the unit runs."""
    return next(
        line.removeprefix("ExecStart=")
        for line in unit(config.absolute()).splitlines()
        if line.startswith("ExecStart=")
    )


def _need_root(what: str) -> None:
    if os.geteuid() != 0:
        raise ActionRefused(f"dryad {what}: this needs root")


def _systemctl(*words: str) -> None:
    try:
        ended = subprocess.run(
            ["systemctl", *words], capture_output=True, text=True, timeout=WITHIN_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InfraError(f"systemctl {' '.join(words)}: {error}") from error
    if ended.returncode != 0:
        raise InfraError(f"systemctl {' '.join(words)}: {' '.join(ended.stderr.split())}")

"""`dryad install` and `uninstall`: the agent as a service of systemd, and `board` for everybody."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from boruta.domain.errors import ActionRefused, BadConfig, BorutaError, InfraError
from dryad import place
from dryad.config import AgentConfig, check_complete, load
from dryad.files import put

NAME: Final = "dryad.service"
UNIT_FILE: Final = Path("/etc/systemd/system") / NAME
PACKAGED: Final = (Path("/usr/lib/systemd/system") / NAME, Path("/lib/systemd/system") / NAME)
TOOLS: Final = Path("/usr/local/bin")
BOOTED: Final = Path("/run/systemd/system")  # sd_booted(3): systemd is what runs this machine
WITHIN_S: Final = 150.0  # longer than the unit's own times for a start and an end
MARK: Final = "# Written by dryad install; dryad uninstall removes it. Change it by a drop-in:"
PACKAGE_MARK: Final = "# Of a package, which replaces it with each version. Change it by a drop-in:"
# The holder's programs run below the agent and inherit all of this. So there is nothing that keeps
# them from their home, /tmp, the board's devices or its kernel's log, from becoming their user, or
# from what a debugger does; dryad's limits of a job take the place of the service's own.
UNIT: Final = """\
{mark}
# systemctl edit dryad
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
TasksMax=infinity
RuntimeDirectory=dryad
RuntimeDirectoryMode=0755
StateDirectory=dryad
StateDirectoryMode=0700
# Out of memory, a holder's program is taken, and that is no reason to stop the agent.
OOMScoreAdjust=-500
OOMPolicy=continue
MemoryMax=95%
LimitNOFILE=65536
# The agent leaves no memory with keys behind; a holder may want cores of his own.
LimitCORE=0:infinity
# Not even root below this loads a module, sets the date, or starts another kernel.
CapabilityBoundingSet=~CAP_SYS_MODULE CAP_SYS_BOOT CAP_SYS_TIME CAP_MAC_ADMIN CAP_MAC_OVERRIDE

[Install]
WantedBy=multi-user.target
"""


def unit(config: Path, program: Sequence[str] = (), mark: str = MARK) -> str:
    """The text of the unit.

    Args:
        config: the agent's.
        program: the `dryad` command; left out: this interpreter's.
        mark: says whose the file is.

    Raises:
        BadConfig: the path has signs that no line can have.
    """
    words = [*(program or (sys.executable, "-m", "dryad")), "run", "--config", str(config)]
    if not all(word.isprintable() for word in words):
        raise BadConfig(f"{str(config)!r}: a unit cannot name a file with such signs")
    return UNIT.format(mark=mark, command=" ".join(map(_quoted, words)))


def _quoted(word: str) -> str:
    word = word.replace("%", "%%").replace("$", "$$")
    if not any(sign in word for sign in " \\\"';"):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _config_of(unit_file: Path) -> Path:
    """The configuration that a unit of ours names."""
    for line in unit_file.read_text(encoding="utf-8").splitlines():
        if line.startswith("ExecStart=") and " --config " in line:
            word = shlex.split(line)[-1]
            return Path(word.replace("$$", "$").replace("%%", "%"))
    return place.CONFIG


def install(config: Path, *, stm_compat: bool = False) -> Iterator[str]:
    """Checks, then makes the service and starts it; tells what it does.

    Args:
        config: the agent's.
        stm_compat: also the original's `stm` command.

    Raises:
        ActionRefused: this is not root, a precondition does not hold, or the unit is another's.
        BadConfig: the configuration cannot be used.
        InfraError: something cannot be written, or systemd refuses it.
    """
    from dryad.board.sessions import put_tools
    from dryad.preflight import look
    from dryad.standing import is_running

    _need_root("install")
    config = config.absolute()
    if not config.exists():
        raise BadConfig(f"{config}: there is none; dryad init writes one")
    settings = load(config, {}, {})
    check_complete(settings)
    text = unit(config)
    _check_ours()
    packaged = _packaged(config)
    bad = [one for one in look(settings, {}) if one.state == "FAIL"]
    if failed := [f"{one.name}: {one.detail} -> {one.hint}" for one in bad if one.name != "server"]:
        raise ActionRefused(f"dryad check --config {config} fails: {'; '.join(failed)}")
    booted, active = BOOTED.is_dir(), BOOTED.is_dir() and _is_active()
    if booted and not active and is_running(settings.data):
        raise ActionRefused(f"{settings.data}: an agent runs that is no service; end it first")
    for one in bad:
        yield f"{one.name}: {one.detail}; the agent goes on trying"
    # The package's own `board` is in everybody's PATH, and as new as its agent.
    for tool in put_tools(TOOLS, board=packaged is None, stm=stm_compat):
        yield f"{tool}: written"
    if packaged is None:
        _write(text)
        yield f"{UNIT_FILE}: written"
    else:
        yield f"{packaged}: is there already, from a package"
        if _is_ours():  # it would be the one that systemd reads
            if booted:
                _systemctl("disable", NAME)  # the link is to this very file
            UNIT_FILE.unlink()
            yield f"{UNIT_FILE}: removed, since the package has one"
    if not booted:
        yield f"systemd does not run here; without it: {_command_of(packaged, text)}"
        return
    _systemctl("daemon-reload")
    _systemctl("enable", "--now", NAME)
    if active:
        yield f"{NAME}: ran already; systemctl restart dryad takes the new one, and ends its job"
    else:
        yield f"{NAME}: enabled and started"


def _packaged(config: Path) -> Path | None:
    """The unit that a package brought, if one did."""
    found = next((path for path in PACKAGED if path.exists()), None)
    if found is not None and (reads := _config_of(found)) != config:
        raise ActionRefused(f"{found}: reads {reads}, not {config}; have the configuration there")
    return found


def _check_ours() -> None:
    if os.path.lexists(UNIT_FILE) and not _is_ours():
        raise ActionRefused(f"{UNIT_FILE}: not written by dryad install; move it away first")


def _is_ours() -> bool:
    try:
        return MARK in UNIT_FILE.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _write(text: str) -> None:
    try:
        UNIT_FILE.parent.mkdir(parents=True, exist_ok=True)
        put(UNIT_FILE, text, 0o644)
    except OSError as error:
        raise InfraError(f"{UNIT_FILE}: {error.strerror or error}") from error


def uninstall(config: Path | None = None) -> Iterator[str]:
    """Undoes `install`; the data directory and the configuration stay. Again where it failed.

    Args:
        config: the agent's; None takes what the unit names.

    Raises:
        ActionRefused: this is not root, or an agent runs that is no service.
        Busy: another agent has the holders' account.
        InfraError: a tool failed.
    """
    from dryad.board.sessions import remove_tools
    from dryad.sessions import removing
    from dryad.standing import is_running

    _need_root("uninstall")
    ours, booted = _is_ours(), BOOTED.is_dir()
    config = config or (_config_of(UNIT_FILE) if ours else place.CONFIG)
    try:
        settings = load(config if config.exists() else None, {}, {})
    except BorutaError as error:
        settings = AgentConfig(sessions="system")
        yield f"{error}: the names that are the default are taken"
    packaged = any(path.exists() for path in PACKAGED)
    if booted and (ours or packaged):
        _systemctl("disable", "--now", NAME)
        yield f"{NAME}: stopped and disabled"
    if is_running(settings.data):
        raise ActionRefused(f"{settings.data}: an agent runs; end it first")
    yield from removing.remove(settings.username)
    if ours:
        UNIT_FILE.unlink()
        yield f"{UNIT_FILE}: removed"
        if booted:
            _systemctl("daemon-reload")
    elif os.path.lexists(UNIT_FILE):
        yield f"{UNIT_FILE}: not written by dryad install, so it stays"
    for path in remove_tools(TOOLS):
        yield f"{path}: removed"


def _command_of(packaged: Path | None, text: str) -> str:
    """What the unit runs: the package's, or this text."""
    if packaged is not None:
        text = packaged.read_text(encoding="utf-8")
    lines = text.splitlines()
    return next(x.removeprefix("ExecStart=") for x in lines if x.startswith("ExecStart="))


def _need_root(what: str) -> None:
    if os.geteuid() != 0:
        raise ActionRefused(f"dryad {what}: this needs root")


def _is_active() -> bool:
    try:
        words = ["systemctl", "is-active", "--quiet", NAME]
        return subprocess.run(words, timeout=WITHIN_S, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InfraError(f"systemctl is-active: {error}") from error


def _systemctl(*words: str) -> None:
    try:
        ended = subprocess.run(
            ["systemctl", *words], capture_output=True, text=True, timeout=WITHIN_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InfraError(f"systemctl {' '.join(words)}: {error}") from error
    if ended.returncode != 0:
        raise InfraError(f"systemctl {' '.join(words)}: {' '.join(ended.stderr.split())}")

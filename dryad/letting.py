"""How an agent's holders log in and find the board's hardware, put together from its config."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

from dryad.board.console import Console
from dryad.board.service import BoardService, socket_path
from dryad.board.sessions import BoardSessions, environment, put_tools
from dryad.config import AgentConfig
from dryad.hardware.port import Hardware
from dryad.hardware.stm_port import BAUD
from dryad.sessions.limits import Limits
from dryad.sessions.port import Sessions
from dryad.sessions.room import Room

# What a holder may fill; all but /home of a board is often one file system.
WRITABLE: Final = ("/home", "/tmp", "/var/tmp", "/var/crash")
Line: TypeAlias = tuple[str, int]  # of a target: the device, its speed


def make_sessions(config: AgentConfig, data: Path, hardware: Hardware) -> Sessions:
    """As the config has it; blocks while `board` is written."""
    tools = tools_of(config.sessions, data)
    put_tools(tools)
    if config.sessions == "system":
        return system_sessions(
            data=data,
            tools=tools,
            address=config.ssh_address,
            username=config.username,
            hardware=hardware,
            console=config.console,
            groups=config.groups,
            limits=config.limits,
        )
    return embedded_sessions(
        data=data,
        tools=tools,
        address=config.ssh_address,
        username=config.username,
        hardware=hardware,
        console=config.console,
    )


def make_room(config: AgentConfig, data: Path) -> Room | None:
    """What watches the disk; of embedded sessions nothing does, their holders are trusted."""
    if config.sessions != "system":
        return None
    return Room([Path(one) for one in WRITABLE] + [data], config.limits.disk)


def tools_of(sessions: str, data: Path) -> Path:
    """Where an agent with these sessions has `board` for its holders."""
    # Not below /run, where Debian lets nothing be executed, nor in what is the agent's alone.
    return data.with_name(data.name + "-tools") if sessions == "system" else data / "tools"


def embedded_sessions(
    *,
    data: Path,
    tools: Path,
    address: str,
    username: str,
    hardware: Hardware,
    console: Line | None = None,
) -> Sessions:
    """Sessions of the agent's own.

    Args:
        data: the agent's directory.
        tools: where `board` is; several agents may share it.
        address: where to listen.
        username: who may log in.
        hardware: what `board` moves.
        console: the target's serial line; None: that of the hardware, if it brings one.
    """
    from dryad.sessions.embedded import EmbeddedSessions

    path = socket_path("embedded", data, username)
    service = BoardService(path, hardware, _console(console, data, hardware))
    sessions = EmbeddedSessions(
        address=address, data=data, username=username, hardware_env=environment(service, tools)
    )
    return BoardSessions(sessions, service, os.geteuid)


def system_sessions(
    *,
    data: Path,
    tools: Path,
    address: str,
    username: str,
    hardware: Hardware,
    console: Line | None = None,
    groups: Sequence[str] = (),
    limits: Limits | None = None,
) -> Sessions:
    """Sessions by an account and OpenSSH; see `embedded_sessions`.

    Args:
        groups: the account's supplementary ones.
        limits: what a holder may take.
    """
    from dryad.sessions.system import SystemSessions

    path = socket_path("system", data, username)
    service = BoardService(path, hardware, _console(console, data, hardware))
    sessions = SystemSessions(
        address=address,
        data=data,
        username=username,
        groups=groups,
        limits=limits,
        hardware_env=environment(service, tools),
    )
    return BoardSessions(sessions, service, lambda: sessions.uid)


def _console(configured: Line | None, data: Path, hardware: Hardware) -> Console | None:
    path, baud = configured or (getattr(hardware, "console_path", ""), BAUD)
    return Console(path, baud, data / "console.log") if path else None

"""`dryad check`: everything that must hold before an agent can run here. It changes nothing."""

from __future__ import annotations

import errno
import os
import queue
import socket
import stat
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from boruta.domain.errors import BorutaError, NotPermitted
from boruta.guarded import check_private
from boruta.pairs import load_pair, read_server_key
from dryad import preflight_machine, preflight_sessions
from dryad.config import AgentConfig, check_complete, load
from dryad.findings import Finding, State, ask, judged, nearest
from dryad.standing import is_running, read

REACH_WITHIN_S: Final = 2.0  # one that is farther away would be no use to holders


def look_at(
    path: Path | None, environ: Mapping[str, str], flags: Mapping[str, object]
) -> list[Finding]:
    """`look`, also where the configuration itself cannot be used.

    Args:
        path: the file; None takes the system's, if there is one.
        environ: the environment.
        flags: values of AgentConfig's fields; None says nothing.
    """
    try:
        config = load(path, environ, flags)
    except BorutaError as error:
        hint = "mend it where it says, or: dryad init --force --config FILE"
        return [
            Finding("config", "FAIL", error.message, hint),
            preflight_machine.memory(),
            preflight_machine.clock(),
        ]
    return look(config, environ)


def look(config: AgentConfig, environ: Mapping[str, str]) -> list[Finding]:
    """All preconditions, in the order in which an agent meets them; blocks for some seconds."""
    agent, running = _agent(config)
    sessions = (
        preflight_sessions.system(config)
        if config.sessions == "system"
        else preflight_sessions.embedded(config, environ)
    )
    return [
        *_config(config),
        *_servers(config),
        _data(config.data),
        agent,
        *sessions,
        _port(config.ssh_address, running),
        *preflight_machine.look(config, running),
    ]


def _agent(config: AgentConfig) -> tuple[Finding, Mapping[str, object] | None]:
    """Whether one runs here, and what it says of itself; None: there is none."""
    try:
        if not is_running(config.data):
            return Finding("agent", "ok", "does not run"), None
        found = read(config)
        return Finding("agent", "ok", f"runs, pid {found.get('pid')}"), found
    except NotPermitted as error:
        return Finding("agent", "warn", error.message, "run this as root"), {}
    except BorutaError as error:
        return Finding("agent", "warn", error.message, "it may be starting; see its log"), {}


# --- config, keys, server
def _config(config: AgentConfig) -> Iterator[Finding]:
    def complete() -> str:
        check_complete(config)
        return f"{len(config.caps)} capabilities, sessions = {config.sessions}"

    yield ask("config", complete, "dryad init writes a configuration with all that is needed")
    yield _library(config.insecure)
    if config.insecure:
        yield Finding("keys", "warn", "none: insecure = true", "only for a lab of one's own")
        return
    if config.server_key:
        yield ask(
            "server key", lambda: read_server_key(config.server_key),
            "copy DATA/keys/server.key of the server, or its 40 characters",
        )  # fmt: skip
    if config.key:
        yield ask(
            "own key", lambda: load_pair(Path(config.key)).public,
            "on the server: boruta key new NAME --role worker; here: chmod 600",
        )  # fmt: skip


def _library(insecure: bool) -> Finding:
    hint = "apt install python3-zmq python3-msgpack, or pip install pyzmq msgpack"
    try:
        import msgpack  # noqa: F401
        import zmq
    except Exception as error:  # half an installation fails in many ways
        return Finding("zmq", "FAIL", f"{type(error).__name__}: {error}", hint)
    good = insecure or bool(zmq.has("curve"))
    detail = f"pyzmq {zmq.__version__}, libzmq {zmq.zmq_version()}"
    return judged("zmq", good, detail + ("" if good else ", without CURVE"), hint)


def _servers(config: AgentConfig) -> Iterator[Finding]:
    """All at once: a name that nobody resolves takes much longer than a server may."""
    answers: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    for url in dict.fromkeys(config.server):
        words = (url, answers)
        threading.Thread(target=_reach, args=words, name="dryad reach", daemon=True).start()
    found: dict[str, str] = {}
    try:
        while len(found) < len(set(config.server)):
            url, why = answers.get(timeout=REACH_WITHIN_S + 0.5)
            found[url] = why
    except queue.Empty:
        pass  # those that are missing did not answer in time
    up = "" in found.values()
    for url in dict.fromkeys(config.server):
        why = found.get(url, f"no answer in {REACH_WITHIN_S:g} s")
        hint = "is it running, is the port open: boruta server --bind ADDR"
        # One of a farm's servers leads; the others are there for when it does not.
        bad: State = "warn" if up else "FAIL"
        yield judged("server", not why, f"{url}: {why or 'takes connections'}", hint, bad)


def _reach(url: str, answers: queue.SimpleQueue[tuple[str, str]]) -> None:
    host, _, port = url.removeprefix("tcp://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_WITHIN_S).close()
        answers.put((url, ""))
    except (OSError, UnicodeError) as error:
        answers.put((url, str(getattr(error, "strerror", None) or error)))


def _data(data: Path) -> Finding:
    hint = "mend it, or another data = DIR"
    try:
        check_private(data, "agent's data directory")
        if not stat.S_ISDIR(data.stat().st_mode):
            return Finding("data", "FAIL", f"{data}: no directory", hint)
        return judged("data", os.access(data, os.W_OK | os.X_OK), str(data), hint)
    except FileNotFoundError:
        parent = nearest(data)
        if os.access(parent, os.W_OK | os.X_OK) and parent.is_dir():
            return Finding("data", "ok", f"{data} will be made")
        return Finding("data", "FAIL", f"{data} cannot be made in {parent}", hint)
    except OSError as error:
        return Finding("data", "FAIL", f"{data}: {error.strerror}", hint)
    except BorutaError as error:
        return Finding("data", "FAIL", error.message, hint)


def _port(address: str, running: Mapping[str, object] | None) -> Finding:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    six = ":" in host or (not host and socket.has_dualstack_ipv6())
    try:
        with socket.socket(socket.AF_INET6 if six else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, int(port)))
            return Finding("ssh_address", "ok", f"{address} is free")
    except (OSError, UnicodeError) as error:
        why = str(getattr(error, "strerror", None) or error)
        if running is not None and getattr(error, "errno", None) == errno.EADDRINUSE:
            has = str(running.get("ssh_address", ""))
            if has.rpartition(":")[2] == port:
                return Finding("ssh_address", "ok", f"{address} is in use, by the agent itself")
            if not has:
                hint = "look again once the agent answers"
                return Finding("ssh_address", "warn", f"{address} is in use", hint)
        hint = "another ssh_address; ss -ltnp says who has it"
        return Finding("ssh_address", "FAIL", f"{address}: {why}", hint)

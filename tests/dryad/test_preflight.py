"""dryad check on machines that are odd: each fault is a line with a hint, and none an exception."""

from __future__ import annotations

import errno
import json
import os
import pty
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from dryad import cli, place, preflight, preflight_machine, preflight_sessions, standing
from dryad.config import load
from dryad.findings import Finding
from dryad.preflight import look
from dryad.running import LOCK_TRIES, DirectoryLock
from dryad.standing import is_running

CONFIG = {
    "insecure": True,
    "ssh_address": "127.0.0.1:0",
    "sessions": "embedded",
    "trust_holders": True,
}


@pytest.fixture
def server() -> Iterator[str]:
    """An address that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def written(tmp_path: Path, server: object, tables: str = "", **more: object) -> Path:
    path = tmp_path / "dryad.toml"
    lines = {**CONFIG, "server": server, "data": str(tmp_path / "data"), **more}
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items())
    path.write_text(text + tables)
    return path


def all_of(path: Path) -> list[Finding]:
    found = look(load(path, {}, {}), {})
    for one in found:  # whatever is wrong, there is something to do
        assert bool(one.hint) == (one.state != "ok"), one
    return found


def one_of(path: Path, name: str) -> Finding:
    (found,) = [one for one in all_of(path) if one.name == name]
    return found


def typed(*words: str) -> int:
    return cli.main(["check", *words])


# --- configuration
@pytest.mark.parametrize("text", ["server = 5\n", "serve = 'x'\n", "[[[\n", None])
def test_a_configuration_that_cannot_be_used_is_a_line_of_the_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    path = tmp_path / "dryad.toml"
    if text is not None:
        path.write_text(text)
    assert typed("--config", str(path), "-o", "json") == 1
    first, *rest = json.loads(capsys.readouterr().out)
    assert (first["name"], first["state"]) == ("config", "FAIL")
    assert str(path) in first["detail"]
    assert "dryad init" in first["hint"]
    assert [one["name"] for one in rest] == ["memory", "clock"]


def test_each_precondition_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], server: str
) -> None:
    path = written(tmp_path, server, ssh_address="192.0.2.1:7022")
    assert typed("--config", str(path)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert {line[:4].strip() for line in lines} <= {"ok", "warn", "FAIL"}
    assert all(" -> " in line for line in lines if not line.startswith("ok"))
    assert len(lines) == len(all_of(path))


def test_no_configuration_at_all_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(place, "CONFIG", tmp_path / "none.toml")
    monkeypatch.setattr(place, "OLD_CONFIG", tmp_path / "none.conf")
    for name in ("BORUTA_SERVER", "BORUTA_SERVER_KEY", "BORUTA_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert typed("--data", str(tmp_path / "data")) == 1
    assert "FAIL  config       no server" in capsys.readouterr().out


# --- server
def test_one_server_of_several_that_does_not_answer_is_only_a_warning(
    tmp_path: Path, server: str
) -> None:
    path = written(tmp_path, [server, "127.0.0.1:1"])
    states = [one.state for one in all_of(path) if one.name == "server"]
    assert states == ["ok", "warn"]


def test_a_server_whose_name_is_never_resolved_costs_no_more_than_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    def hangs(*_: object) -> socket.socket:
        over.wait(30)
        raise OSError(errno.EHOSTUNREACH, "over")

    monkeypatch.setattr(socket, "create_connection", hangs)
    monkeypatch.setattr(preflight, "REACH_WITHIN_S", 0.0)
    try:
        found = one_of(written(tmp_path, "nowhere.invalid"), "server")
    finally:
        over.set()
    assert found.state == "FAIL"
    assert "no answer in" in found.detail


def test_a_server_s_name_that_is_no_name_is_a_fault_and_no_exception(tmp_path: Path) -> None:
    found = one_of(written(tmp_path, f"{'a' * 70}.example:1"), "server")
    assert found.state == "FAIL"


def test_a_server_at_ipv6_is_reached(tmp_path: Path) -> None:
    try:
        listening = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6: an address of it is not tried")
    with listening:
        port = listening.getsockname()[1]
        path = written(tmp_path, f"[::1]:{port}", ssh_address="[::1]:0")
        assert one_of(path, "server").state == "ok"
        assert one_of(path, "ssh_address").state == "ok"


# --- data
def test_a_data_directory_that_cannot_serve_is_told(tmp_path: Path, server: str) -> None:
    file = tmp_path / "file"
    file.write_text("")
    file.chmod(0o600)
    found = one_of(written(tmp_path, server, data=str(file)), "data")
    assert (found.state, found.detail) == ("FAIL", f"{file}: no directory")
    found = one_of(written(tmp_path, server, data=str(file / "below")), "data")
    assert found.state == "FAIL"
    open_to_all = tmp_path / "open"
    open_to_all.mkdir(mode=0o755)
    found = one_of(written(tmp_path, server, data=str(open_to_all)), "data")
    assert "chmod 700" in found.detail


def test_who_may_not_look_into_a_data_directory_is_not_told_that_no_agent_runs(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    path = written(tmp_path, server)
    monkeypatch.setattr(standing, "os", SimpleNamespace(open=refused, O_RDONLY=0, O_CLOEXEC=0))
    assert one_of(path, "agent").state == "warn"
    assert cli.main(["status", "--config", str(path)]) == 4  # unknown, in LSB's words too


def test_an_agent_is_seen_also_where_the_kernel_does_not_list_locks(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    assert is_running(tmp_path)
    assert is_running(tmp_path, tmp_path / "none")
    lock.release()
    assert not is_running(tmp_path)
    assert not is_running(tmp_path, tmp_path / "none")


def test_looking_never_keeps_an_agent_from_starting(tmp_path: Path) -> None:
    over = threading.Event()

    def looks() -> None:
        while not over.is_set():
            is_running(tmp_path)

    DirectoryLock(tmp_path).release()
    lookers = [threading.Thread(target=looks) for _ in range(2)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(300):
            DirectoryLock(tmp_path, tries=LOCK_TRIES).release()  # Busy would be raised here
    finally:
        over.set()
        for looker in lookers:
            looker.join()


# --- the port
def test_a_port_of_somebody_else_is_not_taken_for_the_agent_s(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, server, ssh_address=server)
    said: dict[str, object] = {"running": True, "pid": 1, "ssh_address": server}
    monkeypatch.setattr(preflight, "is_running", lambda _: True)
    monkeypatch.setattr(preflight, "read", lambda _: said)
    assert one_of(path, "ssh_address").detail.endswith("by the agent itself")
    said["ssh_address"] = "127.0.0.1:1"  # as before the configuration was changed
    assert one_of(path, "ssh_address").state == "FAIL"


def test_a_machine_without_ipv6_can_listen_everywhere(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    assert one_of(written(tmp_path, server, ssh_address=":0"), "ssh_address").state == "ok"


# --- sessions
def groups(
    tmp_path: Path, *, own: str = "/", offered: str = "memory pids", **files: str
) -> Finding:
    mount = tmp_path / "cgroup"
    for name, text in {"cgroup.controllers": offered, **files}.items():
        (mount / name).parent.mkdir(parents=True, exist_ok=True)
        (mount / name).write_text(text)
    mounts, mine = tmp_path / "mountinfo", tmp_path / "own"
    mounts.write_text(f"24 1 0:22 / {mount} rw - cgroup2 none rw\n")
    mine.write_text(f"0::{own}\n")
    return preflight_sessions.control_groups(mounts, mine)


def test_a_kernel_with_all_controllers_is_well(tmp_path: Path) -> None:
    found = groups(tmp_path, **{"a.slice/cgroup.procs": "", "a.slice/cgroup.kill": ""})
    assert found.state == "ok"


def test_a_raspberry_pi_that_does_not_limit_memory_is_told_how_to(tmp_path: Path) -> None:
    found = groups(tmp_path, offered="cpu pids")
    assert "without memory" in found.detail
    assert "cgroup_enable=memory" in found.hint


def test_an_old_kernel_is_told_from_the_top_of_the_tree_too(tmp_path: Path) -> None:
    found = groups(tmp_path, **{"a.slice/cgroup.procs": ""})
    assert "no cgroup.kill" in found.detail


def test_a_machine_without_control_groups_is_a_warning(tmp_path: Path) -> None:
    assert preflight_sessions.control_groups(tmp_path / "no", tmp_path / "no").state == "warn"


def test_half_an_installation_of_a_library_is_told(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "asyncssh", None)
    assert one_of(written(tmp_path, server), "asyncssh").state == "FAIL"
    monkeypatch.setitem(__import__("sys").modules, "zmq", None)
    assert one_of(written(tmp_path, server), "zmq").state == "FAIL"


# --- the machine
def test_a_busy_serial_port_is_told_with_who_has_it_and_is_never_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = pty.openpty()
    path = os.ttyname(theirs)
    child = subprocess.Popen(["sleep", "60"], pass_fds=[theirs], stdin=subprocess.DEVNULL)
    os.close(theirs)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", None)
            found = preflight_machine.serial("stm", path, None)
        assert found.state == "FAIL"
        assert f"process {child.pid}" in found.detail
        of_agent = {"pid": child.pid}
        assert preflight_machine.serial("stm", path, of_agent).detail.endswith("by the agent")
        assert preflight_machine.serial("stm", path, {}).state == "warn"
        child.kill()
        child.wait()
        assert preflight_machine.serial("stm", path, None) == Finding("stm", "ok", path)
    finally:
        child.kill()
        child.wait()
        os.close(ours)


def test_a_command_that_is_not_there_is_told(tmp_path: Path, server: str) -> None:
    tables = '[board]\npower_on = ["no-such-program", "on"]\n[checks]\nfan = "/bin/true"\n'
    path = written(tmp_path, server, tables, hardware="command")
    assert one_of(path, "[board] power_on").state == "FAIL"
    assert one_of(path, "[checks] fan").state == "ok"


def test_memory_that_is_only_cached_counts_as_free(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 500000 kB\nMemFree: 4000 kB\nMemAvailable: 300000 kB\n")
    assert preflight_machine.memory(meminfo).state == "ok"
    meminfo.write_text("MemAvailable: 4000 kB\n")
    assert preflight_machine.memory(meminfo).state == "warn"
    assert preflight_machine.memory(tmp_path / "none").state == "warn"


def test_a_clock_that_was_never_set_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight_machine, "utc_now", lambda: SimpleNamespaceDate(1970))
    assert "long ago" in preflight_machine.clock().detail
    monkeypatch.setattr(preflight_machine, "utc_now", lambda: SimpleNamespaceDate(2030))
    monkeypatch.setattr(preflight_machine, "wall_clock_error", lambda: 2.5)
    assert preflight_machine.clock().state == "warn"
    monkeypatch.setattr(preflight_machine, "wall_clock_error", lambda: 0.001)
    assert preflight_machine.clock().state == "ok"


class SimpleNamespaceDate(SimpleNamespace):
    """A date of which only the year matters."""

    def __init__(self, year: int) -> None:
        super().__init__(year=year)

    def __format__(self, spec: str) -> str:
        return str(self.year)

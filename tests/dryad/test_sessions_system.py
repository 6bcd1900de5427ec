"""What system sessions promise beyond the rest: nothing of the holder survives, wherever he hid."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import asyncssh
import pytest

from boruta.domain.errors import BadConfig, Busy, SessionAlive
from dryad.sessions import account, cgroup, leaving, sshd, traces
from dryad.sessions import place as places
from dryad.sessions.limits import Limits
from dryad.sessions.system import SystemSessions
from tests.dryad.sessions_kit import Board, alive, make_key, system, tool, until

pytestmark = pytest.mark.integration

HIDES = {
    "setsid": "setsid sleep 300 & echo $!",
    "nohup": "nohup sleep 300 >/dev/null 2>&1 & echo $!",
    "forked twice": "setsid sh -c 'sleep 300 & echo $!'",
    "deaf": "setsid sh -c 'trap \"\" HUP INT TERM; echo $$; while :; do sleep 1; done' &",
    "stopped": "setsid sh -c 'echo $$; kill -STOP $$' &",
    "without an environment": "setsid env -i sh -c 'echo $$; exec sleep 300' &",
}


@pytest.fixture(params=["cgroup", "uid alone"])
def ended_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to end everything: with a control group, and on a machine that has none."""
    if request.param == "uid alone":
        monkeypatch.setattr(cgroup, "find", lambda name: cgroup.Groups(None))
    elif cgroup.find("look").base is None:
        pytest.skip("no cgroup v2 on this machine")
    return str(request.param)


def his(held: Board) -> list[int]:
    return leaving.processes(account.look_up(held.name).uid)


@pytest.mark.parametrize("how", HIDES)
def test_a_program_that_hides_is_ended(how: str, ended_by: str) -> None:
    async def story() -> None:
        async with system() as held:
            hidden = f"({HIDES[how]}) >pid 2>/dev/null </dev/null"
            said = await held.ssh(f"{hidden}; until [ -s pid ]; do sleep 0.05; done; cat pid")
            pid = int(said.out)
            await until(lambda: alive(pid))
            begun = time.monotonic()
            await held.sessions.end()
            assert time.monotonic() - begun < 2
            assert not alive(pid)
            assert his(held) == []

    asyncio.run(story())


def test_a_storm_of_forks_ends(ended_by: str) -> None:
    async def story() -> None:
        async with system(limits=Limits(processes=300)) as held:
            # Each ignores what it can and makes two more of itself.
            bomb = "b() { trap '' HUP TERM; b | b & wait; }; setsid bash -c \"$(declare -f b); b\""
            going = asyncio.ensure_future(held.ssh(f"{bomb} & sleep 300"))
            await until(lambda: len(his(held)) > 100)
            begun = time.monotonic()
            await held.sessions.end()
            assert time.monotonic() - begun < 4  # each look at /proc competes with the storm
            assert his(held) == []
            assert (await going).status == 255

    asyncio.run(story())


def test_a_multiplexer_that_detached_is_ended(ended_by: str) -> None:
    tool("tmux")

    async def story() -> None:
        async with system() as held:
            made = await held.ssh(
                "tmux new-session -d sleep 300; tmux list-sessions; "
                "until pgrep -u $USER sleep; do sleep 0.05; done"
            )
            assert made.status == 0, made
            await held.sessions.end()
            assert his(held) == []
            uid = account.look_up(held.name).uid
            assert not there(f"/tmp/tmux-{uid}")

    asyncio.run(story())


LEAVES = """
import ctypes, os, subprocess
libc = ctypes.CDLL(None)
libc.shmget(0x1234 + os.getuid(), 4096, 0o1600)
libc.semget(0x1234 + os.getuid(), 1, 0o1600)
libc.msgget(0x1234 + os.getuid(), 0o1600)
libc.syscall({keyctl}, 7 if False else 11, -4, 0, 0)
open(f"/dev/shm/left-{{os.getuid()}}", "w").close()
os.makedirs(f"/var/tmp/left-{{os.getuid()}}/deep/er")
open(f"/var/tmp/left-{{os.getuid()}}/deep/er/file", "w").close()
os.chmod(f"/var/tmp/left-{{os.getuid()}}/deep", 0)
os.symlink("/etc", f"/tmp/left-{{os.getuid()}}")
"""


def there(path: str) -> bool:
    return os.path.lexists(path)


def ipc_of(uid: int) -> int:
    rows = [
        line.split()
        for kind in ("shm", "sem", "msg")
        for line in Path(f"/proc/sysvipc/{kind}").read_text().splitlines()
    ]
    return sum(str(uid) in row for row in rows)


def test_files_in_shared_places_and_ipc_are_removed() -> None:
    async def story() -> None:
        async with system() as held:
            uid = account.look_up(held.name).uid
            script = LEAVES.format(keyctl=250)
            made = await held.ssh("python3 -", stdin=script.encode())
            assert made.status == 0, made.err
            left = [f"{place}/left-{uid}" for place in ("/dev/shm", "/var/tmp", "/tmp")]
            assert all(map(there, left))
            assert ipc_of(uid) == 3
            await held.sessions.end()
            assert not any(map(there, left))
            assert ipc_of(uid) == 0
            assert there("/etc/passwd")  # the link was removed, not what it points to

    asyncio.run(story())


def test_a_file_in_anothers_directory_goes_and_the_others_stay(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    (shared / "public").mkdir(parents=True)
    (shared / "public").chmod(0o1777)
    (shared / "private").mkdir(mode=0o700)
    for name in ("public/mine", "public/his", "private/his-too"):
        (shared / name).write_text("x")

    made = account.Account("x", 54321, (54321,), Path("/nonexistent"), "/bin/sh")
    for name in ("public/his", "private/his-too"):
        os.chown(shared / name, made.uid, made.gid)
    assert traces.remove_all(made, [str(shared), str(shared), str(tmp_path / "none")]) == []
    assert (shared / "public/mine").exists()
    assert not (shared / "public/his").exists()
    # He could not get there, so somebody gave it to him: it is left as it is.
    assert (shared / "private/his-too").exists()


def test_what_cron_and_at_would_start_is_removed_by_owner_and_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    for name in ("holder", "a0001", "somebody"):
        (spool / name).write_text("* * * * * true\n")
    os.chown(spool / "a0001", 54321, 54321)
    monkeypatch.setattr(traces, "SPOOLS", (str(spool), str(tmp_path / "none")))
    made = account.Account("holder", 54321, (54321,), Path("/nonexistent"), "/bin/sh")
    assert traces.stop_what_comes_later(made) == []
    assert [path.name for path in spool.iterdir()] == ["somebody"]


def test_a_key_that_the_holder_adds_himself_opens_nothing() -> None:
    async def story() -> None:
        async with system() as held:
            other = make_key(held.directory, "other")
            line = other.with_suffix(".pub").read_bytes()
            await held.ssh("mkdir -m 700 .ssh && cat > .ssh/authorized_keys", stdin=line)
            assert (await held.ssh("true", key=other)).status == 255
            assert (await held.ssh("true")).status == 0

    asyncio.run(story())


def test_limits_hold_and_the_board_is_usable_afterwards() -> None:
    async def story() -> None:
        async with system(limits=Limits(processes=60, files=128)) as held:
            files = await held.ssh(
                "python3 -c 'import tempfile; k=[tempfile.TemporaryFile() for _ in range(10000)]'"
            )
            assert b"Too many open files" in files.err
            forks = await held.ssh(
                "python3 -c 'import os, time; [os.fork() or time.sleep(300) for _ in range(100)]'"
                " 2>&1 | grep -m1 -o BlockingIOError"
            )
            assert forks.out == b"BlockingIOError\n"
            await held.let_in(2)
            assert (await held.ssh("echo fine")).out == b"fine\n"
            big = await held.ssh("wc -c", stdin=bytes(100 << 20))
            assert big.out == b"%d\n" % (100 << 20)

    asyncio.run(story())


def test_the_kernel_is_told_to_take_his_programs_first() -> None:
    async def story() -> None:
        async with system() as held:
            assert (await held.ssh("cat /proc/self/oom_score_adj")).out == b"500\n"

    asyncio.run(story())


def test_his_programs_run_as_his_account_with_its_groups_and_no_other() -> None:
    async def story() -> None:
        async with system() as held:
            known = account.look_up(held.name)
            ids = await held.ssh("id -u; id -G; pwd")
            groups = " ".join(str(gid) for gid in known.gids)
            assert ids.out.decode().split("\n")[:3] == [str(known.uid), groups, str(known.home)]
            async with await held.connect() as connection, connection.start_sftp_client() as sftp:
                with pytest.raises(asyncssh.SFTPPermissionDenied):
                    await sftp.open("/etc/shadow")

    asyncio.run(story())


def test_what_cannot_be_ended_is_said_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with system() as held:
            await held.ssh("true")
            with monkeypatch.context() as broken:
                broken.setattr(places, "remove_tree", _immutable)
                with pytest.raises(SessionAlive, match="home cannot be removed: immutable"):
                    await held.sessions.end()
            await held.is_shut_until_the_next()

    asyncio.run(story())


def _immutable(_: Path) -> None:
    raise PermissionError("immutable")


def test_two_agents_do_not_share_an_account() -> None:
    async def story() -> None:
        async with system() as held:
            second = SystemSessions(address="127.0.0.1:0", data=held.directory, username=held.name)
            with pytest.raises(Busy, match="another agent"):
                await second.start()
            assert (await held.ssh("echo mine")).out == b"mine\n"

    asyncio.run(story())


def test_it_wants_root_and_an_sshd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sessions = SystemSessions(address="127.0.0.1:0", data=tmp_path, username="holder")
    with monkeypatch.context() as other:
        other.setattr(os, "geteuid", lambda: 1000)
        with pytest.raises(BadConfig, match=r'needs root.*sessions = "embedded" does without'):
            asyncio.run(sessions.start())
    monkeypatch.setattr(sshd, "PLACES", str(tmp_path))
    with pytest.raises(BadConfig, match="apt install openssh-server"):
        sshd.find()


AGENT = """
import asyncio, pathlib, sys
from dryad.sessions.system import SystemSessions
async def main():
    sessions = SystemSessions(address="127.0.0.1:0", data=pathlib.Path(sys.argv[1]),
                              username=sys.argv[3], run=pathlib.Path("/run/dryad-tests"))
    address = await sessions.start()
    await sessions.let_in(1, sys.argv[2], lambda: None)
    print(address, sessions.host_keys[0], sep="|", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def test_a_session_ends_with_its_agent_though_that_was_killed(tmp_path: Path) -> None:
    async def story() -> None:
        async with system(let_in=False) as held:
            # Its own agent in place of the one of this process, with the same account.
            await held.sessions.stop()
            line = held.key.with_suffix(".pub").read_text()
            data = tmp_path / "data"
            data.mkdir(mode=0o700)
            words = (sys.executable, "-c", AGENT, str(data), line, held.name)
            agent = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE)
            assert agent.stdout is not None
            try:
                said = (await agent.stdout.readline()).decode()
                address, _, host_key = said.strip().partition("|")
                other = Board(held.sessions, held.host, 0, held.key, held.directory)
                other.port = int(address.rpartition(":")[2])
                held.sessions._host_key = host_key  # type: ignore[attr-defined]
                made = await other.ssh("setsid sleep 300 >/dev/null 2>&1 & echo $!")
                sleeper = int(made.out)
                busy = asyncio.ensure_future(other.ssh("exec sleep 300"))
                await until(lambda: len(his(held)) >= 3)
                agent.kill()
                begun = time.monotonic()
                await until(lambda: not his(held))
                assert time.monotonic() - begun < 2
                assert not alive(sleeper)
                assert (await busy).status == 255
                assert not there(f"/run/dryad-tests/{held.name}/authorized_keys")
            finally:
                with suppress(ProcessLookupError):
                    agent.kill()
                await agent.wait()
            # The next life of the agent clears up what is left of the home.
            await held.sessions.start()
            assert held.homes() == []

    asyncio.run(story())

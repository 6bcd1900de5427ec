"""The keeper: whatever a holder starts, nothing of it is left afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from boruta.domain.errors import BoardLost, SessionAlive
from dryad.sessions import keeper, keeping
from dryad.sessions.keeping import Child, Keeping, Program
from dryad.sessions.sweep import sweep
from tests.dryad.sessions_kit import alive, until

pytestmark = pytest.mark.integration

# Becomes a daemon as daemons do: fork, session, fork, files closed; tells its pid.
DAEMON = """
import os, sys, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
import signal
for number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)
open(sys.argv[1] + ".new", "w").write(str(os.getpid()))
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(300)
"""

# Each copy starts others without end and ignores what can be ignored; bounded, so that a test
# that fails does not take the machine along.
BOMB = """
import os, signal, sys, time
for number in (1, 2, 3, 15): signal.signal(number, signal.SIG_IGN)
end = time.monotonic() + 20
open(sys.argv[1], "w").close()
def many(): return len([name for name in os.listdir("/proc") if name.isdigit()]) > 400
while time.monotonic() < end:
    if not many():
        if os.fork() == 0: os.setsid()
    else: time.sleep(0.001)
"""

# Never the same process for long: forks and exits, over and over.
COMET = """
import os, sys, time
end = time.monotonic() + 20
open(sys.argv[1], "w").close()
while time.monotonic() < end:
    if os.fork(): os._exit(0)
"""


class Held:
    """A keeper with a place for files, and a way to run Python below it."""

    def __init__(self, keeping: Keeping, directory: Path, lost: asyncio.Event) -> None:
        self.keeping = keeping
        self.directory = directory
        self.lost = lost
        self.token = "t" + os.urandom(6).hex()

    def python(self, script: str, *arguments: str) -> Child:
        null = os.open(os.devnull, os.O_RDWR)
        try:
            argv = [sys.executable, "-S", "-c", script, *arguments]
            env = {"BORUTA_SESSION": self.token}
            program = Program(sys.executable, argv, env, str(self.directory))
            return self.keeping.spawn(program, [null] * 3, tty=False)
        finally:
            os.close(null)

    async def started(self, script: str) -> Path:
        """Runs a script that makes a file when it is ready; the file."""
        path = self.directory / f"ready-{os.urandom(4).hex()}"
        self.python(script, str(path))
        await until(path.exists)
        return path

    async def daemon(self) -> int:
        """The pid of a daemon that is no child of what was started."""
        return int((await self.started(DAEMON)).read_text())


@contextlib.asynccontextmanager
async def kept() -> AsyncIterator[Held]:
    with tempfile.TemporaryDirectory(prefix="bk-") as directory:
        lost = asyncio.Event()
        held = Held(await Keeping.start(lost.set), Path(directory), lost)
        try:
            yield held
        finally:
            with contextlib.suppress(SessionAlive):
                await held.keeping.end()
            sweep(held.token)


def test_a_program_ends_with_its_status_and_so_does_one_that_a_signal_ended() -> None:
    async def story() -> None:
        async with kept() as held:
            assert os.waitstatus_to_exitcode(await held.python("raise SystemExit(3)").exited) == 3
            killed = held.python("import os; os.kill(os.getpid(), 9)")
            assert os.waitstatus_to_exitcode(await killed.exited) == -9
            sleeper = held.python("import time; time.sleep(100)")
            await until(lambda: sleeper.pid != 0)
            held.keeping.signal(sleeper, signal.SIGTERM)
            assert os.waitstatus_to_exitcode(await sleeper.exited) == -15

    asyncio.run(story())


def test_a_program_that_is_not_there_ends_with_126() -> None:
    async def story() -> None:
        async with kept() as held:
            null = os.open(os.devnull, os.O_RDWR)
            child = held.keeping.spawn(Program("/no/such", ["x"], {}, "/"), [null] * 3, tty=False)
            os.close(null)
            assert os.waitstatus_to_exitcode(await child.exited) == 126

    asyncio.run(story())


def test_who_stops_waiting_for_a_program_does_not_deafen_the_agent_to_the_others() -> None:
    async def story() -> None:
        async with kept() as held:
            held.python("pass").exited.cancel()
            assert os.WIFEXITED(await held.python("pass").exited)
            left = held.python("import time; time.sleep(300)")
            left.exited.cancel()
            os.kill(held.keeping.pid, signal.SIGKILL)
            await held.lost.wait()

    asyncio.run(story())


def test_a_daemon_that_forked_twice_is_gone_when_end_returns() -> None:
    async def story() -> None:
        async with kept() as held:
            daemon = await held.daemon()
            assert alive(daemon)
            begun = asyncio.get_running_loop().time()
            await held.keeping.end()
            assert not alive(daemon)
            assert held.keeping.clean
            assert asyncio.get_running_loop().time() - begun < 2

    asyncio.run(story())


@pytest.mark.parametrize("script", [BOMB, COMET], ids=["bomb", "comet"])
def test_processes_that_fork_faster_than_they_can_be_counted_are_gone(script: str) -> None:
    async def story() -> None:
        async with kept() as held:
            await held.started(script)
            if script is BOMB:
                await until(lambda: len(keeper.descendants(held.keeping.pid)) > 50)
            await held.keeping.end()
            assert held.keeping.clean
            assert sweep(held.token, rounds=1) == []

    asyncio.run(story())


def test_stopped_processes_are_gone_too() -> None:
    async def story() -> None:
        async with kept() as held:
            daemon = await held.daemon()
            os.kill(daemon, signal.SIGSTOP)
            await held.keeping.end()
            assert not alive(daemon)

    asyncio.run(story())


def test_signals_that_a_holder_sends_to_everything_do_not_end_the_keeper() -> None:
    async def story() -> None:
        async with kept() as held:
            await held.python("pass").exited  # it has come up
            for name in ("TERM", "HUP", "INT", "QUIT", "PIPE", "USR1", "TSTP", "ABRT"):
                os.kill(held.keeping.pid, signal.Signals[f"SIG{name}"])
            assert await held.python("pass").exited == 0
            assert not held.lost.is_set()

    asyncio.run(story())


def test_programs_do_not_inherit_what_the_keeper_ignores() -> None:
    async def story() -> None:
        async with kept() as held:
            script = (
                "import sys\n"
                "lines = dict(l.split(':', 1) for l in open('/proc/self/status') if ':' in l)\n"
                # Python's own two, and libc's.
                "ignored = int(lines['SigIgn'], 16) & ~(1 << 12 | 1 << 24 | 3 << 31)\n"
                "open(sys.argv[1], 'w').write(f'{ignored:x} {int(lines[\"SigBlk\"], 16):x}')\n"
            )
            path = held.directory / "signals"
            assert await held.python(script, str(path)).exited == 0
            assert path.read_text() == "0 0"

    asyncio.run(story())


def test_a_keeper_that_a_holder_stopped_still_ends_the_session() -> None:
    async def story() -> None:
        async with kept() as held:
            daemon = await held.daemon()
            os.kill(held.keeping.pid, signal.SIGSTOP)
            await held.keeping.end()
            assert not alive(daemon)
            assert held.keeping.clean

    asyncio.run(story())


def test_a_keeper_that_a_holder_killed_is_noticed_and_the_sweep_finds_the_daemon() -> None:
    async def story() -> None:
        async with kept() as held:
            daemon = await held.daemon()
            child = held.python("import time; time.sleep(100)")
            await until(lambda: child.pid != 0)
            os.kill(held.keeping.pid, signal.SIGKILL)
            await asyncio.wait_for(held.lost.wait(), 5)
            with pytest.raises(BoardLost):
                await child.exited
            await until(lambda: not alive(child.pid))  # by the death of its parent
            assert alive(daemon)
            assert sweep(held.token) == []
            assert not alive(daemon)
            await held.keeping.end()
            assert not held.keeping.clean

    asyncio.run(story())


def test_a_keeper_that_hangs_is_killed_and_the_end_is_not_called_clean(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeping, "ANSWER_WITHIN_S", 0.2)
    real = os.kill

    def no_cont(pid: int, number: int) -> None:
        if number != signal.SIGCONT:
            real(pid, number)

    monkeypatch.setattr(os, "kill", no_cont)

    async def story() -> None:
        async with kept() as held:
            await held.python("pass").exited
            os.kill(held.keeping.pid, signal.SIGSTOP)
            await held.keeping.end()
            assert not held.keeping.clean

    asyncio.run(story())


def test_nothing_is_started_after_the_end_began() -> None:
    async def story() -> None:
        async with kept() as held:
            await held.keeping.end()
            with pytest.raises(BoardLost):
                await held.python("pass").exited
            await held.keeping.end()

    asyncio.run(story())


def test_survivors_are_named_and_a_second_end_waits_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # No process survives SIGKILL at will, so this keeper is one that says so.
    fake = Path(tempfile.mkdtemp(prefix="bf-")) / "fake.py"
    fake.write_text(
        "import json, socket, struct, sys\n"
        "s = socket.socket(fileno=int(sys.argv[1]))\n"
        "def say(**m):\n"
        "    b = json.dumps(m).encode(); s.sendall(struct.pack('>I', len(b)) + b)\n"
        "s.recv(4096); say(survivors=[17]); s.recv(4096); say(clean=True)\n"
    )
    monkeypatch.setattr(keeper, "__file__", str(fake))

    async def story() -> None:
        keeping = await Keeping.start(lambda: None)
        with pytest.raises(SessionAlive) as caught:
            await keeping.end()
        assert caught.value.details["pids"] == [17]
        again = asyncio.ensure_future(keeping.end())
        keeping._send({"do": "end"}, [])  # lets the fake go on
        await again
        assert keeping.clean

    asyncio.run(story())
    fake.unlink()
    fake.parent.rmdir()


def test_the_keeper_is_small_and_imports_nothing_of_ours() -> None:
    async def story() -> None:
        async with kept() as held:
            await held.python("pass").exited
            proc = Path("/proc", str(held.keeping.pid))
            status = (proc / "status").read_text()
            rss = next(line for line in status.splitlines() if line.startswith("VmRSS"))
            assert int(rss.split()[1]) < 20_000  # KiB
            assert "site-packages" not in (proc / "maps").read_text()

    asyncio.run(story())

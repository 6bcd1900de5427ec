"""An agent that is killed in any step of letting a holder in or out: its next life clears up."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dryad.sessions import account, cgroup, leaving
from tests.dryad.sessions_kit import system, until

pytestmark = pytest.mark.integration

# It lets a holder in, has a program of his started, and lets the next one in; in the step that is
# named it kills itself. Each step is a function that is called by the agent's code.
AGENT = """
import asyncio, importlib, os, pathlib, signal, subprocess, sys
data, line, name, module, step, when = sys.argv[1:]
from dryad.sessions.system import SystemSessions

owner = importlib.import_module(module)
*path, last = step.split(".")
for one in path:
    owner = getattr(owner, one)
real = getattr(owner, last)
armed = False

def dying(*args, **kwargs):
    if armed and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    answer = real(*args, **kwargs)
    if armed and when == "after":
        os.kill(os.getpid(), signal.SIGKILL)
    return answer

setattr(owner, last, dying)

async def main():
    global armed
    sessions = SystemSessions(address="127.0.0.1:0", data=pathlib.Path(data), username=name)
    await sessions.start()
    await sessions.let_in(1, line, lambda: None)
    # As if he had logged in: a program of his in the job's group.
    place = sessions._place
    group = place._group
    enter = f"echo 0 > {group.entrance};" if group else ""
    switch = f"setpriv --reuid {place.account.uid} --regid {place.account.gid} --clear-groups"
    command = f"{enter} exec {switch} setsid sleep 300"
    subprocess.Popen(["sh", "-c", command])
    place.warden()
    print("ready", flush=True)
    sys.stdin.readline()
    armed = True
    await sessions.let_in(2, line, lambda: None)
    print("survived", flush=True)

asyncio.run(main())
"""
STEPS = [
    ("dryad.sessions.place", "Place.close_key"),
    ("dryad.sessions.cgroup", "JobGroup.kill"),
    ("dryad.sessions.traces", "stop_what_comes_later"),
    ("dryad.sessions.leaving", "kill_all"),
    ("dryad.sessions.traces", "remove_all"),
    ("dryad.sessions.place", "remove_tree"),
    ("dryad.sessions.place", "Place._make_home"),
    ("dryad.sessions.cgroup", "Groups.make"),
    ("dryad.sessions.place", "put"),
]


# What comes after one step is what comes before the next, but for these.
CASES = [(*step, "before") for step in STEPS] + [(*STEPS[-3], "after"), (*STEPS[-1], "after")]


@pytest.mark.parametrize(("module", "step", "when"), CASES)
def test_the_next_life_finds_it_clean(module: str, step: str, when: str, tmp_path: Path) -> None:
    if module == cgroup.__name__ and cgroup.find("look").base is None:
        pytest.skip("no cgroup v2 on this machine")

    async def story() -> None:
        async with system(let_in=False) as held:
            await held.sessions.stop()
            uid = account.look_up(held.name).uid
            line = held.key.with_suffix(".pub").read_text()
            data = tmp_path / "data"
            data.mkdir(mode=0o700)
            words = (sys.executable, "-c", AGENT, str(data), line, held.name, module, step, when)
            agent = await asyncio.create_subprocess_exec(
                *words, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            assert agent.stdin is not None
            assert agent.stdout is not None
            assert await agent.stdout.readline() == b"ready\n"
            await until(lambda: len(leaving.processes(uid)) == 1)
            agent.stdin.write(b"go\n")
            assert await agent.stdout.read() == b""
            assert await agent.wait() == -signal.SIGKILL
            # Whatever was left half done: no key opens, and soon no program of his runs.
            await until(lambda: not leaving.processes(uid))
            await held.sessions.start()
            assert held.homes() == []
            await held.let_in(3)
            await held.sessions.end()
            assert held.homes() == []

    asyncio.run(story())

"""The keeper: one small process per session, from which every process of the holder descends.

It is a child subreaper: a process whose parent ends, however deep, becomes the keeper's child and
not that of init, so a daemon that forked twice and took a session of its own is still found.
When the agent says so, or is gone (its end of the socket closes, or its process ends), the keeper
kills all that descends from it. The kernel itself says when none is left: `waitpid` knows no child.

The limit: a holder has the agent's uid and may SIGKILL the keeper. Then its children at first hand
die with it, and the agent kills the rest by the mark in their environment (`sweep`); a process that
wiped its environment escapes.

Runs alone (``python -I -S keeper.py FD PARENT``), imports nothing but the standard library.
Messages both ways are a length and a JSON map; descriptors travel along (SCM_RIGHTS).
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
import termios
import time
from collections.abc import Callable
from typing import Any, NoReturn

HEADER = struct.Struct(">I")
SURVIVORS_AFTER_S = 5.0  # then the agent is told who is left; trying goes on
MOST_DESCRIPTORS = 16  # that come with one piece of a message; three do
FREEZE_S = 3.0  # so long new processes are stopped before all are killed, against fork bombs
STOPPED = "TtZX"  # states of a process that forks no more
CALM_ROUNDS = 3  # after so many looks at /proc it is no ordinary session
FAST_ROUNDS = 50  # looks at the children at first hand between two looks at all of /proc
OOM_SCORE = 500  # out of memory, the holder's processes go first, not the agent
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}  # never ignored: they loop

_libc = ctypes.CDLL(None, use_errno=True)


def parent_and_state(pid: int) -> tuple[int, str] | None:
    """The parent of `pid` and its state letter, None if it is gone."""
    try:
        # Not `open`: this is called thousands of times while a storm of forks has the processor.
        file = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except OSError:
        return None
    try:
        text = os.read(file, 512)
    except OSError:
        return None
    finally:
        os.close(file)
    # The name stands in brackets and may hold anything, brackets too.
    state, parent = text[text.rindex(b")") + 2 :].split(None, 2)[:2]
    return int(parent), state.decode()


def all_pids() -> list[int]:
    """Every process that /proc shows."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def descendants(root: int, seen: Callable[[int, str], None] | None = None) -> dict[int, str]:
    """Every process below `root`, with its state letter.

    Args:
        root: not part of the answer.
        seen: told of each as soon as it is found, for the most part during the look at /proc.
    """
    below: dict[int, str] = {}
    others: dict[int, list[tuple[int, str]]] = {}

    def add(pid: int, state: str) -> None:
        below[pid] = state
        if seen is not None:
            seen(pid, state)

    for pid in all_pids():  # parents come before their children, until the numbers wrap
        found = parent_and_state(pid)
        if found is None:
            continue
        if found[0] == root or found[0] in below:
            add(pid, found[1])
        else:
            others.setdefault(found[0], []).append((pid, found[1]))
    todo = [root, *below]
    while todo:
        for pid, state in others.pop(todo.pop(), ()):
            if pid not in below:
                add(pid, state)
                todo.append(pid)
    return below


def send_signal(pid: int, number: int) -> None:
    """Sends a signal to a process that may be gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


Find = Callable[[Callable[[int, str], None]], dict[int, str]]


def kill_round(find: Find, freeze: bool) -> int:
    """Stops what runs; kills all once nothing was running any more, or at once without `freeze`.

    A process that is stopped forks no more, so a storm calms before the killing starts; while it
    is killed one by one, it grows again.

    Args:
        find: tells what there is, and its argument of each one at once.
        freeze: wait with the killing.

    Returns:
        How many there were.
    """
    running = 0

    def stop(pid: int, state: str) -> None:
        nonlocal running
        if state not in STOPPED:
            send_signal(pid, signal.SIGSTOP)
            running += state != "D"  # waits in the kernel: it runs no more than a stopped one

    found = find(stop)
    if not running or not freeze:
        for pid in found:
            send_signal(pid, signal.SIGKILL)
    return len(found)


class Keeper:
    """Forks for the agent, tells it how each program ended, and ends them all.

    Args:
        control: the socket to the agent.
        agent: the agent's process id.
    """

    def __init__(self, control: socket.socket, agent: int) -> None:
        self._control = control
        self._agent = agent
        self._ids: dict[int, int] = {}  # pid -> id; as many as there are live programs
        self._descriptors: list[int] = []
        self._buffer = b""

    def run(self) -> None:
        """Serves until the agent says `end` or is gone, then ends everything."""
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        wake = self._take_signals()
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(wake, select.POLLIN)
        # A host that forked without exec holds a copy of the socket; its death tells as well.
        with contextlib.suppress(OSError):
            poll.register(os.pidfd_open(self._agent), select.POLLIN)
        if os.getppid() != self._agent:  # died before the line above
            return
        going_on = True
        while going_on:
            ready = {fd for fd, _ in poll.poll()}
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 4096)
            self._reap()
            going_on = not ready - {wake, self._control.fileno()}
            if self._control.fileno() in ready:
                going_on = self._read() and going_on
        self._end(wake)

    def _take_signals(self) -> int:
        # A holder's `kill 0`, `pkill -u` or a terminal's Ctrl-C must not end the keeper.
        kept = {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, *_FAULTS}
        for number in signal.valid_signals() - kept:
            signal.signal(number, signal.SIG_IGN)
        wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        return wake

    def _read(self) -> bool:
        """Handles what the agent said; False when it said `end` or closed the socket."""
        # Not `socket.recv_fds`: it drops the flags, and the holder would inherit other programs'
        # descriptors.
        flags = socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
        room = socket.CMSG_LEN(MOST_DESCRIPTORS * array.array("i").itemsize)
        try:
            data, ancillary, _, _ = self._control.recvmsg(1 << 16, room, flags)
        except BlockingIOError:
            return True
        except OSError:
            return False
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self._descriptors += array.array("i", content)
        self._buffer += data
        while len(self._buffer) >= HEADER.size:
            end = HEADER.size + HEADER.unpack_from(self._buffer)[0]
            if len(self._buffer) < end:
                break
            message = json.loads(self._buffer[HEADER.size : end])
            self._buffer = self._buffer[end:]
            if message["do"] == "end":
                return False
            if message["do"] == "signal":
                self._signal(message["id"], message["signal"])
            elif message["do"] == "spawn":
                self._spawn(message)
        return bool(data)

    def _spawn(self, message: dict[str, Any]) -> None:
        count = message["fds"]
        descriptors, self._descriptors = self._descriptors[:count], self._descriptors[count:]
        try:
            pid = os.fork()
            if pid == 0:
                become(message, descriptors)
            self._ids[pid] = message["id"]
            self._say(id=message["id"], pid=pid)
        except OSError as error:
            self._say(id=message["id"], error=str(error))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _signal(self, child: int, number: int) -> None:
        for pid, known in self._ids.items():
            if known == child:  # not reaped yet, so neither the pid nor the group is another's
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, number)

    def _reap(self) -> bool:
        """Takes what has ended; False when there is no child at all."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid in self._ids:
                self._say(id=self._ids.pop(pid), status=status)

    def _end(self, wake: int) -> None:
        # Root may: then hundreds of busy processes do not keep it from its work.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, -20)
        begun = time.monotonic()
        rounds = 0
        told = False
        me = os.getpid()
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        while self._reap():
            passed = time.monotonic() - begun
            kill_round(lambda seen: descendants(me, seen), freeze=passed < FREEZE_S)
            rounds += 1
            if rounds > CALM_ROUNDS:
                self._chase(signal.SIGSTOP if passed < FREEZE_S else signal.SIGKILL)
            if not told and passed > SURVIVORS_AFTER_S:
                told = True
                self._say(survivors=sorted(descendants(me)))
            # Soon again while there is hope; a process that the kernel cannot kill may take long.
            poll.poll(200 if told else 5)
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 4096)
        self._say(clean=True)

    def _chase(self, number: int) -> None:
        # One that forks and exits, over and over, is gone before a look at all of /proc is done;
        # each of its lives is a child of ours at first hand.
        for _ in range(FAST_ROUNDS):
            try:
                with open(f"/proc/self/task/{os.getpid()}/children", "rb") as file:
                    children = file.read().split()
            except OSError:  # a kernel without that file
                return
            if not children or not self._reap():
                return
            for child in children:
                send_signal(int(child), number)

    def _say(self, **message: Any) -> None:
        body = json.dumps(message).encode()
        with contextlib.suppress(OSError):
            self._control.sendall(HEADER.pack(len(body)) + body)


def become(message: dict[str, Any], descriptors: list[int]) -> NoReturn:
    """In the forked child: turns into the holder's program."""
    try:
        for which in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(which, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.setsid()
        _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if message["tty"]:
            fcntl.ioctl(descriptors[0], termios.TIOCSCTTY, 0)
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        os.closerange(3, 256)  # all of them close on exec; this is the second net
        os.umask(0o022)
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(OOM_SCORE))
        os.chdir(message["cwd"])
        env = {
            key.encode("utf-8", "surrogateescape"): value.encode("utf-8", "surrogateescape")
            for key, value in message["env"].items()
        }
        argv = [word.encode("utf-8", "surrogateescape") for word in message["argv"]]
        os.execve(message["path"], argv, env)
    except BaseException as error:
        os.write(2, f"cannot start {message['path']}: {error}\n".encode())
        os._exit(126)
    os._exit(126)


if __name__ == "__main__":
    os.set_inheritable(int(sys.argv[1]), False)
    Keeper(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])).run()

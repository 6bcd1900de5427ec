"""An agent without a socket and a board: it answers at once, or as a test wants it to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from boruta.domain.commands import (
    Checks,
    Command,
    CommandReply,
    Done,
    EndSession,
    Healthcheck,
    Lease,
    Prepare,
    PrepareDone,
    PutInMaintenance,
    Registered,
    Registration,
)
from boruta.domain.errors import BorutaError, StaleEpoch, TimedOut, Unreachable
from boruta.domain.types import NO_EPOCH, Capabilities, Check, Epoch, WorkerUUID

HOST_KEY: Final = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1Zu9p1d2XgJk8pT1y0vQ6l8m3oS5b7c9d1e3f5g7h9"
_NAMES: Final = {
    Prepare: "prepare",
    Lease: "lease",
    PutInMaintenance: "put_in_maintenance",
    Healthcheck: "healthcheck",
    EndSession: "end_session",
}
OnReply = Callable[["CommandReply | BorutaError"], None]


class Timer(Protocol):
    """What can be called off."""

    def cancel(self) -> object: ...


class Turns(Protocol):
    """What a `FakeDryad` needs of a dispatcher, real or simulated."""

    def call_soon(self, function: Callable[[], object], /) -> object: ...
    def call_later(self, seconds: float, function: Callable[[], object], /) -> Timer: ...


@dataclass(slots=True)
class Manner:
    """How an agent answers a kind of command.

    Args:
        delay_s: seconds before it answers.
        fail: the error that it answers with.
        silent: it never answers.
        stale: it answers that it knows a newer epoch.
    """

    delay_s: float = 0.0
    fail: BorutaError | None = None
    silent: bool = False
    stale: bool = False


@dataclass(slots=True)
class _Pending:
    on_reply: OnReply
    timers: list[Timer] = field(default_factory=list)
    answered: bool = False


class FakeDryad:
    """The port `DryadPort` with an agent behind it, on the dispatcher's thread.

    It refuses epochs lower than the highest it has seen, as a real agent does, and ends every
    earlier session with `prepare`, `put_in_maintenance` and `end_session`.

    Args:
        turns: the dispatcher that the engine runs on.
        caps: the worker's capabilities, UUID among them.
        ssh_address: where its SSH would listen.

    Attributes:
        commands: every command that came, in order.
        manner: how it answers all kinds of commands that `manners` does not name.
        manners: how it answers one kind, by the name of the call, e.g. ``prepare``.
        alive: whether it answers a ping; a dead one answers nothing.
        cut_for: why the server ended the connection; None while it stands.
    """

    def __init__(
        self,
        turns: Turns,
        caps: Mapping[str, str],
        *,
        ssh_address: str = "127.0.0.1:7022",
        username: str = "boruta-user",
        host_keys: Sequence[str] = (HOST_KEY,),
        session: bytes = b"fake-dryad-life1",
    ) -> None:
        self._turns = turns
        self.caps = Capabilities(caps)
        self.ssh_address = ssh_address
        self.username = username
        self.host_keys = tuple(host_keys)
        self.session = session
        self.commands: list[Command] = []
        self.manner = Manner()
        self.manners: dict[str, Manner] = {}
        self.alive = True
        self.cut_for: str | None = None
        self.checks: tuple[Check, ...] = (Check("board", True, "simulated"),)
        self.epoch = NO_EPOCH
        self.key = ""
        self.lease: Lease | None = None
        self._pending: list[_Pending] = []

    @property
    def uuid(self) -> WorkerUUID:
        """The worker's UUID."""
        return self.caps.get_worker_uuid()

    def registration(self) -> Registration:
        """What it says of itself when it registers."""
        return Registration(
            caps=self.caps,
            ssh_address=self.ssh_address,
            epoch=self.epoch,
            session=self.session,
        )

    def registered(self, answer: Registered) -> None:
        """Takes the server's answer to its registration."""
        self._see(answer.epoch)

    def sent(self, kind: type[Command]) -> list[Command]:
        """The commands of one kind, in order."""
        return [command for command in self.commands if isinstance(command, kind)]

    # --- DryadPort
    def send(self, command: Command, within_s: float, on_reply: OnReply) -> None:
        """Takes a command; the answer comes in a later turn, once."""
        if self.cut_for is not None:
            self._turns.call_soon(lambda: on_reply(Unreachable("the connection is cut")))
            return
        self.commands.append(command)
        manner = self.manners.get(_NAMES[type(command)], self.manner)
        pending = _Pending(on_reply)
        self._pending.append(pending)
        if manner.silent or not self.alive:
            late = TimedOut(f"{_NAMES[type(command)]}: no answer in {within_s:g} s")
            self._later(pending, within_s, lambda: late)
        elif manner.delay_s > within_s:
            late = TimedOut(f"{_NAMES[type(command)]}: no answer in {within_s:g} s")
            self._later(pending, within_s, lambda: late)
            self._turns.call_later(manner.delay_s, lambda: self._carry_out(command, manner))
        elif manner.delay_s:
            self._later(pending, manner.delay_s, lambda: self._carry_out(command, manner))
        else:
            outcome = self._carry_out(command, manner)
            self._turns.call_soon(lambda: self._answer(pending, outcome))

    def ping(self, within_s: float, on_reply: Callable[[bool], None]) -> None:
        """Gives a sign of life, if there is any."""
        if self.alive and self.cut_for is None:
            self._turns.call_soon(lambda: on_reply(True))
        else:
            self._turns.call_later(within_s, lambda: on_reply(False))

    def cut(self, reason: str) -> None:
        """The connection ends; what was asked is answered with Unreachable."""
        if self.cut_for is not None:
            return
        self.cut_for = reason
        for pending in tuple(self._pending):
            self._answer(pending, Unreachable(f"the connection was cut: {reason}"))

    def reconnect(self, *, restarted: bool = False) -> None:
        """Ready for a new connection; `restarted`: as another process that kept nothing."""
        self.cut_for = None
        if restarted:
            self.session = bytes([*self.session[:-1], (self.session[-1] + 1) % 256])
            self.lease, self.key = None, ""

    # --- inside
    def _later(
        self, pending: _Pending, seconds: float, outcome: Callable[[], CommandReply | BorutaError]
    ) -> None:
        timer = self._turns.call_later(seconds, lambda: self._answer(pending, outcome()))
        pending.timers.append(timer)

    def _answer(self, pending: _Pending, outcome: CommandReply | BorutaError) -> None:
        if pending.answered:
            return
        pending.answered = True
        self._pending.remove(pending)
        for timer in pending.timers:
            timer.cancel()
        pending.on_reply(outcome)

    def _carry_out(self, command: Command, manner: Manner) -> CommandReply | BorutaError:
        if manner.fail is not None:
            return manner.fail
        if isinstance(command, Healthcheck):
            return Checks(self.checks)
        if manner.stale or command.epoch < self.epoch:
            return StaleEpoch(f"{command.epoch} is older than {self.epoch}")
        self._see(command.epoch)
        match command:
            case Prepare(key=key):
                self.key, self.lease = key, None
                return PrepareDone(self.username, self.host_keys)
            case Lease():
                self.lease = command
            case PutInMaintenance() | EndSession():
                self.key, self.lease = "", None
        return Done()

    def _see(self, epoch: Epoch) -> None:
        if self.epoch < epoch:
            self.epoch = epoch

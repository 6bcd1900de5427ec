"""What goes wrong in a simulation, and how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

FRAME_FAULTS: Final = ("lost", "doubled", "delayed", "reordered")


@dataclass(frozen=True, slots=True)
class Faults:
    """Rates. Those of frames, commands and visits are chances from 0 to 1 for each; the others
    come so many times in a simulated day on each board, client or server.

    Attributes:
        lost: a frame never arrives.
        doubled: a frame arrives twice, the second time up to 20 s later.
        delayed: a frame, and all behind it, arrives up to 20 s late.
        reordered: a frame is overtaken by those behind it.
        cut: a board's or client's cable is cut, both ways.
        cut_one_way: the same, one way.
        agent_killed: the agent's process dies and is started again.
        agent_hung: it stands still for up to two minutes.
        agent_caps: it comes back with other capabilities.
        board_flaps: its link goes down and up again, a dozen times.
        board_faulty: its agent reports that the board is broken.
        server_killed: the server dies and is started again with what was written; mostly it dies
            between a commit and its write.
        server_lost: the same, and the store is lost.
        store_ill: nothing can be written to it, for up to two minutes.
        server_paused: the server stands still for up to two minutes.
        clock_jumps: the server's wall clock jumps an hour either way, for a while or for good.
        prepare_slow, prepare_fails, prepare_hangs: the hardware, at `prepare`.
        key_refused: the key cannot be installed.
        session_alive: a session does not end at the first try.
        claim_refused: the store refuses a claim, as one that other servers share may.
        turn_late: an actor's turn comes up to half a second late, as in a server that is busy. It
            is not among the usual ones: it blurs who was ready first.
        no_tunnel: there is no port for a tunnel.
        client_killed: a client vanishes, waiting or holding.
        client_hung: it stands still for a while.
        storms: a holder or waiter closes, prolongs and updates in a burst.
        admin_state, admin_groups: an admin changes a board's state or groups.
    """

    lost: float = 0.0
    doubled: float = 0.0
    delayed: float = 0.0
    reordered: float = 0.0
    cut: float = 0.0
    cut_one_way: float = 0.0
    agent_killed: float = 0.0
    agent_hung: float = 0.0
    agent_caps: float = 0.0
    board_flaps: float = 0.0
    board_faulty: float = 0.0
    server_killed: float = 0.0
    server_lost: float = 0.0
    store_ill: float = 0.0
    server_paused: float = 0.0
    clock_jumps: float = 0.0
    prepare_slow: float = 0.0
    prepare_fails: float = 0.0
    prepare_hangs: float = 0.0
    key_refused: float = 0.0
    session_alive: float = 0.0
    no_tunnel: float = 0.0
    claim_refused: float = 0.0
    turn_late: float = 0.0
    client_killed: float = 0.0
    client_hung: float = 0.0
    storms: float = 0.0
    admin_state: float = 0.0
    admin_groups: float = 0.0

    @classmethod
    def usual(cls, rate: float = 1.0) -> Faults:
        """All but `turn_late`, `rate` times as often as a bad week in a bad lab."""
        chances = {
            "lost": 0.002,
            "doubled": 0.005,
            "delayed": 0.005,
            "reordered": 0.005,
            "prepare_slow": 0.1,
            "prepare_fails": 0.05,
            "prepare_hangs": 0.005,
            "key_refused": 0.02,
            "session_alive": 0.05,
            "no_tunnel": 0.02,
            "claim_refused": 0.02,
            "client_killed": 0.05,
            "client_hung": 0.03,
            "storms": 0.1,
        }
        a_day = {
            "cut": 6.0,
            "cut_one_way": 4.0,
            "agent_killed": 4.0,
            "agent_hung": 3.0,
            "agent_caps": 0.5,
            "board_flaps": 0.5,
            "board_faulty": 0.5,
            "server_killed": 6.0,
            "server_lost": 0.5,
            "store_ill": 4.0,
            "server_paused": 8.0,
            "clock_jumps": 3.0,
            "admin_state": 2.0,
            "admin_groups": 2.0,
        }
        made = {name: min(1.0, value * rate) for name, value in chances.items()}
        return cls(**made, **{name: value * rate for name, value in a_day.items()})

    @classmethod
    def parse(cls, text: str) -> Faults:
        """The faults of a command line: a rate for all of them, or ``name=rate,...``.

        Raises:
            ValueError: no such fault, or no number.
        """
        if not text:
            return cls()
        if "=" not in text:
            return cls.usual(float(text))
        known = {one.name for one in fields(cls)}
        given: dict[str, Any] = {}
        for part in text.split(","):
            name, _, rate = part.partition("=")
            if name.strip() not in known:
                there_are = ", ".join(sorted(known))
                raise ValueError(f"{name.strip()!r} is no fault; there are {there_are}")
            given[name.strip()] = float(rate)
        return replace(cls(), **given)


@dataclass(slots=True)
class Weather:
    """The faults of one run: whether each strikes now, and how often it did."""

    faults: Faults
    draw: Any  # random.Random.random
    calm: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    _frames: float = field(init=False, default=0.0)  # the chance that anything befalls a frame

    def __post_init__(self) -> None:
        well = 1.0
        for name in FRAME_FAULTS:
            well *= 1.0 - getattr(self.faults, name)
        self._frames = 1.0 - well

    @property
    def keeps_frames(self) -> bool:
        """No frame is lost or late."""
        return not self._frames

    def befalls(self) -> tuple[str, ...]:
        """What befalls a frame: mostly nothing, so that is drawn at once."""
        if self.calm or not self._frames or self.draw() >= self._frames:
            return ()
        while True:
            found = tuple(one for one in FRAME_FAULTS if self.draw() < getattr(self.faults, one))
            if found:
                return found

    def strikes(self, name: str) -> bool:
        """Whether this fault, which is a chance, strikes now."""
        if self.calm:
            return False
        rate: float = getattr(self.faults, name)
        if rate and self.draw() < rate:
            self.counts[name] += 1
            return True
        return False

    def rates(self, names: Mapping[str, float]) -> dict[str, float]:
        """Strikes a day in all, where `names` has how many each fault can hit."""
        return {
            name: getattr(self.faults, name) * many
            for name, many in names.items()
            if getattr(self.faults, name)
        }

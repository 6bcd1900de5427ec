"""Brings the faults that come by the day: cuts, kills, standstills, jumps of the clock, admins."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from boruta.domain.types import UUID_CAP, Capabilities, WorkerState
from boruta.testing.simulation.boards import Board
from boruta.testing.simulation.lines import Machine

if TYPE_CHECKING:
    from boruta.testing.simulation.farm import Simulation

_DAY_S = 86_400.0


class Mischief:
    """Draws what befalls whom, and puts it right again after a while."""

    def __init__(self, farm: Simulation) -> None:
        self._farm = farm
        self._world = farm.world
        self._random = farm.world.random
        self._weather = farm.weather
        self._acts: dict[str, Callable[[], bool]] = {
            "cut": lambda: self._cut(False, False),
            "cut_one_way": self._cut_one_way,
            "agent_killed": self._kill_agent,
            "agent_hung": self._hang_agent,
            "agent_caps": self._other_caps,
            "board_flaps": self._flap,
            "board_faulty": self._report,
            "server_killed": self._kill_amid,
            "server_lost": lambda: self._kill_server(True),
            "store_ill": self._store_ill,
            "server_paused": self._pause_server,
            "clock_jumps": self._jump,
            "admin_state": self._admin_state,
            "admin_groups": self._admin_groups,
        }
        self.cut: set[str] = set()  # cables that are being cut

    def begin(self) -> None:
        """From now on things go wrong."""
        boards, machines = len(self._farm.boards), len(self._farm.boards) + len(self._farm.users)
        many = {
            "cut": machines,
            "cut_one_way": machines,
            "agent_killed": boards,
            "agent_hung": boards,
            "agent_caps": boards,
            "board_flaps": boards,
            "board_faulty": boards,
            "server_killed": 1,
            "server_lost": 1,
            "store_ill": 1,
            "server_paused": 1,
            "clock_jumps": 1,
            "admin_state": boards,
            "admin_groups": boards,
        }
        for name, rate in self._weather.rates({k: float(v) for k, v in many.items()}).items():
            self._next(name, rate)

    def _next(self, name: str, rate: float) -> None:
        def strike() -> None:
            if self._weather.calm:
                return
            self._next(name, rate)
            if self._acts[name]():
                self._weather.counts[name] += 1
                self._world.note(f"fault {name}")

        self._world.later(self._random.expovariate(rate / _DAY_S), strike)

    def _board(self) -> Board:
        return self._random.choice(list(self._farm.boards.values()))

    # --- the network
    def _cut(self, up: bool, down: bool) -> bool:
        machines: list[Machine] = [*self._farm.boards.values(), *self._farm.users]
        cable = self._random.choice(machines).cable
        if cable.name in self.cut:
            return False
        self.cut.add(cable.name)
        cable.set(up, down)

        def mend() -> None:
            self.cut.discard(cable.name)
            cable.set(True, True)

        # From what nobody notices to what takes the board's job, evenly on a scale of doubling.
        self._world.later(2.0 ** (10.0 * self._random.random()), mend)
        return True

    def _cut_one_way(self) -> bool:
        up = self._random.random() < 0.5
        return self._cut(up, not up)

    def _flap(self) -> bool:
        cable = self._board().cable
        if cable.name in self.cut:
            return False
        self.cut.add(cable.name)
        left = [12]

        def turn() -> None:
            left[0] -= 1
            if self._weather.calm:
                left[0] = 0
            up = left[0] % 2 == 0
            cable.set(up, up)
            if left[0] > 0:
                self._world.later(40.0 * self._random.random(), turn)
            else:
                self.cut.discard(cable.name)

        turn()
        return True

    # --- agents
    def _kill_agent(self) -> bool:
        board = self._board()
        if not board.runs:
            return False
        board.kill()
        self._world.later(2.0 ** (8.0 * self._random.random()), board.start)
        return True

    def _hang_agent(self) -> bool:
        board = self._board()
        if not board.runs:
            return False
        board.freeze()
        self._world.later(2.0 ** (7.0 * self._random.random()), board.resume)
        return True

    def _other_caps(self) -> bool:
        board = self._board()
        if not board.runs:
            return False
        caps = self._farm.caps(int(100 * self._random.random()))
        board.caps = Capabilities({UUID_CAP: board.uuid, **caps})
        board.kill()
        self._world.later(5.0 * self._random.random(), board.start)
        return True

    def _report(self) -> bool:
        board = self._board()
        if not board.runs or board.agent is None or board.process is None:
            return False
        board.process.loop.call_soon(board.report)
        return True

    # --- the server
    def _kill_amid(self) -> bool:
        """Mostly between a commit and its write: whatever is told between them is told too soon."""
        if self._random.random() < 0.25:
            return self._kill_server(False)
        store = self._farm.server.store

        def now() -> None:
            same = store is self._farm.server.store and not self._weather.calm
            if same and self._kill_server(False):
                self._weather.counts["server_killed"] += 1
                self._world.note("fault server_killed, amid a commit")

        store.dies_amid(1 + int(4 * self._random.random()), now)
        return False

    def _store_ill(self) -> bool:
        server = self._farm.server
        if not server.fall_ill():
            return False
        self._world.later(2.0 ** (7.0 * self._random.random()), server.get_well)
        return True

    def _kill_server(self, lost: bool) -> bool:
        farm = self._farm
        if not farm.server.runs:
            return False
        farm.server.kill()
        if lost:
            farm.lose_store()
        self._world.later(2.0 ** (8.0 * self._random.random()), farm.server.start)
        return True

    def _pause_server(self) -> bool:
        server = self._farm.server
        if not server.runs:
            return False
        server.freeze()
        self._world.later(2.0 ** (7.0 * self._random.random()), server.resume)
        return True

    def _jump(self) -> bool:
        server = self._farm.server
        hour = self._random.choice((-3600.0, 3600.0))
        server.wall_off += hour
        self._farm.invariants.queue.clock_jumped()
        if self._random.random() < 0.5:  # it was a mistake

            def back() -> None:
                server.wall_off -= hour
                self._farm.invariants.queue.clock_jumped()

            self._world.later(300.0 * self._random.random(), back)
        return True

    # --- the admin
    def _admin_state(self) -> bool:
        farm = self._farm
        if not farm.admin.runs:
            return False
        uuid, drain = self._board().uuid, self._random.random() < 0.5
        if uuid in farm.wants_out:
            return False
        farm.wants_out.add(uuid)
        farm.admin.does(
            farm.admin.workers.set_state(
                uuid, WorkerState.MAINTENANCE, reason="an idea", drain=drain
            )
        )
        self._world.later(900.0 * self._random.random(), lambda: farm.wants_out.discard(uuid))
        return True

    def _admin_groups(self) -> bool:
        farm = self._farm
        if not farm.admin.runs:
            return False
        groups = self._random.choice(([], ["lab"], ["lab", "night"]))
        farm.admin.does(farm.admin.workers.set_groups(self._board().uuid, groups))
        return True

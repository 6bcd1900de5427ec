"""When the faults stop: everything comes to rest in bounded time, and nothing is left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from boruta.domain.types import WorkerState
from boruta.testing.simulation.invariants import Violation

if TYPE_CHECKING:
    from boruta.testing.simulation.farm import Simulation

WITHIN_S = 1800.0
_STEP_S = 20.0
_TIMERS = 4  # of a server that does nothing: its sweep, and looks that are still to come


class Settle:
    """Brings a farm to rest and looks at what is left."""

    def __init__(self, farm: Simulation) -> None:
        self._farm = farm

    def run(self) -> None:
        """Brings it to rest.

        Raises:
            Violation: it does not come to rest, or something is left.
        """
        farm = self._farm
        self._calm()
        until = farm.world.now + WITHIN_S
        while True:
            farm.run(_STEP_S)
            restless = self._restless()
            if not restless:
                break
            if farm.world.now > until:
                self._fail(f"no rest after {WITHIN_S:g} s: {restless}")
            self._close_all()
        farm.run(120.0)  # what is late or repeated has time to come
        left = self._restless() or self._left()
        if left:
            self._fail(f"left behind: {left}")

    def _fail(self, text: str) -> None:
        raise Violation("6 rest", f"{text} (at {self._farm.world.now:.3f} s)")

    def _calm(self) -> None:
        farm = self._farm
        farm.calm = farm.weather.calm = True
        farm.wants_out.clear()
        for cable in farm.network.cables.values():
            cable.set(True, True)
        farm.server.get_well()
        if farm.server.process.dead:
            farm.server.start()
        farm.server.resume()
        for machine in [*farm.boards.values(), *farm.users, farm.admin]:
            machine.resume()
        for user in farm.users:
            user.leaving = True

    def _close_all(self) -> None:
        farm = self._farm
        for row in farm.server.store.requests():
            if not row.state.ended:
                farm.admin.does(farm.admin.requests.close_request(row.id))

    def _restless(self) -> str:
        """What is not at rest."""
        farm = self._farm
        store = farm.server.store
        for row in store.requests():
            if not row.state.ended:
                return f"request {row.id} is {row.state.value}"
            job = store.job(row.id)
            if job is not None and job.ended_at is None:
                return f"the job of request {row.id} is not over"
        directory = farm.server.system.directory
        for uuid in farm.boards:
            board, there = store.worker(uuid), directory.presence.get(uuid)
            if board is None or board.state is not WorkerState.IDLE:
                return f"{uuid} is {board and board.state.value} ({board and board.reason})"
            if there is None or not there.online:
                return f"{uuid} is offline"
        return ""

    def _left(self) -> str:
        """What is left of requests that are over."""
        farm = self._farm
        server = farm.server
        directory, system = server.system.directory, server.system
        matcher = next(
            cast(Any, actor)
            for actor in server.dispatcher.registry
            if type(actor).__name__ == "MatcherActor"
        )
        counts = {
            "request actors": len(directory.requests),
            "actors": len(tuple(server.dispatcher.registry)) - len(farm.boards) - 1,
            "ready in the matcher": len(matcher._ready),
            "asked by the matcher": len(matcher._asked),
            "waiting acquires": sum(directory.waiting_acquires.values()),
            "live requests counted": sum(directory.live.values()),
            "bound requests": sum(len(one.bound) for one in system.sessions._sessions.values()),
            "tunnels": len(server.access.opened) + len(server.access.reserved),
            "permits": len(directory.permits._held) + len(directory.permits._waiting),
            "unanswered": server.server.unanswered,
            "commits that are not written": server.store.position - server.store.written,
            "who waits for them": len(server.store._waiting) + len(directory.journal._waiting),
            "boards open to somebody": sum(one.inside is not None for one in farm.boards.values()),
        }
        found = [f"{count} {what}" for what, count in counts.items() if count]
        timers = server.world.timers_of(server.process)
        if len(timers) > _TIMERS:
            found.append(f"{len(timers)} timers")
        return ", ".join(found)

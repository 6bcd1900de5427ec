"""What is really open on boards, and who is inside: told by the boards, not by the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from boruta.domain import defaults
from boruta.testing.simulation.boards import Board
from boruta.testing.simulation.engine import BLUR_S
from boruta.testing.simulation.ledger import Job, Ledger
from boruta.testing.simulation.servers import ServerHost
from boruta.testing.simulation.world import World

LATE_S: Final = 12.0  # until the last process of a holder is dead, with what may fail at first
UNDER_WAY_S: Final = 20.0  # what the network takes at most
OUT_S: Final = 200.0  # an order to a board that is there is lost, given up, and repeated twice
ILL_S: Final = 20.0  # the same, where no frame is lost
SHUT_S: Final = 100.0  # a board that is there, and its server, have agreed on its job long before


class Doors:
    """The watch over keys, sessions and tunnels."""

    def __init__(
        self, world: World, server: ServerHost, ledger: Ledger, broken: Callable[[str, str], None]
    ) -> None:
        self._world = world
        self._server = server
        self._ledger = ledger
        self._broken = broken
        # Where turns come late, some of them lie between the end of a request and of its tunnel.
        self._blur = BLUR_S if server.weather.faults.turn_late else 0.0

    def watch(self, what: str, board: Board, key: str) -> None:
        """A key is let in, a lease is on the disk, somebody logs in, or stays."""
        if what == "let_in":
            if board.inside is not None:
                self._broken(
                    "1 one holder", f"{board.uuid} lets a key in while another's holder is inside"
                )
        elif what == "stays":
            self._broken(
                "1 one holder", f"{board.uuid} goes on with a session that the server does not know"
            )
        elif what == "lease":
            job = self._ledger.by_public.get(key)
            if job is not None:
                job.told = max(job.told or 0.0, board.leased_until)
        elif what == "login":
            now = self._world.now
            self._world.later(1.0, lambda: self._look_inside(board, key, now))

    def entered(self, board: Board, private: str) -> None:
        """A holder got in through the server's tunnel."""
        job = self._ledger.by_key.get(private)
        if job is None or self._is_over(job):
            which = "no job" if job is None else f"request {job.row.request_id}, which is over,"
            self._broken("1 one holder", f"a key of {which} opens {board.uuid}")
        elif job.row.worker_uuid != board.uuid:
            self._broken("1 one holder", f"{board.uuid} is opened by a key of another board's job")

    def shut_out(self, board: Board, private: str) -> None:
        """A holder did not get in, though tunnel and board are there: soon that must not be."""
        job, now = self._ledger.by_key.get(private), self._world.now
        if job is None or job.over_at is not None or job.row.worker_uuid != board.uuid:
            return
        if now - max(self._well_since(board), job.since) < SHUT_S:
            return
        if now < min(job.ends_at, job.told or job.ends_at) - 1.0:
            self._broken(
                "5 job time",
                f"the holder of request {job.row.request_id} cannot enter {board.uuid}, "
                f"{job.ends_at - now:.1f} s before his job's end",
            )

    def job_over(self, board: Board, job: Job) -> None:
        """A job's request has ended: nobody keeps access for long where the board is there."""
        self._world.later(OUT_S, lambda: self._look_after(board, job))
        if self._server.store.unwell is not None and self._server.weather.keeps_frames:
            self._world.later(ILL_S, lambda: self._look_though_ill(board, job))

    def _look_though_ill(self, board: Board, job: Job) -> None:
        """Whoever is out of time, or closed, is out: no store need be well for that."""
        server, cable = self._server, board.cable
        since = max(board.runs_since, cable.changed_at, server.up_since)
        well = board.runs and cable.up and cable.down and server.runs
        if board.inside != job.public or job.over_at is None or not well:
            return
        if since < self._world.now - 2.0 * ILL_S and not board.stubborn:
            self._broken(
                "1 one holder",
                f"request {job.row.request_id} has ended while the store was ill, and its holder "
                f"is still inside {board.uuid}",
            )

    def _look_after(self, board: Board, job: Job) -> None:
        if board.inside != job.public or job.over_at is None:
            return  # or the end of the job was lost by a crash
        server, cable, now = self._server, board.cable, self._world.now
        since = max(self._well_since(board), job.over_at or 0.0)
        well = board.runs and cable.up and cable.down and server.runs
        if well and now - since >= OUT_S:
            self._broken(
                "1 one holder",
                f"request {job.row.request_id} is over for {now - (job.over_at or 0.0):.0f} s, and "
                f"its holder is still inside {board.uuid}, which is there",
            )
            return
        wait = max(1.0, since + OUT_S - now) if well else OUT_S
        self._world.later(wait, lambda: self._look_after(board, job))

    def _look_inside(self, board: Board, key: str, since: float) -> None:
        """Nobody stays longer than his job's last end; not if his board is cut off either.

        One whose agent was never told of an end stays for the default lease, from his login on; a
        lease tells what is left, so one that was under way for long ends the job as much later.
        """
        if board.inside != key:
            return
        job = self._ledger.by_public.get(key)
        if job is None:
            return
        now = self._world.now
        ends_at = max(job.ends_at, min(job.told or 0.0, job.ends_at + UNDER_WAY_S))
        until = max(ends_at, board.runs_since) + LATE_S
        if job.told is None:
            until = max(until, since + defaults.DEFAULT_LEASE_S + LATE_S)
        if board.runs and now > until:
            self._broken(
                "5 job time",
                f"the holder of request {job.row.request_id} is inside {board.uuid} "
                f"{now - job.ends_at:.1f} s after his job's end",
            )
            return
        later = max(1.0, until - now + 0.1)
        self._world.later(later, lambda: self._look_inside(board, key, since))

    def check_tunnels(self) -> None:
        """No way to a board outlives its job."""
        opened, running = self._server.access.opened, self._ledger.running
        if len(opened) <= len(running):
            return
        open_ = {(job.row.tunnel_host, job.row.tunnel_port) for job in running.values()}
        for endpoint in opened:
            if (endpoint.host, endpoint.port) not in open_ | self._just_closed():
                self._broken("1 one holder", f"the tunnel {endpoint} outlives its job")

    def _is_over(self, job: Job) -> bool:
        return job.over_at is not None and self._world.now - job.over_at >= self._blur

    def _just_closed(self) -> set[tuple[str, int]]:
        """Tunnels of jobs that are over, where the turn that closes them may come late."""
        if not self._blur:
            return set()
        since = self._world.now - self._blur
        return {
            (job.row.tunnel_host, job.row.tunnel_port)
            for job in self._ledger.jobs.values()
            if job.over_at is not None and job.over_at >= since
        }

    def _well_since(self, board: Board) -> float:
        return max(board.runs_since, board.cable.changed_at, self._server.well_since)

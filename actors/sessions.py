"""What each client holds while it lives, and what becomes of it when it vanishes."""

from __future__ import annotations

from dataclasses import dataclass, field

from actors.directory import Directory
from actors.messages import Close
from actors.runtime import TimerHandle
from boruta.domain import defaults
from boruta.domain.rows import RequestRow
from boruta.domain.types import Caller, ReqID, Role


@dataclass(slots=True)
class _Session:
    caller: Caller
    connected: bool = True
    bound: set[ReqID] = field(default_factory=set)
    lease: TimerHandle | None = None


class Sessions:
    """Sessions by key and session id. One without a connection lives for its lease.

    A session that holds nothing when its lease ends is only forgotten; bound requests of one that
    does are closed with ``client_lost``.
    """

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._sessions: dict[tuple[str, bytes], _Session] = {}
        self._holder: dict[ReqID, tuple[str, bytes]] = {}
        directory.unbind = self.unbind

    def opened(self, caller: Caller) -> bool:
        """A connection says hello with this session; whether the session was known."""
        key = (caller.name, caller.session)
        known = self._sessions.get(key) or self._restored(key, caller)
        if known is None:
            self._sessions[key] = _Session(caller)
            return False
        if known.lease is not None:
            known.lease.cancel()
            known.lease = None
        known.connected = True
        return True

    def lost(self, caller: Caller) -> None:
        """The session's connection is gone; its lease begins to run."""
        key = (caller.name, caller.session)
        session = self._sessions.get(key)
        if session is None:
            return
        session.connected = False
        if session.lease is not None:
            return
        session.lease = self._later(self._lease_s, key)

    def bind(self, caller: Caller, req_id: ReqID) -> None:
        """The request lives no longer than the session."""
        key = (caller.name, caller.session)
        session = self._sessions.get(key)
        if session is None:
            if not caller.session:
                return  # a host in this process: it has no connection that could be lost
            # Its lease ran out while the call was under way; it has another one to come back in.
            session = self._sessions[key] = _Session(caller, connected=False)
            session.lease = self._later(self._lease_s, key)
        self.unbind(req_id)
        session.bound.add(req_id)
        self._holder[req_id] = key

    def restore(self, row: RequestRow) -> None:
        """A bound request was read from the store: its session has a lease to come back in.

        The store does not know whose key it was: an admin's session may hold another's request.
        """
        if not row.session:
            return
        key = ("", row.session)
        session = self._sessions.get(key)
        if session is None:
            caller = Caller(row.owner_name, Role.USER, session=row.session)
            session = self._sessions[key] = _Session(caller, connected=False)
            session.lease = self._later(defaults.START_CLIENT_LEASE_S, key)
        session.bound.add(row.id)
        self._holder[row.id] = key

    def _restored(self, key: tuple[str, bytes], caller: Caller) -> _Session | None:
        session = self._sessions.pop(("", caller.session), None)
        if session is not None:
            session.caller = caller
            self._sessions[key] = session
            for req_id in session.bound:
                self._holder[req_id] = key
        return session

    def unbind(self, req_id: ReqID) -> None:
        """The request has ended, or another session holds it."""
        session = self._sessions.get(self._holder.pop(req_id, ("", b"")))
        if session is not None:
            session.bound.discard(req_id)

    @property
    def _lease_s(self) -> float:
        # After a start that found a farm, everybody comes back at once.
        left = self._directory.start_left(defaults.START_CLIENT_LEASE_S)
        return max(defaults.CLIENT_LEASE_S, left)

    def _over(self, key: tuple[str, bytes]) -> None:
        session = self._sessions.get(key)
        if session is None or session.connected:
            return
        ran = self._directory.ran_for
        if ran < defaults.CLIENT_LEASE_S:
            # The server itself stood still: that silence was not the client's (SAFETY, A7).
            session.lease = self._later(defaults.CLIENT_LEASE_S - ran, key)
            return
        # The session goes last: what could not be told is told when `sweep` finds it again.
        for req_id in tuple(session.bound):
            self._directory.tell_request(req_id, Close(session.caller, code="client_lost"))
            self.unbind(req_id)
        del self._sessions[key]

    def sweep(self) -> None:
        """Gives each session that nobody is connected to a lease, if it has none that runs."""
        for key, session in tuple(self._sessions.items()):
            if not session.connected and (session.lease is None or session.lease.done):
                session.lease = self._later(defaults.CLIENT_LEASE_S, key)

    def _later(self, seconds: float, key: tuple[str, bytes]) -> TimerHandle:
        return self._directory.dispatcher.call_later(seconds, lambda: self._over(key))

    def close(self) -> None:
        """No lease runs out any more."""
        for session in self._sessions.values():
            if session.lease is not None:
                session.lease.cancel()
        self._sessions.clear()

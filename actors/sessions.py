"""What each client holds while it lives, and what becomes of it when it vanishes."""

from __future__ import annotations

from dataclasses import dataclass, field

from actors.directory import Directory
from actors.messages import Close
from actors.runtime import TimerHandle
from boruta.domain import defaults
from boruta.domain.types import Caller, ReqID


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

    def opened(self, caller: Caller) -> bool:
        """A connection says hello with this session; whether the session was known."""
        key = (caller.name, caller.session)
        known = self._sessions.get(key)
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
        if session is None or session.lease is not None:
            return
        session.connected = False
        session.lease = self._directory.dispatcher.call_later(
            defaults.CLIENT_LEASE_S, lambda: self._over(key)
        )

    def bind(self, caller: Caller, req_id: ReqID) -> None:
        """The request lives no longer than the session."""
        session = self._sessions.get((caller.name, caller.session))
        if session is not None:
            session.bound.add(req_id)

    def _over(self, key: tuple[str, bytes]) -> None:
        session = self._sessions.pop(key, None)
        if session is None:
            return
        for req_id in session.bound:
            self._directory.tell_request(req_id, Close(session.caller, code="client_lost"))

    def close(self) -> None:
        """No lease runs out any more."""
        for session in self._sessions.values():
            if session.lease is not None:
                session.lease.cancel()
        self._sessions.clear()

"""An agent, from afar: the server's port to it, and the superviser as the agent sees it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from boruta.domain.commands import (
    Checks,
    Command,
    CommandReply,
    PrepareDone,
    Registered,
    Registration,
)
from boruta.domain.defaults import REASON_BYTES, RECONNECT_S
from boruta.domain.errors import BorutaError, InfraError, Unreachable
from boruta.domain.texts import clean_text
from boruta.domain.types import Check
from transport.agent_maps import (
    command_map,
    command_reply_from,
    registered_from,
    registration_map,
)
from transport.codec import Notice, encode
from transport.wire import DRYAD_CALLS

if TYPE_CHECKING:
    from transport.client import Link
    from transport.peers import Peer

# Both reach ssh's argv and known_hosts on a user's machine (SAFETY, C3).
_USERNAME: Final = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_HOST_KEY: Final = re.compile(r"[a-z0-9][a-z0-9@.-]{0,63} [A-Za-z0-9+/]{16,16000}={0,2}")


class RemoteDryad:
    """The `DryadPort` of one connection.

    Args:
        peer: the connection.
        send: puts a frame on it.
        cut: ends it, after what was just said to it has had time to go.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        peer: Peer,
        send: Callable[[Peer, bytes], None],
        cut: Callable[[Peer, str], None],
        clock: Callable[[], float],
    ) -> None:
        self._peer = peer
        self._send = send
        self._cut = cut
        self._clock = clock

    def send(
        self,
        command: Command,
        within_s: float,
        on_reply: Callable[[CommandReply | BorutaError], None],
    ) -> None:
        """Sends `command`; the reply comes once, a TimedOut or an Unreachable is one too."""
        kind, body = command_map(command)

        def answered(outcome: dict[str, Any] | BorutaError) -> None:
            if isinstance(outcome, BorutaError):
                outcome.message = clean_text(outcome.message)
                on_reply(outcome)
            else:
                on_reply(_understood(kind, outcome))

        self._call(kind, body, within_s, answered)

    def ping(self, within_s: float, on_reply: Callable[[bool], None]) -> None:
        """Asks for a sign of life."""
        self._call("ping", {}, within_s, lambda found: on_reply(isinstance(found, dict)))

    def _call(
        self,
        kind: str,
        body: dict[str, Any],
        within_s: float,
        answered: Callable[[dict[str, Any] | BorutaError], None],
    ) -> None:
        peer, now = self._peer, self._clock()
        if peer.gone:
            answered(Unreachable("the agent's connection is gone"))
            return
        try:
            _, frame = peer.conversation.call(kind, body, answered, now + within_s, now)
        except BorutaError as error:
            answered(error)
            return
        self._send(peer, frame)

    def cut(self, reason: str) -> None:
        """Says goodbye, and why, and ends the connection."""
        if not self._peer.gone:
            said = {"reason": reason[: REASON_BYTES // 4], "retry_after_s": RECONNECT_S[1]}
            self._send(self._peer, encode(Notice("goodbye", said)))
            self._cut(self._peer, reason)


def _understood(kind: str, body: dict[str, Any]) -> CommandReply | BorutaError:
    try:
        reply = command_reply_from(kind, DRYAD_CALLS[kind].reply(body, f"the reply to {kind}"))
    except BorutaError as error:
        return InfraError(f"the agent's answer cannot be used: {error}")
    if isinstance(reply, PrepareDone):
        if _USERNAME.fullmatch(reply.username) is None:
            return InfraError("the agent's answer cannot be used: no plain username")
        if not all(_HOST_KEY.fullmatch(key) for key in reply.host_keys):
            return InfraError(
                "the agent's answer cannot be used: a host key is its type and base64 alone"
            )
    if isinstance(reply, Checks):  # people read them
        return Checks(
            tuple(Check(clean_text(c.name), c.ok, clean_text(c.detail)) for c in reply.checks)
        )
    return reply


class RemoteSuperviser:
    """The superviser, for an agent's link."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def register(
        self, registration: Registration, timeout: float | None = None
    ) -> Registered:
        """Makes the worker known, or tells of its return; once a connection.

        Raises:
            UUIDInUse: another agent that is alive, or another key, has this UUID.
            BadAddress: the server may not dial this ssh_address.
        """
        body = registration_map(registration)
        return registered_from(await self._link.call("superviser.register", body, timeout))

    async def set_fail(self, uuid: str, reason: str, timeout: float | None = None) -> None:
        """Reports the worker as failed."""
        body = {"worker_uuid": uuid, "reason": reason}
        await self._link.call("superviser.set_fail", body, timeout)

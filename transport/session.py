"""One conversation with a peer, as both ends keep it. No I/O: frames and the time are handed in.

It numbers calls, matches replies by number, counts bad frames, and knows when to say something
and when the other end has been silent for too long.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from boruta.domain.defaults import BAD_FRAMES, SLEEP_GAP_S
from boruta.domain.errors import BorutaError, TimedOut
from transport.codec import (
    Call,
    ErrorReply,
    Message,
    Notice,
    Packed,
    Reply,
    Unreadable,
    decode,
    encode,
    encode_packed,
)

Answer: TypeAlias = Callable[[dict[str, Any] | BorutaError], None]
HEARTBEAT: Final[bytes] = encode(Notice("heartbeat", {}))


@dataclass(slots=True)
class _Asked:
    type: str
    until: float | None
    answer: Answer


@dataclass(frozen=True, slots=True)
class Bad:
    """A frame that is no message. `reply` answers it, `cut` says that it was one too many."""

    error: Unreadable
    reply: bytes | None
    cut: bool


class Conversation:
    """What was asked and said over one connection.

    Args:
        now: monotonic seconds.
        beat_s: something is said at least this often.
        gone_s: a peer that is silent this long is gone; None: never.
    """

    def __init__(self, now: float, beat_s: float = 5.0, gone_s: float | None = None) -> None:
        self.heard_at = now
        self.said_at = now
        self.beat_s = beat_s
        self.gone_s = gone_s
        self.bad_frames = 0
        self.unknown_notices = 0
        self.strange_replies = 0
        self._beat_at = now
        self._last_id = 0
        # Bounded by who calls: the server sends an agent a handful, a client bounds its own.
        self._asked: dict[int, _Asked] = {}

    # --- what we say
    def call(
        self, kind: str, body: dict[str, Any], answer: Answer, until: float | None, now: float
    ) -> tuple[int, bytes]:
        """The number and frame of a call; `answer` comes once.

        Raises:
            TooLarge: it cannot be sent; nothing has changed.
        """
        number = self._last_id + 1
        frame = encode(Call(number, kind, body))
        self._last_id = number
        self._asked[number] = _Asked(kind, until, answer)
        self.said_at = now
        return number, frame

    def forget(self, number: int) -> None:
        """Whoever asked waits no longer; a late answer is dropped."""
        self._asked.pop(number, None)

    def reply(self, number: int, outcome: dict[str, Any] | Packed | BorutaError) -> bytes:
        """The frame that answers a call of theirs; what is too large becomes an error."""
        if not isinstance(outcome, BorutaError):
            try:
                if isinstance(outcome, Packed):
                    return encode_packed(number, outcome)
                return encode(Reply(number, outcome))
            except BorutaError as error:
                outcome = error
        return encode(ErrorReply(number, outcome))

    # --- what they say
    def receive(self, frame: bytes, now: float) -> Call | Notice | Bad | None:
        """Takes a frame in. Replies go to whoever asked; the rest is the caller's to act on."""
        self.heard_at = now
        try:
            message: Message = decode(frame)
        except Unreadable as error:
            return self._bad(error)
        match message:
            case Reply(re=re, body=body):
                self._answered(re, body)
            case ErrorReply(re=re, error=refused):
                self._answered(re, refused)
            case _:
                return message
        return None

    def _bad(self, error: Unreadable) -> Bad:
        self.bad_frames += 1
        reply = None if error.re is None else encode(ErrorReply(error.re, error))
        return Bad(error, reply, error.fatal or self.bad_frames >= BAD_FRAMES)

    def count_bad(self, error: BorutaError) -> Bad:
        """Counts a frame whose fault shows only later."""
        return self._bad(Unreadable(error.message, None))

    def _answered(self, number: int, outcome: dict[str, Any] | BorutaError) -> None:
        asked = self._asked.pop(number, None)
        if asked is None:
            self.strange_replies += 1  # late, or to nothing
        else:
            asked.answer(outcome)

    # --- time
    def expire(self, now: float) -> None:
        """Answers with TimedOut what has waited too long."""
        if not self._asked:
            return
        over = [n for n, a in self._asked.items() if a.until is not None and now >= a.until]
        for number in over:
            asked = self._asked.pop(number, None)
            if asked is not None:
                asked.answer(TimedOut(f"{asked.type}: no answer in time"))

    @property
    def asks(self) -> bool:
        """Whether something that was asked is not answered yet."""
        return bool(self._asked)

    def silent(self, now: float) -> bool:
        """The other end has said nothing for too long."""
        return self.gone_s is not None and now - self.heard_at >= self.gone_s

    def beat_due(self, now: float) -> bool:
        """It is time for a heartbeat: one end has said nothing for `beat_s`."""
        quiet_since = max(min(self.said_at, self.heard_at), self._beat_at)
        if now - quiet_since < self.beat_s:
            return False
        self._beat_at = self.said_at = now
        return True

    def awoke(self, now: float, gap: float) -> None:
        """This process did not run for `gap` seconds: no silence of theirs counts (SAFETY, A7)."""
        self.heard_at = now
        for asked in self._asked.values():
            if asked.until is not None:
                asked.until += gap

    def end(self, error: BorutaError) -> None:
        """The connection is over: whoever still waits is answered with `error`."""
        asked, self._asked = self._asked, {}
        for one in asked.values():
            one.answer(error)


class Ticks:
    """Notices that this process was stopped: a gap between two ticks of more than a second."""

    def __init__(self, now: float, every_s: float) -> None:
        self._last = now
        self._every_s = every_s

    def gap(self, now: float) -> float:
        """Seconds that were lost before this tick; 0 where the loop ran as it should."""
        late = now - self._last - self._every_s
        self._last = now
        return late if late > SLEEP_GAP_S else 0.0

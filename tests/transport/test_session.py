"""One conversation, without a socket: numbers, beats, silence, bad frames."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boruta.domain.defaults import BAD_FRAMES, FRAME_BYTES, SLEEP_GAP_S
from boruta.domain.errors import BorutaError, NotFoundError, TimedOut, TooLarge, Unreachable
from tests.transport.values import FIXED
from transport.codec import Call, ErrorReply, Notice, Reply, decode, encode
from transport.session import HEARTBEAT, Bad, Conversation, Ticks

Outcome = dict[str, Any] | BorutaError


class Asker:
    """Calls, and keeps the answers."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.answers: list[tuple[str, Outcome]] = []

    def call(self, kind: str, until: float | None = None, now: float = 0.0) -> int:
        number, frame = self.conversation.call(
            kind, {}, lambda outcome: self.answers.append((kind, outcome)), until, now
        )
        assert decode(frame) == Call(number, kind, {})
        return number


@pytest.fixture
def talk() -> Conversation:
    return Conversation(0.0, beat_s=5.0, gone_s=13.0)


@pytest.fixture
def asker(talk: Conversation) -> Asker:
    return Asker(talk)


# --- calls and replies
def test_numbers_rise_and_replies_find_their_call_in_any_order(
    talk: Conversation, asker: Asker
) -> None:
    first, second, third = asker.call("a"), asker.call("b"), asker.call("c")
    assert 0 < first < second < third
    assert talk.receive(encode(Reply(third, {"x": 3})), 1.0) is None
    assert talk.receive(encode(Reply(first, {"x": 1})), 1.0) is None
    refused = NotFoundError("no")
    assert talk.receive(encode(ErrorReply(second, refused)), 1.0) is None
    assert [kind for kind, _ in asker.answers] == ["c", "a", "b"]
    assert asker.answers[:2] == [("c", {"x": 3}), ("a", {"x": 1})]
    assert isinstance(asker.answers[2][1], NotFoundError)


@pytest.mark.parametrize("number", [0, 1, 99])
def test_a_reply_to_nothing_is_counted_and_does_nothing(
    talk: Conversation, asker: Asker, number: int
) -> None:
    talk.forget(asker.call("a"))
    assert talk.receive(encode(Reply(number, {})), 1.0) is None
    assert talk.receive(encode(ErrorReply(number, NotFoundError("no"))), 1.0) is None
    assert talk.strange_replies == 2
    assert asker.answers == []


def test_a_second_reply_to_a_call_is_dropped(talk: Conversation, asker: Asker) -> None:
    number = asker.call("a")
    for _ in range(2):
        talk.receive(encode(Reply(number, {})), 1.0)
    assert len(asker.answers) == 1
    assert talk.strange_replies == 1


def test_a_call_too_large_to_send_changes_nothing(talk: Conversation, asker: Asker) -> None:
    with pytest.raises(TooLarge):
        talk.call("a", {"it": bytes(FRAME_BYTES)}, lambda _: None, None, 0.0)
    talk.end(Unreachable("over"))
    assert asker.call("b") == 1


def test_what_waits_too_long_is_answered_once_with_timed_out(
    talk: Conversation, asker: Asker
) -> None:
    number = asker.call("a", until=10.0)
    asker.call("b")
    talk.expire(9.9)
    assert asker.answers == []
    talk.expire(10.0)
    talk.receive(encode(Reply(number, {})), 10.1)
    talk.expire(1e9)
    assert [(kind, type(outcome)) for kind, outcome in asker.answers] == [("a", TimedOut)]


def test_at_the_end_everyone_who_waits_is_answered_once(talk: Conversation, asker: Asker) -> None:
    asker.call("a")
    asker.call("b", until=10.0)
    over = Unreachable("cut")
    talk.end(over)
    talk.end(Unreachable("again"))
    talk.expire(20.0)
    assert asker.answers == [("a", over), ("b", over)]


def test_whoever_is_answered_at_the_end_may_ask_again(talk: Conversation, asker: Asker) -> None:
    talk.call("a", {}, lambda _: [asker.call("b")].clear(), None, 0.0)
    talk.end(Unreachable("cut"))
    assert asker.answers == []
    talk.end(Unreachable("cut"))
    assert [kind for kind, _ in asker.answers] == ["b"]


def test_calls_and_notices_are_handed_out(talk: Conversation) -> None:
    for message in (Call(4, "a", {"x": 1}), Notice("b", {})):
        assert talk.receive(encode(message), 1.0) == message


def test_an_answer_that_cannot_be_sent_becomes_an_error(talk: Conversation) -> None:
    for outcome, code in (
        ({"it": bytes(FRAME_BYTES)}, "too_large"),
        ({"it": object()}, "bad_request"),
        (NotFoundError("no"), "not_found"),
    ):
        found = decode(talk.reply(9, outcome))
        assert isinstance(found, ErrorReply)
        assert (found.re, found.error.code) == (9, code)


# --- bad frames
def test_a_bad_frame_is_answered_and_the_tenth_cuts(talk: Conversation) -> None:
    for count in range(1, BAD_FRAMES + 1):
        found = talk.receive(b"\xc1", 1.0)
        assert isinstance(found, Bad)
        assert found.cut is (count == BAD_FRAMES)
        assert found.reply is not None
        assert isinstance(answer := decode(found.reply), ErrorReply)
        assert (answer.re, answer.error.code) == (0, "bad_frame")


def test_a_bad_reply_or_notice_is_not_answered_but_counts(talk: Conversation) -> None:
    for _ in range(BAD_FRAMES):
        found = talk.receive(encode(Reply(1, {})).replace(b"\xa2re\x01", b"\xa2re\xc2"), 1.0)
        assert isinstance(found, Bad)
        assert found.reply is None
    assert talk.bad_frames == BAD_FRAMES


def test_a_frame_over_the_limit_cuts_at_once(talk: Conversation) -> None:
    found = talk.receive(bytes(FRAME_BYTES + 1), 1.0)
    assert isinstance(found, Bad)
    assert found.cut


def test_good_frames_between_do_not_wash_off_bad_ones(talk: Conversation) -> None:
    for _ in range(BAD_FRAMES - 1):
        talk.receive(b"\xc1", 1.0)
        talk.receive(HEARTBEAT, 1.0)
    assert talk.count_bad(TooLarge("late")).cut


@FIXED
@given(st.lists(st.binary(max_size=30), max_size=15))
def test_whatever_comes_nothing_is_raised(frames: list[bytes]) -> None:
    talk = Conversation(0.0)
    for frame in frames:
        talk.receive(frame, 1.0)


# --- life
def test_any_frame_is_life_a_bad_one_too(talk: Conversation) -> None:
    assert not talk.silent(12.9)
    assert talk.silent(13.0)
    talk.receive(HEARTBEAT, 10.0)
    assert not talk.silent(22.9)
    talk.receive(b"\xc1", 20.0)
    assert not talk.silent(32.9)
    assert talk.silent(33.0)


def test_without_a_limit_nobody_is_silent() -> None:
    assert not Conversation(0.0).silent(1e9)


def test_a_heartbeat_is_due_when_one_end_has_said_nothing(talk: Conversation, asker: Asker) -> None:
    assert not talk.beat_due(4.9)
    assert talk.beat_due(5.0)
    assert not talk.beat_due(9.9)  # it was said
    assert talk.beat_due(10.0)
    for now in range(11, 25):
        asker.call("busy", now=float(now))
        talk.receive(HEARTBEAT, float(now))
        assert not talk.beat_due(float(now))  # both talk


def test_a_busy_end_still_beats_when_the_other_is_silent(asker: Asker, talk: Conversation) -> None:
    beats = 0
    for now in range(1, 21):
        asker.call("busy", now=float(now))
        beats += talk.beat_due(float(now))
    assert beats == 4  # so that the other end has something to answer


def test_a_listener_beats_while_the_other_end_talks(talk: Conversation) -> None:
    beats = 0
    for now in range(1, 21):
        talk.receive(encode(Notice("event", {})), float(now))
        beats += talk.beat_due(float(now))
    assert beats == 4


def test_after_a_standstill_silence_and_waiting_start_anew(
    talk: Conversation, asker: Asker
) -> None:
    asker.call("a", until=20.0)
    talk.awoke(100.0, gap=95.0)
    assert not talk.silent(112.9)
    assert talk.silent(113.0)
    talk.expire(114.9)
    assert asker.answers == []
    talk.expire(115.0)
    assert len(asker.answers) == 1


def test_ticks_notice_a_standstill_and_no_small_delay() -> None:
    ticks = Ticks(0.0, every_s=0.5)
    assert ticks.gap(0.5) == 0.0
    assert ticks.gap(1.0 + SLEEP_GAP_S) == 0.0
    assert ticks.gap(12.5) == pytest.approx(10.0)
    assert ticks.gap(13.0) == 0.0

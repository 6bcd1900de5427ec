"""The simulated STM says what the real one says, to the byte."""

from __future__ import annotations

import asyncio
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dryad.hardware.firmware import Firmware
from dryad.hardware.firmware_words import number, tokens
from dryad.hardware.stm_simulator import Fault, StmSimulator

BOTH_KEYS_SEEN = b"key1: released\r\nkey2: pressed\r\n"
# What is sent; what comes back, each line's end echoed as \n\r.
TRANSCRIPTS = [
    (b"echo off\n", b"echo off\n\rEcho is off now.\r\nOK\r\n"),
    (b"dut\r\n", b"dut\n\rOK\r\n\n\r"),
    (b"\n", b"\n\r"),
    (b"power\n", b"power\n\roff\r\nOK\r\n"),
    (b"mux\n", b"mux\n\rtsOK\r\n"),
    (b"led\n", b"led\n\rled1: 0,0,0\r\nled2: 0,0,0\r\nOK\r\n"),
    (b"current\n", b"current\n\r0\r\nOK\r\n"),
    (b"current 100\n", b"current 100\n\r100\r\nOK\r\n"),
    (b"current auto\n", b"current auto\n\rOK\r\n"),
    (b"lthor switch\n", b"lthor switch\n\rUSB\r\nOK\r\n"),
    (b"lthor vbus\n", b"lthor vbus\n\rOFF\r\nOK\r\n"),
    (b"key\n", b"key\n\r" + BOTH_KEYS_SEEN + b"OK\r\n"),
    (b"uart 3300\nuart\n", b"uart 3300\n\rOK\r\nuart\n\r1700\r\nOK\r\n"),
    (b"adc 1\n", b"adc 1\n\radc1: 230\r\nOK\r\n"),
    (b"dyper 1\n", b"dyper 1\n\rError processing command\r\n"),
    (b"led 3 1 2 3\n", b"led 3 1 2 3\n\rError processing command\r\n"),
    (b"text 0 0 on\n", b"text 0 0 on\n\rError processing command\r\n"),
    (b"POWER\n", b"POWER\n\rUnknown command\r\n"),
    (b"version\n", b"version\n\rMuxPi firmware v1.0\r\nOK\r\n"),
]


@pytest.mark.parametrize(("sent", "came"), TRANSCRIPTS)
def test_a_fresh_stm_says_this_to_the_byte(sent: bytes, came: bytes) -> None:
    stm = Firmware(keys=[False, True])
    assert stm.feed(sent) == came


@pytest.mark.parametrize(("sent", "came"), TRANSCRIPTS)
def test_without_echo_it_says_the_same_without_what_was_sent(sent: bytes, came: bytes) -> None:
    stm = Firmware(keys=[False, True], echo_works=True, echo=False)
    bare = came
    for command in sent.split(b"\n"):
        bare = bare.replace(command.strip() + b"\n\r", b"", 1) if command.strip() else bare
    bare = bare.replace(b"\n\r", b"") if not bare.strip() else bare.removesuffix(b"\n\r")
    assert stm.feed(sent) == bare


@pytest.mark.parametrize(("sent", "came"), TRANSCRIPTS)
def test_the_port_carries_the_bytes_as_they_are(sent: bytes, came: bytes) -> None:
    async def story() -> None:
        async with StmSimulator(Firmware(keys=[False, True])) as board:
            assert await said(board, sent, len(came)) == came

    asyncio.run(story())


async def said(board: StmSimulator, sent: bytes, count: int) -> bytes:
    """What `board` answers, read by somebody who opens its port: `count` bytes."""
    board.received.clear()
    fd = os.open(board.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        os.write(fd, sent)
        found, last = b"", sent.split(b"\n")[-2].strip() if sent else b""
        async with asyncio.timeout(10):
            while len(found) < count or (last and board.received[-1:] != [last]):
                await asyncio.sleep(0)
                try:
                    found += os.read(fd, 4096)
                except BlockingIOError:
                    continue
        return found
    finally:
        os.close(fd)


# --- echo
def test_the_published_firmware_says_that_its_echo_is_off_and_goes_on() -> None:
    stm = Firmware()
    assert b"Echo is off now." in stm.feed(b"echo off\n")
    assert stm.feed(b"ts\n") == b"ts\n\rOK\r\n"
    assert stm.feed(b"echo\n") == b"echo\n\rEcho is off now.\r\nOK\r\n"


def test_an_echo_that_works_can_be_switched_and_comes_back_with_a_reset() -> None:
    stm = Firmware(echo_works=True)
    assert stm.feed(b"echo off\n") == b"echo off\n\rEcho is off now.\r\nOK\r\n"
    assert stm.feed(b"ts\n") == b"OK\r\n"
    assert stm.feed(b"echo\n") == b"Echo is on now.\r\nOK\r\n"
    stm.feed(b"echo off\n")
    stm.reset()
    assert stm.feed(b"ts\n") == b"ts\n\rOK\r\n"


# --- what a command is
@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", []),
        (b" ", [""]),
        (b"power", ["power"]),
        (b"power ", ["power"]),
        (b"power  ", ["power", ""]),
        (b"  led \t 1", ["led", "1"]),
        (b"a b c d e f g h i j k l", list("abcdefghij")),
    ],
)
def test_words_are_cut_as_the_firmware_cuts_them(line: bytes, words: list[str]) -> None:
    assert tokens(line) == words


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("12", 12),
        ("0x1F", 31),
        ("0b101", 5),
        ("010", 8),
        ("0", 0),
        ("-1", -1),
        ("x", None),
        ("", None),
    ],
)
def test_numbers_have_four_bases(word: str, value: int | None) -> None:
    assert number(word) == value


@pytest.mark.parametrize(
    ("sent", "last"),
    [
        (b" \n", b"Unknown command\r\n"),
        (b"power  \n", b"Error processing command\r\n"),
        (b"power online\n", b"OK\r\n"),
        (b"power OFF\n", b"OK\r\n"),
        (b"hdmi\n", b"OK\r\n"),
        (b"hdmi maybe\n", b"Error processing command\r\n"),
        (b"dyper x on\n", b"OK\r\n"),
        (b"dyper 3 on\n", b"Error processing command\r\n"),
        (b"led 1 2\n", b"Error processing command\r\n"),
        (b"adc 6\n", b"Error processing command\r\n"),
        (b"lthor combo\n", b"Error processing command\r\n"),
        (b"lthor comb usb\n", b"OK\r\n"),
        (b"key x\n", b"Error processing command\r\n"),
        (b"current x\n", b"Error processing command\r\n"),
        (b"text 129 0 on x\n", b"Error processing command\r\n"),
        (b"draw circle 1 2 3\n", b"OK\r\n"),
        (b"draw line 1 2 3\n", b"Error processing command\r\n"),
    ],
)
def test_odd_arguments_are_judged_as_the_firmware_judges_them(sent: bytes, last: bytes) -> None:
    assert Firmware().feed(sent).endswith(b"\n\r" + last)


def test_a_command_longer_than_its_buffer_loses_its_end_and_is_echoed_whole() -> None:
    came = Firmware().feed(b"version" + b" " * 60 + b"tail\n")
    assert came.startswith(b"version" + b" " * 60 + b"tail\n\r")


def test_help_has_29_lines() -> None:
    assert Firmware(echo_works=True, echo=False).feed(b"help\n").count(b"\r\n") == 30


# --- the state
def test_power_card_relays_leds_and_display_can_be_looked_at() -> None:
    stm = Firmware()
    stm.feed(b"dut\nhdmi on\ndyper 1 on\ndyper 0 on\nled 2 300 -1 x\nclr\ntext 8 2 on a b\n")
    assert (stm.power, stm.mux, stm.hdmi, stm.dyper) == (True, "dut", True, [True, True])
    assert stm.leds == [(0, 0, 0), (44, 255, 0)]
    assert stm.lines == ["", " a b"]
    assert b"300\r\n" in stm.feed(b"current\n")
    stm.feed(b"ts\n")
    assert (stm.power, stm.mux) == (False, "ts")
    stm.reset()
    assert stm.display.startswith("*  MuxPi  *")
    assert stm.dyper == [False, False]


def test_a_text_over_another_cannot_be_read() -> None:
    stm = Firmware()
    stm.feed(b"clr\ntext 0 0 on abc\ntext 0 0 on abd\n")
    assert stm.display == "ab#"


def test_a_text_too_long_crashes_it_until_it_is_reset() -> None:
    stm = Firmware()
    stm.feed(b"text 0 0 on 12345678901234567\n")
    assert stm.crashed
    assert stm.feed(b"version\n") == b""
    stm.reset()
    assert b"OK" in stm.feed(b"version\n")


def test_a_tick_answers_when_it_is_over_and_ends_with_power_on() -> None:
    stm = Firmware()
    assert stm.feed(b"power tick 250\n") == b"power tick 250\n\r"
    assert (stm.busy_s, stm.power) == (0.25, False)
    assert stm.feed(b"ts\n" + b"x" * 60) == b""
    assert stm.press(2) == b""
    came = stm.tick_over()
    assert came == b"OK\r\npressed: 2\r\nts\n\rOK\r\n" + b"x" * 29  # the queue has 32 bytes
    assert stm.power is False
    assert stm.ticks == 1


@pytest.mark.parametrize(
    ("words", "seconds"), [(b"", 1.0), (b" 0", 1.0), (b" x", 1.0), (b" -1", (2**32 - 1) / 1000)]
)
def test_a_tick_without_a_usable_number(words: bytes, seconds: float) -> None:
    stm = Firmware()
    stm.feed(b"power tick" + words + b"\n")
    assert stm.busy_s == seconds


@given(st.binary(max_size=200))
def test_no_input_breaks_it(data: bytes) -> None:
    stm = Firmware(echo_works=True, echo=False)
    stm.feed(data)
    while stm.busy_s is not None:
        stm.tick_over()
    if not stm.crashed:
        assert stm.feed(b"\nversion\n").endswith(b"MuxPi firmware v1.0\r\nOK\r\n")


# --- faults
def test_each_fault_hits_as_many_commands_as_were_asked_for() -> None:
    async def story() -> None:
        good = b"mux\n\rtsOK\r\n"
        async with StmSimulator() as board:
            board.fail(Fault.CUT)
            assert await said(board, b"mux\n", 3 + 4) == b"mux\n\rts"
            assert await said(board, b"mux\n", len(good)) == good
            board.fail(Fault.PRESSED, 2)
            for _ in range(2):
                assert b"pressed: 1\r\n" in await said(board, b"mux\n", len(good) + 12)
            board.fail(Fault.HELD)
            assert await said(board, b"mux\n", 3) == b"mux"
            board.let_go()
            assert await said(board, b"", len(good) - 3) == good[3:]
            board.fail(Fault.SILENT, 100)
            await said(board, b"dut\n", 0)
            board.heal()
            assert await said(board, b"mux\n", len(good)) == good
            board.stm.power = True
            board.fail(Fault.RESET)
            await said(board, b"mux\n", 3)
            assert b"off" in await said(board, b"power\n", 16)

    asyncio.run(story())

"""One direction of a tunnel, without a loop."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from transport.tunnels.pump import IDLE_PIPES, TURN_BYTES, Pipes, Pump, Wait


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    one.setblocking(False)
    other.setblocking(False)
    return one, other


class Line:
    """writer -> source -> pump -> sink -> reader."""

    def __init__(self, pipes: Pipes) -> None:
        self.pipes = pipes
        self.writer, self.source = connected()
        self.sink, self.reader = connected()
        self.pump = Pump(self.source, self.sink, pipes)

    def fill(self) -> int:
        """Writes until nothing moves any more; how much went in."""
        total = 0
        while True:
            try:
                total += self.writer.send(bytes(1 << 20))
            except BlockingIOError:
                before = self.pump.moved
                if self.pump.step() is Wait.SINK and self.pump.moved == before:
                    return total

    def close(self) -> None:
        self.pump.close()
        for sock in (self.writer, self.source, self.sink, self.reader):
            sock.close()


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    made = Pipes()
    yield made
    made.close()


@pytest.fixture
def line(pipes: Pipes) -> Iterator[Line]:
    made = Line(pipes)
    yield made
    made.close()


def test_a_source_with_nothing_to_say_is_waited_for(line: Line) -> None:
    assert line.pump.step() is Wait.SOURCE
    line.writer.send(b"abc")
    assert line.pump.step() is Wait.SOURCE
    assert line.reader.recv(10) == b"abc"
    assert line.pump.moved == 3


def test_the_end_follows_the_last_byte(line: Line) -> None:
    line.writer.send(b"abc")
    line.writer.shutdown(socket.SHUT_WR)
    assert line.pump.step() is Wait.NOTHING
    assert line.reader.recv(10) == b"abc"
    assert line.reader.recv(10) == b""


def test_a_full_sink_is_waited_for_and_goes_on_where_it_stopped(line: Line) -> None:
    total = line.fill()
    got = 0
    while got < total:
        try:
            got += len(line.reader.recv(1 << 20))
        except BlockingIOError:
            line.pump.step()
    assert line.pump.moved == total


def test_a_busy_source_has_its_turn_and_then_others(line: Line) -> None:
    line.fill()
    while True:  # room for much more than one turn
        try:
            line.reader.recv(1 << 20)
        except BlockingIOError:
            break
    before = line.pump.moved
    line.pump.step()
    assert line.pump.moved - before < 2 * TURN_BYTES


def test_a_broken_sink_is_an_error(line: Line) -> None:
    line.writer.send(b"abc")
    line.reader.close()
    line.pump.step()
    line.writer.send(b"abc")
    with pytest.raises(OSError):
        line.pump.step()


def test_a_pipe_is_given_back_when_nothing_is_under_way(line: Line) -> None:
    line.writer.send(b"abc")
    line.pump.step()
    pipe = line.pipes.take()
    assert pipe is not None
    with pytest.raises(BlockingIOError):
        os.read(pipe[0], 1)
    line.pipes.give_back(pipe, empty=True)


def test_a_pipe_with_bytes_of_one_holder_is_never_the_next_ones(line: Line) -> None:
    line.fill()
    line.pump.close()
    pipe = line.pipes.take()
    assert pipe is not None
    with pytest.raises(BlockingIOError):
        os.read(pipe[0], 1)
    line.pipes.give_back(pipe, empty=True)


def test_few_idle_pipes_are_kept(pipes: Pipes) -> None:
    taken = [pipe for _ in range(IDLE_PIPES + 5) if (pipe := pipes.take())]
    for pipe in taken:
        pipes.give_back(pipe, empty=True)
    still_open = 0
    for pipe in taken:
        try:
            os.fstat(pipe[0])
            still_open += 1
        except OSError:
            pass
    assert still_open == IDLE_PIPES


def test_closing_twice_gives_a_pipe_back_once(line: Line) -> None:
    line.fill()
    line.pump.close()
    line.pump.close()

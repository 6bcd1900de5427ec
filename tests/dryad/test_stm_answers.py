"""What an STM says, cut into lines and answers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dryad.hardware.stm_answers import Answer, Lines, display_lines


@given(st.lists(st.binary(max_size=40), max_size=30), st.data())
def test_lines_are_the_same_however_they_are_cut(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"\n".join(parts) + b"\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    cut, once = Lines(), Lines()
    assert [line for piece in pieces for line in cut.feed(piece)] == once.feed(whole)


@given(st.binary(max_size=3000))
def test_noise_ends_with_the_next_line(noise: bytes) -> None:
    lines = Lines()
    lines.feed(noise.replace(b"pressed", b""))
    lines.feed(b"\n")
    assert lines.feed(b"version\n\rMuxPi firmware v1.0\r\nOK\r\n") == [
        "version",
        "MuxPi firmware v1.0",
        "OK",
    ]


@given(st.integers(0, 5), st.sampled_from([1, 2]))
def test_a_key_within_an_echo_leaves_the_echo_whole(at: int, key: int) -> None:
    echo = b"power\n\roff\r\nOK\r\n"
    said = echo[:at] + b"pressed: %d\r\n" % key + echo[at:]
    found = Lines().feed(said)
    assert key in found
    assert [line for line in found if isinstance(line, str)] == ["power", "off", "OK"]


@given(st.lists(st.text(max_size=30), max_size=100))
def test_an_answer_is_complete_only_by_its_last_line(lines: list[str]) -> None:
    answer = Answer("power")
    for line in lines:
        answer.take(line)
    expected = any(x in ("OK", "Error processing command", "Unknown command") for x in lines)
    assert answer.complete is expected


@given(st.text(max_size=300))
def test_lines_for_the_display_always_fit_it(text: str) -> None:
    lines = display_lines(text)
    assert len(lines) <= 2
    for line in lines:
        assert 1 <= len(line) <= 16
        assert all(" " <= sign <= "~" for sign in line)
        assert 1 <= len(line.split(" ")) <= 6
        assert "" not in line.split(" ")


def test_a_message_is_broken_at_blanks() -> None:
    assert display_lines("waiting for a new SD card") == ["waiting for a", "new SD card"]

"""The grammar of capabilities: what each form asks for, and what is refused."""

from __future__ import annotations

from decimal import Decimal

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from boruta.domain import defaults
from boruta.domain.caps_limits import check_caps_limits, check_worker_caps
from boruta.domain.errors import BadCaps, BadRequest, CapsMissingUUID, TooLarge
from boruta.domain.requirements import (
    cap_word,
    parse_cap_words,
    parse_caps,
)
from boruta.domain.types import Capabilities

NOT_THERE = None


def fits(word: str, value: str | None) -> bool:
    worker = {} if value is None else {"key": value}
    return parse_caps(parse_cap_words([word])).fits(worker)


@pytest.mark.parametrize(
    ("word", "yes", "no"),
    [
        ("key=arm", ["arm", "arm, mips", "mips ,arm"], ["ARM", "arm64", "", NOT_THERE]),
        ("key=a|b", ["a", "b", "c, b"], ["c", "ab", NOT_THERE]),
        ("key=a, b", ["a", "b", "a, b", "c,b"], ["c", NOT_THERE]),
        ("key=57600,115200", ["9600, 38400, 57600"], ["9600, 38400"]),
        ("key=1.5..3.6", ["1.5", "3.6", "2", "0, 3.3"], ["1.49", "3.61", "x", "", NOT_THERE]),
        ("key=2..", ["2", "2.0", "1000000"], ["1.99", "-3"]),
        ("key=..4", ["4", "-7"], ["4.01"]),
        ("key=-40..85", ["-40", "0"], ["-40.5", "86"]),
        ("key=1.5-3.6", ["2", "1.5-3.6"], ["4"]),
        ("key=2.9-3.6", ["3.3"], ["2.8"]),
        ("key=3-1", ["3-1"], ["2", "3", "1"]),
        ("key=2024-01", ["2024-01"], ["2000"]),
        ("key=v1-v2", ["v1-v2"], ["v1"]),
        ("key=v1..v2", ["v1..v2"], ["v1"]),
        ("key>=2", ["2", "10", "1, 3"], ["1.999", "two", NOT_THERE]),
        ("key<=2", ["2", "-10"], ["2.001", NOT_THERE]),
        ("key!=mips", ["arm", "", "mips64", NOT_THERE], ["mips", "arm, mips"]),
        ("key!=a|b", ["c", NOT_THERE], ["a", "b", "c, a"]),
        ("key!=1..3", ["4", NOT_THERE], ["2", "4, 2"]),
        ("key", ["", "anything"], [NOT_THERE]),
        ("!key", [NOT_THERE], ["", "anything"]),
        ("key=1..2|5..6|x", ["1", "5.5", "x"], ["3", "y"]),
        ("key=3.3", ["3.3", "1.5..3.6", "1, 2.."], ["3.30", "3.4..5"]),
        ("key=2..3", ["2.5..9", "..2"], ["4..9"]),
        ("key=a=b", ["a=b"], ["a"]),
    ],
)
def test_each_form_fits_what_it_says(
    word: str, yes: list[str | None], no: list[str | None]
) -> None:
    assert [value for value in yes if not fits(word, value)] == []
    assert [value for value in no if fits(word, value)] == []


@pytest.mark.parametrize(
    ("word", "text"),
    [
        (
            "voltage=3.6..2.9",
            "'voltage=3.6..2.9': the range ends before it starts (want low..high)",
        ),
        ("ram>=lots", "'ram>=lots': 'lots' is no number (want >=N"),
        ("ram=>2", "'ram=>2': want >= before a number, e.g. >=2"),
        ("ram=1..x", "'x' is no number (want low..high, low.. or ..high)"),
        ("arch=a||b", "a member is empty"),
        ("arch=a,", "a member is empty"),
        ("arch=", "the value is empty"),
        ("arch==arm", "want arch=arm"),
        ("arch=!mips", "after ! want"),
        ("=arm", "is no capability (want key=value"),
        ("ram>2", "key>=N"),
        ("", "is no capability"),
        ("!", "!key"),
        ("!arch=arm", "!key"),
        ("a|b", "is no capability"),
    ],
)
def test_what_does_not_follow_the_grammar_is_named_with_what_is_allowed(
    word: str, text: str
) -> None:
    with pytest.raises(BadCaps) as caught:
        parse_cap_words([word])
    assert str(caught.value).startswith("caps: ")
    assert text in str(caught.value)


def test_a_key_given_twice_is_a_usage_error() -> None:
    with pytest.raises(BadCaps, match=r"'arch' is given twice .*arch=a\|b"):
        parse_cap_words(["arch=arm", "hdmi", "arch=mips"])


def test_words_become_the_map_that_a_program_writes() -> None:
    words = ["arch=a|b", "ram>=2", "volt<=3", "os!=win", "hdmi", "!sd", " x = 1..2 "]
    assert dict(parse_cap_words(words)) == {
        "arch": "a|b",
        "ram": ">=2",
        "volt": "<=3",
        "os": "!=win",
        "hdmi": "*",
        "sd": "!*",
        "x": "1..2",
    }
    assert [cap_word(key, value) for key, value in parse_cap_words(words[:-1]).items()] == words[
        :-1
    ]


def test_an_error_of_a_map_names_the_key_and_the_value() -> None:
    with pytest.raises(BadCaps) as caught:
        parse_caps({"arch": "arm", "volt": "3.6..2.9"})
    assert caught.value.details == {"key": "volt", "value": "3.6..2.9"}
    with pytest.raises(BadCaps, match="a key is empty"):
        parse_caps({"": "x"})


@pytest.mark.parametrize("text", ["3.6..2.9", ">=x", "a||b", "!x", ">3", "1..x"])
def test_a_lenient_reader_takes_what_the_grammar_refuses_as_a_literal(text: str) -> None:
    wanted = parse_caps({"key": text}, lenient=True)
    assert wanted.fits({"key": text})
    assert not wanted.fits({"key": "3"})
    assert not wanted.fits({})


values = st.text(st.sampled_from("ab12.-|, =><!*"), max_size=8)


@settings(max_examples=300, deadline=None)
@given(text=values)
def test_a_value_that_is_literally_equal_always_fits(text: str) -> None:
    """The original's rule, whatever the grammar makes of the value."""
    wanted = parse_caps({"key": text}, lenient=True)
    assert wanted.fits({"key": text}) is True


@settings(max_examples=300, deadline=None)
@given(text=values, value=values)
def test_the_strict_reader_means_the_same_as_the_lenient_one_or_refuses(
    text: str, value: str
) -> None:
    try:
        strict = parse_caps({"key": text})
    except BadCaps:
        return
    lenient = parse_caps({"key": text}, lenient=True)
    assert strict == lenient
    assert strict.fits({"key": value}) == lenient.fits({"key": value})


numbers = st.decimals(-50, 50, places=1)


@settings(max_examples=200, deadline=None)
@given(low=numbers, high=numbers, value=numbers)
def test_a_range_holds_exactly_what_lies_between(
    low: Decimal, high: Decimal, value: Decimal
) -> None:
    low, high = min(low, high), max(low, high)
    inside = low <= value <= high
    assert fits(f"key={low}..{high}", str(value)) is inside
    assert fits(f"key={low}-{high}", str(value)) is inside
    assert fits(f"key={low}..", str(value)) is fits(f"key>={low}", str(value)) is (low <= value)
    assert fits(f"key=..{high}", str(value)) is fits(f"key<={high}", str(value)) is (value <= high)
    assert fits(f"key!={low}..{high}", str(value)) is not inside


def test_long_numbers_are_compared_exactly() -> None:
    big = "9007199254740993"
    assert fits(f"key>={big}", big)
    assert not fits(f"key>={big}", "9007199254740992")


def test_all_of_a_map_must_fit() -> None:
    wanted = parse_caps({"arch": "arm", "hdmi": "*"})
    assert wanted.fits({"arch": "arm", "hdmi": "", "more": "x"})
    assert not wanted.fits({"arch": "arm"})
    assert parse_caps({}).fits({})
    assert wanted.of("arch") is not None
    assert wanted.of("sd") is None


@pytest.mark.parametrize("char", ["\n", "\0", "\x1b", "\x9b", "\u202e", "\udcff"])
def test_what_nobody_could_show_is_refused(char: str) -> None:
    with pytest.raises(BadCaps, match=f"U\\+{ord(char):04X} at place 2"):
        check_caps_limits({"k" + char: "v"})
    with pytest.raises(BadCaps, match=f"'k': the character U\\+{ord(char):04X} at place 2"):
        check_caps_limits({"k": "v" + char})


@pytest.mark.parametrize("uuid", [" ", "a b", " a", "-oProxyCommand=x", "a\u00a0b", "\ue000"])
def test_a_uuid_that_is_no_word_of_a_command_line_is_refused(uuid: str) -> None:
    with pytest.raises(BadCaps, match="want printable text without blanks"):
        check_worker_caps(Capabilities({"UUID": uuid}))


def test_a_worker_needs_a_uuid_that_is_not_empty() -> None:
    check_worker_caps(Capabilities({"UUID": "Board_1:2/\u00e4"}))
    none: dict[str, str] = {}
    for caps in (none, {"UUID": ""}):
        with pytest.raises(CapsMissingUUID):
            check_worker_caps(Capabilities(caps))


def test_what_is_too_large_is_refused_before_it_is_read() -> None:
    check_caps_limits({"k" * 128: "v" * 1024})
    check_caps_limits({str(n): "" for n in range(64)})
    with pytest.raises(TooLarge, match="65 entries"):
        check_caps_limits({str(n): "" for n in range(65)})
    with pytest.raises(TooLarge, match="129 bytes"):
        check_caps_limits({"k" * 129: ""})
    with pytest.raises(TooLarge, match="'k' has 1025 bytes"):
        check_caps_limits({"k": "v" * 1025})
    with pytest.raises(TooLarge) as caught:
        check_caps_limits({"k": "v" * 10_000_000})
    assert len(str(caught.value)) < 200
    with pytest.raises(TooLarge):
        check_caps_limits({"k": "\u20ac" * (defaults.CAP_VALUE_BYTES // 3 + 1)})
    with pytest.raises(BadRequest, match="want a string"):
        check_caps_limits({"k": 5})  # type: ignore[dict-item]

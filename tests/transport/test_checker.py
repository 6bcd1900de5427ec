"""Validation of what came over the wire."""

from __future__ import annotations

import enum
import math
from datetime import datetime
from typing import Any

import msgpack
import pytest
from hypothesis import given

from boruta.domain.errors import BadPage, BadRequest, BadTime, TooLarge, UsageError
from tests.transport.values import FIXED, NOON, wild, year
from transport import checker
from transport.checker import (
    INT_LEAST,
    INT_MOST,
    Check,
    Optional,
    anything,
    boolean,
    choice,
    data,
    instant,
    integer,
    list_of,
    map_of,
    number,
    open_record,
    record,
    seconds,
    shape,
    text,
)


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


DEEP: Any = []
for _ in range(5000):
    DEEP = [DEEP]


def wrong(check: Check, value: object, kind: type[UsageError] = BadRequest) -> UsageError:
    with pytest.raises(UsageError) as caught:
        check(value, "body")
    assert type(caught.value) is kind
    return caught.value


TAKEN = [
    (text(4), ""),
    (text(4), "äö"),
    (text(4, 1), "a"),
    (data(2), b"ab"),
    (integer(), INT_LEAST),
    (integer(), INT_MOST),
    (integer(1, 3), 3),
    (number(), -1.5),
    (number(0), 0),
    (number(), 1 << 63),
    (seconds(0), 0.0),
    (boolean, False),
    (instant, NOON),
    (anything, DEEP),
    (choice(Colour), Colour.RED),
    (list_of(integer(), 3), [1, 2, 3]),
    (list_of(integer(), 3), []),
    (map_of(text(4), integer(), 2), {"a": 1, "b": 2}),
    (record(a=integer(), b=Optional(text(4))), {"a": 1}),
    (open_record, {"a": DEEP}),
]


@pytest.mark.parametrize(("check", "value"), TAKEN)
def test_a_value_that_fits_comes_out_as_it_was(check: Check, value: object) -> None:
    assert check(value, "body") is value or check(value, "body") == value


REFUSED = [
    (text(4), "abcde", TooLarge),
    (text(4), "ääa", TooLarge),  # bytes count
    (text(4, 1), "", BadRequest),
    (text(4), b"ab", BadRequest),
    (text(4), None, BadRequest),
    (text(8), "\ud800\ud800\ud800", BadRequest),
    (data(2), b"abc", BadRequest),
    (data(2), "ab", BadRequest),
    (integer(), True, BadRequest),
    (integer(), 1.0, BadRequest),
    (integer(), "1", BadRequest),
    (integer(), INT_MOST + 1, BadRequest),
    (integer(), 10**400, BadRequest),
    (integer(1, 3), 0, BadRequest),
    (integer(1, 3, BadPage), 4, BadPage),
    (number(), math.nan, BadRequest),
    (number(), math.inf, BadRequest),
    (number(), True, BadRequest),
    (number(), "1", BadRequest),
    (number(), 10**400, BadRequest),
    (number(0, 1), -0.1, BadRequest),
    (seconds(0), -1, BadTime),
    (seconds(), math.nan, BadTime),
    (seconds(), "1h", BadTime),
    (boolean, 1, BadRequest),
    (boolean, "true", BadRequest),
    (instant, "2030-01-31T12:00:00Z", BadTime),
    (instant, 1.0, BadTime),
    (instant, datetime(2030, 1, 1), BadTime),  # noqa: DTZ001
    (instant, year(30_000), BadTime),
    (choice(Colour), "green", BadRequest),
    (choice(Colour), "RED", BadRequest),
    (choice(Colour), DEEP, BadRequest),
    (choice(Colour, BadPage), None, BadPage),
    (list_of(integer(), 3), [1, 2, 3, 4], TooLarge),
    (list_of(integer(), 3, 1), [], BadRequest),
    (list_of(integer(), 3), "123", BadRequest),
    (list_of(integer(), 3), {"a": 1}, BadRequest),
    (list_of(integer(), 3), [DEEP], BadRequest),
    (map_of(text(4), integer(), 1), {"a": 1, "b": 2}, TooLarge),
    (map_of(text(4), integer(), 1), [("a", 1)], BadRequest),
    (map_of(text(4), integer(), 1), {1: 1}, BadRequest),
    (map_of(text(4), integer(), 1), {"abcde": 1}, TooLarge),
    (map_of(text(4), integer(), 1), {"a": DEEP}, BadRequest),
    (record(a=integer()), {}, BadRequest),
    (record(a=integer()), {"a": None}, BadRequest),
    (record(a=integer()), [1], BadRequest),
    (record(a=Optional(integer())), {"a": "x"}, BadRequest),
    (open_record, {b"a": 1}, BadRequest),
    (open_record, None, BadRequest),
]


@pytest.mark.parametrize(("check", "value", "kind"), REFUSED)
def test_a_value_that_does_not_fit_is_refused(
    check: Check, value: object, kind: type[UsageError]
) -> None:
    error = wrong(check, value, kind)
    assert error.message.startswith("body")
    assert str(error.details["field"]).startswith("body")
    assert len(error.message) < 300


def test_fields_that_a_record_does_not_name_are_ignored() -> None:
    assert record(a=integer())({"a": 1, "b": DEEP, 3: 4, b"x": 5}, "body") == {"a": 1}


def test_nil_is_the_same_as_left_out() -> None:
    check = record(a=Optional(integer()), b=Optional(record(c=integer())))
    assert check({"a": None, "b": None}, "body") == check({}, "body") == {}


def test_an_error_names_the_place() -> None:
    check = record(
        a=Optional(list_of(record(b=integer()), 9)), c=Optional(map_of(text(9), integer(), 9))
    )
    assert wrong(check, {"a": [{"b": 1}, {"b": "x"}]}).message == (
        "body.a[1].b: want a whole number, got str"
    )
    assert wrong(check, {"c": {"x y": -1.5}}).message == (
        "body.c['x y']: want a whole number, got float -1.5"
    )
    assert wrong(check, {"a": [{}]}).message == "body.a[0].b: is missing"
    with pytest.raises(BadRequest, match=r"^a\[0\]\.b: is missing"):
        check({"a": [{}]}, "")


def test_an_error_says_the_limit() -> None:
    assert "from 1 to 3" in wrong(integer(1, 3), 4).message
    assert "from 0, got" in wrong(number(0), -1).message
    assert wrong(list_of(integer(), 1), [1, 2], TooLarge).details["limit"] == 1
    assert "int of more than 64 bits" in wrong(integer(), 1 << 63).message


def test_a_short_text_that_cannot_be_sent_is_named() -> None:
    assert "body: want text that UTF-8 can hold" in wrong(text(1000), "a\udcff").message


SHAPES = [
    (text(4), "text of at most 4 bytes"),
    (text(4, 1), "text of 1 to 4 bytes"),
    (data(16), "16 bytes"),
    (integer(), "whole number"),
    (integer(1), "whole number from 1"),
    (number(0, 1), "finite number from 0 to 1"),
    (boolean, "true or false"),
    (instant, "time"),
    (choice(Colour), "one of red, blue"),
    (list_of(integer(), 2, 2), "list of 2: whole number"),
    (map_of(text(4), text(5), 6), "map of at most 6: text of at most 4 bytes to text of at most 5 "
     "bytes"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "says"), SHAPES)
def test_a_check_can_say_what_it_lets_through(check: Check, says: str) -> None:
    assert shape(check).says == says


def test_a_record_can_say_its_fields() -> None:
    fields = shape(record(a=integer(), b=Optional(boolean))).fields
    assert fields is not None
    assert {name: isinstance(field, Optional) for name, field in fields.items()} == {
        "a": False, "b": True,
    }  # fmt: skip


@FIXED
@given(wild)
def test_whatever_comes_is_taken_or_refused_with_a_usage_error(value: object) -> None:
    for check, _ in TAKEN:
        try:
            check(value, "body")
        except UsageError:
            pass  # anything else fails the test


def test_checks_of_the_module_are_all_tested() -> None:
    made = {"text", "data", "integer", "number", "seconds", "choice", "list_of", "map_of", "record"}
    plain = {"boolean", "instant", "anything", "open_record"}
    other = {"same", "shape", "shown", "too_large", "Optional", "Shape"}
    own = {n for n, v in vars(checker).items() if getattr(v, "__module__", "") == checker.__name__}
    assert {name for name in own if not name.startswith("_")} == made | plain | other


def test_a_timestamp_of_msgpack_is_no_time() -> None:
    wrong(instant, msgpack.Timestamp(0, 0), BadTime)

"""The tree of errors: codes, exit statuses, and the way over the wire and back."""

from __future__ import annotations

import copy
import pickle

import pytest

from boruta.domain import errors
from boruta.domain.codes import CODES, ERRORS, error_from
from boruta.domain.errors import BorutaError

CONTRACT = {
    2: "bad_request bad_caps priority_out_of_bounds time_range_illegal deadline_past bad_time "
    "bad_sort bad_page caps_missing_uuid bad_address state_not_allowed too_large bad_frame "
    "unsupported_protocol hello_required unknown_type",
    3: "not_found",
    4: "not_permitted",
    5: "action_refused worker_not_assigned transition_refused worker_not_removable fail_refused "
    "prolong_limit uuid_in_use stale_epoch token_conflict",
    6: "timed_out",
    7: "unservable",
    8: "board_lost session_alive",
    9: "unreachable store_unavailable not_leader shutting_down busy",
    1: "internal",
}


def test_every_code_of_the_contract_has_an_error_with_its_exit_status() -> None:
    told = {code: status for status, codes in CONTRACT.items() for code in codes.split()}
    assert {code: kind.exit_status for code, kind in ERRORS.items()} == told
    assert frozenset(told) == CODES


@pytest.mark.parametrize("code", sorted(CODES))
def test_an_error_comes_back_from_its_code(code: str) -> None:
    error = error_from(code, "what was wrong", {"id": 7, "message": "another"})
    assert type(error) is ERRORS[code]
    assert (error.code, str(error), error.details["id"]) == (code, "what was wrong", 7)


def test_an_unknown_code_is_an_internal_error() -> None:
    error = error_from("from_the_future", "text")
    assert isinstance(error, errors.InternalLogicError)
    assert error.exit_status == 1


@pytest.mark.parametrize("kind", sorted(set(ERRORS.values()), key=lambda kind: kind.__name__))
def test_an_error_survives_copies_and_pickles(kind: type[BorutaError]) -> None:
    error = kind("text", id=3)
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is kind
        assert (twin.message, twin.details) == (error.message, error.details)


def test_who_may_try_again_is_told_when() -> None:
    assert errors.Busy("full").details == {"retry_after_s": 1.0}
    assert errors.ShuttingDown("bye", retry_after_s=5.0).details == {"retry_after_s": 5.0}
    assert errors.NotFoundError("no").details == {}


def test_the_docstring_draws_every_error() -> None:
    drawn = errors.__doc__ or ""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert [
        k.__name__ for k in kinds if issubclass(k, BorutaError) and k.__name__ not in drawn
    ] == []

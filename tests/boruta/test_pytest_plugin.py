"""The fixtures: a board that fails is an error, a test that fails is a failed test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest

import boruta.client

pytest_plugins = ["pytester"]

PLAIN = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")  # the latter is slow to load

FAKE = """
import pytest
from boruta.domain.errors import BoardLost, Unservable

class Board:
    lost = None
    def __init__(self, options): self.options = options
    def run(self, cmd): raise BoardLost("request 1 is FAILED: its agent was lost")
    def __enter__(self): return self
    def __exit__(self, *_): open("given_back", "w").close()

class Client:
    boards = ["board-1"]
    def list_workers(self): return self.boards, None
    def reserve(self, caps, **options):
        if "nobody" in caps: raise Unservable("nobody has 'nobody'")
        return Board({"caps": caps, **options})

@pytest.fixture(scope="session")
def boruta_client(): return Client()
"""


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A test run of its own, with a client that lends boards of no farm."""
    monkeypatch.delenv("BORUTA_SERVER", raising=False)
    pytester.makeconftest(FAKE)
    return pytester


def run(inner: pytest.Pytester, body: str, *options: str) -> pytest.RunResult:
    inner.makepyfile(f"import pytest\n{body}")
    return inner.runpytest_inprocess(*PLAIN, "--strict-markers", *options)


def test_a_board_lost_in_a_test_is_an_error_and_says_why(inner: pytest.Pytester) -> None:
    result = run(inner, "def test_it(boruta_board): boruta_board.run('true')", "-rA")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the board failed, not the test: request 1 is FAILED*"])
    assert (inner.path / "given_back").exists()


def test_a_test_that_breaks_after_its_board_was_lost_is_an_error(inner: pytest.Pytester) -> None:
    body = """
        from boruta.domain.errors import BoardLost
        def test_it(boruta_board):
            boruta_board.lost = BoardLost("its agent was lost")
            assert "the console" == "went silent"
    """
    run(inner, "\n".join(line[8:] for line in body.splitlines())).assert_outcomes(errors=1)


def test_a_server_out_of_reach_in_a_test_is_an_error(inner: pytest.Pytester) -> None:
    body = "from boruta import Unreachable\ndef test_it(): raise Unreachable('no answer')"
    run(inner, body).assert_outcomes(errors=1)


def test_a_test_that_fails_is_a_failed_test(inner: pytest.Pytester) -> None:
    run(inner, "def test_it(boruta_board): assert 1 == 2").assert_outcomes(failed=1)


def test_a_board_lost_that_the_test_expects_passes(inner: pytest.Pytester) -> None:
    body = """
from boruta import BoardLost
def test_it(boruta_board):
    with pytest.raises(BoardLost):
        boruta_board.run("true")
"""
    run(inner, body).assert_outcomes(passed=1)


def test_junit_tells_an_error_from_a_failure(inner: pytest.Pytester) -> None:
    body = """
def test_infra(boruta_board): boruta_board.run("true")
def test_wrong(boruta_board): assert False
"""
    run(inner, body, "--junitxml=out.xml").assert_outcomes(errors=1, failed=1)
    cases = ElementTree.parse(inner.path / "out.xml").getroot().iter("testcase")
    found = {case.get("name"): [child.tag for child in case] for case in cases}
    assert "error" in found["test_infra"]
    assert "failure" not in found["test_infra"]
    assert "failure" in found["test_wrong"]


def test_caps_that_no_board_has_are_refused_at_once(inner: pytest.Pytester) -> None:
    body = "@pytest.mark.boruta(caps={'nobody': '1'})\ndef test_it(boruta_board): pass"
    result = run(inner, body)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*Unservable*nobody has 'nobody'*"])


def test_the_marker_says_which_board_and_the_closest_one_wins(inner: pytest.Pytester) -> None:
    body = """
pytestmark = pytest.mark.boruta(caps={"arch": "arm"}, priority=3)
@pytest.mark.boruta(caps={"arch": "riscv64"}, timeout=7)
def test_it(boruta_board):
    options = boruta_board.options
    assert options["caps"] == {"arch": "riscv64"}
    assert (options["priority"], options["timeout"]) == (3, 7)
    assert options["unservable"] == "refuse"
    assert options["note"].endswith("::test_it")
"""
    run(inner, body).assert_outcomes(passed=1)


def test_without_a_marker_any_board_is_taken_and_not_waited_for_for_ever(
    inner: pytest.Pytester,
) -> None:
    body = """
def test_it(boruta_board):
    assert boruta_board.options["caps"] == {}
    assert boruta_board.options["timeout"] == 300.0
"""
    run(inner, body).assert_outcomes(passed=1)


@pytest.mark.parametrize("wrong", ["cap={'a': 'b'}", "{'a': 'b'}"])
def test_a_marker_that_cannot_be_understood_is_an_error(inner: pytest.Pytester, wrong: str) -> None:
    body = f"@pytest.mark.boruta({wrong})\ndef test_it(boruta_board): pass"
    result = run(inner, body)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*marker boruta: *allowed: caps,*"])


def test_an_embedded_farm_without_boards_says_what_to_do(inner: pytest.Pytester) -> None:
    body = """
@pytest.fixture(autouse=True)
def none(boruta_client): boruta_client.boards = []
def test_it(boruta_board): pass
"""
    result = run(inner, body)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the embedded farm has no boards: call boruta_farm.simulate*"])


@pytest.mark.parametrize("how", ["option", "environment"])
def test_a_server_can_be_named(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.delenv("BORUTA_SERVER", raising=False)
    options = []
    if how == "option":
        options = ["--boruta-server", "tcp://farm:7175"]
    else:
        monkeypatch.setenv("BORUTA_SERVER", "tcp://farm:7175")

    @contextlib.contextmanager
    def connect(url: str) -> Iterator[str]:
        yield f"a client of {url}"

    monkeypatch.setattr(boruta.client, "connect", connect)
    pytester.makepyfile(
        "def test_it(boruta_client): assert boruta_client == 'a client of tcp://farm:7175'"
    )
    pytester.runpytest_inprocess(*PLAIN, *options).assert_outcomes(passed=1)


@pytest.mark.integration
def test_a_whole_farm_lends_real_boards(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BORUTA_SERVER", raising=False)
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture(scope="session")
        def boards(boruta_farm):
            return boruta_farm.simulate(1, caps={"arch": "armv7l"})

        @pytest.mark.boruta(caps={"arch": "armv7l"}, timeout=30)
        def test_it(boards, boruta_board):
            assert boruta_board.worker_uuid in boards
            assert boruta_board.run("echo $((6 * 7))").stdout == "42\\n"

        @pytest.mark.boruta(caps={"arch": "sparc"})
        def test_nobody(boards, boruta_board):
            pass
        """
    )
    result = pytester.runpytest_inprocess(*PLAIN, "-W", "error")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*Unservable*arch*"])

"""Fixtures for tests that need a board. A board that fails is an error, never a failed test.

::

    @pytest.mark.boruta(caps={"arch": "armv7l"}, timeout=60)
    def test_it_boots(boruta_board):
        assert boruta_board.run("uname -m").stdout == "armv7l\\n"

With ``--boruta-server URL`` or BORUTA_SERVER the boards are a server's, else those of a farm that
is embedded in the session: ``boruta_farm.simulate(2, caps={"arch": "armv7l"})`` makes some.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest

from boruta.domain.errors import BadRequest, BoardLost, InfraError, Unavailable

if TYPE_CHECKING:
    from boruta import Client, Farm, Reservation

BOARD_WITHIN_S: Final = 300.0  # a test run that waits for ever says nothing
_MARKER: Final = (
    "boruta(caps=None, priority=8, timeout=300): which board `boruta_board` is: its capabilities, "
    "the request's priority (1 is most important), and for how many seconds it is waited for"
)
_ALLOWED: Final = frozenset({"caps", "priority", "timeout", "job_timeout", "groups", "note"})


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds --boruta-server."""
    parser.getgroup("boruta").addoption(
        "--boruta-server",
        metavar="URL",
        default=None,
        help="boards come from this server (default: $BORUTA_SERVER, else a farm in this process)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known."""
    config.addinivalue_line("markers", _MARKER)


def _server(config: pytest.Config) -> str | None:
    return config.getoption("--boruta-server") or os.environ.get("BORUTA_SERVER") or None


@pytest.fixture(scope="session")
def boruta_farm() -> Iterator[Farm]:
    """A farm in this process, without boards at first: `simulate` makes some."""
    from boruta.farm import Farm

    with Farm() as farm:
        yield farm


@pytest.fixture(scope="session")
def boruta_client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client of the server of --boruta-server or BORUTA_SERVER, else of `boruta_farm`."""
    from boruta.client import connect

    url = _server(request.config)
    if url is not None:
        with connect(url) as client:
            yield client
        return
    farm: Farm = request.getfixturevalue("boruta_farm")
    with connect(data=farm.data) as client:
        yield client


@pytest.fixture
def boruta_board(request: pytest.FixtureRequest, boruta_client: Client) -> Iterator[Reservation]:
    """A board for this test alone, as the marker `boruta` describes it; given back after it."""
    options = _wanted(request.node)
    if _server(request.config) is None and not boruta_client.list_workers()[0]:
        raise BadRequest(
            "the embedded farm has no boards: call boruta_farm.simulate(...) in a fixture that "
            "comes before boruta_board, or give --boruta-server"
        )
    caps = options.pop("caps")
    # A board that nobody has is refused at once: a test run must not wait for it.
    with boruta_client.reserve(caps, unservable="refuse", **options) as board:
        yield board


def _wanted(item: pytest.Item) -> dict[str, Any]:
    wanted: dict[str, Any] = {"caps": {}, "timeout": BOARD_WITHIN_S, "note": _note(item.nodeid)}
    # The closest one counts last: a test's own marker over its class's and its module's.
    for marker in reversed(list(item.iter_markers("boruta"))):
        unknown = sorted(set(marker.kwargs) - _ALLOWED)
        if marker.args or unknown:
            what = f"does not know {', '.join(unknown)}" if unknown else "takes names alone"
            raise BadRequest(f"marker boruta: {what} (allowed: {', '.join(sorted(_ALLOWED))})")
        wanted |= marker.kwargs
    wanted["caps"] = wanted["caps"] or {}
    return wanted


def _note(text: str) -> str:
    return text.encode()[:200].decode(errors="ignore")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, None]:
    """A test that ended because its board or the farm failed is reported as an error."""
    outcome = yield
    report: pytest.TestReport = outcome.get_result()
    if report.when != "call" or not report.failed or call.excinfo is None:
        return
    why = _infra(item, call.excinfo.value)
    if why is not None:
        # What fails in a set-up is an error to every reporter, JUnit's too.
        report.when = "setup"
        report.sections.append(("boruta", f"the board failed, not the test: {why}"))


def _infra(item: pytest.Item, error: BaseException) -> BaseException | None:
    if isinstance(error, InfraError | Unavailable):
        return error
    board = getattr(item, "funcargs", {}).get("boruta_board")
    lost: BoardLost | None = getattr(board, "lost", None)
    return lost

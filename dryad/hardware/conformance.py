"""What an agent relies on in a driver of hardware, as checks to run on yours.

In a test: `asyncio.run(check_driver(lambda: MyBoard(...)))`. On the board itself, where it switches
the target off: `python -m dryad.hardware.conformance NAME[:ARGUMENT]`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from boruta.domain.errors import BorutaError
from boruta.domain.types import Check
from dryad.hardware.port import Hardware

COMMAND_WITHIN_S: Final = 50.0  # the server waits 60 s for a prepare that has more to do
CHECKS_WITHIN_S: Final = 15.0  # the agent waits no longer
BLOCKED_S: Final = 1.0  # the agent beats every 5 s and must answer meanwhile
_LOOK_S: Final = 0.05
MESSAGES: Final = (
    "",
    " ",
    "new SD card",
    "x" * 1024,
    "gr\u00fc\u00df \u65e5\u672c \U0001f600",
    "two\nlines\tand\x00\x1b[2J\x07",
    "; rm -rf / $(true) `true`",
)


async def check_driver(make: Callable[[], Hardware]) -> None:
    """Drives a board through its duties, twice, each time with a fresh driver.

    Args:
        make: makes a driver of a board that works; it is called on the running loop.

    Raises:
        AssertionError: the driver does what an agent does not expect; the text says what.
    """
    for _ in range(2):  # the second life finds the board as the first one left it
        before = asyncio.all_tasks()
        async with _watched():
            board = make()
            try:
                await _live(board)
            finally:
                await _done("close", board.close(), CHECKS_WITHIN_S)
            await _after_close(board)
        left = {task for task in asyncio.all_tasks() - before if not task.done()}
        assert not left, f"tasks go on after close: {sorted(task.get_name() for task in left)}"


async def _live(board: Hardware) -> None:
    await _done("ready", board.ready())
    await _checks(board)
    for message in MESSAGES:
        await _done(f"maintenance {message!r:.40}", board.maintenance(message))
    await _checks(board)
    await _done("ready after maintenance", board.ready())
    await _done("ready again", board.ready())
    await _done("maintenance", board.maintenance("closed while it is shown"))


async def _checks(board: Hardware) -> None:
    found = await _done("checks", board.checks(), CHECKS_WITHIN_S)
    assert isinstance(found, list), f"checks gave {found!r}, want a list"
    for check in found:
        assert isinstance(check, Check), f"checks gave {check!r}, want a Check"
        assert check.name, f"a check has no name: {check!r}"
        assert check.ok, f"a board that works is not well: {check.name}: {check.detail}"
    names = [check.name for check in found]
    assert len(names) == len(set(names)), f"two checks have one name: {names}"


async def _after_close(board: Hardware) -> None:
    await _done("close again", board.close())
    for name, call in (("ready", board.ready), ("maintenance", lambda: board.maintenance("x"))):
        with contextlib.suppress(BorutaError):  # a refusal is as good as doing nothing
            await _done(f"{name} after close", call(), CHECKS_WITHIN_S)


async def _done(what: str, call: Awaitable[object], within_s: float = COMMAND_WITHIN_S) -> object:
    try:
        async with asyncio.timeout(within_s):
            return await call
    except TimeoutError:
        raise AssertionError(f"{what}: not done within {within_s:g} s") from None
    except BorutaError as error:
        if "after close" in what:
            raise
        raise AssertionError(f"{what}: a board that works refused: {error}") from None
    except Exception as error:
        raise AssertionError(
            f"{what}: {type(error).__name__}: {error} (a driver's errors are BorutaErrors)"
        ) from error


@contextlib.asynccontextmanager
async def _watched() -> AsyncIterator[None]:
    """Fails if the loop stands still: nothing else of the agent runs then."""
    loop = asyncio.get_running_loop()
    longest = 0.0

    async def look() -> None:
        nonlocal longest
        while True:
            before = loop.time()
            await asyncio.sleep(_LOOK_S)
            longest = max(longest, loop.time() - before)

    watch = asyncio.create_task(look(), name="conformance watches")
    try:
        await asyncio.sleep(0)
        yield
        await asyncio.sleep(2 * _LOOK_S)
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
    assert longest < BLOCKED_S, f"the driver blocked the loop for {longest:.1f} s"


def main(argv: list[str]) -> int:
    """Checks the driver that is named; the exit status."""
    from dryad.hardware import boards

    if len(argv) != 1:
        print("usage: python -m dryad.hardware.conformance NAME[:ARGUMENT]", file=sys.stderr)
        return 2
    try:
        asyncio.run(check_driver(lambda: boards.make(argv[0], {})))
    except (AssertionError, BorutaError) as error:
        print(f"{argv[0]}: {error}", file=sys.stderr)
        return 1
    print(f"{argv[0]}: conforms")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

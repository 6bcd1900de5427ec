"""What holds for all tests."""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# Each run looks at the same examples; `pytest --hypothesis-profile=default` looks at others.
# A busy machine is no failure of what is tested.
settings.register_profile(
    "same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same")

# A test that its own time limit does not end, as when its clean-up hangs too, would take the whole
# run along and tell nothing: this says where every thread stands, and ends the run.
STUCK_S = 180.0
_told: list[int] = []  # a copy of stderr, made while pytest does not catch it


def pytest_configure() -> None:
    """Ctrl-C works here and in what is started, also if whoever started the tests ignores it."""
    _told.append(os.dup(2))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# The old kind of wrapper: the pytest of Debian 12, by which an agent's tests run, has no other.
@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Ends a run that hangs."""
    marker = item.get_closest_marker("timeout")
    allowed = float(marker.args[0]) if marker and marker.args else 0.0
    faulthandler.dump_traceback_later(allowed + STUCK_S, exit=True, file=_told[0])
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()

"""Readings of the current that the agent takes by itself and keeps until they are asked for.

As the original's service has it: so many readings, evenly spaced over a time. They go on while
nobody listens, and end with the job.
"""

from __future__ import annotations

import asyncio
import logging
from array import array
from typing import Final

from boruta.domain.errors import ActionRefused, BadRequest, BorutaError, InternalLogicError
from dryad.clock import Clock
from dryad.hardware.port import Measured
from dryad.logs import event

_log = logging.getLogger("dryad.board")

READINGS: Final = 120  # unless told otherwise, as the original
SECONDS: Final = 60.0
READINGS_MOST: Final = 100_000  # of one recording: 400 kB here and about as much in an answer
SECONDS_MOST: Final = 14 * 24 * 3600.0
LEAST_EVERY_S: Final = 0.003  # between two of them; the original's limit, the STM does 444 a second


class Recorder:
    """One recording at most: a new one takes the place of what was.

    Args:
        clock: what the readings are spaced by.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._readings: array[int] | None = None
        self._fault: BorutaError | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, measured: Measured, readings: int, seconds: float) -> None:
        """Records from now on, the first reading after one interval.

        Raises:
            BadRequest: they would be too many, or too close to each other.
        """
        if not 1 <= readings <= READINGS_MOST:
            raise BadRequest(f"board record: {readings} readings (allowed: 1 to {READINGS_MOST})")
        every = seconds / readings
        if every < LEAST_EVERY_S:
            raise BadRequest(
                f"board record: {readings} readings in {seconds:g} s are one in {every * 1000:.3g} "
                f"ms (allowed: one in {LEAST_EVERY_S * 1000:g} ms, or slower)"
            )
        self.drop()
        kept = self._readings = array("i")
        self._task = asyncio.get_running_loop().create_task(
            self._run(measured, kept, readings, every), name="dryad records"
        )

    def stop(self) -> None:
        """Records no more; what was recorded stays. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    def drop(self) -> None:
        """Stops and forgets: the next holder sees nothing of it. Idempotent."""
        self.stop()
        self._readings = self._fault = None

    def read(self) -> tuple[str, BorutaError | None]:
        """What was recorded until now, in mA with commas between, and what ended it too early.

        Raises:
            ActionRefused: nothing was started.
        """
        if self._readings is None:
            raise ActionRefused("board record: no sample was recorded (board record start does)")
        return ",".join(map(str, self._readings)) + "\n" * bool(self._readings), self._fault

    async def _run(self, measured: Measured, kept: array[int], readings: int, every: float) -> None:
        begun = self._clock.now()
        number = 0
        try:
            while len(kept) < readings:
                # The line may have been busy: what would come late is left out, as a ticker does.
                number = max(number, int((self._clock.now() - begun) / every)) + 1
                await self._clock.sleep(max(0.0, begun + number * every - self._clock.now()))
                kept.append(await measured.current())
        except BorutaError as error:
            self._end(kept, error)
        except Exception as error:  # a driver's defect is no end of the agent
            self._end(kept, InternalLogicError(f"{type(error).__name__}: {error}"))

    def _end(self, kept: array[int], error: BorutaError) -> None:
        event(_log, logging.WARNING, "recording_failed", readings=len(kept), error=error)
        if kept is self._readings:
            self._fault = error

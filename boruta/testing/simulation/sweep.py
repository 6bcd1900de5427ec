"""Many seeds: on as many cores as one likes, with what broke and how to see it again."""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice

from boruta.testing.simulation.farm import Load, Simulation, Summary
from boruta.testing.simulation.faults import Faults
from boruta.testing.simulation.invariants import Violation
from boruta.testing.simulation.world import heap_of_its_own

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What every seed runs: so many boards, for so many virtual seconds, under these faults.

    `faults` is as on the command line (`Faults.parse`), so that a run can be written down; `busy`
    and `hold_s` are as in `Load`.
    """

    workers: int = 20
    seconds: float = 6.0 * HOUR_S
    faults: str = "1"
    busy: float = Load.busy
    hold_s: float = Load.hold_s

    def farm(self, seed: int, trace: Callable[[str], None] | None = None) -> Simulation:
        """The farm of one seed, before anything has happened."""
        load = Load(self.busy, self.hold_s)
        return Simulation(seed, self.workers, Faults.parse(self.faults), load, trace)

    def again(self, seed: int) -> str:
        """The command that replays one seed."""
        load = ""
        if (self.busy, self.hold_s) != (Load.busy, Load.hold_s):
            load = f" --busy {self.busy} --hold {self.hold_s}"
        return (
            f"python -m boruta.testing.simulation --seed {seed} --workers {self.workers} "
            f"--days {self.seconds / 86_400.0!r} --faults {self.faults}{load}"
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one seed ended. `broken` is the violation's text, empty if everything held.

    `took_s` are seconds of the processor.
    """

    seed: int
    summary: Summary
    broken: str
    took_s: float


@dataclass(slots=True)
class Total:
    """All seeds together."""

    seeds: int = 0
    virtual_s: float = 0.0
    took_s: float = 0.0
    steps: int = 0
    accepted: int = 0
    jobs: int = 0
    logins: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    failed: list[Outcome] = field(default_factory=list)

    def add(self, one: Outcome) -> None:
        """Counts one more."""
        found = one.summary
        self.seeds += 1
        self.virtual_s += found.virtual_s
        self.took_s += one.took_s
        self.steps += found.steps
        self.accepted += found.accepted
        self.jobs += found.jobs
        self.logins += found.logins
        self.faults.update(found.faults)
        if one.broken:
            self.failed.append(one)

    @property
    def hours(self) -> float:
        """Simulated hours."""
        return self.virtual_s / HOUR_S


def run_one(seed: int, plan: Plan, trace: Callable[[str], None] | None = None) -> Outcome:
    """Runs one seed to its end or to the first broken invariant, then lets the farm settle."""
    began, broken = time.process_time(), ""
    with heap_of_its_own(), plan.farm(seed, trace) as farm:
        try:
            farm.run(plan.seconds)
            farm.settle()
        except Violation as violation:
            broken = str(violation)
        summary = farm.summary()
    return Outcome(seed, summary, broken, time.process_time() - began)


def sweep(seeds: Iterable[int], plan: Plan, jobs: int = 0) -> Iterator[Outcome]:
    """Runs every seed; outcomes come as they are ready.

    Args:
        seeds: each is a run of its own.
        plan: what each runs.
        jobs: processes; 0: one a core, 1: none but this one.
    """
    jobs = jobs or os.cpu_count() or 1
    if jobs == 1:
        for seed in seeds:
            yield run_one(seed, plan)
        return
    # A fork would inherit threads and locks of whoever calls.
    with ProcessPoolExecutor(
        jobs,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=logging.disable,  # a process at work says nothing but what it found
    ) as pool:
        left = iter(seeds)
        running = {pool.submit(run_one, seed, plan) for seed in islice(left, 2 * jobs)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for one in done:
                running.update(pool.submit(run_one, seed, plan) for seed in islice(left, 1))
                yield one.result()


def parse_seeds(text: str) -> range:
    """``100`` (the first hundred), or ``200..299``.

    Raises:
        ValueError: neither.
    """
    first, dots, last = text.partition("..")
    try:
        found = range(int(first), int(last) + 1) if dots else range(int(first))
    except ValueError:
        found = range(0)
    if not found or found[0] < 0:
        raise ValueError(f"{text!r}: want a number of seeds, or FIRST..LAST")
    return found

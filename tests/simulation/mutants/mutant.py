"""A deliberate bug: some lines of a function of ours, replaced for as long as a test wants."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

from boruta.testing.simulation.sweep import HOUR_S, Plan, run_one


@dataclass(frozen=True)
class Edit:
    """In the function at `where` (``module:Class.name``), `old` is replaced by `new`.

    `old` stands there once; if the code has moved on, planting the mutant says so.
    """

    where: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """A deliberate bug.

    Args:
        name: what it does wrong.
        rule: which rule of the design it breaks.
        found_by: the invariants that notice, by name.
        edits: its lines.
        seeds: it is found by one of so many seeds, from 1 on.
        faults: as on the command line.
        workers: boards.
        hours: virtual ones, of each seed.
        busy, hold_s: how much is asked of the farm, as in `Load`.
    """

    name: str
    rule: str
    found_by: tuple[str, ...]
    edits: tuple[Edit, ...]
    seeds: int = 2
    faults: str = "3"
    workers: int = 8
    hours: float = 2.0
    busy: float = 0.9
    hold_s: float = 600.0

    @property
    def plan(self) -> Plan:
        """What each seed runs."""
        return Plan(self.workers, self.hours * HOUR_S, self.faults, self.busy, self.hold_s)

    def first_found(self) -> tuple[int, str]:
        """The first seed that notices, and what it says; 0 if none of them does."""
        with self.planted():
            for seed in range(1, self.seeds + 1):
                broken = run_one(seed, self.plan).broken
                if broken:
                    return seed, broken
        return 0, ""

    @contextlib.contextmanager
    def planted(self) -> Iterator[None]:
        """The bug is there inside of this."""
        with contextlib.ExitStack() as stack:
            for edit in self.edits:
                stack.enter_context(_edited(edit))
            yield


@contextlib.contextmanager
def _edited(edit: Edit) -> Iterator[None]:
    module_name, _, path = edit.where.partition(":")
    module = importlib.import_module(module_name)
    *owners, name = path.split(".")
    owner: Any = module
    for one in owners:
        owner = getattr(owner, one)
    original = inspect.getattr_static(owner, name)
    is_property = isinstance(original, property)
    made = _compiled(edit, original.fget if is_property else original, module)
    setattr(owner, name, property(made) if is_property else made)
    try:
        yield
    finally:
        setattr(owner, name, original)


def _compiled(edit: Edit, function: FunctionType, module: ModuleType) -> FunctionType:
    source: str = vars(function).get("source") or textwrap.dedent(inspect.getsource(function))
    assert source.count(edit.old) == 1, f"{edit.where}: {edit.old!r} is there no more, or twice"
    if function.__closure__:
        raise AssertionError(f"{edit.where} uses super() or another closure: edit something else")
    lines = "\n" * (function.__code__.co_firstlineno - 2)  # of a traceback
    source = source.replace(edit.old, edit.new)
    text = "from __future__ import annotations\n" + lines + source
    space = dict(vars(module))
    exec(compile(text, inspect.getfile(function), "exec"), space)
    found = space[function.__name__]
    made: FunctionType = inspect.unwrap(found.fget if isinstance(found, property) else found)
    # With the module's own globals, so that it sees what others put there.
    mutant = FunctionType(made.__code__, vars(module), made.__name__, made.__defaults__)
    mutant.__kwdefaults__ = made.__kwdefaults__
    vars(mutant)["source"] = source  # for another edit of the same function
    return mutant

"""Rows and what is shown of them, made fast: long lists and each job are made of them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, TypeVar, cast

T = TypeVar("T")


def quick(cls: type[T]) -> type[T]:
    """What makes instances of a frozen dataclass with slots four times as fast as its own call.

    A frozen one sets each field through `object.__setattr__`. This sets them in a twin with the
    same slots, which then becomes one of the class; it takes the same arguments.
    """
    namespace: dict[str, Any] = {"__annotations__": {}, "__module__": cls.__module__}
    for one in fields(cls):  # type: ignore[arg-type]
        namespace["__annotations__"][one.name] = one.type
        namespace[one.name] = field(default=one.default, default_factory=one.default_factory)

    def become(self: Any) -> None:
        self.__class__ = cls

    namespace["__post_init__"] = become
    twin: Any = dataclass(slots=True)(type(f"Quick{cls.__name__}", (), namespace))
    return cast("type[T]", twin)


def quick_replace(cls: type[NamedTuple]) -> Any:
    """The `_replace` of a named tuple in a third of the time: the stock one asks for each field."""
    places = {name: place for place, name in enumerate(cls._fields)}

    def _replace(self: Any, /, **fields: Any) -> Any:
        values = list(self)
        for name, value in fields.items():
            values[places[name]] = value
        return tuple.__new__(cls, values)

    return _replace

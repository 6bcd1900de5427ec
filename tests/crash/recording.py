"""A server whose SQLite writes down what it writes, truncates, syncs and deletes, and when.

Run as `python -m tests.crash.recording FILE FULL|NORMAL|OFF server ...`; the word is SQLite's
`synchronous`. It stands between SQLite and the system, in SQLite's own table of file methods.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import os
import struct
import sys
import threading
from collections.abc import Iterator
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p, cast
from pathlib import Path
from typing import Any, Final, NamedTuple

from boruta.store import sqlite
from tests.crash.log import boot

HEAD: Final = struct.Struct("=dcqqq")  # when, what, offset, bytes of the name, bytes of the data
WRITE, TRUNCATE, SYNC, DELETE = b"w", b"t", b"s", b"d"

# A name is a bare address: SQLite keeps it, and what it has put behind it.
_Open = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_Delete = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)
_Write = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_Truncate = CFUNCTYPE(c_int, c_void_p, c_int64)
_Sync = CFUNCTYPE(c_int, c_void_p, c_int)


class _Vfs(Structure):
    _fields_ = (
        ("version", c_int), ("file_bytes", c_int), ("longest", c_int), ("next", c_void_p),
        ("name", c_char_p), ("data", c_void_p), ("open", c_void_p), ("delete", c_void_p),
    )  # fmt: skip


class _Methods(Structure):
    _fields_ = (
        ("version", c_int), ("close", c_void_p), ("read", c_void_p), ("write", c_void_p),
        ("truncate", c_void_p), ("sync", c_void_p), ("others", c_void_p * 13),
    )  # fmt: skip


class Op(NamedTuple):
    """Something that was done to a file; `offset` is the new size for a truncation."""

    at: float
    what: bytes
    name: str
    offset: int = 0
    data: bytes = b""


class Recorder:
    """Puts itself between SQLite and the system, for all connections of this process.

    Raises:
        AttributeError: this Python's SQLite shows no such table.
    """

    def __init__(self, path: Path) -> None:
        self._out = path.open("wb", buffering=0)
        self._guard = threading.Lock()
        self._names: dict[int, str] = {}  # by the address of SQLite's file
        self._tables: dict[int, tuple[_Methods, Any, Any, Any]] = {}
        find = ctypes.CDLL(_sqlite3.__file__).sqlite3_vfs_find
        find.restype, find.argtypes = POINTER(_Vfs), (c_char_p,)
        vfs = find(None).contents
        self._open, self._delete = _Open(vfs.open), _Delete(vfs.delete)
        # What SQLite calls must live as long as it does.
        self._hooks = (
            _Open(self._on_open), _Delete(self._on_delete), _Write(self._on_write),
            _Truncate(self._on_truncate), _Sync(self._on_sync),
        )  # fmt: skip
        vfs.open = cast(self._hooks[0], c_void_p)
        vfs.delete = cast(self._hooks[1], c_void_p)

    def _put(self, what: bytes, name: str, offset: int = 0, data: bytes = b"") -> None:
        encoded = name.encode()
        with self._guard:
            head = HEAD.pack(boot(), what, offset, len(encoded), len(data))
            self._out.write(head + encoded + data)

    def _on_open(self, vfs: int, name: int | None, file: int, flags: int, told: int) -> int:
        done = self._open(vfs, name, file, flags, told)
        table = c_void_p.from_address(file)
        if done == 0 and name and table.value:
            self._names[file] = _base(name)
            table.value = ctypes.addressof(self._table(table.value))
        return int(done)

    def _table(self, address: int) -> _Methods:
        if address not in self._tables:
            methods = _Methods.from_buffer_copy(
                (ctypes.c_char * ctypes.sizeof(_Methods)).from_address(address)
            )
            below = _Write(methods.write), _Truncate(methods.truncate), _Sync(methods.sync)
            self._tables[address] = (methods, *below)
            self._tables[ctypes.addressof(methods)] = (methods, *below)
            methods.write = cast(self._hooks[2], c_void_p)
            methods.truncate = cast(self._hooks[3], c_void_p)
            methods.sync = cast(self._hooks[4], c_void_p)
        return self._tables[address][0]

    def _below(self, file: int) -> tuple[_Methods, Any, Any, Any]:
        return self._tables[c_void_p.from_address(file).value or 0]

    def _on_write(self, file: int, data: int, count: int, offset: int) -> int:
        self._put(WRITE, self._names[file], offset, ctypes.string_at(data, count))
        return int(self._below(file)[1](file, data, count, offset))

    def _on_truncate(self, file: int, size: int) -> int:
        self._put(TRUNCATE, self._names[file], size)
        return int(self._below(file)[2](file, size))

    def _on_sync(self, file: int, flags: int) -> int:
        done = int(self._below(file)[3](file, flags))
        self._put(SYNC, self._names[file])  # only now may somebody be told
        return done

    def _on_delete(self, vfs: int, name: int, sync: int) -> int:
        self._put(DELETE, _base(name))
        return int(self._delete(vfs, name, sync))


def _base(name: int) -> str:
    return os.path.basename(os.fsdecode(ctypes.string_at(name)))


def read_ops(path: Path) -> Iterator[Op]:
    """What was recorded, in its order; a last one that is not whole is left out."""
    with path.open("rb") as source:
        while len(head := source.read(HEAD.size)) == HEAD.size:
            at, what, offset, named, count = HEAD.unpack(head)
            name, data = source.read(named).decode(), source.read(count)
            if len(data) == count:
                yield Op(at, what, name, offset, data)


def main() -> None:
    """The process."""
    recorder = Recorder(Path(sys.argv.pop(1)))
    sqlite.PRAGMAS = {**sqlite.PRAGMAS, "synchronous": sys.argv.pop(1)}  # type: ignore[misc]
    from boruta.cli.entry import main as boruta

    try:
        boruta()
    finally:
        del recorder


if __name__ == "__main__":
    main()

"""A page on the wire: as many items as it holds in bytes, each packed once, in slices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgpack

from boruta.domain import defaults
from boruta.domain.types import ListDirection, ListInfo
from transport.codec import Packed, pack

T = TypeVar("T")
_TURN_S: Final = 0.004  # what is packed in one turn of the loop; then come others
_A_LOOK: Final = 32  # items packed between two looks at the clock


async def packed_page(
    name: str,
    found: Sequence[T],
    as_map: Callable[[T], dict[str, Any]],
    info: ListInfo,
    direction: ListDirection,
) -> Packed:
    """The body that answers a list: the items under `name`, `total` and `remaining`.

    It holds as many items, from the page's border on, as fit into PAGE_BYTES; one at least.
    Forward a page goes on from its border downwards; backward its border follows its last item.
    """
    backward = direction is ListDirection.BACKWARD
    kept: list[bytes] = []
    room = defaults.PAGE_BYTES
    clock = asyncio.get_running_loop().time
    until = clock() + _TURN_S
    for number, one in enumerate(reversed(found) if backward else found, 1):
        item = pack(as_map(one))
        room -= len(item)
        if room < 0 and kept:
            break
        kept.append(item)
        if number % _A_LOOK == 0 and clock() >= until:
            await asyncio.sleep(0)
            until = clock() + _TURN_S
    if backward:
        kept.reverse()
    packer = msgpack.Packer()
    head = packer.pack_map_header(3) + pack(name) + packer.pack_array_header(len(kept))
    remaining = info.remaining + len(found) - len(kept)
    tail = pack("total") + pack(info.total) + pack("remaining") + pack(remaining)
    return Packed(b"".join((head, *kept, tail)))

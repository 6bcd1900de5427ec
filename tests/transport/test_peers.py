from __future__ import annotations

from boruta.domain.types import Caller, Role
from transport.peers import Peer, PeerTable
from transport.session import Conversation


def peer(serial: int, fd: int = 7, key: str = "K") -> Peer:
    return Peer(
        serial,
        b"id%d" % serial,
        key,
        Caller("ann", Role.USER),
        fd,
        ("192.0.2.1", serial),
        Conversation(0.0),
        0.0,
    )


def test_a_peer_is_found_by_its_routing_id_its_fd_and_its_key() -> None:
    table = PeerTable()
    one, two = peer(1, 7, "A"), peer(2, 8, "B")
    assert table.add(one) is None
    assert table.add(two) is None
    assert table.get(b"id1") is one
    assert table.by_fd(8) is two
    assert table.of_key("A") == [one]
    assert (len(table), list(table)) == (2, [one, two])


def test_a_new_peer_on_a_used_fd_uncovers_the_dead_one() -> None:
    table = PeerTable()
    dead, new = peer(1), peer(2)
    table.add(dead)
    assert table.add(new) is dead
    table.remove(dead)
    assert table.by_fd(7) is new, "the fd is not the dead one's any more"
    assert table.get(b"id1") is None


def test_one_that_was_cut_counts_no_more_but_its_frames_are_known_for_a_while() -> None:
    table = PeerTable()
    one = peer(1)
    table.add(one)
    one.gone, one.cut_at = True, 10.0
    table.retire(one)
    assert len(table) == 0
    assert table.get(b"id1") is one
    table.forget_cut(5.0)
    assert table.get(b"id1") is one
    table.forget_cut(11.0)
    assert table.get(b"id1") is None


def test_a_peer_shows_its_name_and_host_and_no_key() -> None:
    assert str(peer(1, key="SECRET")) == "ann@192.0.2.1"

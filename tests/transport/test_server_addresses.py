from __future__ import annotations

import pytest

from boruta.domain.errors import BadAddress
from transport.addresses import dialled, parse_networks, split_address

LAB = parse_networks(["10.1.0.0/16", "fd00::/8"])


@pytest.mark.parametrize(
    ("said", "peer", "found"),
    [
        (":7022", "192.0.2.7", "192.0.2.7:7022"),
        ("0.0.0.0:7022", "192.0.2.7", "192.0.2.7:7022"),
        ("[::]:7022", "2001:db8::7", "[2001:db8::7]:7022"),
        ("192.0.2.7:7022", "192.0.2.7", "192.0.2.7:7022"),
        ("10.1.9.9:22", "192.0.2.7", "10.1.9.9:22"),
        ("[fd00::9]:22", "192.0.2.7", "[fd00::9]:22"),
        ("127.0.0.1:22", "127.0.0.1", "127.0.0.1:22"),
        ("127.0.0.5:22", "127.0.0.1", "127.0.0.5:22"),
        ("localhost:22", "127.0.0.1", "127.0.0.1:22"),
        ("192.0.2.7:22", "::ffff:192.0.2.7", "192.0.2.7:22"),
        ("169.254.3.4:22", "169.254.3.4", "169.254.3.4:22"),
    ],
)
def test_the_server_dials_the_agent_itself_or_a_listed_network(
    said: str, peer: str, found: str
) -> None:
    assert dialled(said, peer, LAB) == found


@pytest.mark.parametrize(
    ("said", "peer"),
    [
        ("127.0.0.1:22", "192.0.2.7"),
        ("[::1]:22", "192.0.2.7"),
        ("localhost:22", "192.0.2.7"),
        ("[::ffff:127.0.0.1]:22", "192.0.2.7"),
        ("169.254.169.254:80", "192.0.2.7"),
        ("[fe80::1]:22", "192.0.2.7"),
        ("224.0.0.1:22", "192.0.2.7"),
        ("192.0.2.8:22", "192.0.2.7"),
        ("192.0.2.8:22", "127.0.0.1"),
        ("10.2.0.1:22", "192.0.2.7"),
        ("board.lab:22", "192.0.2.7"),
        ("2130706433:22", "192.0.2.7"),
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:", "192.0.2.7"),
        ("192.0.2.7:0", "192.0.2.7"),
        ("192.0.2.7:65536", "192.0.2.7"),
        ("192.0.2.7:22222222222222222222", "192.0.2.7"),
        ("192.0.2.7:-1", "192.0.2.7"),
        ("192.0.2.7:٢٢", "192.0.2.7"),
        ("2001:db8::7:22", "2001:db8::7"),
        ("", "192.0.2.7"),
    ],
)
def test_anywhere_else_is_refused(said: str, peer: str) -> None:
    with pytest.raises(BadAddress):
        dialled(said, peer, LAB)


def test_even_a_listed_network_gives_no_loopback_or_link_local() -> None:
    everything = parse_networks(["0.0.0.0/0", "::/0"])
    assert dialled("203.0.113.1:22", "192.0.2.7", everything) == "203.0.113.1:22"
    for said in (
        "127.0.0.1:22",
        "169.254.169.254:80",
        "224.0.0.1:22",
        "[::1]:22",
        "[::ffff:127.0.0.1]:22",
        "[::ffff:169.254.169.254]:80",
        "[ff02::1]:22",
    ):
        with pytest.raises(BadAddress):
            dialled(said, "192.0.2.7", everything)


def test_a_network_that_is_none_is_named() -> None:
    with pytest.raises(BadAddress, match="lab"):
        parse_networks(["10.0.0.0/8", "lab"])


def test_an_address_is_split_at_its_last_colon() -> None:
    assert split_address("[::1]:22") == ("::1", 22)
    assert split_address("host:22") == ("host", 22)

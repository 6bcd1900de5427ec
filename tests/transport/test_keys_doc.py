"""docs/keys.md: its key file is one, and what it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import zmq.auth

from boruta.certificates import parse_certificate, write_certificate
from boruta.cli.keys import key
from boruta.domain.types import Role
from boruta.peers import check_name
from tests.transport import doc_page

PAGE = doc_page.read("keys.md")
FILE = re.search(r"^```\n(#.*?)```", PAGE, re.M | re.S)


def test_the_key_file_of_the_page_is_what_boruta_writes_and_reads() -> None:
    assert FILE
    found = parse_certificate(FILE[1])
    assert found.rights() == (Role.USER, ("lab", "nightly"))
    assert write_certificate(found).split() == FILE[1].split()


def test_pyzmq_reads_the_key_file_of_the_page(tmp_path: Path) -> None:
    assert FILE
    (tmp_path / "x.key").write_text(FILE[1])
    public, secret = zmq.auth.load_certificate(tmp_path / "x.key")
    assert public.decode() == parse_certificate(FILE[1]).public
    assert secret is None


def test_the_commands_of_the_page_exist() -> None:
    said = set(re.findall(r"boruta key (\w+)", PAGE))
    assert said == set(key.commands)


def test_the_roles_of_the_page_are_those_of_the_code() -> None:
    table = doc_page.tables(doc_page.section(PAGE, "Roles"))[0]
    assert {row[0].strip("`") for row in table} == set(Role)


@pytest.mark.parametrize(
    ("name", "taken"),
    [("a" * 64, True), ("A.b_c-9", True), ("a" * 65, False), ("", False), (".a", False),
     ("local", False), ("server", False), ("a b", False)],
)  # fmt: skip
def test_names_are_as_the_page_says(name: str, taken: bool) -> None:
    try:
        check_name(name)
    except Exception:
        assert not taken
    else:
        assert taken

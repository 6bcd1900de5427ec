"""The holders' account: made once, kept, never somebody else's."""

from __future__ import annotations

import os
import pwd
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from boruta.domain.errors import BadConfig, Busy, InfraError
from dryad.sessions import account
from dryad.sessions.home import SHELLS
from tests.dryad.sessions_kit import tool

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="accounts are made by root"),
]


@pytest.fixture
def name() -> Iterator[str]:
    tool("useradd")
    name = f"bt-{secrets.token_hex(4)}"
    yield name
    subprocess.run(["userdel", "-r", "-f", name], capture_output=True)


def shadow(name: str) -> str:
    """The password field."""
    lines = Path("/etc/shadow").read_text().splitlines()
    return next(line.split(":")[1] for line in lines if line.startswith(f"{name}:"))


def test_it_is_made_without_a_password_and_without_a_home(name: str) -> None:
    made = account.ensure(name, [])
    assert made == account.look_up(name)
    assert made.uid >= 1000
    assert shadow(name) == "*"  # nothing equals it, and unlike "!" it is not locked
    assert not made.home.exists()
    assert made.shell in SHELLS


def test_it_keeps_its_uid_and_is_unlocked_and_gets_the_groups_of_the_config(name: str) -> None:
    first = account.ensure(name, ["dialout"])
    subprocess.run(["usermod", "-L", name], check=True)
    again = account.ensure(name, ["dialout", "video"])
    assert again.uid == first.uid
    assert shadow(name) == "*"
    assert len(again.gids) == 3
    assert len(account.ensure(name, []).gids) == 1


def test_an_account_that_is_as_wanted_is_not_written_to_the_card_again(
    fake: Path, name: str
) -> None:
    account.ensure(name, ["dialout"])
    make_tool(fake, "usermod", 77)
    assert len(account.ensure(name, ["dialout"]).gids) == 2
    with pytest.raises(InfraError, match="user update failed"):
        account.ensure(name, ["video"])
    subprocess.run(["usermod", "-L", name], check=True)  # locked by somebody
    with pytest.raises(InfraError, match="user update failed"):
        account.ensure(name, ["dialout"])


def test_a_group_that_there_is_not_is_named_with_what_makes_it(name: str) -> None:
    with pytest.raises(BadConfig, match=r"no group 'stm' .*groupadd --system stm"):
        account.ensure(name, ["stm"])
    with pytest.raises(KeyError):
        pwd.getpwnam(name)


def test_the_account_of_a_person_is_left_alone(name: str) -> None:
    subprocess.run(["useradd", "-m", "-c", "A person", name], check=True)
    with pytest.raises(BadConfig, match=r"did not make.*usermod -c 'Boruta holder'"):
        account.ensure(name, [])
    with pytest.raises(BadConfig, match="did not make it, so it stays"):
        account.remove(name)
    assert pwd.getpwnam(name).pw_gecos == "A person"
    subprocess.run(["usermod", "-c", account.COMMENT, name], check=True)
    assert account.ensure(name, []).name == name


def test_root_by_another_name_is_refused(name: str) -> None:
    subprocess.run(["useradd", "-o", "-u", "0", "-M", "-c", account.COMMENT, name], check=True)
    with pytest.raises(BadConfig, match="uid 0"):
        account.ensure(name, [])
    with pytest.raises(BadConfig, match="'root' has uid 0"):  # and no advice to make it ours
        account.ensure("root", [])


def test_it_is_removed_once(name: str) -> None:
    account.ensure(name, [])
    assert account.remove(name)
    assert not account.remove(name)
    with pytest.raises(InfraError, match="user information update failed: there is no account"):
        account.look_up(name)


def test_only_one_agent_has_it(tmp_path: Path) -> None:
    held = account.lock("holder", tmp_path)
    with pytest.raises(Busy, match=rf"another agent .* 'holder': pid {os.getpid()}$"):
        account.lock("holder", tmp_path)
    os.close(held)
    os.close(account.lock("holder", tmp_path))
    (tmp_path / "dryad-other.lock").symlink_to("/etc/passwd")  # not followed
    with pytest.raises(InfraError, match=r"dryad-other.lock"):
        account.lock("other", tmp_path)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in which tools are looked for first."""
    monkeypatch.setattr(account, "TOOLS", f"{tmp_path}:{account.TOOLS}")
    return tmp_path


def make_tool(where: Path, name: str, status: int) -> None:
    path = where / name
    path.write_text(f"#!/bin/sh\necho some words >&2\nexit {status}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(("status", "meaning"), account.USERADD.items())
def test_each_exit_status_of_useradd_says_what_it_means(
    fake: Path, name: str, status: int, meaning: str
) -> None:
    make_tool(fake, "useradd", status)
    with pytest.raises(InfraError) as told:
        account.ensure(name, [])
    assert told.value.message == f"user creation failed: command failed: {meaning}"


def test_another_exit_status_is_told_with_what_was_said(fake: Path, name: str) -> None:
    make_tool(fake, "useradd", 77)
    with pytest.raises(InfraError, match="command failed: exit status 77, some words"):
        account.ensure(name, [])


@pytest.mark.parametrize("status", [one for one in account.USERDEL if one != 12])
def test_each_exit_status_of_userdel_says_what_it_means(fake: Path, name: str, status: int) -> None:
    account.ensure(name, [])
    make_tool(fake, "userdel", status)
    with pytest.raises(InfraError) as told:
        account.remove(name)
    meaning = account.USERDEL[status]
    assert told.value.message == f"user removal failed: command failed: {meaning}"


def test_a_missing_tool_is_said(fake: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "TOOLS", str(fake))
    with pytest.raises(InfraError, match=r"user creation failed: .*useradd"):
        account.ensure(name, [])

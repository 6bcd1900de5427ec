"""Verbs for a board that is held: exec, ssh, put, get, ssh-config; and those for workers."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import click
import pytest

from boruta.cli.files import _ports
from boruta.cli.ssh import OfBoard, target
from boruta.domain.errors import UsageError
from boruta.domain.types import WorkerInfo, WorkerState
from tests.boruta.typed import Lab, lab, typed


@pytest.fixture(scope="module")
def farm() -> Iterator[Lab]:
    with lab(2) as made:
        yield made


@pytest.fixture(scope="module")
def held(farm: Lab) -> str:
    return farm.held("-c", f"UUID={farm.boards[0]}")


def _parsed(*words: str) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
    found: list[tuple[int, tuple[str, ...], tuple[str, ...]]] = []

    @click.command(cls=OfBoard)
    @click.option("-e", "--env", multiple=True)
    @click.argument("rest", nargs=-1, type=click.UNPROCESSED)
    def command(env: tuple[str, ...], rest: tuple[str, ...]) -> None:
        found.append((target(), env, rest))

    command.main(list(words), standalone_mode=False)
    return found[0]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["17", "--", "ls", "-l"], (17, (), ("ls", "-l"))),
        (["17", "ls", "-e", "x"], (17, (), ("ls", "-e", "x"))),
        (["-e", "A=1", "17", "-e", "B=2", "--", "ls"], (17, ("A=1", "B=2"), ("ls",))),
        (["--env=A=1", "17", "ls"], (17, ("A=1",), ("ls",))),
        (["-eA=1", "17", "ls"], (17, ("A=1",), ("ls",))),
        (["17", "ls", "--", "x"], (17, (), ("ls", "--", "x"))),
        (["--", "17", "x"], (99, (), ("17", "x"))),
        (["ls", "17"], (99, (), ("ls", "17"))),
        (["17"], (17, (), ())),
    ],
)
def test_options_are_ours_until_cmd_begins(
    words: list[str], expected: tuple[int, object, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BORUTA_REQUEST", "99")
    assert _parsed(*words) == expected


def test_a_lone_number_is_a_port_where_the_request_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BORUTA_REQUEST", "99")
    assert _ports(["80"]) == (99, [(0, "", 80)])
    assert _ports(["17", "8080:80"]) == (17, [(8080, "", 80)])
    assert _ports(["17", "1:h:2", "h:3"]) == (17, [(1, "h", 2), (0, "h", 3)])
    monkeypatch.delenv("BORUTA_REQUEST")
    with pytest.raises(UsageError, match="no port given"):
        _ports(["80"])


def test_exec_runs_on_the_board_with_its_status(farm: Lab, held: str) -> None:
    done = farm("exec", held, "-e", "A=a b", "--", 'echo "$A"; exit 6')
    assert (done.status, done.out) == (6, "a b\n")
    assert farm("exec", held, "--", "kill -KILL $$").status == 137


def test_the_environment_names_the_request(
    farm: Lab, held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BORUTA_REQUEST", held)
    assert farm("exec", "--", "echo here").out == "here\n"


def test_files_go_there_and_back(farm: Lab, held: str, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("1")
    two.write_text("2")
    assert farm("put", held, str(one)).status == 0
    assert farm("exec", held, "cat one").out == "1"
    assert farm("exec", held, "mkdir -p there").status == 0
    assert farm("put", held, str(one), str(two), "there").status == 0
    assert farm("exec", held, "ls there").out == "one\ntwo\n"
    done = farm("put", held, str(one), str(two), "nowhere")
    assert (done.status, "no directory" in done.err) == (2, True)
    back = tmp_path / "back"
    back.mkdir()
    assert farm("get", held, "there/two", "one", str(back)).status == 0
    assert (back / "two").read_text() == "2"
    done = farm("get", held, "nothing", str(back))
    assert done.status == 3
    assert "'nothing' on the board" in done.err


def test_ssh_config_writes_a_key_for_plain_openssh(farm: Lab, held: str, tmp_path: Path) -> None:
    place = tmp_path / "keys"
    for _ in range(2):
        done = farm("ssh-config", held, "--dir", str(place), "--alias", "mine")
        assert done.status == 0
    assert done.out.startswith("Host mine\n")
    assert f"IdentityFile {place}/key" in done.out
    assert stat.S_IMODE((place / "key").stat().st_mode) == 0o600
    assert farm("ssh-config", held, "--dir", str(place), "--alias", "*").status == 2


def test_a_request_that_has_ended_lets_nobody_in(farm: Lab) -> None:
    req_id = farm.held("-c", f"UUID={farm.boards[1]}")
    farm("close", req_id)
    for words in (["exec", req_id, "true"], ["ssh", req_id], ["put", req_id, "/etc/hostname"]):
        done = farm(*words)
        assert done.status == 5
        assert "make a new request" in done.err


def test_workers_in_all_three_forms(farm: Lab, held: str) -> None:
    assert farm("workers", "-o", "id").out.split() == sorted(farm.boards)
    table = farm("workers").out
    assert table.splitlines()[0].split()[:4] == ["WORKER", "STATE", "ONLINE", "HOLDER"]
    assert f"local ({held})" in table
    found = farm("workers", "-o", "json").json
    assert [one["worker_uuid"] for one in found] == sorted(farm.boards)
    one = farm("worker", "show", farm.boards[0], "-o", "json").json
    assert (one["state"], one["request"]) == ("RUNNING", int(held))
    assert f"local, request {held}" in farm("worker", "show", farm.boards[0]).out


def test_workers_are_chosen_from(farm: Lab, held: str) -> None:
    def listed(*words: str) -> list[str]:
        return farm("workers", "-o", "id", *words).out.split()

    assert listed("--state", "running") == listed("--state", "RUNNING") == [farm.boards[0]]
    assert listed("-c", "arch=vax|armv7l") == sorted(farm.boards)
    assert listed("-c", "arch!=armv7l") == []
    assert farm("worker", "groups", farm.boards[1], "a", "b").status == 0
    assert listed("-g", "b") == [farm.boards[1]]
    assert farm("worker", "groups", farm.boards[1]).status == 0
    assert listed("-g", "b") == []


def test_a_worker_goes_out_and_comes_back(farm: Lab) -> None:
    uuid = farm.boards[1]
    done = farm("worker", "maintenance", uuid, "--reason", "new card")
    assert (done.status, done.out) == (0, "")
    assert "MAINTENANCE: new card" in done.err
    assert farm("workers", "--state", "maintenance", "-o", "id").out == f"{uuid}\n"
    assert farm("worker", "enable", uuid).status == 0
    assert "enabled already (IDLE)" in farm("worker", "enable", uuid).err
    done = farm("worker", "deregister", uuid)
    assert done.status == 5
    assert f"boruta worker maintenance {uuid}" in done.err


class Failed:
    """A client that knows one worker, which is FAILED, and obeys."""

    def __init__(self) -> None:
        self.state = WorkerState.FAIL
        self.steps: list[str] = []

    def get_worker_info(self, uuid: str) -> WorkerInfo:
        return WorkerInfo(uuid, self.state, online=True)

    def set_state(self, uuid: str, state: WorkerState, reason: str = "") -> None:
        self.state = state
        self.steps.append(state.value)

    def subscribe(self, deliver: Callable[[object], None], **chosen: object) -> Failed:
        return self

    def close(self) -> None:
        return None


def test_a_worker_that_failed_is_enabled_by_way_of_maintenance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failed = Failed()
    monkeypatch.setattr("boruta.cli.worker.client", lambda: nullcontext(failed))
    assert typed("worker", "enable", "board-1").status == 0
    assert failed.steps == ["MAINTENANCE", "IDLE"]


def test_check_lists_what_the_agent_found(farm: Lab) -> None:
    done = farm("worker", "check", farm.boards[1], "-o", "json")
    assert done.status == 0
    assert all(set(one) == {"name", "ok", "detail"} for one in done.json)
    assert "hardware" in farm("worker", "check", farm.boards[1]).out
    assert "hardware" in farm("worker", "check", farm.boards[1], "-o", "id").out.split()


def test_a_drained_worker_keeps_its_job(farm: Lab, held: str) -> None:
    done = farm("worker", "maintenance", farm.boards[0], "--drain", "--reason", "later")
    assert done.status == 0
    assert f"when request {held} ends" in done.err
    assert farm("show", held, "-o", "json").json["state"] == "IN PROGRESS"


def test_an_unknown_worker_is_not_found(farm: Lab) -> None:
    for verb in ("show", "enable", "maintenance", "groups", "check", "deregister"):
        assert farm("worker", verb, "no-such-board").status == 3, verb
